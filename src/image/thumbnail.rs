//! Image and box of a face → a small JPEG file of the face and its close surroundings.
//!
//! The square is twice the longer side of the box, shifted inside the image and at most its shorter side, so that most
//! other people are left out. Without a box it is the full image. Pixels are averaged by area, never enlarged. Refused:
//! a box that is not finite.

use ::image::codecs::jpeg::JpegEncoder;
use ::image::imageops::{crop_imm, thumbnail};
use ::image::{ImageBuffer, Rgb};

use super::Image;
use crate::geometry::{BBox, Size};
use crate::{Error, Result};

/// Maximum side, pixels: for lists and forms, on screens of two pixels per point.
const MAX_SIDE: u32 = 224;

/// Side of the square as a multiple of the box's longer side.
const MARGIN: f32 = 2.0;

/// JPEG quality, of 100, at which a face shows no blocks.
const QUALITY: u8 = 85;

impl Image {
    /// Encode the square around a face, or the full image, as a small JPEG file; returns the file and its size.
    pub fn thumbnail(&self, bbox: Option<BBox>) -> Result<(Vec<u8>, Size)> {
        let (x, y, part) = match bbox {
            Some(bbox) => square(self.size(), bbox)?,
            None => (0, 0, self.size()),
        };
        let longest = part.width.max(part.height).max(1);
        let scaled = |side: u32| {
            let shown = u64::from(side) * u64::from(MAX_SIDE.min(longest)) / u64::from(longest);
            (shown as u32).max(1)
        };
        let size = Size::new(scaled(part.width), scaled(part.height));
        let refused = |reason: String| Error::ImageUnsupported { format: "JPEG", reason };
        let pixels: ImageBuffer<Rgb<u8>, &[u8]> = ImageBuffer::from_raw(self.width(), self.height(), self.data())
            .ok_or_else(|| refused(format!("{} pixels have too few bytes", self.size())))?;
        let small = thumbnail(&*crop_imm(&pixels, x, y, part.width, part.height), size.width, size.height);
        let mut file = Vec::new();
        JpegEncoder::new_with_quality(&mut file, QUALITY)
            .encode_image(&small)
            .map_err(|error| refused(error.to_string()))?;
        Ok((file, size))
    }
}

/// Compute the square around a face: its upper left corner and its size.
fn square(image: Size, bbox: BBox) -> Result<(u32, u32, Size)> {
    let centre = bbox.centre();
    let side = MARGIN * bbox.longer_side();
    if !(centre.x.is_finite() && centre.y.is_finite() && side.is_finite()) {
        let found = format!("{bbox:?}");
        return Err(Error::Argument { name: "bbox", accepted: "four finite numbers".to_string(), found });
    }
    let side = (side.round().max(1.0) as u32).min(image.short_side());
    let start = |centre: f32, length: u32| ((centre - side as f32 / 2.0).round().max(0.0) as u32).min(length - side);
    Ok((start(centre.x, image.width), start(centre.y, image.height), Size::new(side, side)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::{DecodeOptions, decode};
    use super::*;

    /// Red gives the column, green the row.
    fn ramp(width: u32, height: u32) -> Image {
        let pixel = |index: u32| [(index % width * 255 / width) as u8, (index / width * 255 / height) as u8, 90];
        Image::from_rgb(Size::new(width, height), (0..width * height).flat_map(pixel).collect()).unwrap()
    }

    #[test]
    fn a_thumbnail_shows_twice_the_box_about_its_centre() {
        let image = ramp(1000, 800);
        let (file, size) = image.thumbnail(Some(BBox::new(400.0, 300.0, 480.0, 400.0))).unwrap();
        assert_eq!(size, Size::new(200, 200)); // from 340, 250 to 540, 450: not enlarged
        let small = decode(&file, &DecodeOptions::default()).unwrap();
        assert_eq!(small.size(), size);
        for (x, y) in [(2, 3), (100, 100), (197, 30), (50, 196)] {
            let (shown, there) = (small.pixel(x, y), image.pixel(340 + x, 250 + y));
            assert!(shown.iter().zip(there).all(|(a, b)| a.abs_diff(b) <= 6), "{x}, {y}: {shown:?}, {there:?}");
        }
    }

    #[test]
    fn a_large_face_is_averaged_and_a_face_at_the_edge_stays_inside() {
        let image = ramp(1000, 800);
        let (file, size) = image.thumbnail(Some(BBox::new(700.0, -50.0, 1100.0, 400.0))).unwrap();
        assert_eq!(size, Size::new(224, 224)); // from 200, 0 to 1000, 800
        let small = decode(&file, &DecodeOptions::default()).unwrap();
        for (x, y) in [(4, 4), (220, 10), (112, 150)] {
            let (shown, there) = (small.pixel(x, y), image.pixel(200 + x * 800 / 224, y * 800 / 224));
            assert!(shown.iter().zip(there).all(|(a, b)| a.abs_diff(b) <= 6), "{x}, {y}: {shown:?}, {there:?}");
        }
    }

    #[test]
    fn without_a_box_the_full_image_is_shown() {
        assert_eq!(ramp(900, 300).thumbnail(None).unwrap().1, Size::new(224, 74));
        assert_eq!(ramp(30, 20).thumbnail(None).unwrap().1, Size::new(30, 20));
        assert_eq!(ramp(2000, 1).thumbnail(None).unwrap().1, Size::new(224, 1));
    }

    #[test]
    fn a_box_that_is_not_finite_is_refused() {
        for value in [f32::NAN, f32::INFINITY] {
            let refused = ramp(20, 20).thumbnail(Some(BBox::new(0.0, 0.0, value, 5.0))).unwrap_err();
            assert!(matches!(refused, Error::Argument { name: "bbox", .. }), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn every_box_gives_a_square_inside_the_image(
            width in 1_u32..90, height in 1_u32..90,
            x in -1e4_f32..1e4, y in -1e4_f32..1e4, w in -1e3_f32..1e4, h in -1e3_f32..1e4,
        ) {
            let (file, size) = ramp(width, height).thumbnail(Some(BBox::new(x, y, x + w, y + h))).unwrap();
            prop_assert_eq!(size.width, size.height);
            prop_assert!(size.width <= width.min(height));
            prop_assert_eq!(decode(&file, &DecodeOptions::default()).unwrap().size(), size);
        }
    }
}
