//! The families of detectors and landmark networks, and what a manifest says about each.

use super::Refusal;
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
    /// Ratio of one pyramid level to the one before, 0 to 1.
    pub scale_factor: f64,
    /// Default minimum face size as a fraction of the picture's short side.
    pub min_face_fraction: f32,
    /// Least and greatest default minimum face size, pixels: smaller than the first the cascade was not trained for,
    /// and a face as large as the second is found in a picture of any size.
    pub min_face_limits: [u32; 2],
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
        }
    }

    pub(super) fn check(&self) -> Refusal {
        match self {
            Self::Mtcnn(spec) => spec.check(),
            Self::Scrfd(spec) => spec.check(),
            Self::Yunet(spec) => spec.check(),
            Self::Retinaface(spec) => spec.check(),
            Self::Ultraface(spec) => spec.check(),
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
        self.score_thresholds.iter().try_for_each(|&t| in_range("score_thresholds", f64::from(t), 0.0, 1.0))
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
        spec.min_score.map_or(Ok(()), |score| in_range("min_score", score.into(), 0.0, 1.0))
    }
}
