//! The whole picture averaged by area: the levels of MTCNN's pyramid.

use super::{Scaling, Tensor};
use crate::geometry::Size;
use crate::image::Image;
use crate::pack::InputSpec;

/// The whole picture averaged by area to other sizes, in one pass over its rows → 1 × 3 × height × width each.
///
/// Output pixel k covers the input interval [k·r, (k+1)·r) with r = input ÷ output; every input pixel counts by the
/// length of its overlap, on both axes. What an output pixel takes from a row is a difference of two running sums, which
/// costs the same for a hundred pixels as for two; all sizes share the running sums.
pub fn area_resized(image: &Image, sizes: &[Size], spec: &InputSpec) -> Vec<Tensor> {
    let scaling = Scaling::of(spec);
    let stride = image.width() as usize * 3;
    let mut averages: Vec<_> = sizes.iter().map(|&size| AreaAverage::new(image.size(), size)).collect();
    let mut values = vec![0; stride + 1];
    let mut sums = vec![[0; 4]; image.width() as usize + 2];
    for (y, row) in image.data().chunks_exact(stride).enumerate() {
        for (value, &byte) in values.iter_mut().zip(row) {
            *value = i32::from(byte);
        }
        running_sums(&values, &mut sums);
        for average in &mut averages {
            average.add(y, &sums, scaling);
        }
    }
    averages.into_iter().map(|average| average.output).collect()
}

/// At index x the sum of the pixels left of x for each channel, modulo 2³²; the last one twice.
///
/// The fourth lane keeps the others in step and means nothing; it reads one value beyond the last pixel.
fn running_sums(row: &[i32], sums: &mut [[i32; 4]]) {
    let mut total = [0i32; 4];
    for (sum, four) in sums.iter_mut().zip(row.windows(4).step_by(3)) {
        *sum = total;
        total = std::array::from_fn(|lane| total[lane].wrapping_add(four[lane]));
    }
    sums[row.len() / 3..].fill(total);
}

/// The state of one output size while the input rows go by.
struct AreaAverage {
    /// Input rows, and input rows for an output row.
    input_height: usize,
    row_ratio: f64,
    /// Where each output column ends: in which input column, and after which part of it.
    ends: Vec<(usize, f32)>,
    /// What an input pixel counts for where it is covered whole.
    share: f64,
    /// The next output row as far as it is summed; the fourth lane means nothing.
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
            sum: vec![[0.0; 4]; size.width as usize],
            next_row: 0,
            size,
            output: Tensor::zeros(1, size),
        }
    }

    /// Count input row y in; `sums` are its running sums.
    fn add(&mut self, y: usize, sums: &[[i32; 4]], scaling: Scaling) {
        let (top, low) = (y as f64, (y + 1) as f64);
        while self.next_row < self.size.height as usize {
            let (start, end) = (self.next_row as f64 * self.row_ratio, (self.next_row + 1) as f64 * self.row_ratio);
            self.add_columns(sums, ((low.min(end) - top.max(start)).max(0.0) * self.share) as f32);
            if end > low && y + 1 < self.input_height {
                return;
            }
            self.finish_row(scaling);
        }
    }

    fn add_columns(&mut self, sums: &[[i32; 4]], weight: f32) {
        let (mut whole, mut part) = ([0i32; 4], [0.0f32; 4]);
        for (sum, &(column, fraction)) in self.sum.iter_mut().zip(&self.ends) {
            let (left, right) = (sums[column], sums[column + 1]);
            let split: [f32; 4] = std::array::from_fn(|lane| right[lane].wrapping_sub(left[lane]) as f32 * fraction);
            *sum = std::array::from_fn(|lane| {
                let columns = left[lane].wrapping_sub(whole[lane]) as f32 + (split[lane] - part[lane]);
                sum[lane] + columns * weight
            });
            (whole, part) = (left, split);
        }
    }

    fn finish_row(&mut self, scaling: Scaling) {
        let width = self.size.width as usize;
        let start = self.next_row * width;
        for planes in self.output.pictures(self.size) {
            scaling.spread(&self.sum, planes.map(|plane| &mut plane[start..start + width]));
        }
        self.sum.fill([0.0; 4]);
        self.next_row += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{picture, spec};
    use super::*;
    use crate::pack::Colour;
    use proptest::prelude::*;

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
    fn halving_averages_four_pixels() {
        let image = picture(8, 6);
        let half = area_resized(&image, &[Size::new(4, 3)], &spec(Colour::Rgb)).remove(0);
        for (x, y) in [(0u32, 0u32), (3, 2), (1, 1)] {
            let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, j)| image.pixel(2 * x + i, 2 * y + j));
            let mean: f32 = four.iter().map(|p| f32::from(p[1])).sum::<f32>() / 4.0;
            assert!((half[[0, 1, y as usize, x as usize]] - (mean - 127.5) / 128.0).abs() < 1e-5);
        }
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
