//! Image + [`InputSpec`] → NCHW input of a network.
//!
//! Goes in: RGB images. Comes out: float32 tensors in the network's channel order and scale. Nothing is rounded to
//! bytes on the way. The area average is that of OpenCV's and TensorFlow's AREA, the box sampling that of TensorFlow's
//! `crop_and_resize`, because MTCNN was built on them. Every sum has a fixed order, so that all processors agree.

mod area;
mod bilinear;
mod boxes;
mod crops;
mod letterbox;

pub use area::resize_area;
pub use bilinear::{fill_bilinear, fill_letterboxes};
pub use boxes::sample_boxes;
pub use crops::stack_crops;
pub use letterbox::Letterbox;

use crate::geometry::Size;
use crate::pack::{Colour, InputSpec};

/// A batch of N × C × H × W values, or another order by the network's layout; contiguous in memory, last axis fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: [usize; 4],
    values: Vec<f32>,
}

impl Tensor {
    /// Create `count` images of three planes, all 0.
    fn zeros(count: usize, size: Size) -> Self {
        let (width, height) = (size.width as usize, size.height as usize);
        Self { shape: [count, 3, height, width], values: vec![0.0; count * 3 * height * width] }
    }

    /// N, C, H, W, or another order by the layout.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The values, in the order of the shape.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Iterate over the three planes of each image; `size` is that given to `zeros`, not empty.
    fn planes(&mut self, size: Size) -> impl Iterator<Item = [&mut [f32]; 3]> {
        let plane = size.pixels() as usize;
        self.values.chunks_exact_mut((3 * plane).max(1)).map(move |image| {
            let (first, others) = image.split_at_mut(plane);
            let (second, third) = others.split_at_mut(plane);
            [first, second, third]
        })
    }
}

/// value = pixel · factor + offset for each RGB channel, and the plane of that channel.
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

    /// Write pixels, interleaved with an unused fourth lane, to a row of each plane.
    fn spread(self, pixels: &[[f32; 4]], rows: [&mut [f32]; 3]) {
        for (plane, row) in rows.into_iter().enumerate() {
            let channel = self.plane[plane]; // the permutation is its own inverse
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

    /// MTCNN's input.
    pub(super) fn spec(colour: Colour) -> InputSpec {
        InputSpec::new("input", colour, [127.5; 3], [128.0; 3])
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
        let rgb = stack_crops(&[&red], &spec(Colour::Rgb));
        let bgr = stack_crops(&[&red], &spec(Colour::Bgr));
        assert!((rgb[[0, 0, 0, 0]] - 127.5 / 128.0).abs() < 1e-6);
        assert!((bgr[[0, 2, 0, 0]] - 127.5 / 128.0).abs() < 1e-6);
        assert!((bgr[[0, 0, 0, 0]] - (51.0 - 127.5) / 128.0).abs() < 1e-6);
    }
}
