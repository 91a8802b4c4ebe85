//! The families of detectors, and what a manifest says about each.

use super::Refusal;
use super::network::{NetworkSpec, in_range};
use serde::Deserialize;

/// A detector by family.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase", deny_unknown_fields)]
pub enum DetectorSpec {
    /// The cascade of Zhang et al. (2016): proposals, refinement, output with five points.
    Mtcnn(MtcnnSpec),
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
}

/// A network that finds five points in a box.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase", deny_unknown_fields)]
pub enum LandmarksSpec {
    /// MTCNN's third network on the square round the box.
    Onet(NetworkSpec),
}

impl DetectorSpec {
    /// The networks of this detector.
    pub fn networks(&self) -> Vec<&NetworkSpec> {
        match self {
            Self::Mtcnn(spec) => vec![&spec.pnet, &spec.rnet, &spec.onet],
        }
    }

    pub(super) fn check(&self) -> Refusal {
        match self {
            Self::Mtcnn(spec) => spec.check(),
        }
    }
}

impl MtcnnSpec {
    fn check(&self) -> Refusal {
        self.pnet.check(2)?;
        self.rnet.check(2)?;
        self.onet.check(3)?;
        in_range("scale_factor", self.scale_factor, 0.1, 0.95)?;
        in_range("min_face_fraction", f64::from(self.min_face_fraction), 0.001, 1.0)?;
        self.score_thresholds.iter().try_for_each(|&t| in_range("score_thresholds", f64::from(t), 0.0, 1.0))
    }
}

impl LandmarksSpec {
    /// The network of this role.
    pub fn network(&self) -> &NetworkSpec {
        let Self::Onet(network) = self;
        network
    }

    pub(super) fn check(&self) -> Refusal {
        self.network().check(3)
    }
}
