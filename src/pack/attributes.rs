//! Declaration of the network that estimates age and gender.

use super::Checked;
use super::network::{NetworkSpec, in_range};
use crate::geometry::Size;
use serde::Deserialize;

/// The network, by the layout of its input and output.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "family", rename_all = "snake_case", deny_unknown_fields)]
pub enum AttributesSpec {
    /// `InsightFace` since 2021: an upright square around the box; output: female, male, age ÷ 100.
    Genderage {
        /// The network. Outputs: three values.
        network: NetworkSpec,
        /// Side of the square as a multiple of the box's longer side.
        scale: f32,
    },
    /// `InsightFace` of 2019: the aligned crop; output: female, male, then a pair of values for each of 100 years.
    GenderageV1 {
        /// The network. Outputs: 202 values.
        network: NetworkSpec,
        /// Positions of the five points in the crop, pixels.
        template: [[f32; 2]; 5],
    },
}

impl AttributesSpec {
    /// The network of this role.
    pub fn network(&self) -> &NetworkSpec {
        match self {
            Self::Genderage { network, .. } | Self::GenderageV1 { network, .. } => network,
        }
    }

    /// Number of output values per crop.
    pub fn values(&self) -> usize {
        match self {
            Self::Genderage { .. } => 3,
            Self::GenderageV1 { .. } => 202,
        }
    }

    /// Whether the crop is aligned by the five points.
    pub fn needs_landmarks(&self) -> bool {
        matches!(self, Self::GenderageV1 { .. })
    }

    /// Size of a crop, pixels.
    pub fn crop_size(&self) -> Size {
        self.network().input.crop_size()
    }

    pub(super) fn check(&self) -> Checked {
        self.network().check_crops()?;
        match self {
            Self::Genderage { scale, .. } => in_range("scale", f64::from(*scale), 1.0, 10.0),
            Self::GenderageV1 { .. } => Ok(()),
        }
    }
}
