//! The one entry for images from Python: any accepted value → a [`Source`].
//!
//! Accepted are a path, bytes, and an RGB uint8 array (height, width, 3); `facedex.inputs` makes these of everything
//! else that a caller may give.

use super::array;
use crate::analyze::Source;
use crate::error::Error;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::path::PathBuf;

/// Converts an image argument.
pub fn source(value: &Bound<'_, PyAny>) -> PyResult<Source> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Source::Bytes(bytes.as_bytes().to_vec()));
    }
    if value.cast::<PyUntypedArray>().is_ok() {
        return Ok(Source::Image(array::image(value)?));
    }
    if value.is_instance_of::<PyString>() || value.hasattr("__fspath__")? {
        return Ok(Source::Path(value.extract::<PathBuf>()?));
    }
    let accepted = "a path, bytes or a uint8 array of shape (height, width, 3)".to_string();
    Err(Error::Argument { name: "image", accepted, found: array::describe(value) }.into())
}
