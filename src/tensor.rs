//! Image + [`InputSpec`] → NCHW input of a network.
//!
//! Goes in: RGB pictures. Comes out: float32 tensors in the network's channel order and scale. Nothing is rounded to
//! bytes on the way. The area average is that of OpenCV's and TensorFlow's AREA, the box sampling that of TensorFlow's
//! `crop_and_resize`, because MTCNN was built on them. Every sum has one order, so that all processors agree.

mod crops;
mod letterbox;

pub use crops::crops;
pub use letterbox::letterboxed;

use crate::geometry::{BBox, Size};
use crate::image::Image;
use crate::pack::{Colour, InputSpec};

/// A batch of N × C × H × W values, or in another order where the network's layout has one; the last axis is side by
/// side in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: [usize; 4],
    values: Vec<f32>,
}

impl Tensor {
    /// Three planes of `size` for each of `count` pictures, all 0.
    fn zeros(count: usize, size: Size) -> Self {
        let (width, height) = (size.width as usize, size.height as usize);
        Self { shape: [count, 3, height, width], values: vec![0.0; count * 3 * height * width] }
    }

    /// N, C, H, W, or as the layout says.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The values, in the order of the shape.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The three planes of each picture; `size` is that of `zeros` and has pixels.
    fn pictures(&mut self, size: Size) -> impl Iterator<Item = [&mut [f32]; 3]> {
        let plane = size.pixels() as usize;
        self.values.chunks_exact_mut((3 * plane).max(1)).map(move |picture| {
            let (first, others) = picture.split_at_mut(plane);
            let (second, third) = others.split_at_mut(plane);
            [first, second, third]
        })
    }
}

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

/// The whole picture averaged by area to other sizes, in one pass over its rows → 1 × 3 × height × width each.
///
/// Output pixel k covers the input interval [k·r, (k+1)·r) with r = input ÷ output; every input pixel counts by the
/// length of its overlap, on both axes. A row's average is a difference of two running sums, which costs the same for a
/// hundred pixels as for two; the running sums are shared by all sizes.
pub fn area_resized(image: &Image, sizes: &[Size], spec: &InputSpec) -> Vec<Tensor> {
    let scaling = Scaling::of(spec);
    let mut averages: Vec<_> = sizes.iter().map(|&size| AreaAverage::new(image.size(), size)).collect();
    let mut sums = vec![[0; 4]; image.width() as usize + 2];
    for (y, row) in image.data().chunks_exact(image.width() as usize * 3).enumerate() {
        running_sums(row, &mut sums);
        for average in &mut averages {
            average.add(y, &sums, scaling);
        }
    }
    averages.into_iter().map(|average| average.output).collect()
}

/// At index x the sum of the pixels left of x for each channel, modulo 2³²; the last one twice.
///
/// The fourth lane keeps the others in step and means nothing.
fn running_sums(row: &[u8], sums: &mut [[i32; 4]]) {
    let mut total = [0i32; 4];
    let mut add = |sum: &mut [i32; 4], four: [u8; 4]| {
        *sum = total;
        total = std::array::from_fn(|lane| total[lane].wrapping_add(i32::from(four[lane])));
    };
    let mut sums = sums.iter_mut();
    for (four, sum) in row.windows(4).step_by(3).zip(sums.by_ref()) {
        add(sum, [four[0], four[1], four[2], four[3]]);
    }
    for (pixel, sum) in row.chunks_exact(3).rev().zip(sums.by_ref()).take(1) {
        add(sum, [pixel[0], pixel[1], pixel[2], 0]);
    }
    sums.for_each(|sum| *sum = total);
}

/// The state of one output size while the input rows go by. A fourth lane, unused, keeps the channels in step.
struct AreaAverage {
    /// Input rows, and input rows for an output row.
    input_height: usize,
    row_ratio: f64,
    /// Between which output columns each end lies: an input column and the part of it on the left side.
    ends: Vec<(usize, f32)>,
    /// What an input pixel counts for where it is covered whole.
    share: f64,
    /// The input row summed over each output column, and the output row as far as it is done.
    summed: Vec<[f32; 4]>,
    sum: Vec<[f32; 4]>,
    next_row: usize,
    size: Size,
    output: Tensor,
}

impl AreaAverage {
    fn new(input: Size, size: Size) -> Self {
        let ratio = f64::from(input.width) / f64::from(size.width);
        let ends = (1..=size.width).map(|k| {
            let at = (f64::from(k) * ratio).min(f64::from(input.width));
            (at as usize, at.fract() as f32)
        });
        Self {
            input_height: input.height as usize,
            row_ratio: f64::from(input.height) / f64::from(size.height),
            ends: ends.collect(),
            share: size.pixels() as f64 / input.pixels() as f64,
            summed: vec![[0.0; 4]; size.width as usize],
            sum: vec![[0.0; 4]; size.width as usize],
            next_row: 0,
            size,
            output: Tensor::zeros(1, size),
        }
    }

    /// Count input row y in; `sums` are its running sums.
    fn add(&mut self, y: usize, sums: &[[i32; 4]], scaling: Scaling) {
        self.sum_columns(sums);
        let (top, low) = (y as f64, (y + 1) as f64);
        while self.next_row < self.size.height as usize {
            let (start, end) = (self.next_row as f64 * self.row_ratio, (self.next_row + 1) as f64 * self.row_ratio);
            let weight = ((low.min(end) - top.max(start)).max(0.0) * self.share) as f32;
            for (sum, summed) in self.sum.as_flattened_mut().iter_mut().zip(self.summed.as_flattened()) {
                *sum += weight * summed;
            }
            if end > low && y + 1 < self.input_height {
                return;
            }
            self.finish_row(scaling);
        }
    }

    fn sum_columns(&mut self, sums: &[[i32; 4]]) {
        let (mut whole, mut part) = ([0i32; 4], [0.0f32; 4]);
        for (summed, &(column, fraction)) in self.summed.iter_mut().zip(&self.ends) {
            let (left, right) = (sums[column], sums[column + 1]);
            let split: [f32; 4] = std::array::from_fn(|lane| right[lane].wrapping_sub(left[lane]) as f32 * fraction);
            *summed = std::array::from_fn(|lane| {
                left[lane].wrapping_sub(whole[lane]) as f32 + (split[lane] - part[lane])
            });
            (whole, part) = (left, split);
        }
    }

    fn finish_row(&mut self, scaling: Scaling) {
        let width = self.size.width as usize;
        let start = self.next_row * width;
        for planes in self.output.pictures(self.size) {
            for channel in 0..3 {
                let (factor, offset) = (scaling.factor[channel], scaling.offset[channel]);
                let row = &mut planes[scaling.plane[channel]][start..start + width];
                for (value, sum) in row.iter_mut().zip(&self.sum) {
                    *value = sum[channel] * factor + offset;
                }
            }
        }
        self.sum.fill([0.0; 4]);
        self.next_row += 1;
    }
}

/// The inside of each box stretched to `side` × `side` → N × 3 × side × side.
///
/// Bilinear; the first and last samples lie on the box's edges in the coordinates of `crop_and_resize`, where a picture
/// of width W has its last pixel at W − 1 and the box is scaled by (W − 1) ÷ W. A sample outside the picture is 0 in
/// the network's own scale.
pub fn boxes(image: &Image, boxes: &[BBox], side: u32, spec: &InputSpec) -> Tensor {
    let scaling = Scaling::of(spec);
    let (n, stride) = (side as usize, image.width() as usize * 3);
    let mut batch = Tensor::zeros(boxes.len(), Size::new(side, side));
    let (mut columns, mut rows) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for (bbox, mut planes) in boxes.iter().zip(batch.pictures(Size::new(side, side))) {
        samples(bbox.x1, bbox.x2, image.width(), n, &mut columns);
        samples(bbox.y1, bbox.y2, image.height(), n, &mut rows);
        for &(y, row) in &rows {
            let upper = &image.data()[row.low * stride..][..stride];
            let lower = &image.data()[row.high * stride..][..stride];
            let outputs = planes.each_mut().map(|plane| &mut plane[y * n..(y + 1) * n]);
            for &(x, column) in &columns {
                let (left, right) = (column.low * 3, column.high * 3);
                let at = |row: &[u8], start: usize| [row[start], row[start + 1], row[start + 2]].map(f32::from);
                let top = mix(at(upper, left), at(upper, right), column.fraction);
                let low = mix(at(lower, left), at(lower, right), column.fraction);
                let value = mix(top, low, row.fraction);
                for channel in 0..3 {
                    let (factor, offset) = (scaling.factor[channel], scaling.offset[channel]);
                    outputs[scaling.plane[channel]][x] = value[channel] * factor + offset;
                }
            }
        }
    }
    batch
}

fn mix(low: [f32; 3], high: [f32; 3], fraction: f32) -> [f32; 3] {
    std::array::from_fn(|channel| low[channel] + (high[channel] - low[channel]) * fraction)
}

/// Two neighbouring pixels and the way from the first to the second, 0 to 1.
#[derive(Debug, Clone, Copy)]
struct Sample {
    low: usize,
    high: usize,
    fraction: f32,
}

/// Where the samples of one axis of a box lie, with their numbers; those outside the picture are left out.
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
    use super::*;
    use crate::pack::Layout;
    use proptest::prelude::*;

    fn spec(colour: Colour) -> InputSpec {
        InputSpec {
        name: "input".to_string(),
        width: None,
        height: None,
        colour,
        mean: [127.5; 3],
        std: [128.0; 3],
        layout: Layout::Nchw,
        standardise: false,
    }
    }

    fn picture(width: u32, height: u32) -> Image {
        let data = (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect();
        Image::from_rgb(Size::new(width, height), data).unwrap()
    }

    impl std::ops::Index<[usize; 4]> for Tensor {
        type Output = f32;

        fn index(&self, [n, c, y, x]: [usize; 4]) -> &f32 {
            &self.values[((n * self.shape[1] + c) * self.shape[2] + y) * self.shape[3] + x]
        }
    }

    /// The area average as it is defined: overlap by overlap.
    fn defined_average(image: &Image, size: Size, x: u32, y: u32, channel: usize) -> f64 {
        let overlaps = |length: u32, output: u32, k: u32| {
            let ratio = f64::from(length) / f64::from(output);
            let (start, end) = (f64::from(k) * ratio, f64::from(k + 1) * ratio);
            (0..length)
                .map(move |i| (i, (f64::from(i + 1).min(end) - f64::from(i).max(start)) / ratio))
                .filter(|&(_, weight)| weight > 0.0)
        };
        let rows = overlaps(image.height(), size.height, y).flat_map(|(j, down)| {
            overlaps(image.width(), size.width, x)
                .map(move |(i, across)| down * across * f64::from(image.pixel(i, j)[channel]))
        });
        (rows.sum::<f64>() - 127.5) / 128.0
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
        let half = area_resized(&image, &[Size::new(4, 3)], &spec(Colour::Rgb)).remove(0);
        for (x, y) in [(0u32, 0u32), (3, 2), (1, 1)] {
            let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, j)| image.pixel(2 * x + i, 2 * y + j));
            let mean: f32 = four.iter().map(|p| f32::from(p[1])).sum::<f32>() / 4.0;
            assert!((half[[0, 1, y as usize, x as usize]] - (mean - 127.5) / 128.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_box_outside_is_zero_and_the_whole_picture_keeps_its_corners() {
        let image = picture(47, 24); // steps of 2 and of 1: the last sample is not rounded out of the picture
        let outside = boxes(&image, &[BBox::new(-60.0, -60.0, -20.0, -20.0)], 24, &spec(Colour::Rgb));
        assert!(outside.values().iter().all(|&value| value == 0.0));
        let whole = boxes(&image, &[BBox::new(0.0, 0.0, 47.0, 24.0)], 24, &spec(Colour::Rgb));
        let corner = (f32::from(image.pixel(46, 23)[2]) - 127.5) / 128.0;
        assert!((whole[[0, 2, 23, 23]] - corner).abs() < 1e-3);
    }

    proptest! {
        #[test]
        fn area_averages_are_those_of_the_definition(
            width in 1u32..90, height in 1u32..90, sizes in proptest::collection::vec((1u32..90, 1u32..90), 1..4),
        ) {
            let image = picture(width, height);
            let sizes: Vec<_> = sizes.into_iter().map(|(w, h)| Size::new(w, h)).collect();
            for (&size, resized) in sizes.iter().zip(area_resized(&image, &sizes, &spec(Colour::Bgr))) {
                prop_assert_eq!(resized.shape(), [1, 3, size.height as usize, size.width as usize]);
                let (right, low) = (size.width - 1, size.height - 1);
                for (x, y) in [(0, 0), (right, low), (right / 2, low / 2), (right / 3, low), (right, low / 3)] {
                    for channel in 0..3 {
                        let value = f64::from(resized[[0, 2 - channel, y as usize, x as usize]]);
                        prop_assert!((value - defined_average(&image, size, x, y, channel)).abs() < 1e-5);
                    }
                }
            }
        }
    }
}
