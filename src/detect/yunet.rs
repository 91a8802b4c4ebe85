//! `YuNet`: one anchor per cell, a box as centre and logarithmic size, five points, two scores.
//!
//! Method: Wu, Peng and Yu, "`YuNet`: A Tiny Millisecond-level Face Detector" (2023). The arithmetic is that of
//! OpenCV's
//! `FaceDetectorYN`. Intended differences: `tests/parity/README.md`.

use super::Face;
use super::resize::Resize;
use super::single_shot::{Heads, SingleShot, Suppression, anchors, sigmoid};
use crate::error::Result;
use crate::geometry::{BBox, Landmarks, Point, Size};
use crate::pack::{PackFiles, YunetSpec};
use crate::session::{Network, SessionOptions};
use ndarray::ArrayViewD;

/// The outputs of one network.
pub struct Yunet(YunetSpec);

/// Open and verify the network of a pack.
pub fn open(files: &PackFiles, spec: &YunetSpec, options: &SessionOptions) -> Result<SingleShot<Yunet>> {
    let largest = spec.strides.iter().copied().max().unwrap_or(1);
    let resize = Resize::declared(&spec.network.input, spec.size, largest);
    let suppression = Suppression { max_iou: spec.thresholds.nms, edge: 0.0 };
    SingleShot::open(files, &spec.network, options, resize, suppression, Yunet(spec.clone()))
}

impl Heads for Yunet {
    fn columns(&self) -> Vec<usize> {
        [1, 1, 4, 10].into_iter().flat_map(|columns| self.0.strides.iter().map(move |_| columns)).collect()
    }

    fn gives_landmarks(&self) -> bool {
        true
    }

    fn decode(&self, network: &Network, outputs: &[ArrayViewD<'_, f32>], input: Size) -> Result<Vec<Face>> {
        let levels = self.0.strides.len();
        let probability = |score: f32| sigmoid(self.0.activation, score).clamp(0.0, 1.0);
        let mut faces = Vec::new();
        for (i, &stride) in self.0.strides.iter().enumerate() {
            let width = (input.width / stride) as usize;
            let count = width * (input.height / stride) as usize;
            let classes = anchors(network, &outputs[i], count, 1)?;
            let objects = anchors(network, &outputs[levels + i], count, 1)?;
            let boxes = anchors(network, &outputs[2 * levels + i], count, 4)?;
            let points = anchors(network, &outputs[3 * levels + i], count, 10)?;
            for (cell, (&class, &object)) in classes.iter().zip(objects).enumerate() {
                let det_score = (probability(class) * probability(object)).sqrt();
                if det_score < self.0.thresholds.score || det_score.is_nan() {
                    continue;
                }
                let stride = stride as f32;
                let (column, row) = ((cell % width) as f32, (cell / width) as f32);
                let of = |k: usize| boxes[cell * 4 + k];
                let (x, y) = ((column + of(0)) * stride, (row + of(1)) * stride);
                let (half_width, half_height) = (of(2).exp() * stride / 2.0, of(3).exp() * stride / 2.0);
                let point = |k: usize| {
                    let (x, y) = (points[cell * 10 + 2 * k], points[cell * 10 + 2 * k + 1]);
                    Point::new((x + column) * stride, (y + row) * stride)
                };
                faces.push(Face {
                    bbox: BBox::new(x - half_width, y - half_height, x + half_width, y + half_height),
                    landmarks: Some(Landmarks(std::array::from_fn(point))),
                    det_score,
                });
            }
        }
        Ok(faces)
    }
}
