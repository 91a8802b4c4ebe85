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
    let image_from_crop = crop_from_image(landmarks, template)?.inverse();
    let factor = image_from_crop.scale().min(f64::from(image.size().short_side().min(LARGEST_BLOCK))) as u32;
    if factor < 2 {
        return warp(image, image_from_crop, size);
    }
    let (region, shrunk_from_image) = shrunk(image, image_from_crop, size, factor)?;
    warp(&region, after(shrunk_from_image, image_from_crop), size)
}

/// Bilinear samples of a picture at the places of the crop's pixels.
fn warp(image: &Image, image_from_crop: Similarity, size: Size) -> Result<Image> {
    let mut data = vec![0; size.pixels() as usize * 3];
    let Similarity { a, b, .. } = image_from_crop;
    for (v, row) in data.chunks_exact_mut(size.width as usize * 3).enumerate() {
        let (start_x, start_y) = image_from_crop.apply_f64(0.0, v as f64);
        for (u, pixel) in row.chunks_exact_mut(3).enumerate() {
            let u = u as f64;
            pixel.copy_from_slice(&sample(image, (start_x + a * u) as f32, (start_y + b * u) as f32));
        }
    }
    Image::from_rgb(size, data)
}

/// The picture at a place between pixels; black where it ends.
fn sample(image: &Image, x: f32, y: f32) -> [u8; 3] {
    let (width, height) = (image.width() as i32, image.height() as i32);
    if x >= 0.0 && y >= 0.0 && x < (width - 1) as f32 && y < (height - 1) as f32 {
        let (left, top) = (x as i32, y as i32);
        let stride = width as usize * 3;
        let start = top as usize * stride + left as usize * 3;
        let upper: &[u8; 6] = image.data()[start..].first_chunk().unwrap_or(&[0; 6]);
        let lower: &[u8; 6] = image.data()[start + stride..].first_chunk().unwrap_or(&[0; 6]);
        return mix(*upper, *lower, x - left as f32, y - top as f32);
    }
    // Saturating casts: a place far outside stays outside.
    let (left, top) = (x.floor() as i32, y.floor() as i32);
    if left < -1 || top < -1 || left >= width || top >= height {
        return [0; 3];
    }
    let two = |y: i32| {
        let at = |x: i32| {
            if x < 0 || y < 0 || x >= width || y >= height { [0; 3] } else { image.pixel(x as u32, y as u32) }
        };
        let ([a, b, c], [d, e, f]) = (at(left), at(left + 1));
        [a, b, c, d, e, f]
    };
    mix(two(top), two(top + 1), x - x.floor(), y - y.floor())
}

/// Between four pixels, two of an upper and two of a lower row.
fn mix(upper: [u8; 6], lower: [u8; 6], right_part: f32, low_part: f32) -> [u8; 3] {
    let (upper, lower) = (upper.map(f32::from), lower.map(f32::from));
    std::array::from_fn(|channel| {
        let across = |row: [f32; 6]| row[channel] + (row[channel + 3] - row[channel]) * right_part;
        let (upper, lower) = (across(upper), across(lower));
        (upper + (lower - upper) * low_part + 0.5) as u8
    })
}

/// The part of the picture that a crop sees, averaged over squares of `factor` pixels, and the way into it.
fn shrunk(image: &Image, image_from_crop: Similarity, size: Size, factor: u32) -> Result<(Image, Similarity)> {
    let (right, low) = (f64::from(size.width), f64::from(size.height));
    let corners = [(0.0, 0.0), (right, 0.0), (0.0, low), (right, low)].map(|(x, y)| image_from_crop.apply_f64(x, y));
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
    let (block, area) = (factor as usize * 3, factor * factor);
    let (stride, start) = (image.width() as usize * 3, x0 as usize * 3);
    let lines = image.data().chunks_exact(stride).skip(y0 as usize).map(|line| &line[start..]);
    let mut lines = lines.take((rows * factor) as usize);
    let mut data = Vec::with_capacity((columns * rows * 3) as usize);
    let mut sums = vec![[0u32; 3]; columns as usize];
    for _ in 0..rows {
        sums.fill([area / 2; 3]);
        for line in lines.by_ref().take(factor as usize) {
            for (sum, pixels) in sums.iter_mut().zip(line.chunks_exact(block)) {
                for pixel in pixels.chunks_exact(3) {
                    for (total, &value) in sum.iter_mut().zip(pixel) {
                        *total += u32::from(value);
                    }
                }
            }
        }
        data.extend(sums.iter().flat_map(|sum| sum.map(|total| (total / area) as u8)));
    }
    let step = 1.0 / f64::from(factor);
    let middle = f64::from(factor - 1) / 2.0;
    let shift = |start: u32| -(f64::from(start) + middle) * step;
    let shrunk_from_image = Similarity { a: step, b: 0.0, tx: shift(x0), ty: shift(y0) };
    Ok((Image::from_rgb(Size::new(columns, rows), data)?, shrunk_from_image))
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

    const TEMPLATE: Landmarks = Landmarks([
        Point { x: 20.0, y: 20.0 },
        Point { x: 40.0, y: 20.0 },
        Point { x: 30.0, y: 32.0 },
        Point { x: 22.0, y: 44.0 },
        Point { x: 38.0, y: 44.0 },
    ]);

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
            let image = gradient(600, 600);
            let known = Similarity { a: scale * angle.cos(), b: scale * angle.sin(), tx: 0.0, ty: 0.0 };
            let centre = known.apply(Point::new(30.0, 30.0));
            let moved = TEMPLATE.0.map(|p| known.apply(p)).map(|p| Point::new(p.x - centre.x + x, p.y - centre.y + y));
            let cut = crop(&image, &Landmarks(moved), &TEMPLATE, Size::new(60, 60)).unwrap();
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
