//! A detector of one network that looks at the whole picture once: what its families have in common.
//!
//! The picture goes into the input, a family reads candidates from the heads, of candidates that overlap the best stays.

use super::input::Filling;
use super::{DetectOptions, Detector, Face, nms};
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::image::Image;
use crate::pack::{Activation, NetworkSpec, PackFiles};
use crate::session::{Network, SessionOptions};
use crate::tensor;
use ndarray::ArrayViewD;

/// Only so many candidates, the best, are compared with each other; OpenCV's default.
const MOST_CANDIDATES: usize = 5000;

/// What one family makes of its network's outputs.
pub trait Heads: Send + Sync {
    /// Number of values for an anchor in each declared output.
    fn columns(&self) -> Vec<usize>;

    /// Whether faces come with five points.
    fn gives_landmarks(&self) -> bool;

    /// The faces in an input, in its pixels, before overlapping ones are dropped.
    fn read(&self, network: &Network, outputs: &[ArrayViewD<'_, f32>], input: Size) -> Result<Vec<Face>>;
}

/// How candidates that overlap are dropped.
#[derive(Debug, Clone, Copy)]
pub struct Suppression {
    /// Greatest intersection over union with a better box.
    pub threshold: f32,
    /// Added to widths and heights: 1 where the reference counts both edge pixels, else 0.
    pub edge: f32,
}

/// The network of a family, ready to run.
pub struct SingleShot<H> {
    network: Network,
    filling: Filling,
    suppression: Suppression,
    heads: H,
}

impl<H: Heads> SingleShot<H> {
    /// Open and verify the network.
    pub fn open(
        files: &PackFiles,
        network: &NetworkSpec,
        options: &SessionOptions,
        filling: Filling,
        suppression: Suppression,
        heads: H,
    ) -> Result<Self> {
        let network = Network::open(files, network, options)?;
        network.batch(1)?;
        network.check_columns(&heads.columns())?;
        Ok(Self { network, filling, suppression, heads })
    }
}

impl<H: Heads> Detector for SingleShot<H> {
    fn detect(&self, image: &Image, options: &DetectOptions) -> Result<Vec<Face>> {
        let fit = self.filling.fit(image.size(), options.min_face);
        let input = tensor::letterboxed(image, fit.picture, fit.input, &self.network.spec().input);
        let mut faces = self
            .network
            .run(input.shape(), input.values(), |outputs| self.heads.read(&self.network, outputs, fit.input))?;
        for face in &mut faces {
            face.bbox = fit.original_box(face.bbox);
            face.landmarks = face.landmarks.map(|landmarks| fit.original_landmarks(landmarks));
            if !is_finite(face) {
                let reason = "a box or point is not finite".to_string();
                return Err(Error::NetworkRun { file: self.network.spec().file.clone(), reason });
            }
        }
        let (boxes, scores): (Vec<_>, Vec<_>) = faces.iter().map(|face| (face.bbox, face.det_score)).unzip();
        let mut order = nms::best_first(&scores);
        order.truncate(MOST_CANDIDATES);
        let kept = nms::greedy(&boxes, &order, self.suppression.edge, self.suppression.threshold);
        let least = options.min_face.unwrap_or(0) as f32;
        Ok(kept.into_iter().map(|i| faces[i]).filter(|face| face.bbox.height() >= least).collect())
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

/// The values of an output that has `columns` for each of `anchors`, with or without an axis for the batch of one.
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

/// A score as the network gives it → a probability.
pub fn sigmoid(activation: Activation, score: f32) -> f32 {
    if activation == Activation::Sigmoid { 1.0 / (1.0 + (-score).exp()) } else { score }
}

/// The scores of two classes as the network gives them → the probability of the second.
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
    fn activations_make_probabilities() {
        assert!((sigmoid(Activation::Sigmoid, 0.0) - 0.5).abs() < 1e-6);
        assert!((sigmoid(Activation::None, 0.25) - 0.25).abs() < 1e-6);
        assert!((second_class(Activation::Softmax, &[1.0, 1.0 + 3f32.ln()]) - 0.75).abs() < 1e-6);
        assert!((second_class(Activation::None, &[0.9, 0.1]) - 0.1).abs() < 1e-6);
    }
}
