//! Image + similarity → a rotated, scaled and shifted crop.
//!
//! Sampling is bilinear with black outside the image, like `warpAffine` of OpenCV. One intended difference: an image
//! that is reduced to less than half is first reduced by an integer factor by averaging, because bilinear sampling
//! would skip pixels.

use super::Image;
use crate::error::Result;
use crate::geometry::{Similarity, Size};

/// Maximum side of a block that is averaged to one pixel; the sum of its bytes fits in 32 bits.
const MAX_BLOCK: u32 = 4096;

/// Cut a crop of `size` whose pixel (u, v) shows the image at `image_from_crop` · (u, v).
pub fn warp(image: &Image, image_from_crop: Similarity, size: Size) -> Result<Image> {
    let region = Region::of_crop(image, image_from_crop, size);
    region.warp(region.from_image.after(image_from_crop), size)
}

/// The part of an image under a crop, reduced by averaging, with a black border of one pixel.
struct Region {
    width: usize,
    height: usize,
    /// R, G, B by row, and one extra value: a fourth lane aligns the channels for SIMD and reads beyond the last.
    values: Vec<f32>,
    from_image: Similarity,
}

impl Region {
    /// The region under a crop of `size`, reduced if the crop is at most half as large.
    fn of_crop(image: &Image, image_from_crop: Similarity, size: Size) -> Self {
        let factor = image_from_crop.scale().min(image.size().short_side().min(MAX_BLOCK).into()).max(1.0) as u32;
        let (right, low) = (f64::from(size.width), f64::from(size.height));
        let corners =
            [(0.0, 0.0), (right, 0.0), (0.0, low), (right, low)].map(|(x, y)| image_from_crop.apply_f64(x, y));
        let margin = f64::from(2 * factor);
        let range = |values: [f64; 4], length: u32| {
            let least = values.iter().fold(f64::INFINITY, |a, &b| a.min(b)) - margin;
            let most = values.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b)) + margin;
            let start = (least.max(0.0) as u32).min(length.saturating_sub(factor));
            let blocks = ((most.clamp(0.0, f64::from(length)) as u32).saturating_sub(start) / factor).max(1);
            (start, blocks)
        };
        let (x0, columns) = range(corners.map(|corner| corner.0), image.width());
        let (y0, rows) = range(corners.map(|corner| corner.1), image.height());
        let step = 1.0 / f64::from(factor);
        let middle = f64::from(factor - 1) / 2.0;
        let shift = |start: u32| 1.0 - (f64::from(start) + middle) * step;
        let mut region = Self {
            width: columns as usize + 2,
            height: rows as usize + 2,
            values: vec![0.0; (columns as usize + 2) * (rows as usize + 2) * 3 + 1],
            from_image: Similarity { a: step, b: 0.0, tx: shift(x0), ty: shift(y0) },
        };
        region.average(image, (x0 as usize, y0 as usize), factor as usize);
        region
    }

    /// Fill the inside with the averages of blocks of `factor` pixels, from `start` on.
    fn average(&mut self, image: &Image, start: (usize, usize), factor: usize) {
        let inside = (self.width - 2) * 3;
        let rows = self.values.chunks_exact_mut(self.width * 3).skip(1).take(self.height - 2);
        let lines = image.data().chunks_exact(image.width() as usize * 3).skip(start.1);
        let mut lines = lines.map(|line| &line[start.0 * 3..][..inside * factor]);
        let share = 1.0 / (factor * factor) as f32;
        let mut sums = vec![0u32; inside * factor];
        for row in rows {
            sums.fill(0);
            for line in lines.by_ref().take(factor) {
                sums.iter_mut().zip(line).for_each(|(sum, &value)| *sum += u32::from(value));
            }
            let values = &mut row[3..][..inside];
            if factor == 1 {
                values.iter_mut().zip(&sums).for_each(|(value, &sum)| *value = sum as f32);
                continue;
            }
            for (value, square) in values.chunks_exact_mut(3).zip(sums.chunks_exact(3 * factor)) {
                let sum = square.chunks_exact(3).fold([0; 3], |a: [u32; 3], b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]]);
                value.copy_from_slice(&sum.map(|sum| sum as f32 * share));
            }
        }
    }

    /// Sample at the positions of the crop's pixels.
    fn warp(&self, region_from_crop: Similarity, size: Size) -> Result<Image> {
        let mut data = vec![0; size.pixels() as usize * 3];
        let mut line = vec![[0.0; 4]; size.width as usize];
        let Similarity { a, b, .. } = region_from_crop;
        for (v, row) in data.chunks_exact_mut(size.width as usize * 3).enumerate() {
            let (start_x, start_y) = region_from_crop.apply_f64(0.0, v as f64);
            for (u, value) in line.iter_mut().enumerate() {
                let u = u as f64;
                *value = self.sample((start_x + a * u) as f32, (start_y + b * u) as f32);
            }
            for (pixel, value) in row.chunks_exact_mut(3).zip(&line) {
                let [red, green, blue, _] = value.map(|value| (value + 0.5) as u8);
                pixel.copy_from_slice(&[red, green, blue]);
            }
        }
        Image::from_rgb(size, data)
    }

    /// Interpolate at a position; black outside.
    fn sample(&self, x: f32, y: f32) -> [f32; 4] {
        if !(x >= 0.0 && y >= 0.0 && x < (self.width - 1) as f32 && y < (self.height - 1) as f32) {
            return [0.0; 4];
        }
        let (left, top) = (x as i32, y as i32);
        let (right_part, low_part) = (x - left as f32, y - top as f32);
        let upper = &self.values[(top as usize * self.width + left as usize) * 3..];
        let lower = &upper[self.width * 3..][..7];
        let upper = &upper[..7];
        let mut value = [0.0; 4];
        for (lane, value) in value.iter_mut().enumerate() {
            let across = |row: &[f32]| mix(row[lane], row[lane + 3], right_part);
            *value = mix(across(upper), across(lower), low_part);
        }
        value
    }
}

fn mix(low: f32, high: f32, fraction: f32) -> f32 {
    low + (high - low) * fraction
}
