//! The full image averaged by area: the levels of MTCNN's pyramid, and letterboxes.

use super::{Letterbox, Scaling, Tensor};
use crate::geometry::Size;
use crate::image::Image;
use crate::pack::InputSpec;

/// Resize the full image to other sizes by area average, in one pass over its rows → 1 × 3 × height × width each.
///
/// Output pixel k covers the input interval [k·r, (k+1)·r) with r = input ÷ output; every input pixel is weighted by
/// its overlap, on both axes. Sums over rectangles are differences in a summed-area table (Crow 1984), of which only
/// two rows are kept: the cost does not depend on the size of the rectangle, and all output sizes share the table.
pub fn resize_area(image: &Image, sizes: &[Size], spec: &InputSpec) -> Vec<Tensor> {
    fill_by_area(image, &sizes.iter().copied().map(Letterbox::full).collect::<Vec<_>>(), spec)
}

/// Resize the image by area average into each letterbox → 1 × 3 × height × width of its canvas.
pub(super) fn fill_by_area(image: &Image, letterboxes: &[Letterbox], spec: &InputSpec) -> Vec<Tensor> {
    let width = image.width() as usize;
    let mut averages: Vec<_> =
        letterboxes.iter().map(|&letterbox| AreaAverage::new(image.size(), letterbox, Scaling::of(spec))).collect();
    let mut values = vec![0; width * 3 + 1];
    let (mut above, mut below) = (vec![[0; 4]; width + 2], vec![[0; 4]; width + 2]);
    for (y, row) in image.data().chunks_exact(width * 3).enumerate() {
        for (value, &byte) in values.iter_mut().zip(row) {
            *value = i32::from(byte);
        }
        accumulate_row(&values, &above, &mut below);
        for average in &mut averages {
            average.advance(y, &above, &below);
        }
        std::mem::swap(&mut above, &mut below);
    }
    averages.into_iter().map(|average| average.output).collect()
}

/// Compute the next row of the table: at index x the sum of all pixels left of x down to this row, per channel, modulo
/// 2³²; the last sum is repeated.
///
/// The fourth lane only aligns the others for SIMD; it reads one value beyond the last pixel.
fn accumulate_row(row: &[i32], above: &[[i32; 4]], below: &mut [[i32; 4]]) {
    let mut total = [0i32; 4];
    for ((below, above), values) in below.iter_mut().skip(1).zip(above.iter().skip(1)).zip(row.windows(4).step_by(3)) {
        total = std::array::from_fn(|lane| total[lane].wrapping_add(values[lane]));
        *below = std::array::from_fn(|lane| above[lane].wrapping_add(total[lane]));
    }
    if let [.., last, repeated] = below {
        *repeated = *last;
    }
}

/// State of one output size during the pass over the input rows.
struct AreaAverage {
    input_height: usize,
    /// Input rows per output row.
    row_ratio: f64,
    /// End of each output column: the input column, and the part of it that is covered.
    ends: Vec<(usize, f32)>,
    /// Sums above the last row boundary, by output column.
    boundary: Vec<BoundarySums>,
    /// Sums of the next output row; the fourth lane is unused.
    sums: Vec<[f32; 4]>,
    next_row: usize,
    letterbox: Letterbox,
    /// Scaling of a sum over an output pixel.
    scaling: Scaling,
    output: Tensor,
}

/// Sums above the boundary between two output rows; integers where they are large.
#[derive(Clone, Copy, Default)]
struct BoundarySums {
    /// Of complete input rows, between the input columns in which the previous and this output column end.
    whole: [i32; 4],
    /// Of complete input rows, in the input column in which this output column ends.
    column: [i32; 4],
    /// Of the covered part of the input row at the boundary, over the output column.
    partial: [f32; 4],
}

impl AreaAverage {
    fn new(input: Size, letterbox: Letterbox, scaling: Scaling) -> Self {
        let size = letterbox.picture;
        let ratio = f64::from(input.width) / f64::from(size.width);
        let ends = (1..=size.width).map(|k| {
            let at = (f64::from(k) * ratio).min(f64::from(input.width));
            (at as usize, at.fract() as f32)
        });
        let share = (size.pixels() as f64 / input.pixels() as f64) as f32;
        Self {
            input_height: input.height as usize,
            row_ratio: f64::from(input.height) / f64::from(size.height),
            ends: ends.collect(),
            boundary: vec![BoundarySums::default(); size.width as usize],
            sums: vec![[0.0; 4]; size.width as usize],
            next_row: 0,
            letterbox,
            scaling: Scaling { factor: scaling.factor.map(|factor| factor * share), ..scaling },
            output: letterbox.black(scaling),
        }
    }

    /// Complete the output rows that end in input row y, which lies between two rows of the table.
    fn advance(&mut self, y: usize, above: &[[i32; 4]], below: &[[i32; 4]]) {
        let (left, top) = (self.letterbox.left as usize, self.letterbox.top as usize);
        let (width, stride) = (self.letterbox.picture.width as usize, self.letterbox.canvas.width as usize);
        while self.next_row < self.letterbox.picture.height as usize {
            let end = (self.next_row + 1) as f64 * self.row_ratio;
            if end > (y + 1) as f64 && y + 1 < self.input_height {
                return;
            }
            self.finish_row(above, below, (end - y as f64).min(1.0) as f32);
            let start = (top + self.next_row) * stride + left;
            for planes in self.output.planes(self.letterbox.canvas) {
                self.scaling.spread(&self.sums, planes.map(|plane| &mut plane[start..start + width]));
            }
            self.next_row += 1;
        }
    }

    /// Sum up the output row that ends after `covered_part` of an input row.
    #[inline(never)] // LLVM vectorizes the lanes only if the function is separate
    fn finish_row(&mut self, above: &[[i32; 4]], below: &[[i32; 4]], covered_part: f32) {
        let (mut left_above, mut left_below) = ([0; 4], [0; 4]);
        let (mut left_split, mut left_row_split) = ([0.0; 4], [0.0; 4]);
        for ((sum, above_boundary), &(x, right_part)) in self.sums.iter_mut().zip(&mut self.boundary).zip(&self.ends) {
            let whole = minus(above[x], left_above);
            let column = minus(above[x + 1], above[x]);
            let row = minus(minus(below[x], left_below), whole);
            let pixel = minus(minus(below[x + 1], below[x]), column);
            let split = minus(column, above_boundary.column).map(|value| value as f32 * right_part);
            let row_split = pixel.map(|value| value as f32 * right_part);
            let partial: [f32; 4] = std::array::from_fn(|lane| {
                (row[lane] as f32 + (row_split[lane] - left_row_split[lane])) * covered_part
            });
            let rows = minus(whole, above_boundary.whole);
            *sum = std::array::from_fn(|lane| {
                rows[lane] as f32 + (split[lane] - left_split[lane]) + (partial[lane] - above_boundary.partial[lane])
            });
            *above_boundary = BoundarySums { whole, column, partial };
            (left_above, left_below, left_split, left_row_split) = (above[x], below[x], split, row_split);
        }
    }
}

fn minus(a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
    std::array::from_fn(|lane| a[lane].wrapping_sub(b[lane]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{picture, spec};
    use super::*;
    use crate::pack::Colour;
    use proptest::prelude::*;

    /// The definition of the area average: overlap by overlap.
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
        let half = resize_area(&image, &[Size::new(4, 3)], &spec(Colour::Rgb)).remove(0);
        for (x, y) in [(0u32, 0u32), (3, 2), (1, 1)] {
            let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, j)| image.pixel(2 * x + i, 2 * y + j));
            let mean: f32 = four.iter().map(|p| f32::from(p[1])).sum::<f32>() / 4.0;
            assert!((half[[0, 1, y as usize, x as usize]] - (mean - 127.5) / 128.0).abs() < 1e-5);
        }
    }

    proptest! {
        #[test]
        fn area_averages_equal_the_definition(
            width in 1u32..90, height in 1u32..90, sizes in proptest::collection::vec((1u32..90, 1u32..90), 1..4),
        ) {
            let image = picture(width, height);
            let sizes: Vec<_> = sizes.into_iter().map(|(w, h)| Size::new(w, h)).collect();
            for (&size, resized) in sizes.iter().zip(resize_area(&image, &sizes, &spec(Colour::Bgr))) {
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
