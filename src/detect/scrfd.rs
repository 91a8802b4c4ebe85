//! SCRFD: distances from an anchor's centre to the sides of a face, and offsets of its five points.
//!
//! Method: Guo et al., "Sample and Computation Redistribution for Efficient Face Detection" (2021). The arithmetic is
//! that of the `InsightFace` package: an anchor's centre is the upper left corner of its cell, overlap counts both edge
//! pixels. Intended differences: `tests/parity/README.md`.

use super::Face;
use super::resize::Resize;
use super::single_shot::{Heads, SingleShot, Suppression, anchors, sigmoid};
use crate::error::Result;
use crate::geometry::{BBox, Landmarks, Point, Size};
use crate::pack::{PackFiles, ScrfdSpec};
use crate::session::{Network, SessionOptions};
use ndarray::ArrayViewD;

/// The outputs of one network.
pub struct Scrfd(ScrfdSpec);

/// Open and verify the network of a pack.
pub fn open(files: &PackFiles, spec: &ScrfdSpec, options: &SessionOptions) -> Result<SingleShot<Scrfd>> {
    let largest = spec.strides.iter().copied().max().unwrap_or(1);
    let resize = Resize::declared(&spec.network.input, spec.size, largest);
    let suppression = Suppression { max_iou: spec.thresholds.nms, edge: 1.0 };
    SingleShot::open(files, &spec.network, options, resize, suppression, Scrfd(spec.clone()))
}

impl Heads for Scrfd {
    fn columns(&self) -> Vec<usize> {
        let heads: &[usize] = if self.0.landmarks { &[1, 4, 10] } else { &[1, 4] };
        heads.iter().flat_map(|&columns| self.0.strides.iter().map(move |_| columns)).collect()
    }

    fn gives_landmarks(&self) -> bool {
        self.0.landmarks
    }

    fn decode(&self, network: &Network, outputs: &[ArrayViewD<'_, f32>], input: Size) -> Result<Vec<Face>> {
        let (levels, each) = (self.0.strides.len(), self.0.anchors as usize);
        let mut faces = Vec::new();
        for (i, &stride) in self.0.strides.iter().enumerate() {
            let width = (input.width / stride) as usize;
            let count = width * (input.height / stride) as usize * each;
            let scores = anchors(network, &outputs[i], count, 1)?;
            let boxes = anchors(network, &outputs[levels + i], count, 4)?;
            let points = match outputs.get(2 * levels + i) {
                Some(output) => Some(anchors(network, output, count, 10)?),
                None => None,
            };
            for (anchor, &score) in scores.iter().enumerate() {
                let det_score = sigmoid(self.0.activation, score);
                if det_score < self.0.thresholds.score || det_score.is_nan() {
                    continue;
                }
                let cell = anchor / each;
                let stride = stride as f32;
                let (x, y) = ((cell % width) as f32 * stride, (cell / width) as f32 * stride);
                let side = |k: usize| boxes[anchor * 4 + k] * stride;
                let landmarks = points.map(|points| {
                    let offset = |k: usize| points[anchor * 10 + k] * stride;
                    Landmarks(std::array::from_fn(|k| Point::new(x + offset(2 * k), y + offset(2 * k + 1))))
                });
                let bbox = BBox::new(x - side(0), y - side(1), x + side(2), y + side(3));
                faces.push(Face { bbox, landmarks, det_score });
            }
        }
        Ok(faces)
    }
}
