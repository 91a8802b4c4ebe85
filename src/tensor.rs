//! Image + [`InputSpec`] → NCHW input of a network.
//!
//! Goes in: RGB pictures. Comes out: float32 tensors in the network's channel order and scale. Nothing is rounded to
//! bytes on the way. The area average is that of OpenCV's and TensorFlow's AREA, the box sampling that of TensorFlow's
//! `crop_and_resize`, because MTCNN was built on them.

use crate::geometry::{BBox, Size};
use crate::image::Image;
use crate::pack::{Colour, InputSpec};
use ndarray::{Array4, ArrayViewMut3, Axis};

/// value = pixel · factor + offset for each RGB channel, and the plane that it goes to.
#[derive(Debug, Clone, Copy)]
struct Scaling {
    factor: [f32; 3],
    offset: [f32; 3],
    plane: [usize; 3],
}

impl Scaling {
    fn of(spec: &InputSpec) -> Self {
        let plane = match spec.colour {
            Colour::Rgb => [0, 1, 2],
            Colour::Bgr => [2, 1, 0],
        };
        Self {
            factor: plane.map(|p| 1.0 / spec.std[p]),
            offset: plane.map(|p| -spec.mean[p] / spec.std[p]),
            plane,
        }
    }
}

/// Crops as they are → N × 3 × height × width. All must have the size of the first.
pub fn crops(crops: &[&Image], spec: &InputSpec) -> Array4<f32> {
    let size = crops.first().map_or(Size::new(0, 0), |crop| crop.size());
    let (width, height) = (size.width as usize, size.height as usize);
    let scaling = Scaling::of(spec);
    let mut batch = Array4::zeros((crops.len(), 3, height, width));
    for (crop, mut planes) in crops.iter().zip(batch.axis_iter_mut(Axis(0))) {
        for channel in 0..3 {
            let (factor, offset) = (scaling.factor[channel], scaling.offset[channel]);
            let mut plane = planes.index_axis_mut(Axis(0), scaling.plane[channel]);
            for (value, pixel) in plane.iter_mut().zip(crop.data().chunks_exact(3)) {
                *value = f32::from(pixel[channel]) * factor + offset;
            }
        }
    }
    batch
}

/// The whole picture averaged by area to another size → 1 × 3 × height × width.
///
/// Output pixel k covers the input interval [k·r, (k+1)·r) with r = input ÷ output; every input pixel counts by the
/// length of its overlap, on both axes.
pub fn area_resized(image: &Image, size: Size, spec: &InputSpec) -> Array4<f32> {
    let scaling = Scaling::of(spec);
    let (width, height) = (size.width as usize, size.height as usize);
    let columns = overlaps(image.width() as usize, width);
    let rows = overlaps(image.height() as usize, height);
    let stride = image.width() as usize * 3;
    let mut sum = vec![0.0f32; stride];
    let mut batch = Array4::zeros((1, 3, height, width));
    let mut planes = batch.index_axis_mut(Axis(0), 0);
    for (y, row) in rows.iter().enumerate() {
        sum.fill(0.0);
        for (i, weight) in row.weights.iter().enumerate() {
            let start = (row.first + i) * stride;
            add_row(&mut sum, &image.data()[start..start + stride], *weight);
        }
        write_row(&mut planes, y, &sum, &columns, scaling);
    }
    batch
}

/// sum += weight · row, the inner loop of the vertical pass.
fn add_row(sum: &mut [f32], row: &[u8], weight: f32) {
    for (total, &value) in sum.iter_mut().zip(row) {
        *total += weight * f32::from(value);
    }
}

fn write_row(planes: &mut ArrayViewMut3<'_, f32>, y: usize, sum: &[f32], columns: &[Overlap], scaling: Scaling) {
    for (x, column) in columns.iter().enumerate() {
        let mut total = [0.0f32; 3];
        let pixels = sum[column.first * 3..].chunks_exact(3);
        for (pixel, weight) in pixels.zip(&column.weights) {
            for (channel, value) in total.iter_mut().zip(pixel) {
                *channel += weight * value;
            }
        }
        for channel in 0..3 {
            planes[[scaling.plane[channel], y, x]] = total[channel] * scaling.factor[channel] + scaling.offset[channel];
        }
    }
}

/// The input pixels that an output pixel covers, with weights that sum to 1.
struct Overlap {
    first: usize,
    weights: Vec<f32>,
}

fn overlaps(input: usize, output: usize) -> Vec<Overlap> {
    let ratio = input as f64 / output as f64;
    (0..output)
        .map(|k| {
            let (start, end) = (k as f64 * ratio, (k + 1) as f64 * ratio);
            let first = (start.floor() as usize).min(input - 1);
            let last = (end.ceil() as usize).clamp(first + 1, input);
            let weights = (first..last)
                .map(|i| (((i + 1) as f64).min(end) - (i as f64).max(start)).max(0.0) / ratio)
                .map(|weight| weight as f32)
                .collect();
            Overlap { first, weights }
        })
        .collect()
}

/// The inside of each box stretched to `side` × `side` → N × 3 × side × side.
///
/// Bilinear; the first and last samples lie on the box's edges in the coordinates of `crop_and_resize`, where a picture
/// of width W has its last pixel at W − 1 and the box is scaled by (W − 1) ÷ W. A sample outside the picture is 0 in
/// the network's own scale.
pub fn boxes(image: &Image, boxes: &[BBox], side: u32, spec: &InputSpec) -> Array4<f32> {
    let scaling = Scaling::of(spec);
    let n = side as usize;
    let mut batch = Array4::zeros((boxes.len(), 3, n, n));
    for (bbox, mut planes) in boxes.iter().zip(batch.axis_iter_mut(Axis(0))) {
        let columns = samples(bbox.x1, bbox.x2, image.width(), n);
        let rows = samples(bbox.y1, bbox.y2, image.height(), n);
        for (y, row) in rows.iter().enumerate() {
            let Some(row) = row else { continue };
            for (x, column) in columns.iter().enumerate() {
                let Some(column) = column else { continue };
                let [top_left, top_right] = [column.low, column.high].map(|x| image.pixel(x, row.low));
                let [low_left, low_right] = [column.low, column.high].map(|x| image.pixel(x, row.high));
                for channel in 0..3 {
                    let top = mix(top_left[channel], top_right[channel], column.fraction);
                    let low = mix(low_left[channel], low_right[channel], column.fraction);
                    let value = top + (low - top) * row.fraction;
                    planes[[scaling.plane[channel], y, x]] = value * scaling.factor[channel] + scaling.offset[channel];
                }
            }
        }
    }
    batch
}

fn mix(low: u8, high: u8, fraction: f32) -> f32 {
    f32::from(low) + (f32::from(high) - f32::from(low)) * fraction
}

/// Two neighbouring pixels and the way from the first to the second, 0 to 1.
struct Sample {
    low: u32,
    high: u32,
    fraction: f32,
}

/// Where the samples of one axis of a box lie; none for one outside the picture.
fn samples(start: f32, end: f32, length: u32, count: usize) -> Vec<Option<Sample>> {
    let last = (length - 1) as f32;
    let (start, end) = (start / length as f32, end / length as f32);
    let step = (end - start) * last / (count - 1) as f32;
    (0..count)
        .map(|k| start * last + k as f32 * step)
        .map(|at| {
            (at >= 0.0 && at <= last).then(|| Sample {
                low: at.floor() as u32,
                high: at.ceil() as u32,
                fraction: at - at.floor(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec(colour: Colour) -> InputSpec {
        InputSpec {
            name: "input".to_string(),
            width: None,
            height: None,
            colour,
            mean: [127.5; 3],
            std: [128.0; 3],
        }
    }

    fn picture(width: u32, height: u32) -> Image {
        let data = (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect();
        Image::from_rgb(Size::new(width, height), data).unwrap()
    }

    #[test]
    fn channels_go_to_the_declared_planes() {
        let red = Image::from_rgb(Size::new(1, 1), vec![255, 0, 51]).unwrap();
        let rgb = crops(&[&red], &spec(Colour::Rgb));
        let bgr = crops(&[&red], &spec(Colour::Bgr));
        assert!((rgb[[0, 0, 0, 0]] - 127.5 / 128.0).abs() < 1e-6);
        assert!((bgr[[0, 2, 0, 0]] - 127.5 / 128.0).abs() < 1e-6);
        assert!((bgr[[0, 0, 0, 0]] - (51.0 - 127.5) / 128.0).abs() < 1e-6);
    }

    #[test]
    fn halving_averages_four_pixels() {
        let image = picture(8, 6);
        let half = area_resized(&image, Size::new(4, 3), &spec(Colour::Rgb));
        for (x, y) in [(0u32, 0u32), (3, 2), (1, 1)] {
            let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, j)| image.pixel(2 * x + i, 2 * y + j));
            let mean: f32 = four.iter().map(|p| f32::from(p[1])).sum::<f32>() / 4.0;
            assert!((half[[0, 1, y as usize, x as usize]] - (mean - 127.5) / 128.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_box_outside_is_zero_and_the_whole_picture_keeps_its_corners() {
        let image = picture(30, 20);
        let outside = boxes(&image, &[BBox::new(-60.0, -60.0, -20.0, -20.0)], 24, &spec(Colour::Rgb));
        assert!(outside.iter().all(|&value| value == 0.0));
        let whole = boxes(&image, &[BBox::new(0.0, 0.0, 30.0, 20.0)], 24, &spec(Colour::Rgb));
        let corner = (f32::from(image.pixel(29, 19)[2]) - 127.5) / 128.0;
        assert!((whole[[0, 2, 23, 23]] - corner).abs() < 1e-3);
    }

    proptest! {
        #[test]
        fn area_average_keeps_a_constant(width in 12u32..90, height in 12u32..90, w in 1u32..90, h in 1u32..90, v: u8) {
            let image = Image::from_rgb(Size::new(width, height), vec![v; (width * height * 3) as usize]).unwrap();
            let resized = area_resized(&image, Size::new(w, h), &spec(Colour::Rgb));
            let expected = (f32::from(v) - 127.5) / 128.0;
            prop_assert!(resized.iter().all(|&value| (value - expected).abs() < 1e-4));
        }
    }
}
