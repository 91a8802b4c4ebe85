//! Declaration of `BlazeFace`: its grids, and the sizes of its input.

use super::Checked;
use super::network::{NetworkSpec, in_range};
use super::single_shot::{MAX_LONG_SIDE, Thresholds, check_strides};
use serde::Deserialize;

/// `BlazeFace`: a score, a box and six points per anchor of a grid.
///
/// The network runs up to three times: on the full image; on a small copy with a margin, if a face fills the frame or
/// none is certain; and on a larger copy, if `min_face` or small faces of the first run require it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlazefaceSpec {
    /// Outputs: one per grid, channels first: the scores of a cell's anchors, then 16 values for each of them.
    pub network: NetworkSpec,
    /// Pixels from one cell to the next, per grid.
    pub strides: Vec<u32>,
    /// Anchors per cell, per grid.
    pub anchors: Vec<u32>,
    /// Thresholds of the candidates; overlapping ones are merged.
    #[serde(flatten)]
    pub thresholds: Thresholds,
    /// Long side of the image in the first run, pixels.
    pub long_side: u32,
    /// The run for faces that fill the frame.
    pub close_up: CloseUpSpec,
    /// The run for small faces.
    pub closer: CloserSpec,
}

/// The run on a copy with a margin.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseUpSpec {
    /// Long side of the input, pixels.
    pub long_side: u32,
    /// Margin on each side, as a fraction of the image's sides.
    pub margin: f64,
    /// Faces larger than this fraction of the image's short side come from this run.
    pub from_fraction: f32,
}

/// The run on a larger copy.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloserSpec {
    /// Long side of the image in the input, pixels.
    pub long_side: u32,
    /// Its maximum if the caller's minimum face requires more, pixels.
    pub max_long_side: u32,
    /// A face below this size in the first run requires this one, pixels of the first input. The caller's minimum face
    /// is compared with the same size.
    pub smallest_face: u32,
    /// Two faces of the first run with scores below this require it too, if they are less than twice that size.
    pub doubtful_score: f32,
}

impl BlazefaceSpec {
    pub(super) fn check(&self) -> Checked {
        self.network.check_pictures(self.strides.len())?;
        let file = &self.network.file;
        if self.network.input.size().is_some() {
            return Err(format!("the input of {file:?} must take any size: leave width and height out"));
        }
        check_strides(&self.strides, None, false)?;
        if self.strides.len() != self.anchors.len() {
            let (strides, anchors) = (self.strides.len(), self.anchors.len());
            return Err(format!("strides and anchors need one number per grid, got {strides} and {anchors}"));
        }
        self.anchors.iter().try_for_each(|&anchors| in_range("anchors", anchors.into(), 1.0, 16.0))?;
        self.thresholds.check()?;
        in_range("long_side", self.long_side.into(), 32.0, MAX_LONG_SIDE.into())?;
        in_range("close_up.long_side", self.close_up.long_side.into(), 32.0, MAX_LONG_SIDE.into())?;
        in_range("close_up.margin", self.close_up.margin, 0.0, 4.0)?;
        in_range("close_up.from_fraction", self.close_up.from_fraction.into(), 0.0, 1.0)?;
        let closer = self.closer;
        in_range("closer.max_long_side", closer.max_long_side.into(), 32.0, MAX_LONG_SIDE.into())?;
        in_range("closer.long_side", closer.long_side.into(), self.long_side.into(), closer.max_long_side.into())?;
        in_range("closer.smallest_face", closer.smallest_face.into(), 1.0, self.long_side.into())?;
        in_range("closer.doubtful_score", closer.doubtful_score.into(), 0.0, 1.0)
    }

    /// The sides of an input are multiples of this number of pixels.
    pub fn multiple(&self) -> u32 {
        self.strides.iter().copied().max().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use crate::pack::DetectorSpec;
    use crate::pack::manifest::parse_roles;

    const DETECTOR: &str = "\
[detector]
family = \"blazeface\"
strides = [16, 32]
anchors = [2, 6]
score_threshold = 0.3
nms_threshold = 0.3
long_side = 256
close_up = { long_side = 128, margin = 0.6, from_fraction = 0.5 }
closer = { long_side = 640, max_long_side = 1280, smallest_face = 12, doubtful_score = 0.5 }
[detector.network]
file = \"a.onnx\"
outputs = [\"fine\", \"coarse\"]
input = { name = \"i\", colour = \"rgb\", mean = [127.5, 127.5, 127.5], std = [127.5, 127.5, 127.5] }
[landmarks]
family = \"onet\"
turned = { from_degrees = 20, scale = 1.1, sure_score = 0.99, sure_product = 0.8, look = { scale = 2.2, side = 96 }, min_score = 0.9, \
doubtful_det_score = 0.5, doubtful_min_score = 0.95 }
[landmarks.network]
file = \"a.onnx\"
outputs = [\"bbox_reg\", \"landmarks\", \"prob\"]
input = { name = \"i\", width = 48, height = 48, colour = \"rgb\", mean = [0, 0, 0], std = [1, 1, 1] }
";

    #[test]
    fn a_valid_declaration_is_parsed() {
        let pack = parse_roles(DETECTOR).unwrap();
        let Some(DetectorSpec::Blazeface(spec)) = pack.detector else { panic!("wrong family") };
        assert_eq!((spec.multiple(), spec.anchors, spec.closer.smallest_face), (32, vec![2, 6], 12));
    }

    #[test]
    fn invalid_declarations_are_refused() {
        for (from, to, words) in [
            ("anchors = [2, 6]", "anchors = [2]", "one number per grid, got 2 and 1"),
            ("anchors = [2, 6]", "anchors = [2, 0]", "anchors must be 1 to 16, got 0"),
            ("strides = [16, 32]", "strides = [12, 32]", "12 does not"),
            ("strides = [16, 32]", "strides = [16]", "needs 1 outputs, got 2"),
            ("long_side = 256", "long_side = 16", "long_side must be 32 to 4096, got 16"),
            ("margin = 0.6", "margin = -1", "close_up.margin must be 0 to 4, got -1"),
            ("long_side = 640", "long_side = 128", "closer.long_side must be 256 to 1280, got 128"),
            ("smallest_face = 12", "smallest_face = 0", "closer.smallest_face must be 1 to 256, got 0"),
            ("nms_threshold = 0.3", "nms_threshold = 3", "nms_threshold must be 0 to 1, got 3"),
            ("nms_threshold", "nms_thresholds", "nms_threshold"),
            ("closer = {", "closest = {", "missing field `closer`"),
            ("nms_threshold = 0.3", "nms_threshold = 0.3\nextra = 1", "unknown field `extra`"),
            ("name = \"i\", colour", "name = \"i\", width = 256, height = 256, colour", "must take any size"),
            ("sure_score = 0.99", "sure_score = 2", "sure_score must be 0 to 1, got 2"),
            ("sure_product = 0.8", "sure_product = -1", "sure_product must be 0 to 1, got -1"),
            ("side = 96", "side = 100", "look.side must be a multiple of 32, got 100"),
            ("scale = 1.1", "scale = 0.1", "scale must be 0.5 to 4, got 0.1"),
            (", min_score = 0.9", "", "min_score"),
        ] {
            assert!(DETECTOR.contains(from), "{from}");
            let message = parse_roles(&DETECTOR.replacen(from, to, 1)).expect_err(to);
            assert!(message.contains(words), "{to:?}: {message}");
        }
    }
}
