//! Declarations of detectors and landmark networks, by family.

use super::Checked;
use super::blazeface::BlazefaceSpec;
use super::network::{NetworkSpec, in_range};
use super::single_shot::{RetinafaceSpec, ScrfdSpec, UltrafaceSpec, YunetSpec};
use serde::Deserialize;

/// A detector by family.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase", deny_unknown_fields)]
pub enum DetectorSpec {
    /// Zhang et al. (2016): a cascade of proposals, refinement, and output with five points.
    Mtcnn(MtcnnSpec),
    /// Guo et al. (2021), as in the packs of `InsightFace`.
    Scrfd(ScrfdSpec),
    /// Wu, Peng and Yu (2023), as in OpenCV.
    Yunet(YunetSpec),
    /// Deng et al. (2019) in the layout of the `PyTorch` port with MobileNet-0.25 or ResNet-50.
    Retinaface(RetinafaceSpec),
    /// Linzaer's ultra-light detector: boxes only.
    Ultraface(UltrafaceSpec),
    /// Bazarevsky et al. (2019), the network for the back camera.
    Blazeface(BlazefaceSpec),
}

/// The three networks of MTCNN and their thresholds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MtcnnSpec {
    /// Proposals. Outputs: box regression, probability.
    pub pnet: NetworkSpec,
    /// Refinement. Outputs: box regression, probability.
    pub rnet: NetworkSpec,
    /// Output. Outputs: box regression, landmarks, probability.
    pub onet: NetworkSpec,
    /// Minimum probability after each network, exclusive.
    pub score_thresholds: [f32; 3],
    /// The second look at faces of medium probability; without it the last threshold alone decides.
    pub second_look: Option<SecondLookSpec>,
    /// Ratio of one pyramid level to the one before, 0 to 1.
    pub scale_factor: f64,
    /// Default minimum face size as a fraction of the image's short side.
    pub min_face_fraction: f32,
    /// Range of the default minimum face size, pixels: the cascade was not trained for faces below the first, and a
    /// face as large as the second is found in an image of any size.
    pub min_face_limits: [u32; 2],
}

/// The second look: the mean probability of several squares around a face, if that of one square is uncertain.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondLookSpec {
    /// Faces with a higher probability are kept without a second look.
    pub sure_score: f32,
    /// Other faces are kept if the mean of the squares is higher than this.
    pub score_threshold: f32,
}

/// A network that finds five points in a box.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase", deny_unknown_fields)]
pub enum LandmarksSpec {
    /// MTCNN's third network on the square around the box.
    Onet(OnetSpec),
}

/// O-Net as a role of its own.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnetSpec {
    /// Outputs: box regression, landmarks, probability.
    pub network: NetworkSpec,
    /// Minimum probability of a face; without it every face of the detector is kept.
    pub min_score: Option<f32>,
    /// How squares of rotated faces are turned; without it they never are.
    pub turned: Option<TurnedSpec>,
}

/// How O-Net, which was trained on upright faces, handles faces at any angle.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnedSpec {
    /// Minimum angle of the detector's eye line at which the square is turned by it, degrees; upright faces get better
    /// points from an upright square.
    pub from_degrees: f32,
    /// Side of the square as a multiple of the box's longer side.
    pub scale: f32,
    /// Faces with a lower probability get a second look in four quarter turns, unless `sure_product` is reached.
    pub sure_score: f32,
    /// Minimum product of O-Net's probability and the detector's score of a face that needs no second look.
    pub sure_product: f32,
    /// The square of the second look.
    pub look: LookSpec,
    /// Minimum probability of a face in a turned square.
    pub min_score: f32,
    /// Faces with a lower score of the detector need `doubtful_min_score`.
    pub doubtful_det_score: f32,
    /// Minimum probability of such a face.
    pub doubtful_min_score: f32,
}

/// A square around a face.
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

    pub(super) fn check(&self) -> Checked {
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
    fn check(&self) -> Checked {
        self.pnet.check_pictures(2)?;
        self.rnet.check_pictures(2)?;
        self.onet.check_pictures(3)?;
        in_range("scale_factor", self.scale_factor, 0.1, 0.95)?;
        in_range("min_face_fraction", f64::from(self.min_face_fraction), 0.001, 1.0)?;
        let [low, high] = self.min_face_limits;
        if low == 0 || low > high {
            return Err(format!("min_face_limits must be two sizes from 1, the smaller first, got {low} and {high}"));
        }
        if let Some(look) = self.second_look {
            in_range("sure_score", f64::from(look.sure_score), 0.0, 1.0)?;
            in_range("score_threshold", f64::from(look.score_threshold), 0.0, 1.0)?;
        }
        self.score_thresholds.iter().try_for_each(|&t| in_range("score_thresholds", f64::from(t), 0.0, 1.0))
    }
}

impl TurnedSpec {
    fn check(self) -> Checked {
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

    pub(super) fn check(&self) -> Checked {
        let Self::Onet(spec) = self;
        spec.network.check_pictures(3)?;
        spec.min_score.map_or(Ok(()), |score| in_range("min_score", score.into(), 0.0, 1.0))?;
        spec.turned.map_or(Ok(()), TurnedSpec::check)
    }
}
