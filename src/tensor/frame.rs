//! Where a resized picture lies in a larger input, and the way back.

use super::{Scaling, Tensor};
use crate::geometry::{BBox, Landmarks, Point, Size};

/// Where a resized picture lies in an input; the picture must fit into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Size of the resized picture, pixels of the input.
    pub picture: Size,
    /// Size of the input, pixels.
    pub canvas: Size,
    /// Columns to the left of the picture.
    pub left: u32,
    /// Rows above the picture.
    pub top: u32,
}

impl Frame {
    /// The picture fills the input.
    pub fn filled(size: Size) -> Self {
        Self { picture: size, canvas: size, left: 0, top: 0 }
    }

    /// A picture whose long side has `long_side` pixels with its margin, a fraction of its own sides on each side of it,
    /// in the smallest input whose sides are multiples of `multiple`.
    pub fn around(image: Size, long_side: u32, margin: f64, multiple: u32) -> Self {
        let longest = f64::from(image.width.max(image.height));
        let scale = f64::from(long_side) / (longest * (1.0 + 2.0 * margin));
        let side = |length: u32, times: f64| (f64::from(length) * scale * times).round().max(1.0) as u32;
        let picture = Size::new(side(image.width, 1.0), side(image.height, 1.0));
        let whole = Size::new(side(image.width, 1.0 + 2.0 * margin), side(image.height, 1.0 + 2.0 * margin));
        let padded = |length: u32| length.div_ceil(multiple) * multiple;
        Self {
            picture,
            canvas: Size::new(padded(whole.width), padded(whole.height)),
            left: (whole.width - picture.width) / 2,
            top: (whole.height - picture.height) / 2,
        }
    }

    /// Pixels of the original to one of the input, across and down.
    fn scale(&self, image: Size) -> (f32, f32) {
        let scale = |original: u32, there: u32| original as f32 / there as f32;
        (scale(image.width, self.picture.width), scale(image.height, self.picture.height))
    }

    /// A point of the input in the original picture.
    pub fn original_point(&self, image: Size, point: Point) -> Point {
        let (across, down) = self.scale(image);
        Point::new((point.x - self.left as f32) * across, (point.y - self.top as f32) * down)
    }

    /// A box of the input in the original picture.
    pub fn original_box(&self, image: Size, bbox: BBox) -> BBox {
        let upper = self.original_point(image, Point::new(bbox.x1, bbox.y1));
        let lower = self.original_point(image, Point::new(bbox.x2, bbox.y2));
        BBox::new(upper.x, upper.y, lower.x, lower.y)
    }

    /// Points of the input in the original picture.
    pub fn original_landmarks(&self, image: Size, landmarks: Landmarks) -> Landmarks {
        Landmarks(landmarks.0.map(|point| self.original_point(image, point)))
    }

    /// An input that is black all over.
    pub(super) fn black(&self, scaling: Scaling) -> Tensor {
        let mut output = Tensor::zeros(1, self.canvas);
        for planes in output.pictures(self.canvas) {
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
        fn there_and_back_within_a_pixel(
            width in 1u32..5000, height in 1u32..5000, long_side in 32u32..700, margin in 0.0f64..1.5,
            x in 0.0f32..1.0, y in 0.0f32..1.0,
        ) {
            let image = Size::new(width, height);
            let frame = Frame::around(image, long_side, margin, 32);
            prop_assert!(frame.left + frame.picture.width <= frame.canvas.width);
            prop_assert!(frame.top + frame.picture.height <= frame.canvas.height);
            prop_assert!(frame.canvas.width.is_multiple_of(32) && frame.canvas.height.is_multiple_of(32));
            let there = Point::new(
                frame.left as f32 + frame.picture.width as f32 * x,
                frame.top as f32 + frame.picture.height as f32 * y,
            );
            let back = frame.original_point(image, there);
            prop_assert!((back.x - width as f32 * x).abs() < 0.5 && (back.y - height as f32 * y).abs() < 0.5);
        }
    }
}
