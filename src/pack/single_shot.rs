//! Declarations of detectors that run one network once on the full image.

use super::Checked;
use super::network::{NetworkSpec, in_range};
use crate::geometry::Size;
use serde::Deserialize;

/// Maximum long side of a network's input, pixels; activations grow with its square.
pub(super) const MAX_LONG_SIDE: u32 = 4096;

/// The size of an image in a network that accepts any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeSpec {
    /// Long side of the image in the input, pixels.
    pub long_side: u32,
    /// Its maximum if the caller's minimum face requires more, pixels.
    pub max_long_side: u32,
    /// Minimum height of a face that the network finds reliably, pixels of the input.
    pub smallest_face: u32,
    /// Whether a smaller image is enlarged to `long_side`, as in the reference implementations.
    #[serde(default)]
    pub enlarge: bool,
}

/// How a network's scores become probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// They are probabilities already.
    None,
    /// The logistic function of each score.
    Sigmoid,
    /// Softmax over the classes of an anchor.
    Softmax,
}

/// Thresholds of a detector's candidates.
///
/// In the manifest these keys stand beside those of the family. Serde does not document `flatten` together with
/// `deny_unknown_fields`; tests ensure that unknown keys are still refused.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Thresholds {
    /// Minimum score, inclusive.
    #[serde(rename = "score_threshold")]
    pub score: f32,
    /// Maximum overlap with a better box, as intersection over union.
    #[serde(rename = "nms_threshold")]
    pub nms: f32,
}

impl Thresholds {
    pub(super) fn check(self) -> Checked {
        in_range("score_threshold", self.score.into(), 0.0, 1.0)?;
        in_range("nms_threshold", self.nms.into(), 0.0, 1.0)
    }
}

/// SCRFD: a score, four distances and, with landmarks, five points per anchor at every stride.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrfdSpec {
    /// Outputs: scores of all strides, then boxes of all strides, then, with landmarks, points of all strides.
    pub network: NetworkSpec,
    /// Absent if the input's width and height are declared.
    pub size: Option<SizeSpec>,
    /// Pixels from one cell to the next, per level.
    pub strides: Vec<u32>,
    /// Anchors per cell.
    pub anchors: u32,
    /// Whether the network has outputs for the five points.
    pub landmarks: bool,
    /// Activation of the scores: `none` or `sigmoid`.
    pub activation: Activation,
    /// Thresholds of the candidates.
    #[serde(flatten)]
    pub thresholds: Thresholds,
}

/// `YuNet`: a class score, an objectness score, a box and five points per cell at every stride.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YunetSpec {
    /// Outputs: class scores of all strides, then objectness, then boxes, then points of all strides.
    pub network: NetworkSpec,
    /// Absent if the input's width and height are declared.
    pub size: Option<SizeSpec>,
    /// Pixels from one cell to the next, per level.
    pub strides: Vec<u32>,
    /// Activation of both scores: `none` or `sigmoid`.
    pub activation: Activation,
    /// Thresholds of the candidates.
    #[serde(flatten)]
    pub thresholds: Thresholds,
}

/// `RetinaFace` in the layout of SSD: the anchors of all strides in one list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetinafaceSpec {
    /// Outputs: box regression, scores of two classes (the second is a face), regression of the points.
    pub network: NetworkSpec,
    /// Absent if the input's width and height are declared.
    pub size: Option<SizeSpec>,
    /// Pixels from one cell to the next, per level.
    pub strides: Vec<u32>,
    /// Sides of the square anchors of a cell, pixels, per level.
    pub anchor_sizes: Vec<Vec<f32>>,
    /// Scale of the regressed centres and points, and of the regressed sizes.
    pub variances: [f32; 2],
    /// Activation of the scores: `none` or `softmax`.
    pub activation: Activation,
    /// Thresholds of the candidates.
    #[serde(flatten)]
    pub thresholds: Thresholds,
}

/// `UltraFace`: boxes only, decoded inside the graph; the image is stretched to the input.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UltrafaceSpec {
    /// Outputs: scores of two classes (the second is a face), corners of boxes as fractions of the image.
    pub network: NetworkSpec,
    /// Activation of the scores: `none` or `softmax`.
    pub activation: Activation,
    /// Thresholds of the candidates.
    #[serde(flatten)]
    pub thresholds: Thresholds,
}

impl SizeSpec {
    fn check(self) -> Checked {
        in_range("max_long_side", self.max_long_side.into(), 32.0, MAX_LONG_SIDE.into())?;
        in_range("long_side", self.long_side.into(), 32.0, self.max_long_side.into())?;
        in_range("smallest_face", self.smallest_face.into(), 1.0, self.long_side.into())
    }
}

impl ScrfdSpec {
    pub(super) fn check(&self) -> Checked {
        let heads = if self.landmarks { 3 } else { 2 };
        check_input(&self.network, heads * self.strides.len(), self.size)?;
        check_strides(&self.strides, self.network.input.size(), true)?;
        in_range("anchors", self.anchors.into(), 1.0, 16.0)?;
        check_activation(self.activation, Activation::Sigmoid)?;
        self.thresholds.check()
    }
}

impl YunetSpec {
    pub(super) fn check(&self) -> Checked {
        check_input(&self.network, 4 * self.strides.len(), self.size)?;
        check_strides(&self.strides, self.network.input.size(), true)?;
        check_activation(self.activation, Activation::Sigmoid)?;
        self.thresholds.check()
    }
}

impl RetinafaceSpec {
    pub(super) fn check(&self) -> Checked {
        check_input(&self.network, 3, self.size)?;
        check_strides(&self.strides, self.network.input.size(), false)?;
        if self.anchor_sizes.len() != self.strides.len() || self.anchor_sizes.iter().any(Vec::is_empty) {
            return Err(format!("anchor_sizes needs a list for each of the {} strides", self.strides.len()));
        }
        let mut sizes = self.anchor_sizes.iter().flatten();
        sizes.try_for_each(|&side| in_range("anchor_sizes", side.into(), 1.0, 4096.0))?;
        self.variances.iter().try_for_each(|&scale| in_range("variances", scale.into(), 1e-3, 10.0))?;
        check_activation(self.activation, Activation::Softmax)?;
        self.thresholds.check()
    }
}

impl UltrafaceSpec {
    pub(super) fn check(&self) -> Checked {
        self.network.check_pictures(2)?;
        if self.network.input.size().is_none() {
            return Err(format!("the input of {:?} needs width and height", self.network.file));
        }
        check_activation(self.activation, Activation::Softmax)?;
        self.thresholds.check()
    }
}

/// Check that either the input has a fixed size or `size` is given.
fn check_input(network: &NetworkSpec, outputs: usize, size: Option<SizeSpec>) -> Checked {
    network.check_pictures(outputs)?;
    let file = &network.file;
    match (network.input.width, network.input.height, size) {
        (Some(_), Some(_), None) => Ok(()),
        (None, None, Some(size)) => size.check(),
        (Some(_), Some(_), Some(_)) => Err(format!("the input of {file:?} has a fixed size, so size must be left out")),
        (None, None, None) => Err(format!("the input of {file:?} has no fixed size, so size is needed")),
        _ => Err(format!("the input of {file:?} needs both width and height, or neither")),
    }
}

/// Check that the cells of each level fill the input: the largest stride divides its sides, the others divide the
/// largest.
pub(super) fn check_strides(strides: &[u32], input: Option<Size>, fill: bool) -> Checked {
    if strides.is_empty() || strides.len() > 8 {
        return Err(format!("strides needs 1 to 8 numbers, got {}", strides.len()));
    }
    strides.iter().try_for_each(|&stride| in_range("strides", stride.into(), 2.0, 256.0))?;
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

fn check_activation(found: Activation, other: Activation) -> Checked {
    if found == Activation::None || found == other {
        return Ok(());
    }
    Err(format!("activation of this family must be \"none\" or \"{}\"", format!("{other:?}").to_lowercase()))
}

#[cfg(test)]
mod tests {
    use crate::pack::manifest::parse_roles;
    use crate::pack::{Activation, DetectorSpec, LandmarksSpec, Layout};

    const INPUT: &str = "input = { name = \"i\", colour = \"rgb\", mean = [0, 0, 0], std = [1, 1, 1] }";
    const SIZE: &str = "size = { long_side = 640, max_long_side = 1920, smallest_face = 12 }";
    const SCORES: &str = "activation = \"none\"\nscore_threshold = 0.5\nnms_threshold = 0.4";

    fn network(role: &str, outputs: usize) -> String {
        let names: Vec<String> = (0..outputs).map(|i| format!("\"o{i}\"")).collect();
        format!("[{role}.network]\nfile = \"a.onnx\"\noutputs = [{}]\n{INPUT}\n", names.join(", "))
    }

    fn scrfd() -> String {
        let heads = network("detector", 9);
        format!(
            "[detector]\nfamily = \"scrfd\"\n{SIZE}\nstrides = [8, 16, 32]\nanchors = 2\nlandmarks = true\n{SCORES}\n{heads}"
        )
    }

    fn retinaface() -> String {
        let heads = network("detector", 3);
        format!(
            "[detector]\nfamily = \"retinaface\"\n{SIZE}\nstrides = [8, 16]\nanchor_sizes = [[16, 32], [64]]\n\
             variances = [0.1, 0.2]\n{SCORES}\n{heads}"
        )
    }

    fn refused(roles: &str, from: &str, to: &str, words: &str) {
        assert_eq!(roles.matches(from).count(), 1, "{from:?} in {roles}");
        let message = parse_roles(&roles.replace(from, to)).expect_err(to);
        assert!(message.contains(words), "{to:?}: {message}");
    }

    #[test]
    fn every_family_can_be_declared() {
        let yunet =
            format!("[detector]\nfamily = \"yunet\"\n{SIZE}\nstrides = [8]\n{SCORES}\n{}", network("detector", 4));
        let ultraface = format!("[detector]\nfamily = \"ultraface\"\n{SCORES}\n{}", network("detector", 2))
            .replace("name = \"i\"", "name = \"i\", width = 320, height = 240");
        for (text, is) in [
            (scrfd(), (|spec| matches!(spec, DetectorSpec::Scrfd(_))) as fn(&DetectorSpec) -> bool),
            (yunet, |spec| matches!(spec, DetectorSpec::Yunet(_))),
            (retinaface(), |spec| matches!(spec, DetectorSpec::Retinaface(_))),
            (ultraface, |spec| matches!(spec, DetectorSpec::Ultraface(_))),
        ] {
            let pack = parse_roles(&text).unwrap();
            assert!(is(pack.detector.as_ref().unwrap()), "{text}");
        }
    }

    #[test]
    fn absent_keys_have_their_defaults() {
        let Some(DetectorSpec::Scrfd(spec)) = parse_roles(&scrfd()).unwrap().detector else { panic!("wrong family") };
        assert_eq!((spec.activation, spec.network.input.layout), (Activation::None, Layout::Nchw));
        assert!(!spec.network.input.standardise && !spec.size.unwrap().enlarge);
        let roles = format!("{}[landmarks]\nfamily = \"onet\"\n{}", scrfd(), network("landmarks", 3));
        let Some(LandmarksSpec::Onet(spec)) = parse_roles(&roles).unwrap().landmarks else { panic!("no landmarks") };
        assert_eq!(spec.min_score, None);
        refused(&roles, "family = \"onet\"", "family = \"onet\"\nmin_score = 2.0", "min_score must be 0 to 1");
        refused(&roles, "family = \"onet\"", "family = \"onet\"\nmin_scores = 0.2", "min_scores");
    }

    #[test]
    fn invalid_declarations_are_refused() {
        for (from, to, words) in [
            ("anchors = 2", "anchors = 0", "anchors must be 1 to 16, got 0"),
            ("anchors = 2", "anchor = 2", "missing field `anchors`"),
            ("anchors = 2", "anchors = 2\nextra = 1", "unknown field `extra`"),
            ("anchors = 2", "", "anchors"),
            ("landmarks = true", "landmarks = false", "needs 6 outputs, got 9"),
            ("[8, 16, 32]", "[]", "outputs"),
            ("[8, 16, 32]", "[8, 12, 32]", "12 does not"),
            ("[8, 16, 32]", "[8, 16, 512]", "strides must be 2 to 256, got 512"),
            ("\"none\"", "\"softmax\"", "\"sigmoid\""),
            ("\"none\"", "\"relu\"", "relu"),
            ("score_threshold = 0.5", "score_threshold = 5.0", "score_threshold must be 0 to 1, got 5"),
            ("nms_threshold = 0.4", "nms_threshold = -1", "nms_threshold must be 0 to 1, got -1"),
            (SIZE, "", "has no fixed size, so size is needed"),
            ("long_side = 640, max", "long_side = 2560, max", "long_side must be 32 to 1920, got 2560"),
            ("max_long_side = 1920", "max_long_side = 9999", "max_long_side must be 32 to 4096"),
            ("smallest_face = 12", "smallest_face = 0", "smallest_face must be 1 to 640"),
            ("name = \"i\"", "name = \"i\", width = 640", "both width and height"),
            ("name = \"i\"", "name = \"i\", width = 640, height = 640", "size must be left out"),
            ("name = \"i\"", "name = \"i\", layout = \"nhwc\"", "layout nchw"),
            ("name = \"i\"", "name = \"i\", standardise = true", "no standardise"),
            ("\"scrfd\"", "\"centerface\"", "centerface"),
        ] {
            refused(&scrfd(), from, to, words);
        }
        let fixed = scrfd().replace(SIZE, "").replace("name = \"i\"", "name = \"i\", width = 640, height = 640");
        parse_roles(&fixed).unwrap();
        refused(&fixed, "height = 640", "height = 500", "640 x 500 pixels is no multiple of the largest stride, 32");
        for (from, to, words) in [
            ("[[16, 32], [64]]", "[[16, 32]]", "a list for each of the 2 strides"),
            ("[[16, 32], [64]]", "[[16, 32], []]", "a list for each of the 2 strides"),
            ("[[16, 32], [64]]", "[[16, 32], [0]]", "anchor_sizes must be 1 to 4096, got 0"),
            ("[0.1, 0.2]", "[0.1, 0.0]", "variances must be 0.001 to 10, got 0"),
        ] {
            refused(&retinaface(), from, to, words);
        }
    }
}
