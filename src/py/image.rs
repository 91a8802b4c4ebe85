//! Decoding and PNG for Python.

use super::{array, enter};
use crate::analyze::Source;
use crate::image::{self, DecodeOptions, Image};
use numpy::PyArray3;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Decode a picture to upright RGB.
///
/// Parameters
/// ----------
/// image : path, bytes, binary file object, PIL image or uint8 array (height, width, 3)
///     JPEG, PNG, WebP, BMP, GIF (first frame) or TIFF. EXIF orientation is applied, transparency is laid over white.
/// max_pixels : int, optional
///     Larger pictures are refused before memory is taken for them. Default 50 million.
///
/// Returns
/// -------
/// numpy.ndarray
///     (height, width, 3), uint8, RGB.
///
/// Raises
/// ------
/// ImageError
///     Not a picture, damaged, truncated, too large or unreadable.
#[pyfunction]
#[pyo3(signature = (image, *, max_pixels = None))]
pub fn decode<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    max_pixels: Option<u64>,
) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let source = enter::source(image)?;
    let options = max_pixels.map_or_else(DecodeOptions::default, |max_pixels| DecodeOptions { max_pixels });
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
