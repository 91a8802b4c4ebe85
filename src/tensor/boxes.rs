//! Boxes of an image, resized to squares: the inputs of MTCNN's R-Net and O-Net.

use super::{Scaling, Tensor};
use crate::geometry::{BBox, Size};
use crate::image::Image;
use crate::pack::InputSpec;

/// Resize the content of each box to `side` × `side` by bilinear interpolation → N × 3 × side × side.
///
/// The first and last samples lie on the box's edges in the coordinates of `crop_and_resize`, where an image of width W
/// has its last pixel at W − 1 and the box is scaled by (W − 1) ÷ W. A sample outside the image is 0 in the network's
/// own scale.
pub fn sample_boxes(image: &Image, boxes: &[BBox], side: u32, spec: &InputSpec) -> Tensor {
    let scaling = Scaling::of(spec);
    let (n, stride) = (side as usize, image.width() as usize * 3);
    let mut batch = Tensor::zeros(boxes.len(), Size::new(side, side));
    let (mut columns, mut rows) = (Vec::with_capacity(n), Vec::with_capacity(n));
    // A fourth lane aligns the channels for SIMD; it reads one value further.
    let (mut between, mut line) = (Vec::new(), vec![[0.0; 4]; n]);
    for (bbox, mut planes) in boxes.iter().zip(batch.planes(Size::new(side, side))) {
        samples(bbox.x1, bbox.x2, image.width(), n, &mut columns);
        samples(bbox.y1, bbox.y2, image.height(), n, &mut rows);
        let (Some(&(start, first)), Some(&(_, last))) = (columns.first(), columns.last()) else { continue };
        let seen = first.low * 3..(last.high + 1) * 3;
        between.resize(seen.len() + 1, 0.0);
        for &(y, row) in &rows {
            let [upper, lower] = [row.low, row.high].map(|y| &image.data()[y * stride..][seen.clone()]);
            for ((value, &upper), &lower) in between.iter_mut().zip(upper).zip(lower) {
                *value = mix(upper.into(), lower.into(), row.fraction);
            }
            for (&(_, column), value) in columns.iter().zip(&mut line) {
                let [left, right] = [column.low, column.high].map(|x| &between[(x - first.low) * 3..][..4]);
                *value = std::array::from_fn(|lane| mix(left[lane], right[lane], column.fraction));
            }
            let outputs = planes.each_mut().map(|plane| &mut plane[y * n + start..][..columns.len()]);
            scaling.spread(&line, outputs);
        }
    }
    batch
}

fn mix(low: f32, high: f32, fraction: f32) -> f32 {
    low + (high - low) * fraction
}

/// Two neighbouring pixels and the weight of the second, 0 to 1.
#[derive(Debug, Clone, Copy)]
struct Sample {
    low: usize,
    high: usize,
    fraction: f32,
}

/// Locate the samples of one axis of a box, with their indices; those outside the image are left out.
fn samples(start: f32, end: f32, length: u32, count: usize, inside: &mut Vec<(usize, Sample)>) {
    let last = (length - 1) as f32;
    let (start, end) = (start / length as f32, end / length as f32);
    let step = (end - start) * last / (count - 1) as f32;
    inside.clear();
    inside.extend((0..count).filter_map(|k| {
        let at = start * last + k as f32 * step;
        (at >= 0.0 && at <= last).then(|| {
            let low = at as usize;
            let fraction = at - low as f32;
            (k, Sample { low, high: low + usize::from(fraction > 0.0), fraction })
        })
    }));
}

#[cfg(test)]
mod tests {
    use super::super::tests::{picture, spec};
    use super::*;
    use crate::pack::Colour;
    use proptest::prelude::*;

    #[test]
    fn a_box_outside_is_zero_and_the_full_image_keeps_its_corners() {
        let image = picture(47, 24); // steps of 2 and of 1: rounding must not push the last sample outside
        let outside = sample_boxes(&image, &[BBox::new(-60.0, -60.0, -20.0, -20.0)], 24, &spec(Colour::Rgb));
        assert!(outside.values().iter().all(|&value| value == 0.0));
        let whole = sample_boxes(&image, &[BBox::new(0.0, 0.0, 47.0, 24.0)], 24, &spec(Colour::Rgb));
        let corner = (f32::from(image.pixel(46, 23)[2]) - 127.5) / 128.0;
        assert!((whole[[0, 2, 23, 23]] - corner).abs() < 1e-3);
    }

    /// The definition of a sample, from the pixels around it.
    fn defined_sample(image: &Image, x: f64, y: f64, channel: usize) -> f64 {
        let (right, low) = (f64::from(image.width() - 1), f64::from(image.height() - 1));
        if x < 0.0 || y < 0.0 || x > right || y > low {
            return 0.0;
        }
        let pixel = |x: f64, y: f64| f64::from(image.pixel(x as u32, y as u32)[channel]);
        let across = |y: f64| pixel(x.floor(), y) * (1.0 - x.fract()) + pixel(x.ceil(), y) * x.fract();
        (across(y.floor()) * (1.0 - y.fract()) + across(y.ceil()) * y.fract() - 127.5) / 128.0
    }

    proptest! {
        #[test]
        fn samples_equal_the_definition(
            width in 2u32..60, height in 2u32..60, x1 in -30.0f32..70.0, y1 in -30.0f32..70.0, side in 1.0f32..90.0,
        ) {
            let image = picture(width, height);
            let bbox = BBox::new(x1, y1, x1 + side, y1 + side);
            let stretched = sample_boxes(&image, &[BBox::default(), bbox], 24, &spec(Colour::Bgr));
            let position = |start: f32, end: f32, length: u32, k: usize| {
                let (start, end) = (f64::from(start), f64::from(end));
                (start + (end - start) * k as f64 / 23.0) * f64::from(length - 1) / f64::from(length)
            };
            for (column, row) in [(0, 0), (23, 23), (11, 12), (5, 20), (20, 3)] {
                let (x, y) = (position(bbox.x1, bbox.x2, width, column), position(bbox.y1, bbox.y2, height, row));
                // Rounding decides whether a sample on the edge is inside.
                let near = |at: f64, length: u32| at.abs() < 1e-4 || (at - f64::from(length - 1)).abs() < 1e-4;
                if near(x, width) || near(y, height) {
                    continue;
                }
                for channel in 0..3 {
                    let value = f64::from(stretched[[1, 2 - channel, row, column]]);
                    prop_assert!((value - defined_sample(&image, x, y, channel)).abs() < 1e-4);
                }
            }
        }
    }
}
