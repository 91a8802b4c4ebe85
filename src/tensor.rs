//! Image + [`InputSpec`] → NCHW input of a network.
//!
//! Goes in: RGB pictures. Comes out: float32 tensors in the network's channel order and scale. Nothing is rounded to
//! bytes on the way. The area average is that of OpenCV's and TensorFlow's AREA, the box sampling that of TensorFlow's
//! `crop_and_resize`, because MTCNN was built on them. Every sum has one order, so that all processors agree.

mod area;
mod boxes;
mod crops;
mod frame;
mod letterbox;

pub use area::area_resized;
pub use boxes::boxes;
pub use crops::crops;
pub use frame::Frame;
pub use letterbox::{framed, letterboxed};

use crate::geometry::Size;
use crate::pack::{Colour, InputSpec};

/// A batch of N × C × H × W values, or in another order where the network's layout has one; the last axis is side by
/// side in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: [usize; 4],
    values: Vec<f32>,
}

impl Tensor {
    /// Three planes of `size` for each of `count` pictures, all 0.
    fn zeros(count: usize, size: Size) -> Self {
        let (width, height) = (size.width as usize, size.height as usize);
        Self { shape: [count, 3, height, width], values: vec![0.0; count * 3 * height * width] }
    }

    /// N, C, H, W, or as the layout says.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The values, in the order of the shape.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The three planes of each picture; `size` is that of `zeros` and has pixels.
    fn pictures(&mut self, size: Size) -> impl Iterator<Item = [&mut [f32]; 3]> {
        let plane = size.pixels() as usize;
        self.values.chunks_exact_mut((3 * plane).max(1)).map(move |picture| {
            let (first, others) = picture.split_at_mut(plane);
            let (second, third) = others.split_at_mut(plane);
            [first, second, third]
        })
    }
}

/// value = pixel · factor + offset for each RGB channel, and the plane that it goes to.
#[derive(Debug, Clone, Copy)]
struct Scaling {
    factor: [f32; 3],
    offset: [f32; 3],
    plane: [usize; 3],
}

impl Scaling {
    fn of(spec: &InputSpec) -> Self {
        let plane = match spec.colour {
            Colour::Rgb => [0, 1, 2],
            Colour::Bgr => [2, 1, 0],
        };
        Self { factor: plane.map(|p| 1.0 / spec.std[p]), offset: plane.map(|p| -spec.mean[p] / spec.std[p]), plane }
    }
    /// Pixels, their channels side by side and a fourth lane unused, into the row of each plane.
    fn spread(self, pixels: &[[f32; 4]], rows: [&mut [f32]; 3]) {
        for (plane, row) in rows.into_iter().enumerate() {
            let channel = self.plane[plane]; // the same exchange there and back
            let (factor, offset) = (self.factor[channel], self.offset[channel]);
            for (value, pixel) in row.iter_mut().zip(pixels) {
                *value = pixel[channel] * factor + offset;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::pack::Layout;

    /// MTCNN's input.
    pub(super) fn spec(colour: Colour) -> InputSpec {
        InputSpec {
            name: "input".to_string(),
            width: None,
            height: None,
            colour,
            mean: [127.5; 3],
            std: [128.0; 3],
            layout: Layout::Nchw,
            standardise: false,
        }
    }

    pub(super) fn picture(width: u32, height: u32) -> Image {
        let data = (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect();
        Image::from_rgb(Size::new(width, height), data).unwrap()
    }

    impl std::ops::Index<[usize; 4]> for Tensor {
        type Output = f32;

        fn index(&self, [n, c, y, x]: [usize; 4]) -> &f32 {
            &self.values[((n * self.shape[1] + c) * self.shape[2] + y) * self.shape[3] + x]
        }
    }

    #[test]
    fn channels_go_to_the_declared_planes() {
        let red = Image::from_rgb(Size::new(1, 1), vec![255, 0, 51]).unwrap();
        let rgb = crops(&[&red], &spec(Colour::Rgb));
        let bgr = crops(&[&red], &spec(Colour::Bgr));
        assert!((rgb[[0, 0, 0, 0]] - 127.5 / 128.0).abs() < 1e-6);
        assert!((bgr[[0, 2, 0, 0]] - 127.5 / 128.0).abs() < 1e-6);
        assert!((bgr[[0, 0, 0, 0]] - (51.0 - 127.5) / 128.0).abs() < 1e-6);
    }
}
