//! The stages that Python cannot see, each from the reference's own input: tensors, the similarity, the crop.
//!
//! Reads `tests/parity/data`; the README beside it says what made the values and what the tolerances rest on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "parity/npz.rs"]
mod npz;

use std::path::Path;

use facedex::align;
use facedex::geometry::{BBox, Landmarks, Point, Size};
use facedex::image::{DecodeOptions, Image, read};
use facedex::pack::{Colour, DetectorSpec, InputSpec, Pack};
use facedex::tensor::{self, Tensor};
use ndarray::{ArrayD, ArrayViewD, Axis, s};
use npz::Npz;

fn picture(name: &str) -> Image {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/data").join(name);
    read(&path, &DecodeOptions::default()).unwrap()
}

/// The input of the pack's first network, with another channel order.
fn spec(colour: Colour) -> InputSpec {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/classic.toml");
    let Some(DetectorSpec::Mtcnn(mtcnn)) = Pack::read(&manifest).unwrap().detector else { panic!("no MTCNN") };
    InputSpec { colour, ..mtcnn.pnet.input }
}

/// Compute the maximum difference from recorded values, whose channels are last.
fn difference(tensor: &Tensor, expected: &ArrayD<f32>) -> f32 {
    let expected = expected.view().permuted_axes(&[0, 3, 1, 2][..]);
    assert_eq!(tensor.shape(), expected.shape());
    tensor.values().iter().zip(expected.iter()).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

#[test]
fn pyramid_levels_equal_the_recorded_ones() {
    let image = picture("portrait-1.png");
    let cascade = Npz::recorded("mtcnn_cascade.npz");
    let levels = [4, 6].map(|level| cascade.array(&format!("pyramid_level{level}_tensor")));
    let sizes = levels.each_ref().map(|level| Size::new(level.shape()[1] as u32, level.shape()[0] as u32));
    for (colour, agrees) in [(Colour::Rgb, true), (Colour::Bgr, false)] {
        let tensors = tensor::resize_area(&image, &sizes, &spec(colour));
        for (tensor, level) in tensors.iter().zip(&levels) {
            let most = difference(tensor, &level.clone().insert_axis(Axis(0)));
            assert!(if agrees { most < 1e-5 } else { most > 0.1 }, "{colour:?}: {most}");
        }
    }
}

#[test]
fn box_samples_equal_the_recorded_ones() {
    let image = picture("portrait-1.png");
    let cascade = Npz::recorded("mtcnn_cascade.npz");
    let rows = cascade.array("crop_boxes").mapv(|value: f64| value as f32);
    let boxes: Vec<BBox> = rows.outer_iter().map(|row| BBox::new(row[0], row[1], row[2], row[3])).collect();
    for side in [24, 48] {
        let expected = cascade.array(&format!("crops{side}"));
        let boxes = &boxes[..expected.len_of(Axis(0))];
        let most = difference(&tensor::sample_boxes(&image, boxes, side, &spec(Colour::Rgb)), &expected);
        assert!(most < 1e-4, "{side}: {most}");
        let swapped = difference(&tensor::sample_boxes(&image, boxes, side, &spec(Colour::Bgr)), &expected);
        assert!(swapped > 0.1, "{side}: {swapped}");
    }
}

fn landmarks<T: Copy + Into<f64>>(points: &ArrayViewD<'_, T>) -> Landmarks {
    let at = |k: usize, axis: usize| -> f32 { points[[k, axis]].into() as f32 };
    Landmarks(std::array::from_fn(|k| Point::new(at(k, 0), at(k, 1))))
}

#[test]
fn similarities_equal_the_recorded_ones() {
    let alignment = Npz::recorded("alignment.npz");
    let (points, matrices) = (alignment.array::<f32>("points"), alignment.array::<f64>("matrices"));
    let template = landmarks(&alignment.array::<f64>("template").view());
    assert_eq!(points.len_of(Axis(0)), 22);
    for (set, matrix) in points.outer_iter().zip(matrices.outer_iter()) {
        let found = align::crop_from_image(&landmarks(&set), &template).unwrap();
        let greatest = matrix.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        let found = [[found.a, -found.b, found.tx], [found.b, found.a, found.ty]];
        for (value, expected) in found.as_flattened().iter().zip(matrix.iter()) {
            assert!((value - expected).abs() <= 1e-4 * greatest, "{found:?} against {matrix}");
        }
    }
}

#[test]
fn crops_equal_the_recorded_ones() {
    let alignment = Npz::recorded("alignment.npz");
    let cut = Npz::recorded("mtcnn_cascade.npz").array("edge_cut").mapv(|edge: i64| edge as u32);
    let edge = part(&picture("group.png"), [cut[0], cut[1], cut[2], cut[3]]);
    // In the order of the program that recorded them; the names beside them are text, which is not read here.
    for (number, image) in [picture("portrait-1.png"), picture("group.png"), edge].iter().enumerate() {
        let points = landmarks(&alignment.array::<f32>(&format!("crop{number}_landmarks")).view());
        let template = landmarks(&alignment.array::<f64>(&format!("crop{number}_template")).view());
        let expected: ArrayD<u8> = alignment.array(&format!("crop{number}_pixels"));
        let size = Size::new(expected.shape()[1] as u32, expected.shape()[0] as u32);
        let crop = align::crop(image, &points, &template, size).unwrap();
        let apart: Vec<u8> = crop.data().iter().zip(expected.iter()).map(|(&a, &b)| a.abs_diff(b)).collect();
        let differing = apart.iter().filter(|&&difference| difference > 0).count();
        assert!(apart.iter().all(|&difference| difference <= 1), "crop {number}");
        assert!(differing * 1_000 < apart.len(), "crop {number}: {differing} of {} values differ", apart.len());
        let red_for_blue = expected.slice(s![.., .., ..;-1]);
        assert!(crop.data().iter().zip(red_for_blue.iter()).any(|(&a, &b)| a.abs_diff(b) > 30));
    }
}

/// Cut the rectangle left, top, right, bottom.
fn part(image: &Image, [left, top, right, bottom]: [u32; 4]) -> Image {
    let pixels = (top..bottom).flat_map(|y| (left..right).flat_map(move |x| image.pixel(x, y)));
    Image::from_rgb(Size::new(right - left, bottom - top), pixels.collect()).unwrap()
}
