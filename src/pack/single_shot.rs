//! What a manifest says about a detector of one network that looks at the whole picture once.

use super::Refusal;
use super::network::{NetworkSpec, in_range};
use crate::geometry::Size;
use serde::Deserialize;

/// Longest side that a picture may have in a network's input, pixels: activations grow with its square.
const MOST_LONG_SIDE: u32 = 4096;

/// How large a picture goes into a network that takes any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeSpec {
    /// Long side of the picture in the input, pixels.
    pub long_side: u32,
    /// To this a caller's small minimum face may raise it, pixels.
    pub max_long_side: u32,
    /// Least height of a face that the network finds reliably, pixels of the input.
    pub smallest_face: u32,
    /// Whether a smaller picture is enlarged to `long_side`, as the reference implementations do.
    #[serde(default)]
    pub enlarge: bool,
}

/// What has to be done to a network's scores to make them probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Nothing: the graph does it.
    None,
    /// The logistic function of each score.
    Sigmoid,
    /// The exponential's share, over the classes of an anchor.
    Softmax,
}

/// SCRFD: at every stride a score, four distances and, with landmarks, five points for each anchor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrfdSpec {
    /// Outputs: scores of all strides, then boxes of all strides, then, with landmarks, points of all strides.
    pub network: NetworkSpec,
    /// Absent where the input's width and height are declared.
    pub size: Option<SizeSpec>,
    /// Pixels from one cell to the next, for each level.
    pub strides: Vec<u32>,
    /// Anchors of a cell.
    pub anchors: u32,
    /// Whether the network has heads for the five points.
    pub landmarks: bool,
    /// What the scores need: `none` or `sigmoid`.
    pub activation: Activation,
    /// Least score, inclusive.
    pub score_threshold: f32,
    /// Boxes that overlap a better one by more are dropped.
    pub nms_threshold: f32,
}

/// `YuNet`: at every stride a class score, an objectness score, a box and five points for each cell.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YunetSpec {
    /// Outputs: class scores of all strides, then objectness, then boxes, then points of all strides.
    pub network: NetworkSpec,
    /// Absent where the input's width and height are declared.
    pub size: Option<SizeSpec>,
    /// Pixels from one cell to the next, for each level.
    pub strides: Vec<u32>,
    /// What both scores need: `none` or `sigmoid`.
    pub activation: Activation,
    /// Least score, inclusive.
    pub score_threshold: f32,
    /// Boxes that overlap a better one by more are dropped.
    pub nms_threshold: f32,
}

/// `RetinaFace` in the layout of SSD: all anchors of all strides in one list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetinafaceSpec {
    /// Outputs: box regression, scores of two classes (the second is a face), regression of the points.
    pub network: NetworkSpec,
    /// Absent where the input's width and height are declared.
    pub size: Option<SizeSpec>,
    /// Pixels from one cell to the next, for each level.
    pub strides: Vec<u32>,
    /// Sides of the square anchors of a cell, pixels, for each level.
    pub anchor_sizes: Vec<Vec<f32>>,
    /// Scale of the regressed centres and points, and of the regressed sizes.
    pub variances: [f32; 2],
    /// What the scores need: `none` or `softmax`.
    pub activation: Activation,
    /// Least score, inclusive.
    pub score_threshold: f32,
    /// Boxes that overlap a better one by more are dropped.
    pub nms_threshold: f32,
}

/// `UltraFace`: boxes only, decoded inside the graph; the picture is stretched to the input.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UltrafaceSpec {
    /// Outputs: scores of two classes (the second is a face), corners of boxes as fractions of the picture.
    pub network: NetworkSpec,
    /// What the scores need: `none` or `softmax`.
    pub activation: Activation,
    /// Least score, inclusive.
    pub score_threshold: f32,
    /// Boxes that overlap a better one by more are dropped.
    pub nms_threshold: f32,
}

impl SizeSpec {
    fn check(self) -> Refusal {
        in_range("max_long_side", self.max_long_side.into(), 32.0, MOST_LONG_SIDE.into())?;
        in_range("long_side", self.long_side.into(), 32.0, self.max_long_side.into())?;
        in_range("smallest_face", self.smallest_face.into(), 1.0, self.long_side.into())
    }
}

impl ScrfdSpec {
    pub(super) fn check(&self) -> Refusal {
        let heads = if self.landmarks { 3 } else { 2 };
        check_input(&self.network, heads * self.strides.len(), self.size)?;
        check_strides(&self.strides, self.network.input.size(), true)?;
        in_range("anchors", self.anchors.into(), 1.0, 16.0)?;
        check_scores(self.activation, Activation::Sigmoid, self.score_threshold, self.nms_threshold)
    }
}

impl YunetSpec {
    pub(super) fn check(&self) -> Refusal {
        check_input(&self.network, 4 * self.strides.len(), self.size)?;
        check_strides(&self.strides, self.network.input.size(), true)?;
        check_scores(self.activation, Activation::Sigmoid, self.score_threshold, self.nms_threshold)
    }
}

impl RetinafaceSpec {
    pub(super) fn check(&self) -> Refusal {
        check_input(&self.network, 3, self.size)?;
        check_strides(&self.strides, self.network.input.size(), false)?;
        if self.anchor_sizes.len() != self.strides.len() || self.anchor_sizes.iter().any(Vec::is_empty) {
            return Err(format!("anchor_sizes needs a list for each of the {} strides", self.strides.len()));
        }
        let sizes = self.anchor_sizes.iter().flatten();
        sizes.map(|&side| in_range("anchor_sizes", side.into(), 1.0, 4096.0)).collect::<Refusal>()?;
        self.variances.iter().map(|&scale| in_range("variances", scale.into(), 1e-3, 10.0)).collect::<Refusal>()?;
        check_scores(self.activation, Activation::Softmax, self.score_threshold, self.nms_threshold)
    }
}

impl UltrafaceSpec {
    pub(super) fn check(&self) -> Refusal {
        self.network.check_pictures(2)?;
        if self.network.input.size().is_none() {
            return Err(format!("the input of {:?} needs width and height", self.network.file));
        }
        check_scores(self.activation, Activation::Softmax, self.score_threshold, self.nms_threshold)
    }
}

/// Either the input has one size, or `size` says which one is chosen.
fn check_input(network: &NetworkSpec, outputs: usize, size: Option<SizeSpec>) -> Refusal {
    network.check_pictures(outputs)?;
    let file = &network.file;
    match (network.input.width, network.input.height, size) {
        (Some(_), Some(_), None) => Ok(()),
        (None, None, Some(size)) => size.check(),
        (Some(_), Some(_), Some(_)) => Err(format!("the input of {file:?} has a fixed size, so size has no meaning")),
        (None, None, None) => Err(format!("the input of {file:?} takes any size, so size is needed")),
        _ => Err(format!("the input of {file:?} needs both width and height, or neither")),
    }
}

/// A level's cells must fill the input: the largest stride divides its sides, and the others divide the largest.
fn check_strides(strides: &[u32], input: Option<Size>, fill: bool) -> Refusal {
    if strides.is_empty() || strides.len() > 8 {
        return Err(format!("strides needs 1 to 8 numbers, got {}", strides.len()));
    }
    strides.iter().map(|&stride| in_range("strides", stride.into(), 2.0, 256.0)).collect::<Refusal>()?;
    let largest = strides.iter().copied().max().unwrap_or(1);
    if let Some(stride) = strides.iter().find(|&stride| largest % stride != 0) {
        return Err(format!("strides must divide the largest, {largest}; {stride} does not"));
    }
    match input {
        Some(size) if fill && (size.width % largest != 0 || size.height % largest != 0) => {
            Err(format!("an input of {size} pixels is no multiple of the largest stride, {largest}"))
        }
        _ => Ok(()),
    }
}

fn check_scores(found: Activation, other: Activation, score: f32, nms: f32) -> Refusal {
    if found != Activation::None && found != other {
        return Err(format!("activation of this family is \"none\" or \"{}\"", format!("{other:?}").to_lowercase()));
    }
    in_range("score_threshold", score.into(), 0.0, 1.0)?;
    in_range("nms_threshold", nms.into(), 0.0, 1.0)
}
