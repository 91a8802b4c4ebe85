//! How large a picture goes into a detector's input, and the way back.

use crate::geometry::{BBox, Landmarks, Size};
use crate::pack::{InputSpec, SizeSpec};

/// How a detector's input is filled.
#[derive(Debug, Clone, Copy)]
pub enum Filling {
    /// The input has one size; the picture keeps its aspect and lies in the upper left.
    Fixed(Size),
    /// The input has one size; the picture is stretched over all of it.
    Stretched(Size),
    /// The input grows with the picture, to a multiple of some pixels.
    Free(SizeSpec, u32),
}

/// A picture in an input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Size of the picture there, pixels.
    pub picture: Size,
    /// Size of the input, pixels.
    pub input: Size,
    /// Pixels of the original to one of the input, across and down.
    scale: (f32, f32),
}

impl Filling {
    /// The filling that a manifest declares: its size is given where the network has none, as `check` has seen.
    pub fn declared(input: &InputSpec, size: Option<SizeSpec>, multiple: u32) -> Self {
        match size {
            Some(size) => Self::Free(size, multiple),
            None => Self::Fixed(input.size().unwrap_or(Size::new(multiple, multiple))),
        }
    }

    /// The input for a picture in which faces of `min_face` pixels are wanted.
    pub fn fit(self, image: Size, min_face: Option<u32>) -> Fit {
        let (picture, input) = match self {
            Self::Stretched(input) => (input, input),
            Self::Fixed(input) => (inside(image, input), input),
            Self::Free(size, multiple) => {
                let long_side = long_side(size, image.width.max(image.height), min_face);
                let picture = inside(image, Size::new(long_side, long_side));
                let padded = |side: u32| side.div_ceil(multiple) * multiple;
                (picture, Size::new(padded(picture.width), padded(picture.height)))
            }
        };
        let scale = |original: u32, there: u32| original as f32 / there as f32;
        Fit { picture, input, scale: (scale(image.width, picture.width), scale(image.height, picture.height)) }
    }
}

impl Fit {
    /// A box of the input in the original.
    pub fn original_box(&self, bbox: BBox) -> BBox {
        bbox.scaled(self.scale.0, self.scale.1)
    }

    /// Points of the input in the original.
    pub fn original_landmarks(&self, landmarks: Landmarks) -> Landmarks {
        landmarks.scaled(self.scale.0, self.scale.1)
    }
}

/// The long side of the picture in the input: as declared, no larger than the original unless the manifest enlarges,
/// but so large that a face of `min_face` pixels reaches the smallest that the network finds.
fn long_side(size: SizeSpec, original: u32, min_face: Option<u32>) -> u32 {
    let usual = if size.enlarge { size.long_side } else { size.long_side.min(original) };
    let needed = min_face.map_or(0, |face| {
        let side = u64::from(original) * u64::from(size.smallest_face);
        u32::try_from(side.div_ceil(u64::from(face.max(1)))).unwrap_or(u32::MAX)
    });
    usual.max(needed).min(size.max_long_side)
}

/// The largest size of a picture's aspect in a frame; sides are cut to whole pixels, as `InsightFace` does it.
fn inside(image: Size, frame: Size) -> Size {
    let aspect = f64::from(image.height) / f64::from(image.width);
    if aspect > f64::from(frame.height) / f64::from(frame.width) {
        Size::new(((f64::from(frame.height) / aspect) as u32).max(1), frame.height)
    } else {
        Size::new(frame.width, ((f64::from(frame.width) * aspect) as u32).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: SizeSpec = SizeSpec { long_side: 640, max_long_side: 1920, smallest_face: 16, enlarge: false };

    fn fit(width: u32, height: u32, min_face: Option<u32>) -> (Size, Size) {
        let fit = Filling::Free(SIZE, 32).fit(Size::new(width, height), min_face);
        (fit.picture, fit.input)
    }

    #[test]
    fn the_long_side_is_as_declared_and_the_input_a_multiple() {
        assert_eq!(fit(1280, 886, None), (Size::new(640, 443), Size::new(640, 448)));
        assert_eq!(fit(886, 1280, None), (Size::new(443, 640), Size::new(448, 640)));
        assert_eq!(fit(250, 200, None), (Size::new(250, 200), Size::new(256, 224)));
        assert_eq!(fit(1, 30_000, None), (Size::new(1, 640), Size::new(32, 640)));
        let enlarged = Filling::Free(SizeSpec { enlarge: true, ..SIZE }, 32).fit(Size::new(250, 200), None);
        assert_eq!(enlarged.picture, Size::new(640, 512));
    }

    #[test]
    fn a_small_minimum_face_raises_it_only_as_far_as_needed() {
        assert_eq!(fit(1280, 960, Some(16)).0, Size::new(1280, 960));
        assert_eq!(fit(1280, 960, Some(20)).0, Size::new(1024, 768));
        assert_eq!(fit(1280, 960, Some(200)).0, Size::new(640, 480));
        assert_eq!(fit(250, 250, Some(8)).0, Size::new(500, 500));
        assert_eq!(fit(4000, 3000, Some(1)).0, Size::new(1920, 1440));
    }

    #[test]
    fn a_fixed_input_holds_the_whole_picture() {
        let fixed = Filling::Fixed(Size::new(320, 256));
        assert_eq!(fixed.fit(Size::new(1000, 1000), None).picture, Size::new(256, 256));
        assert_eq!(fixed.fit(Size::new(3000, 100), Some(1)).picture, Size::new(320, 10));
        let stretched = Filling::Stretched(Size::new(320, 240)).fit(Size::new(100, 900), None);
        assert_eq!(stretched.picture, Size::new(320, 240));
        assert_eq!(stretched.original_box(BBox::new(0.0, 0.0, 320.0, 240.0)), BBox::new(0.0, 0.0, 100.0, 900.0));
    }

    proptest! {
        #[test]
        fn there_and_back_within_half_a_pixel(
            width in 1u32..5000, height in 1u32..5000, min_face in proptest::option::of(1u32..500),
            x in 0.0f32..1.0, y in 0.0f32..1.0, fixed: bool, enlarge: bool,
        ) {
            let free = Filling::Free(SizeSpec { enlarge, ..SIZE }, 32);
            let filling = if fixed { Filling::Fixed(Size::new(640, 320)) } else { free };
            let fit = filling.fit(Size::new(width, height), min_face);
            prop_assert!(fit.picture.width <= fit.input.width && fit.picture.height <= fit.input.height);
            prop_assert!(fit.picture.width > 0 && fit.picture.height > 0);
            let there = (fit.picture.width as f32 * x, fit.picture.height as f32 * y);
            let back = fit.original_box(BBox::new(there.0, there.1, there.0, there.1));
            prop_assert!((back.x1 - width as f32 * x).abs() < 0.5 && (back.y1 - height as f32 * y).abs() < 0.5);
        }
    }
}
