//! What a manifest says about liveness: which networks judge, what each is shown, and when nothing can be judged.

use super::network::{NetworkSpec, in_range};
use super::{Activation, Refusal};
use serde::Deserialize;

/// The networks that judge whether a live person is before the camera; their scores are averaged.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LivenessSpec {
    /// Least score of a live face, 0 to 1, inclusive.
    pub threshold: f64,
    /// Shorter side of the smallest box that is judged, pixels.
    pub least_face: u32,
    /// Least room for the crop round a box, as a multiple of the box: below it the face fills the picture.
    pub least_scale: f32,
    /// On what the threshold rests, and what the networks do not stop.
    pub source: String,
    /// Each network and its crop.
    #[serde(rename = "judge")]
    pub judges: Vec<JudgeSpec>,
}

/// One network and what it is shown of a face.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeSpec {
    /// The network. Outputs: one value a class.
    pub network: NetworkSpec,
    /// How its crop is laid round the box.
    pub crop: SurroundingCrop,
    /// Side of the crop as a multiple of the box's.
    pub scale: f32,
    /// Number of values that it gives.
    pub classes: usize,
    /// Which class is the live one, from 0.
    pub live: usize,
    /// What makes probabilities of them.
    pub activation: Activation,
}

/// How a crop is laid round a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SurroundingCrop {
    /// The box grown on both axes, no further than the picture allows, shifted inside the picture (`MiniFASNet`).
    Inside,
    /// The square over the box's longer side, black where the picture ends.
    Padded,
}

impl LivenessSpec {
    pub(super) fn check(&self) -> Refusal {
        in_range("liveness threshold", self.threshold, 0.0, 1.0)?;
        in_range("least_scale", f64::from(self.least_scale), 1.0, 10.0)?;
        if self.judges.is_empty() {
            return Err("liveness needs at least one judge".to_string());
        }
        self.judges.iter().try_for_each(JudgeSpec::check)
    }
}

impl JudgeSpec {
    fn check(&self) -> Refusal {
        self.network.check(1)?;
        let file = &self.network.file;
        in_range("scale", f64::from(self.scale), 1.0, 10.0)?;
        let least = if self.activation == Activation::Softmax { 2 } else { 1 };
        if self.classes < least || self.live >= self.classes {
            let (live, classes) = (self.live, self.classes);
            return Err(format!("live of {file:?} must be under classes, of which there are {classes}, got {live}"));
        }
        if self.network.input.width.is_none() || self.network.input.height.is_none() {
            return Err(format!("the input of {file:?} needs width and height"));
        }
        Ok(())
    }
}
