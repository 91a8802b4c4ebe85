//! A letterbox: a resized image within a larger input, and the transform back.

use super::{Scaling, Tensor};
use crate::geometry::{BBox, Landmarks, Point, Size};

/// Position of a resized image in an input; the image must fit into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Letterbox {
    /// Size of the resized image, pixels of the input.
    pub picture: Size,
    /// Size of the input, pixels.
    pub canvas: Size,
    /// Columns left of the image.
    pub left: u32,
    /// Rows above the image.
    pub top: u32,
}

impl Letterbox {
    /// Create a letterbox without a border.
    pub fn full(size: Size) -> Self {
        Self { picture: size, canvas: size, left: 0, top: 0 }
    }

    /// Create the smallest letterbox whose sides are multiples of `multiple` for an image whose long side, with a
    /// margin on both ends, has `long_side` pixels. The margin is a fraction of the image's sides.
    pub fn with_margin(image: Size, long_side: u32, margin: f64, multiple: u32) -> Self {
        let longest = f64::from(image.width.max(image.height));
        let scale = f64::from(long_side) / (longest * (1.0 + 2.0 * margin));
        let side = |length: u32, times: f64| (f64::from(length) * scale * times).round().max(1.0) as u32;
        let picture = Size::new(side(image.width, 1.0), side(image.height, 1.0));
        let outer = Size::new(side(image.width, 1.0 + 2.0 * margin), side(image.height, 1.0 + 2.0 * margin));
        let padded = |length: u32| length.div_ceil(multiple) * multiple;
        Self {
            picture,
            canvas: Size::new(padded(outer.width), padded(outer.height)),
            left: (outer.width - picture.width) / 2,
            top: (outer.height - picture.height) / 2,
        }
    }

    /// Pixels of the original per pixel of the input, horizontally and vertically.
    fn scale(&self, image: Size) -> (f32, f32) {
        let scale = |original: u32, resized: u32| original as f32 / resized as f32;
        (scale(image.width, self.picture.width), scale(image.height, self.picture.height))
    }

    /// Map a point of the input to the original image.
    pub fn original_point(&self, image: Size, point: Point) -> Point {
        let (across, down) = self.scale(image);
        Point::new((point.x - self.left as f32) * across, (point.y - self.top as f32) * down)
    }

    /// Map a box of the input to the original image.
    pub fn original_box(&self, image: Size, bbox: BBox) -> BBox {
        let upper = self.original_point(image, Point::new(bbox.x1, bbox.y1));
        let lower = self.original_point(image, Point::new(bbox.x2, bbox.y2));
        BBox::new(upper.x, upper.y, lower.x, lower.y)
    }

    /// Map landmarks of the input to the original image.
    pub fn original_landmarks(&self, image: Size, landmarks: Landmarks) -> Landmarks {
        Landmarks(landmarks.0.map(|point| self.original_point(image, point)))
    }

    /// Create a black input.
    pub(super) fn black(&self, scaling: Scaling) -> Tensor {
        let mut output = Tensor::zeros(1, self.canvas);
        for planes in output.planes(self.canvas) {
            for channel in 0..3 {
                planes[scaling.plane[channel]].fill(scaling.offset[channel]);
            }
        }
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn mapping_back_is_within_half_a_pixel(
            width in 1u32..5000, height in 1u32..5000, long_side in 32u32..700, margin in 0.0f64..1.5,
            x in 0.0f32..1.0, y in 0.0f32..1.0,
        ) {
            let image = Size::new(width, height);
            let letterbox = Letterbox::with_margin(image, long_side, margin, 32);
            prop_assert!(letterbox.left + letterbox.picture.width <= letterbox.canvas.width);
            prop_assert!(letterbox.top + letterbox.picture.height <= letterbox.canvas.height);
            prop_assert!(letterbox.canvas.width.is_multiple_of(32) && letterbox.canvas.height.is_multiple_of(32));
            let there = Point::new(
                letterbox.left as f32 + letterbox.picture.width as f32 * x,
                letterbox.top as f32 + letterbox.picture.height as f32 * y,
            );
            let back = letterbox.original_point(image, there);
            prop_assert!((back.x - width as f32 * x).abs() < 0.5 && (back.y - height as f32 * y).abs() < 0.5);
        }
    }
}
