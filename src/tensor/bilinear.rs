//! The full image, resized and letterboxed in a detector's input.

use super::area::fill_by_area;
use super::{Letterbox, Scaling, Tensor};
use crate::image::Image;
use crate::pack::InputSpec;

/// Sum of the weights of two neighbours, in fixed point.
const ONE: i32 = 1 << 11;

/// Resize the image by bilinear interpolation into a letterbox → 1 × 3 × height × width of the canvas.
///
/// Bit for bit like `resize` of OpenCV with `INTER_LINEAR` on bytes, which these detectors were used with: of several
/// candidates for a face with nearly equal scores the same one wins. Like in OpenCV, shrinking skips pixels. The
/// border is black: the pixel 0, not the value 0.
pub fn fill_bilinear(image: &Image, letterbox: Letterbox, spec: &InputSpec) -> Tensor {
    let scaling = Scaling::of(spec);
    let mut output = letterbox.black(scaling);
    let (width, stride) = (letterbox.picture.width as usize, letterbox.canvas.width as usize);
    let columns = samples(image.width(), letterbox.picture.width);
    let rows = samples(image.height(), letterbox.picture.height);
    let source = |row: usize| &image.data()[row * image.width() as usize * 3..][..image.width() as usize * 3];
    let (mut upper, mut lower) = (Row::new(width), Row::new(width));
    let start = letterbox.top as usize * stride + letterbox.left as usize;
    for planes in output.planes(letterbox.canvas) {
        for (y, row) in rows.iter().enumerate() {
            if lower.number == Some(row.low) {
                std::mem::swap(&mut upper, &mut lower);
            }
            upper.resize(row.low, source(row.low), &columns);
            lower.resize(row.high, source(row.high), &columns);
            for channel in 0..3 {
                let (factor, offset) = (scaling.factor[channel], scaling.offset[channel]);
                let values = &mut planes[scaling.plane[channel]][start + y * stride..][..width];
                let (upper, lower) = (&upper.channels[channel], &lower.channels[channel]);
                for ((value, &upper), &lower) in values.iter_mut().zip(upper).zip(lower) {
                    // Round like OpenCV: drop four bits before the product, sixteen after it, the last two to nearest.
                    let sum = ((row.weights[0] * (upper >> 4)) >> 16) + ((row.weights[1] * (lower >> 4)) >> 16);
                    *value = ((sum + 2) >> 2) as f32 * factor + offset;
                }
            }
        }
    }
    output
}

/// Resize the image into each letterbox → 1 × 3 × height × width of its canvas.
///
/// Shrinks by area average, so that every pixel counts, and enlarges by bilinear interpolation. All letterboxes into
/// which the image shrinks share one pass over its pixels.
pub fn fill_letterboxes(image: &Image, letterboxes: &[Letterbox], spec: &InputSpec) -> Vec<Tensor> {
    let shrinks = |to: &Letterbox| to.picture.width <= image.width() && to.picture.height <= image.height();
    let smaller: Vec<Letterbox> = letterboxes.iter().copied().filter(shrinks).collect();
    let mut averaged = if smaller.is_empty() { Vec::new() } else { fill_by_area(image, &smaller, spec) }.into_iter();
    let tensor = |letterbox: &Letterbox| {
        let averaged = if shrinks(letterbox) { averaged.next() } else { None };
        averaged.unwrap_or_else(|| fill_bilinear(image, *letterbox, spec))
    };
    letterboxes.iter().map(tensor).collect()
}

/// One row of the image, resized horizontally, its channels apart, times `ONE`.
struct Row {
    number: Option<usize>,
    channels: [Vec<i32>; 3],
}

impl Row {
    fn new(width: usize) -> Self {
        Self { number: None, channels: std::array::from_fn(|_| vec![0; width]) }
    }

    fn resize(&mut self, number: usize, pixels: &[u8], columns: &[Sample]) {
        if self.number == Some(number) {
            return;
        }
        self.number = Some(number);
        let [first, second, third] = &mut self.channels;
        for (((column, first), second), third) in columns.iter().zip(first).zip(second).zip(third) {
            let (left, right) = (&pixels[column.low * 3..][..3], &pixels[column.high * 3..][..3]);
            for (channel, value) in [first, second, third].into_iter().enumerate() {
                let (left, right) = (i32::from(left[channel]), i32::from(right[channel]));
                *value = left * column.weights[0] + right * column.weights[1];
            }
        }
    }
}

/// Two neighbouring pixels and their weights.
#[derive(Debug, Clone, Copy)]
struct Sample {
    low: usize,
    high: usize,
    weights: [i32; 2],
}

/// Locate the `count` output pixels of an axis among its `length` input pixels, clamped at the ends.
fn samples(length: u32, count: u32) -> Vec<Sample> {
    let ratio = 1.0 / (f64::from(count) / f64::from(length));
    let last = length as usize - 1;
    let sample = |k: u32| {
        let at = ((f64::from(k) + 0.5) * ratio - 0.5) as f32;
        let fraction = at - at.floor();
        let weight = |part: f32| (part * ONE as f32).round_ties_even() as i32;
        // The conversion of a negative position saturates to the first pixel.
        let high = ((at.floor() + 1.0) as usize).min(last);
        Sample { low: (at as usize).min(last), high, weights: [weight(1.0 - fraction), weight(fraction)] }
    };
    (0..count).map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::*;
    use crate::geometry::Size;
    use crate::pack::Colour;
    use proptest::prelude::*;

    fn spec(colour: Colour) -> InputSpec {
        InputSpec::new("input", colour, [104.0, 117.0, 123.0], [1.0, 2.0, 4.0])
    }

    fn upper_left(picture: Size, canvas: Size) -> Letterbox {
        Letterbox { picture, canvas, left: 0, top: 0 }
    }

    #[test]
    fn channel_order_mean_and_border_follow_the_input_spec() {
        let image = Image::from_rgb(Size::new(1, 1), vec![200, 100, 50]).unwrap();
        let tensor = fill_bilinear(&image, upper_left(Size::new(2, 1), Size::new(3, 2)), &spec(Colour::Bgr));
        assert_eq!(tensor.shape(), [1, 3, 2, 3]);
        let (blue, green, red) = (50.0 - 104.0, (100.0 - 117.0) / 2.0, (200.0 - 123.0) / 4.0);
        let black = [-104.0, -117.0 / 2.0, -123.0 / 4.0];
        let expected: Vec<f32> = [(blue, black[0]), (green, black[1]), (red, black[2])]
            .into_iter()
            .flat_map(|(value, black)| [value, value, black, black, black, black])
            .collect();
        let differences = tensor.values().iter().zip(&expected).map(|(a, b)| (a - b).abs());
        assert!(differences.fold(0.0, f32::max) < 1e-4, "{:?}", tensor.values());
    }

    #[test]
    fn the_image_lies_in_its_letterbox_with_a_black_border() {
        let image = tests::picture(8, 6);
        let smaller = Letterbox { picture: Size::new(4, 3), canvas: Size::new(9, 7), left: 2, top: 3 };
        let larger = Letterbox { picture: Size::new(16, 12), canvas: Size::new(32, 32), left: 5, top: 1 };
        let filled = fill_letterboxes(&image, &[smaller, larger, smaller], &tests::spec(Colour::Rgb));
        assert_eq!(filled[0], filled[2]);
        let black = -127.5 / 128.0;
        for (tensor, letterbox) in filled.iter().zip([smaller, larger]) {
            let plain = if letterbox == larger {
                fill_bilinear(&image, Letterbox::full(letterbox.picture), &tests::spec(Colour::Rgb))
            } else {
                fill_by_area(&image, &[Letterbox::full(letterbox.picture)], &tests::spec(Colour::Rgb)).remove(0)
            };
            for y in 0..letterbox.canvas.height {
                for x in 0..letterbox.canvas.width {
                    let (inside_x, inside_y) = (x.wrapping_sub(letterbox.left), y.wrapping_sub(letterbox.top));
                    let inside = inside_x < letterbox.picture.width && inside_y < letterbox.picture.height;
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
        fn a_ramp_keeps_its_values(width in 2u32..300, height in 2u32..300, wide in 2u32..300, high in 2u32..300) {
            let ramp = |x: u32, y: u32| [(x % 256) as u8, (y % 256) as u8, 7];
            prop_assume!(width <= 256 && height <= 256);
            let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| ramp(x, y))).collect();
            let image = Image::from_rgb(Size::new(width, height), pixels).unwrap();
            let plain = InputSpec { mean: [0.0; 3], std: [1.0; 3], ..spec(Colour::Rgb) };
            let tensor = fill_bilinear(&image, Letterbox::full(Size::new(wide, high)), &plain);
            let at = |channel: u32, x: u32, y: u32| tensor.values()[((channel * high + y) * wide + x) as usize];
            for (x, y) in [(0, 0), (wide - 1, high - 1), (wide / 2, high / 3)] {
                // The value of a ramp is its position.
                let position = |k: u32, from: u32, to: u32| {
                    ((k as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32)
                };
                prop_assert!((at(0, x, y) - position(x, width, wide)).abs() < 0.8);
                prop_assert!((at(1, x, y) - position(y, height, high)).abs() < 0.8);
                prop_assert!((at(2, x, y) - 7.0).abs() < 1e-4);
            }
        }
    }
}
