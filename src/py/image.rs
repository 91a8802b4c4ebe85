//! Images for Python: decoding, encoding, removal of metadata, thumbnails.

use super::{array, enter, number};
use crate::analyze::Source;
use crate::geometry::BBox;
use crate::image::{self, DecodeOptions, Image, Stripped};
use numpy::PyArray3;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;

/// Decode an image to upright RGB.
///
/// Parameters
/// ----------
/// image : path, bytes or uint8 array (height, width, 3)
///     JPEG, PNG, WebP, BMP, GIF (first frame) or TIFF. EXIF orientation is applied, transparency is blended with
///     white.
/// max_pixels : int, optional
///     Larger images are refused before memory is allocated for them. 50 million by default.
///
/// Returns
/// -------
/// numpy.ndarray
///     (height, width, 3), uint8, RGB.
///
/// Raises
/// ------
/// ImageError
///     Not an image, damaged, truncated, too large or unreadable.
#[pyfunction]
#[pyo3(signature = (image, *, max_pixels = None))]
pub fn decode<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    max_pixels: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let source = enter::source(image)?;
    let options = options(max_pixels)?;
    let decoded = py.detach(move || decode_source(source, options))?;
    array::image_to_py(py, decoded)
}

fn decode_source(source: Source, options: DecodeOptions) -> crate::Result<Image> {
    match source {
        Source::Path(path) => image::read(&path, &options),
        Source::Bytes(data) => image::decode(&data, &options),
        Source::Image(image) => Ok(image),
    }
}

/// Read the size in the header of an image file, without decoding it.
///
/// Parameters
/// ----------
/// data : bytes
///     The file.
/// max_pixels : int, optional
///     Larger images are refused. 50 million by default.
///
/// Returns
/// -------
/// tuple of int
///     Width and height, pixels, before the EXIF orientation is applied.
///
/// Raises
/// ------
/// ImageError
///     Not an image, too large, or with a damaged header.
#[pyfunction]
#[pyo3(signature = (data, *, max_pixels = None))]
pub fn probe(data: &[u8], max_pixels: Option<&Bound<'_, PyAny>>) -> PyResult<(u32, u32)> {
    let size = image::probe(data, &options(max_pixels)?)?;
    Ok((size.width, size.height))
}

/// Encode RGB pixels as PNG.
///
/// Parameters
/// ----------
/// image : numpy.ndarray
///     (height, width, 3), uint8, RGB.
///
/// Returns
/// -------
/// bytes
///     A PNG file.
#[pyfunction]
pub fn encode_png<'py>(py: Python<'py>, image: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let image = array::image(image)?;
    let data = py.detach(move || image.encode_png())?;
    Ok(PyBytes::new(py, &data))
}

/// Remove the metadata from an image file, except the orientation; the pixels stay the same.
///
/// JPEG, PNG and WebP keep their compressed data; everything else, pixels too, becomes PNG.
///
/// Parameters
/// ----------
/// image : path, bytes or uint8 array (height, width, 3)
///     An image as for `decode`.
/// max_pixels : int, optional
///     Larger images are refused. 50 million by default.
///
/// Returns
/// -------
/// data : bytes
///     The file.
/// media_type : str
///     "image/jpeg", "image/png" or "image/webp".
/// size : tuple of int
///     Width and height, pixels, upright.
///
/// Raises
/// ------
/// ImageError
///     Not an image, damaged, truncated, too large or unreadable.
#[pyfunction]
#[pyo3(signature = (image, *, max_pixels = None))]
pub fn without_metadata<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    max_pixels: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyBytes>, &'static str, (u32, u32))> {
    let source = enter::source(image)?;
    let options = options(max_pixels)?;
    let bare = py.detach(move || match source {
        Source::Path(path) => image::without_metadata(&image::load(&path, &options)?, &options),
        Source::Bytes(data) => image::without_metadata(&data, &options),
        Source::Image(image) => Stripped::from_image(&image),
    })?;
    Ok((PyBytes::new(py, &bare.data), bare.media_type, (bare.size.width, bare.size.height)))
}

/// Encode the square around a face, twice the longer side of its box, as a small JPEG file.
///
/// Parameters
/// ----------
/// image : path, bytes or uint8 array (height, width, 3)
///     An image as for `decode`.
/// bbox : tuple of float, optional
///     x1, y1, x2, y2, pixels of the upright image; without it the full image is shown.
/// max_pixels : int, optional
///     Larger images are refused. 50 million by default.
///
/// Returns
/// -------
/// data : bytes
///     A JPEG file, at most 224 pixels wide and high; never enlarged.
/// size : tuple of int
///     Width and height, pixels.
///
/// Raises
/// ------
/// ImageError
///     Not an image, damaged, truncated, too large or unreadable.
/// ArgumentError
///     The box is not finite.
#[pyfunction]
#[pyo3(signature = (image, bbox = None, *, max_pixels = None))]
pub fn thumbnail<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    bbox: Option<(f32, f32, f32, f32)>,
    max_pixels: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyBytes>, (u32, u32))> {
    let source = enter::source(image)?;
    let bbox = bbox.map(|(x1, y1, x2, y2)| BBox::new(x1, y1, x2, y2));
    let options = options(max_pixels)?;
    let (data, size) = py.detach(move || decode_source(source, options)?.thumbnail(bbox))?;
    Ok((PyBytes::new(py, &data), (size.width, size.height)))
}

/// Read an image file without decoding it. A file that does not start like an image is not read further.
///
/// Parameters
/// ----------
/// path : path
/// max_pixels : int, optional
///     A file that is too large for this many pixels is refused. 50 million by default.
///
/// Returns
/// -------
/// bytes
///
/// Raises
/// ------
/// ImageError
///     The file cannot be read, or does not start like an image.
#[pyfunction]
#[pyo3(signature = (path, *, max_pixels = None))]
pub fn load<'py>(
    py: Python<'py>,
    path: PathBuf,
    max_pixels: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let options = options(max_pixels)?;
    let data = py.detach(move || image::load(&path, &options))?;
    Ok(PyBytes::new(py, &data))
}

fn options(max_pixels: Option<&Bound<'_, PyAny>>) -> PyResult<DecodeOptions> {
    let max_pixels = number::optional(max_pixels, "max_pixels", 0)?;
    Ok(max_pixels.map_or_else(DecodeOptions::default, |max_pixels| DecodeOptions { max_pixels }))
}
