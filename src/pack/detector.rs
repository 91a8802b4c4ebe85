//! The families of detectors and landmark networks, and what a manifest says about each.

use super::Refusal;
use super::blazeface::BlazefaceSpec;
use super::network::{NetworkSpec, in_range};
use super::single_shot::{RetinafaceSpec, ScrfdSpec, UltrafaceSpec, YunetSpec};
use serde::Deserialize;

/// A detector by family.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase", deny_unknown_fields)]
pub enum DetectorSpec {
    /// The cascade of Zhang et al. (2016): proposals, refinement, output with five points.
    Mtcnn(MtcnnSpec),
    /// Guo et al. (2021), as the packs of `InsightFace` have it.
    Scrfd(ScrfdSpec),
    /// Wu, Peng and Yu (2023), as OpenCV has it.
    Yunet(YunetSpec),
    /// Deng et al. (2019) in the layout of the `PyTorch` port with MobileNet-0.25 or ResNet-50.
    Retinaface(RetinafaceSpec),
    /// Linzaer's ultra-light detector: boxes only.
    Ultraface(UltrafaceSpec),
    /// Bazarevsky et al. (2019), the network for the back camera.
    Blazeface(BlazefaceSpec),
}

/// The three networks of MTCNN and their cut-offs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MtcnnSpec {
    /// Proposals. Outputs: box regression, probability.
    pub pnet: NetworkSpec,
    /// Refinement. Outputs: box regression, probability.
    pub rnet: NetworkSpec,
    /// Output. Outputs: box regression, landmarks, probability.
    pub onet: NetworkSpec,
    /// Least probability after each network, exclusive.
    pub score_thresholds: [f32; 3],
    /// How a face of middling probability is looked at again; absent where the last threshold alone decides.
    pub second_look: Option<SecondLookSpec>,
    /// Ratio of one pyramid level to the one before, 0 to 1.
    pub scale_factor: f64,
    /// Default minimum face size as a fraction of the picture's short side.
    pub min_face_fraction: f32,
    /// Least and greatest default minimum face size, pixels: smaller than the first the cascade was not trained for,
    /// and a face as large as the second is found in a picture of any size.
    pub min_face_limits: [u32; 2],
}

/// The mean probability of several squares round a face, where that of one square is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondLookSpec {
    /// A face with a higher probability than this is kept as it is.
    pub sure_score: f32,
    /// Any other is kept where the mean of the squares is higher than this.
    pub score_threshold: f32,
}

/// A network that finds five points in a box.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase", deny_unknown_fields)]
pub enum LandmarksSpec {
    /// MTCNN's third network on the square round the box.
    Onet(OnetSpec),
}

/// O-Net as a role of its own.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnetSpec {
    /// Outputs: box regression, landmarks, probability.
    pub network: NetworkSpec,
    /// A box that it gives a lower probability is no face; absent where the detector has the last word.
    pub min_score: Option<f32>,
    /// How faces that are not upright are shown to it; absent where squares are never turned.
    pub turned: Option<TurnedSpec>,
}

/// How O-Net, which was trained on upright faces, sees faces at any angle.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnedSpec {
    /// From this angle of the detector's eye line on, degrees, the square is turned by it; points of upright faces are
    /// better where it is not.
    pub from_degrees: f32,
    /// Side of the square as a multiple of the box's longer side.
    pub scale: f32,
    /// With a lower probability the detector looks again at the face in four quarter turns,
    pub sure_score: f32,
    /// unless the product of O-Net's probability and the detector's score reaches this.
    pub sure_product: f32,
    /// Side of the square for that look as a multiple of the box's longer side, and in pixels of the detector's input.
    pub look: LookSpec,
    /// Least probability of a face in a turned square.
    pub min_score: f32,
    /// A face with a detector's score below this, exclusive, needs `doubtful_min_score`.
    pub doubtful_det_score: f32,
    /// Least probability of such a face.
    pub doubtful_min_score: f32,
}

/// A square round a face.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookSpec {
    /// Side as a multiple of the box's longer side.
    pub scale: f32,
    /// Side in the detector's input, pixels.
    pub side: u32,
}

impl DetectorSpec {
    /// The networks of this detector.
    pub fn networks(&self) -> Vec<&NetworkSpec> {
        match self {
            Self::Mtcnn(spec) => vec![&spec.pnet, &spec.rnet, &spec.onet],
            Self::Scrfd(spec) => vec![&spec.network],
            Self::Yunet(spec) => vec![&spec.network],
            Self::Retinaface(spec) => vec![&spec.network],
            Self::Ultraface(spec) => vec![&spec.network],
            Self::Blazeface(spec) => vec![&spec.network],
        }
    }

    pub(super) fn check(&self) -> Refusal {
        match self {
            Self::Mtcnn(spec) => spec.check(),
            Self::Scrfd(spec) => spec.check(),
            Self::Yunet(spec) => spec.check(),
            Self::Retinaface(spec) => spec.check(),
            Self::Ultraface(spec) => spec.check(),
            Self::Blazeface(spec) => spec.check(),
        }
    }
}

impl MtcnnSpec {
    fn check(&self) -> Refusal {
        self.pnet.check_pictures(2)?;
        self.rnet.check_pictures(2)?;
        self.onet.check_pictures(3)?;
        in_range("scale_factor", self.scale_factor, 0.1, 0.95)?;
        in_range("min_face_fraction", f64::from(self.min_face_fraction), 0.001, 1.0)?;
        let [least, greatest] = self.min_face_limits;
        if least == 0 || least > greatest {
            return Err(format!(
                "min_face_limits must be two sizes from 1, the smaller first, got {least} and {greatest}"
            ));
        }
        if let Some(look) = self.second_look {
            in_range("sure_score", f64::from(look.sure_score), 0.0, 1.0)?;
            in_range("score_threshold", f64::from(look.score_threshold), 0.0, 1.0)?;
        }
        self.score_thresholds.iter().try_for_each(|&t| in_range("score_thresholds", f64::from(t), 0.0, 1.0))
    }
}

impl TurnedSpec {
    fn check(self) -> Refusal {
        in_range("from_degrees", self.from_degrees.into(), 0.0, 180.0)?;
        in_range("scale", self.scale.into(), 0.5, 4.0)?;
        in_range("look.scale", self.look.scale.into(), 1.0, 8.0)?;
        in_range("look.side", self.look.side.into(), 32.0, 512.0)?;
        if !self.look.side.is_multiple_of(32) {
            return Err(format!("look.side must be a multiple of 32, got {}", self.look.side));
        }
        for (name, score) in [
            ("sure_score", self.sure_score),
            ("sure_product", self.sure_product),
            ("turned.min_score", self.min_score),
            ("doubtful_det_score", self.doubtful_det_score),
            ("doubtful_min_score", self.doubtful_min_score),
        ] {
            in_range(name, score.into(), 0.0, 1.0)?;
        }
        Ok(())
    }
}

impl LandmarksSpec {
    /// The network of this role.
    pub fn network(&self) -> &NetworkSpec {
        let Self::Onet(spec) = self;
        &spec.network
    }

    pub(super) fn check(&self) -> Refusal {
        let Self::Onet(spec) = self;
        spec.network.check_pictures(3)?;
        spec.min_score.map_or(Ok(()), |score| in_range("min_score", score.into(), 0.0, 1.0))?;
        spec.turned.map_or(Ok(()), TurnedSpec::check)
    }
}
