//! A detector that runs one network once on the full image: the part that all its families share.
//!
//! The image is resized to the input, the family decodes candidates from the outputs, and non-maximum suppression drops
//! overlapping ones.

use super::resize::Resize;
use super::{DetectOptions, Detector, Face, nms};
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::image::Image;
use crate::pack::{Activation, NetworkSpec, PackFiles};
use crate::session::{Network, SessionOptions};
use crate::tensor;
use ndarray::ArrayViewD;

/// Maximum number of candidates for suppression, the best ones; OpenCV's default.
const MAX_CANDIDATES: usize = 5000;

/// How a family decodes the outputs of its network.
pub trait Heads: Send + Sync {
    /// Number of values per anchor in each declared output.
    fn columns(&self) -> Vec<usize>;

    /// Whether faces have landmarks.
    fn gives_landmarks(&self) -> bool;

    /// Decode the candidates, in pixels of the input.
    fn decode(&self, network: &Network, outputs: &[ArrayViewD<'_, f32>], input: Size) -> Result<Vec<Face>>;
}

/// How overlapping candidates are dropped.
#[derive(Debug, Clone, Copy)]
pub struct Suppression {
    /// Maximum intersection over union with a better box.
    pub max_iou: f32,
    /// Added to widths and heights: 1 if the reference counts both edge pixels, else 0.
    pub edge: f32,
}

/// A network and its family.
pub struct SingleShot<H> {
    network: Network,
    resize: Resize,
    suppression: Suppression,
    heads: H,
}

impl<H: Heads> SingleShot<H> {
    /// Open and verify the network.
    pub fn open(
        files: &PackFiles,
        network: &NetworkSpec,
        options: &SessionOptions,
        resize: Resize,
        suppression: Suppression,
        heads: H,
    ) -> Result<Self> {
        let network = Network::open(files, network, options)?;
        network.batch(1)?;
        network.check_columns(&heads.columns())?;
        Ok(Self { network, resize, suppression, heads })
    }
}

impl<H: Heads> Detector for SingleShot<H> {
    fn detect(&self, image: &Image, options: &DetectOptions) -> Result<Vec<Face>> {
        let letterbox = self.resize.letterbox(image.size(), options.min_face);
        let input = tensor::fill_bilinear(image, letterbox, &self.network.spec().input);
        let mut faces = self.network.run(input.shape(), input.values(), |outputs| {
            self.heads.decode(&self.network, outputs, letterbox.canvas)
        })?;
        for face in &mut faces {
            face.bbox = letterbox.original_box(image.size(), face.bbox);
            face.landmarks = face.landmarks.map(|landmarks| letterbox.original_landmarks(image.size(), landmarks));
            if !is_finite(face) {
                let reason = "a box or point is not finite".to_string();
                return Err(Error::NetworkRun { file: self.network.spec().file.clone(), reason });
            }
        }
        let (boxes, scores): (Vec<_>, Vec<_>) = faces.iter().map(|face| (face.bbox, face.det_score)).unzip();
        let mut order = nms::best_first(&scores);
        order.truncate(MAX_CANDIDATES);
        let kept = nms::suppress(&boxes, &order, self.suppression.edge, self.suppression.max_iou);
        let min_height = options.min_face.unwrap_or(0) as f32;
        Ok(kept.into_iter().map(|i| faces[i]).filter(|face| face.bbox.height() >= min_height).collect())
    }

    fn gives_landmarks(&self) -> bool {
        self.heads.gives_landmarks()
    }

    fn networks(&self) -> Vec<&Network> {
        vec![&self.network]
    }
}

fn is_finite(face: &Face) -> bool {
    let corners = [face.bbox.x1, face.bbox.y1, face.bbox.x2, face.bbox.y2];
    let points = face.landmarks.iter().flat_map(|landmarks| landmarks.0);
    corners.iter().all(|side| side.is_finite()) && points.into_iter().all(|point| (point.x + point.y).is_finite())
}

/// Return the values of an output with `columns` values per anchor, with or without a batch axis of 1.
pub fn anchors<'a>(
    network: &Network,
    output: &'a ArrayViewD<'_, f32>,
    anchors: usize,
    columns: usize,
) -> Result<&'a [f32]> {
    let fits = output.shape() == [anchors, columns] || output.shape() == [1, anchors, columns];
    let values = if fits { output.as_slice() } else { None };
    values.ok_or_else(|| network.shape_error("output shape", &format!("[{anchors}, {columns}]"), output.shape()))
}

/// Convert a score of the network to a probability.
pub fn sigmoid(activation: Activation, score: f32) -> f32 {
    if activation == Activation::Sigmoid { 1.0 / (1.0 + (-score).exp()) } else { score }
}

/// Convert the network's scores of two classes to the probability of the second.
pub fn second_class(activation: Activation, scores: &[f32]) -> f32 {
    match (activation, scores) {
        (Activation::Softmax, [first, second]) => 1.0 / (1.0 + (first - second).exp()),
        (_, [_, second]) => *second,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_give_probabilities() {
        assert!((sigmoid(Activation::Sigmoid, 0.0) - 0.5).abs() < 1e-6);
        assert!((sigmoid(Activation::None, 0.25) - 0.25).abs() < 1e-6);
        assert!((second_class(Activation::Softmax, &[1.0, 1.0 + 3f32.ln()]) - 0.75).abs() < 1e-6);
        assert!((second_class(Activation::None, &[0.9, 0.1]) - 0.1).abs() < 1e-6);
    }
}
