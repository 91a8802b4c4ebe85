//! The one entry for images from Python: any accepted value → a [`Source`].
//!
//! Accepted are a path, bytes, a binary file object, a PIL image, and an RGB uint8 array (height, width, 3).

use super::array;
use crate::analyze::Source;
use crate::error::Error;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};
use std::path::PathBuf;

/// Converts an image argument.
pub fn source(value: &Bound<'_, PyAny>) -> PyResult<Source> {
    if value.is_instance_of::<PyString>() || value.hasattr("__fspath__")? {
        return Ok(Source::Path(value.extract::<PathBuf>()?));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Source::Bytes(bytes.as_bytes().to_vec()));
    }
    if value.cast::<PyUntypedArray>().is_ok() {
        return Ok(Source::Image(array::image(value)?));
    }
    if is_pil_image(value)? {
        return pil_image(value);
    }
    if value.is_instance_of::<PyByteArray>() || value.is_instance_of::<PyMemoryView>() {
        let bytes = value.py().get_type::<PyBytes>().call1((value,))?;
        return Ok(Source::Bytes(bytes.cast::<PyBytes>()?.as_bytes().to_vec()));
    }
    if value.hasattr("read")? {
        let data = value.call_method0("read")?;
        if let Ok(bytes) = data.cast::<PyBytes>() {
            return Ok(Source::Bytes(bytes.as_bytes().to_vec()));
        }
        return Err(rejection(&format!("a file object whose read() returns {}", array::describe(&data))));
    }
    Err(rejection(&array::describe(value)))
}

fn rejection(found: &str) -> PyErr {
    let accepted = "a path, bytes, a binary file object, a PIL image or a uint8 array of shape (height, width, 3)";
    Error::Argument { name: "image", accepted: accepted.to_string(), found: found.to_string() }.into()
}

/// Whether a value is a Pillow image. Does not import Pillow: if it is not loaded, the value cannot be one.
fn is_pil_image(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let modules = value.py().import("sys")?.getattr("modules")?;
    match modules.call_method1("get", ("PIL.Image",))? {
        module if module.is_none() => Ok(false),
        module => value.is_instance(&module.getattr("Image")?),
    }
}

/// Converts a Pillow image to upright RGB pixels; transparent pixels are blended with white, as for files.
fn pil_image(value: &Bound<'_, PyAny>) -> PyResult<Source> {
    let py = value.py();
    let mode: String = value.getattr("mode")?.extract()?;
    if mode.starts_with('I') || mode == "F" {
        return Err(rejection(&format!(
            "a PIL image of mode {mode:?}, whose value range is unknown; convert it to \"RGB\""
        )));
    }
    let upright = py.import("PIL.ImageOps")?.call_method1("exif_transpose", (value,))?;
    let transparent = ["RGBA", "LA", "PA", "La", "RGBa"].contains(&mode.as_str())
        || upright.getattr("info")?.contains("transparency")?;
    let flat = if transparent {
        let layer = upright.call_method1("convert", ("RGBA",))?;
        let white = py.import("PIL.Image")?.call_method1("new", ("RGBA", layer.getattr("size")?, "white"))?;
        white.call_method1("alpha_composite", (layer,))?;
        white
    } else {
        upright
    };
    let rgb = flat.call_method1("convert", ("RGB",))?;
    let pixels = py.import("numpy")?.call_method1("asarray", (rgb,))?;
    Ok(Source::Image(array::image(&pixels)?))
}
