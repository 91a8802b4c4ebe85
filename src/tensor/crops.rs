//! Crops → the input of an embedder or another network for aligned faces.

use super::{Scaling, Tensor};
use crate::geometry::Size;
use crate::image::Image;
use crate::pack::{InputSpec, Layout};

/// Stack crops of one size, without resizing → N × 3 × height × width, or N × height × width × 3 by the layout.
pub fn stack_crops(crops: &[&Image], spec: &InputSpec) -> Tensor {
    let size = crops.first().map_or(Size::new(0, 0), |crop| crop.size());
    let scaling = Scaling::of(spec);
    let mut batch = Tensor::zeros(crops.len(), size);
    for (crop, planes) in crops.iter().zip(batch.planes(size)) {
        for channel in 0..3 {
            let (factor, offset) = (scaling.factor[channel], scaling.offset[channel]);
            for (value, pixel) in planes[scaling.plane[channel]].iter_mut().zip(crop.data().chunks_exact(3)) {
                *value = f32::from(pixel[channel]) * factor + offset;
            }
        }
    }
    if spec.standardise {
        batch.values.chunks_exact_mut(3 * (size.pixels() as usize).max(1)).for_each(standardise);
    }
    match spec.layout {
        Layout::Nchw => batch,
        Layout::Nhwc => channels_last(&batch),
    }
}

/// Standardise the values of one crop to mean 0 and standard deviation 1, like `FaceNet`'s prewhitening: the deviation
/// is at least 1 ÷ √count, so that a crop of one colour causes no division by zero.
fn standardise(values: &mut [f32]) {
    let count = values.len() as f64;
    let mean = values.iter().copied().map(f64::from).sum::<f64>() / count;
    let variance = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt().max(1.0 / count.sqrt());
    for value in values {
        *value = ((f64::from(*value) - mean) / deviation) as f32;
    }
}

fn channels_last(batch: &Tensor) -> Tensor {
    let [count, channels, height, width] = batch.shape;
    let plane = height * width;
    let pictures = batch.values.chunks_exact((channels * plane).max(1));
    let values = pictures.flat_map(|picture| {
        (0..plane).flat_map(move |pixel| (0..channels).map(move |channel| picture[channel * plane + pixel]))
    });
    Tensor { shape: [count, height, width, channels], values: values.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::Colour;
    use proptest::prelude::*;

    fn spec(layout: Layout, standardise: bool) -> InputSpec {
        InputSpec { layout, standardise, ..InputSpec::new("input", Colour::Rgb, [0.0; 3], [1.0; 3]) }
    }

    #[test]
    fn nhwc_puts_the_channels_last() {
        let image = Image::from_rgb(Size::new(2, 1), vec![1, 2, 3, 4, 5, 6]).unwrap();
        let first = stack_crops(&[&image, &image], &spec(Layout::Nchw, false));
        assert_eq!(first.shape(), [2, 3, 1, 2]);
        assert_eq!(first.values()[..6], [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let last = stack_crops(&[&image, &image], &spec(Layout::Nhwc, false));
        assert_eq!(last.shape(), [2, 1, 2, 3]);
        assert_eq!(last.values(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn a_crop_of_one_colour_becomes_zero() {
        let grey = Image::from_rgb(Size::new(3, 3), vec![90; 27]).unwrap();
        assert!(stack_crops(&[&grey], &spec(Layout::Nchw, true)).values().iter().all(|value| value.abs() < 1e-6));
    }

    proptest! {
        #[test]
        fn standardised_crops_have_mean_0_and_deviation_1_each(
            first in proptest::collection::vec(0u8..=255, 48), second in proptest::collection::vec(0u8..=255, 48),
        ) {
            prop_assume!(first.iter().any(|&v| v != first[0]) && second.iter().any(|&v| v != second[0]));
            let images = [first, second].map(|data| Image::from_rgb(Size::new(4, 4), data).unwrap());
            for layout in [Layout::Nchw, Layout::Nhwc] {
                let batch = stack_crops(&[&images[0], &images[1]], &spec(layout, true));
                for crop in batch.values().chunks(48) {
                    let mean = crop.iter().sum::<f32>() / 48.0;
                    let variance = crop.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 48.0;
                    prop_assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3, "{} {}", mean, variance);
                }
            }
        }
    }
}
