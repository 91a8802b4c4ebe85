//! `UltraFace`: boxes without points, decoded inside the graph.
//!
//! The network of Linzaer's Ultra-Light-Fast-Generic-Face-Detector-1MB. The image is stretched to its input, so
//! boxes are fractions of the image. Alignment needs five points: name a landmarks network in the manifest.

use super::Face;
use super::resize::Resize;
use super::single_shot::{Heads, SingleShot, Suppression, anchors, second_class};
use crate::error::Result;
use crate::geometry::{BBox, Size};
use crate::pack::{PackFiles, UltrafaceSpec};
use crate::session::{Network, SessionOptions};
use ndarray::ArrayViewD;

/// The outputs of one network.
pub struct Ultraface(UltrafaceSpec);

/// Open and verify the network of a pack.
pub fn open(files: &PackFiles, spec: &UltrafaceSpec, options: &SessionOptions) -> Result<SingleShot<Ultraface>> {
    // `UltrafaceSpec::check` ensures that the size is declared.
    let resize = Resize::Stretched(spec.network.input.size().unwrap_or(Size::new(1, 1)));
    let suppression = Suppression { max_iou: spec.thresholds.nms, edge: 0.0 };
    SingleShot::open(files, &spec.network, options, resize, suppression, Ultraface(spec.clone()))
}

impl Heads for Ultraface {
    fn columns(&self) -> Vec<usize> {
        vec![2, 4]
    }

    fn gives_landmarks(&self) -> bool {
        false
    }

    fn decode(&self, network: &Network, outputs: &[ArrayViewD<'_, f32>], input: Size) -> Result<Vec<Face>> {
        let count = outputs[0].len() / 2;
        let scores = anchors(network, &outputs[0], count, 2)?;
        let boxes = anchors(network, &outputs[1], count, 4)?;
        let (width, height) = (input.width as f32, input.height as f32);
        let mut faces = Vec::new();
        for (scores, corners) in scores.chunks_exact(2).zip(boxes.chunks_exact(4)) {
            let det_score = second_class(self.0.activation, scores);
            if det_score < self.0.thresholds.score || det_score.is_nan() {
                continue;
            }
            let bbox = BBox::new(corners[0] * width, corners[1] * height, corners[2] * width, corners[3] * height);
            faces.push(Face { bbox, landmarks: None, det_score });
        }
        Ok(faces)
    }
}
