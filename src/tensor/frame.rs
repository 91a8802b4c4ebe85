//! The whole picture, resized, somewhere in a larger input.

use super::area::area_framed;
use super::letterbox::interpolated;
use super::{Scaling, Tensor};
use crate::geometry::{BBox, Landmarks, Point, Size};
use crate::image::Image;
use crate::pack::InputSpec;

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

/// The picture in each frame, black elsewhere → 1 × 3 × height × width of its canvas.
///
/// Shrunk by area, so that no pixel goes unseen, and enlarged by bilinear interpolation; all frames into which it is
/// shrunk share one pass over the picture.
pub fn framed(image: &Image, frames: &[Frame], spec: &InputSpec) -> Vec<Tensor> {
    let shrinks = |frame: &Frame| frame.picture.width <= image.width() && frame.picture.height <= image.height();
    let smaller: Vec<Frame> = frames.iter().copied().filter(shrinks).collect();
    let mut averaged = if smaller.is_empty() { Vec::new() } else { area_framed(image, &smaller, spec) }.into_iter();
    let tensor = |frame: &Frame| {
        let averaged = if shrinks(frame) { averaged.next() } else { None };
        averaged.unwrap_or_else(|| interpolated(image, *frame, spec))
    };
    frames.iter().map(tensor).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{picture, spec};
    use super::*;
    use crate::pack::Colour;
    use proptest::prelude::*;

    #[test]
    fn the_picture_lies_in_its_frame_and_black_round_it() {
        let image = picture(8, 6);
        let frame = Frame { picture: Size::new(4, 3), canvas: Size::new(9, 7), left: 2, top: 3 };
        let larger = Frame { picture: Size::new(16, 12), canvas: Size::new(32, 32), left: 5, top: 1 };
        let framed = framed(&image, &[frame, larger, frame], &spec(Colour::Rgb));
        assert_eq!(framed[0], framed[2]);
        let black = -127.5 / 128.0;
        for (tensor, frame) in framed.iter().zip([frame, larger]) {
            let plain = if frame == larger {
                interpolated(&image, Frame::filled(frame.picture), &spec(Colour::Rgb))
            } else {
                area_framed(&image, &[Frame::filled(frame.picture)], &spec(Colour::Rgb)).remove(0)
            };
            for y in 0..frame.canvas.height {
                for x in 0..frame.canvas.width {
                    let (inside_x, inside_y) = (x.wrapping_sub(frame.left), y.wrapping_sub(frame.top));
                    let inside = inside_x < frame.picture.width && inside_y < frame.picture.height;
                    for channel in 0..3 {
                        let value = tensor[[0, channel, y as usize, x as usize]];
                        let expected =
                            if inside { plain[[0, channel, inside_y as usize, inside_x as usize]] } else { black };
                        assert!((value - expected).abs() < 1e-6, "{x}, {y}");
                    }
                }
            }
        }
    }

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
