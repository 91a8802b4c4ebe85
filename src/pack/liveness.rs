//! Declaration of the liveness networks: their crops, and when a face cannot be judged.

use super::network::{NetworkSpec, in_range};
use super::{Activation, Checked};
use serde::Deserialize;

/// The networks that judge whether a face is live; their scores are averaged.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LivenessSpec {
    /// Minimum score of a live face, 0 to 1, inclusive.
    pub threshold: f64,
    /// Minimum shorter side of a box, pixels.
    pub least_face: u32,
    /// Minimum size of the image as a multiple of the box; below it the face fills the image.
    pub least_scale: f32,
    /// Source of the threshold, and attacks that the networks do not detect.
    pub source: String,
    /// The networks.
    #[serde(rename = "judge")]
    pub networks: Vec<LivenessNetworkSpec>,
}

/// One network and its crop.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LivenessNetworkSpec {
    /// The network. Outputs: one value per class.
    pub network: NetworkSpec,
    /// How its crop is cut around the box.
    pub crop: SurroundingCrop,
    /// Side of the crop as a multiple of the box's.
    pub scale: f32,
    /// Number of its classes.
    pub classes: usize,
    /// Index of the live class, from 0.
    pub live: usize,
    /// How its outputs become probabilities.
    pub activation: Activation,
}

/// How a crop is cut around a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SurroundingCrop {
    /// The enlarged box, limited to the image's size and shifted inside the image (`MiniFASNet`).
    Inside,
    /// The square over the box's longer side, black outside the image.
    Padded,
}

impl LivenessSpec {
    pub(super) fn check(&self) -> Checked {
        in_range("liveness threshold", self.threshold, 0.0, 1.0)?;
        in_range("least_scale", f64::from(self.least_scale), 1.0, 10.0)?;
        if self.networks.is_empty() {
            return Err("liveness needs at least one judge".to_string());
        }
        self.networks.iter().try_for_each(LivenessNetworkSpec::check)
    }
}

impl LivenessNetworkSpec {
    fn check(&self) -> Checked {
        self.network.check_crops()?;
        let file = &self.network.file;
        in_range("scale", f64::from(self.scale), 1.0, 10.0)?;
        let least = if self.activation == Activation::Softmax { 2 } else { 1 };
        if self.classes < least || self.live >= self.classes {
            let (live, classes) = (self.live, self.classes);
            return Err(format!("live of {file:?} must be under classes, of which there are {classes}, got {live}"));
        }
        Ok(())
    }
}
