//! `RetinaFace` in the layout of SSD: boxes and points as offsets from square anchors.
//!
//! Method: Deng et al., "`RetinaFace`: Single-stage Dense Face Localisation in the Wild" (2019); anchors and variances
//! as in SSD (Liu et al., 2016). The arithmetic is that of the `PyTorch` port of biubug6, whose `MobileNet`-0.25 and
//! ResNet-50 networks have these heads. The image is not padded: a level has a cell for every started stride.

use super::Face;
use super::resize::Resize;
use super::single_shot::{Heads, SingleShot, Suppression, anchors, second_class};
use crate::error::Result;
use crate::geometry::{BBox, Landmarks, Point, Size};
use crate::pack::{PackFiles, RetinafaceSpec};
use crate::session::{Network, SessionOptions};
use ndarray::ArrayViewD;

/// The outputs of one network.
pub struct Retinaface(RetinafaceSpec);

/// Open and verify the network of a pack.
pub fn open(files: &PackFiles, spec: &RetinafaceSpec, options: &SessionOptions) -> Result<SingleShot<Retinaface>> {
    let resize = Resize::declared(&spec.network.input, spec.size, 1);
    let suppression = Suppression { max_iou: spec.thresholds.nms, edge: 1.0 };
    SingleShot::open(files, &spec.network, options, resize, suppression, Retinaface(spec.clone()))
}

impl Retinaface {
    /// Iterate over centre and side of every anchor, in the order of the outputs: levels, rows, columns, sizes.
    fn anchors(&self, input: Size) -> impl Iterator<Item = (f32, f32, f32)> {
        self.0.strides.iter().zip(&self.0.anchor_sizes).flat_map(move |(&stride, sizes)| {
            let (columns, rows) = (input.width.div_ceil(stride), input.height.div_ceil(stride));
            let middle = move |cell: u32| (cell as f32 + 0.5) * stride as f32;
            (0..rows).flat_map(move |row| {
                (0..columns).flat_map(move |column| sizes.iter().map(move |&side| (middle(column), middle(row), side)))
            })
        })
    }
}

impl Heads for Retinaface {
    fn columns(&self) -> Vec<usize> {
        vec![4, 2, 10]
    }

    fn gives_landmarks(&self) -> bool {
        true
    }

    fn decode(&self, network: &Network, outputs: &[ArrayViewD<'_, f32>], input: Size) -> Result<Vec<Face>> {
        let level = |(&stride, sizes): (&u32, &Vec<f32>)| {
            (input.width.div_ceil(stride) * input.height.div_ceil(stride)) as usize * sizes.len()
        };
        let count = self.0.strides.iter().zip(&self.0.anchor_sizes).map(level).sum();
        let boxes = anchors(network, &outputs[0], count, 4)?;
        let scores = anchors(network, &outputs[1], count, 2)?;
        let points = anchors(network, &outputs[2], count, 10)?;
        let [centre_scale, size_scale] = self.0.variances;
        let mut faces = Vec::new();
        for (i, (anchor, scores)) in self.anchors(input).zip(scores.chunks_exact(2)).enumerate() {
            let det_score = second_class(self.0.activation, scores);
            if det_score < self.0.thresholds.score || det_score.is_nan() {
                continue;
            }
            let (x, y, side) = anchor;
            let of = |k: usize| boxes[i * 4 + k];
            let (x_mid, y_mid) = (x + of(0) * centre_scale * side, y + of(1) * centre_scale * side);
            let half = |k: usize| side * (of(k) * size_scale).exp() / 2.0;
            let point = |k: usize| {
                let offset = |axis: usize| points[i * 10 + 2 * k + axis] * centre_scale * side;
                Point::new(x + offset(0), y + offset(1))
            };
            faces.push(Face {
                bbox: BBox::new(x_mid - half(2), y_mid - half(3), x_mid + half(2), y_mid + half(3)),
                landmarks: Some(Landmarks(std::array::from_fn(point))),
                det_score,
            });
        }
        Ok(faces)
    }
}
