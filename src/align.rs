//! Image + landmarks → crop: the face, rotated, scaled and shifted so that its five points lie on a template.
//!
//! The transform is the least-squares similarity; the sampling is bilinear with black outside the image, like
//! `warpAffine` of OpenCV, on which the ArcFace family was trained. One intended difference: a face more than twice as
//! large as the crop is first reduced by an integer factor by averaging, because bilinear sampling would skip pixels.

use crate::error::{Error, Result};
use crate::geometry::{Landmarks, Similarity, Size};
use crate::image::{self, Image};

/// Compute the transform from the image's landmarks to the template.
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

/// Cut the crop that a transform defines.
pub fn cut(image: &Image, crop_from_image: Similarity, size: Size) -> Result<Image> {
    image::warp(image, crop_from_image.inverse(), size)
}

/// Flip a crop horizontally.
pub fn mirror(crop: &Image) -> Result<Image> {
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

    /// A smooth image whose colours give the position: red x, green y.
    fn gradient(width: u32, height: u32) -> Image {
        let ramp = |at: u32, length: u32| (at * 255 / length.max(2)) as u8;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| [ramp(x, width), ramp(y, height), 0]));
        Image::from_rgb(Size::new(width, height), pixels.flatten().collect()).unwrap()
    }

    #[test]
    fn landmarks_on_the_template_give_an_unchanged_crop() {
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
    fn mirroring_twice_gives_the_original() {
        let image = gradient(31, 7);
        let once = mirror(&image).unwrap();
        assert_ne!(once, image);
        assert_eq!(mirror(&once).unwrap(), image);
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
