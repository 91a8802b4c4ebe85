//! How an image is resized to a detector's input.

use crate::geometry::Size;
use crate::pack::{InputSpec, SizeSpec};
use crate::tensor::Letterbox;

/// How a detector's input is filled.
#[derive(Debug, Clone, Copy)]
pub enum Resize {
    /// The input has a fixed size; the image keeps its aspect ratio and lies in the upper left.
    Fixed(Size),
    /// The input has a fixed size; the image is stretched to it.
    Stretched(Size),
    /// The input grows with the image, to a multiple of some pixels.
    Dynamic(SizeSpec, u32),
}

impl Resize {
    /// Choose what a manifest declares: it gives a size for a network whose input has none.
    pub fn declared(input: &InputSpec, size: Option<SizeSpec>, multiple: u32) -> Self {
        match size {
            Some(size) => Self::Dynamic(size, multiple),
            None => Self::Fixed(input.size().unwrap_or(Size::new(multiple, multiple))),
        }
    }

    /// The letterbox for an image in which faces of `min_face` pixels must be found.
    pub fn letterbox(self, image: Size, min_face: Option<u32>) -> Letterbox {
        let (picture, canvas) = match self {
            Self::Stretched(input) => (input, input),
            Self::Fixed(input) => (inside(image, input), input),
            Self::Dynamic(size, multiple) => {
                let long_side = long_side(size, image.width.max(image.height), min_face);
                let picture = inside(image, Size::new(long_side, long_side));
                let padded = |side: u32| side.div_ceil(multiple) * multiple;
                (picture, Size::new(padded(picture.width), padded(picture.height)))
            }
        };
        Letterbox { picture, canvas, left: 0, top: 0 }
    }
}

/// The long side of the image in the input: as declared, at most that of the original unless the manifest enlarges, but
/// large enough that a face of `min_face` pixels reaches the smallest size that the network finds.
fn long_side(size: SizeSpec, original: u32, min_face: Option<u32>) -> u32 {
    let usual = if size.enlarge { size.long_side } else { size.long_side.min(original) };
    let needed = min_face.map_or(0, |face| {
        let side = u64::from(original) * u64::from(size.smallest_face);
        u32::try_from(side.div_ceil(u64::from(face.max(1)))).unwrap_or(u32::MAX)
    });
    usual.max(needed).min(size.max_long_side)
}

/// The largest size with an image's aspect ratio in a canvas; sides are truncated to whole pixels, as in `InsightFace`.
fn inside(image: Size, canvas: Size) -> Size {
    let aspect = f64::from(image.height) / f64::from(image.width);
    if aspect > f64::from(canvas.height) / f64::from(canvas.width) {
        Size::new(((f64::from(canvas.height) / aspect) as u32).max(1), canvas.height)
    } else {
        Size::new(canvas.width, ((f64::from(canvas.width) * aspect) as u32).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{BBox, Point};
    use proptest::prelude::*;

    const SIZE: SizeSpec = SizeSpec { long_side: 640, max_long_side: 1920, smallest_face: 16, enlarge: false };

    fn sizes(width: u32, height: u32, min_face: Option<u32>) -> (Size, Size) {
        let letterbox = Resize::Dynamic(SIZE, 32).letterbox(Size::new(width, height), min_face);
        (letterbox.picture, letterbox.canvas)
    }

    #[test]
    fn the_long_side_is_as_declared_and_the_input_a_multiple() {
        assert_eq!(sizes(1280, 886, None), (Size::new(640, 443), Size::new(640, 448)));
        assert_eq!(sizes(886, 1280, None), (Size::new(443, 640), Size::new(448, 640)));
        assert_eq!(sizes(250, 200, None), (Size::new(250, 200), Size::new(256, 224)));
        assert_eq!(sizes(1, 30_000, None), (Size::new(1, 640), Size::new(32, 640)));
        let enlarged = Resize::Dynamic(SizeSpec { enlarge: true, ..SIZE }, 32).letterbox(Size::new(250, 200), None);
        assert_eq!(enlarged.picture, Size::new(640, 512));
    }

    #[test]
    fn a_small_minimum_face_raises_it_only_as_far_as_needed() {
        assert_eq!(sizes(1280, 960, Some(16)).0, Size::new(1280, 960));
        assert_eq!(sizes(1280, 960, Some(20)).0, Size::new(1024, 768));
        assert_eq!(sizes(1280, 960, Some(200)).0, Size::new(640, 480));
        assert_eq!(sizes(250, 250, Some(8)).0, Size::new(500, 500));
        assert_eq!(sizes(4000, 3000, Some(1)).0, Size::new(1920, 1440));
    }

    #[test]
    fn a_fixed_input_holds_the_full_image() {
        let fixed = Resize::Fixed(Size::new(320, 256));
        assert_eq!(fixed.letterbox(Size::new(1000, 1000), None).picture, Size::new(256, 256));
        assert_eq!(fixed.letterbox(Size::new(3000, 100), Some(1)).picture, Size::new(320, 10));
        let image = Size::new(100, 900);
        let stretched = Resize::Stretched(Size::new(320, 240)).letterbox(image, None);
        assert_eq!(stretched.picture, Size::new(320, 240));
        assert_eq!(stretched.original_box(image, BBox::new(0.0, 0.0, 320.0, 240.0)), BBox::new(0.0, 0.0, 100.0, 900.0));
    }

    proptest! {
        #[test]
        fn mapping_back_is_within_half_a_pixel(
            width in 1u32..5000, height in 1u32..5000, min_face in proptest::option::of(1u32..500),
            x in 0.0f32..1.0, y in 0.0f32..1.0, fixed: bool, enlarge: bool,
        ) {
            let dynamic = Resize::Dynamic(SizeSpec { enlarge, ..SIZE }, 32);
            let resize = if fixed { Resize::Fixed(Size::new(640, 320)) } else { dynamic };
            let letterbox = resize.letterbox(Size::new(width, height), min_face);
            let (picture, canvas) = (letterbox.picture, letterbox.canvas);
            prop_assert!(picture.width <= canvas.width && picture.height <= canvas.height);
            prop_assert!(picture.width > 0 && picture.height > 0);
            let there = Point::new(picture.width as f32 * x, picture.height as f32 * y);
            let back = letterbox.original_point(Size::new(width, height), there);
            prop_assert!((back.x - width as f32 * x).abs() < 0.5 && (back.y - height as f32 * y).abs() < 0.5);
        }
    }
}
