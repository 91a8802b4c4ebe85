//! Image + landmarks → crop: the face turned, scaled and moved so that its five points lie on a template.
//!
//! The transform is the least-squares similarity; the sampling is bilinear with black outside the picture, as
//! `warpAffine` of OpenCV, on which the ArcFace family was trained. One difference on purpose: a face more than twice
//! as large as the crop is first averaged down by a whole factor, because bilinear sampling alone would skip pixels.

use crate::error::{Error, Result};
use crate::geometry::{Landmarks, Similarity, Size};
use crate::image::Image;

/// Longest side of a square of pixels that is averaged into one: the sum of its bytes fits in 32 bits.
const LARGEST_BLOCK: u32 = 4096;

/// The similarity that takes the picture's landmarks to the template.
///
/// Refused: points that are not finite or coincide.
pub fn crop_from_image(landmarks: &Landmarks, template: &Landmarks) -> Result<Similarity> {
    Similarity::fit(&landmarks.0, &template.0)
        .ok_or_else(|| Error::Landmarks { reason: "the five points coincide or are not finite".to_string() })
}

/// Cut the crop of a face.
pub fn crop(image: &Image, landmarks: &Landmarks, template: &Landmarks, size: Size) -> Result<Image> {
    cut(image, crop_from_image(landmarks, template)?, size)
}

/// Cut the crop that a similarity lays over the picture.
pub fn cut(image: &Image, crop_from_image: Similarity, size: Size) -> Result<Image> {
    let image_from_crop = crop_from_image.inverse();
    let region = Region::seen(image, image_from_crop, size);
    region.warp(after(region.from_image, image_from_crop), size)
}

/// The part of a picture that a crop sees, averaged over squares of pixels, in a black frame one pixel wide.
struct Region {
    width: usize,
    height: usize,
    /// R, G, B by row, and one value more: a fourth lane keeps the channels in step and reads beyond the last.
    values: Vec<f32>,
    from_image: Similarity,
}

impl Region {
    /// What a crop of `size` sees: averaged where its pixels are twice as far apart as the picture's, or more.
    fn seen(image: &Image, image_from_crop: Similarity, size: Size) -> Self {
        let factor = image_from_crop.scale().min(image.size().short_side().min(LARGEST_BLOCK).into()).max(1.0) as u32;
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

    /// Fill the inside with the averages of squares of `factor` pixels, the first of them at `start`.
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

    /// Bilinear samples at the places of the crop's pixels.
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

    /// The region at a place between pixels; black outside.
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

/// First `inner`, then `outer`.
fn after(outer: Similarity, inner: Similarity) -> Similarity {
    let (tx, ty) = outer.apply_f64(inner.tx, inner.ty);
    Similarity { a: outer.a * inner.a - outer.b * inner.b, b: outer.a * inner.b + outer.b * inner.a, tx, ty }
}

/// The crop seen in a mirror: left and right exchanged.
pub fn mirrored(crop: &Image) -> Result<Image> {
    let stride = crop.width() as usize * 3;
    let rows = crop.data().chunks_exact(stride);
    let data = rows.flat_map(|row| row.chunks_exact(3).rev().flatten()).copied().collect();
    Image::from_rgb(crop.size(), data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Point;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const TEMPLATE: Landmarks = Landmarks([
        Point { x: 20.0, y: 20.0 },
        Point { x: 40.0, y: 20.0 },
        Point { x: 30.0, y: 32.0 },
        Point { x: 22.0, y: 44.0 },
        Point { x: 38.0, y: 44.0 },
    ]);

    static LARGE: LazyLock<Image> = LazyLock::new(|| gradient(600, 600));

    /// A smooth picture whose value tells the place: red x, green y.
    fn gradient(width: u32, height: u32) -> Image {
        let ramp = |at: u32, length: u32| (at * 255 / length.max(2)) as u8;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| [ramp(x, width), ramp(y, height), 0]));
        Image::from_rgb(Size::new(width, height), pixels.flatten().collect()).unwrap()
    }

    #[test]
    fn landmarks_on_the_template_cut_the_picture_itself() {
        let image = gradient(64, 64);
        assert_eq!(crop(&image, &TEMPLATE, &TEMPLATE, Size::new(64, 64)).unwrap(), image);
    }

    #[test]
    fn coincident_landmarks_are_refused() {
        let image = gradient(64, 64);
        let same = Landmarks([Point::new(5.0, 5.0); 5]);
        assert!(matches!(crop(&image, &same, &TEMPLATE, Size::new(64, 64)), Err(Error::Landmarks { .. })));
    }

    #[test]
    fn mirroring_twice_is_nothing() {
        let image = gradient(31, 7);
        let once = mirrored(&image).unwrap();
        assert_ne!(once, image);
        assert_eq!(mirrored(&once).unwrap(), image);
    }

    proptest! {
        #[test]
        fn align_undoes_a_known_similarity(scale in 0.3f64..9.0, angle in -3.1f64..3.1, x in 150.0f32..450.0, y in 150.0f32..450.0) {
            let image = &*LARGE;
            let known = Similarity { a: scale * angle.cos(), b: scale * angle.sin(), tx: 0.0, ty: 0.0 };
            let centre = known.apply(Point::new(30.0, 30.0));
            let moved = TEMPLATE.0.map(|p| known.apply(p)).map(|p| Point::new(p.x - centre.x + x, p.y - centre.y + y));
            let cut = crop(image, &Landmarks(moved), &TEMPLATE, Size::new(60, 60)).unwrap();
            for (u, v) in [(30u32, 30u32), (25, 35), (36, 28)] {
                let offset = known.apply(Point::new(u as f32, v as f32));
                let (px, py) = (offset.x - centre.x + x, offset.y - centre.y + y);
                if !(8.0..592.0).contains(&px) || !(8.0..592.0).contains(&py) { continue; }
                let [red, green, _] = cut.pixel(u, v);
                prop_assert!((f32::from(red) - px * 255.0 / 600.0).abs() < 2.0);
                prop_assert!((f32::from(green) - py * 255.0 / 600.0).abs() < 2.0);
            }
        }

        #[test]
        fn any_landmarks_give_a_crop_or_an_error(points in proptest::collection::vec((-1e6f32..1e6, -1e6f32..1e6), 5)) {
            let landmarks = Landmarks(std::array::from_fn(|k| Point::new(points[k].0, points[k].1)));
            if let Ok(cut) = crop(&gradient(40, 30), &landmarks, &TEMPLATE, Size::new(60, 60)) {
                prop_assert_eq!(cut.size(), Size::new(60, 60));
            }
        }
    }
}
