//! NumPy arrays ↔ types of the core. Type and shape are checked here, so that errors are ours and not NumPy's.

use crate::error::Error;
use crate::geometry::{BBox, Landmarks, Point, Size};
use crate::image::Image;
use ndarray::{Array2, ArrayView3, Axis};
use numpy::{
    PyArray1, PyArray2, PyArray3, PyArray4, PyArrayMethods, PyReadonlyArray1, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

/// Describes a value for error messages: dtype and shape of an array, `float64 (480, 640)`, else the type.
pub fn describe(value: &Bound<'_, PyAny>) -> String {
    match value.cast::<PyUntypedArray>() {
        Ok(array) => {
            let sides: Vec<String> = array.shape().iter().map(ToString::to_string).collect();
            let comma = if sides.len() == 1 { "," } else { "" };
            format!("{} ({}{comma})", array.dtype(), sides.join(", "))
        }
        Err(_) => value.get_type().name().map_or_else(|_| "an unknown type".to_string(), |name| name.to_string()),
    }
}

/// Converts a uint8 array (height, width, 3) to an image.
pub fn image(value: &Bound<'_, PyAny>) -> PyResult<Image> {
    let error = || Error::ImageArray { found: describe(value) };
    let array = value.cast::<PyArray3<u8>>().map_err(|_| error())?.readonly();
    image_from(array.as_array()).ok_or_else(|| error().into())
}

/// Converts a uint8 array (n, height, width, 3) to crops.
pub fn crops(value: &Bound<'_, PyAny>) -> PyResult<Vec<Image>> {
    let error = || Error::Argument {
        name: "crops",
        accepted: "uint8 of shape (n, height, width, 3)".to_string(),
        found: describe(value),
    };
    let array = value.cast::<PyArray4<u8>>().map_err(|_| error())?.readonly();
    array.as_array().axis_iter(Axis(0)).map(|crop| image_from(crop).ok_or_else(|| error().into())).collect()
}

fn image_from(pixels: ArrayView3<'_, u8>) -> Option<Image> {
    let &[height, width, 3] = pixels.shape() else { return None };
    let size = Size::new(u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    let data = pixels.as_slice().map_or_else(|| pixels.iter().copied().collect(), <[u8]>::to_vec);
    Image::from_rgb(size, data).ok()
}

/// Copies a float32 array (rows, columns).
pub fn matrix(value: &Bound<'_, PyAny>, name: &'static str) -> PyResult<Array2<f32>> {
    let error =
        || Error::Argument { name, accepted: "float32 of shape (n, dimension)".to_string(), found: describe(value) };
    let array = value.cast::<PyArray2<f32>>().map_err(|_| error())?;
    Ok(array.readonly().as_array().to_owned())
}

/// Borrows a contiguous uint8 array (n,).
pub fn bytes<'py>(value: &Bound<'py, PyAny>, name: &'static str) -> PyResult<PyReadonlyArray1<'py, u8>> {
    let error =
        || Error::Argument { name, accepted: "contiguous uint8 of shape (n,)".to_string(), found: describe(value) };
    let array = value.cast::<PyArray1<u8>>().map_err(|_| error())?.readonly();
    if array.as_slice().is_err() { Err(error().into()) } else { Ok(array) }
}

/// Copies a uint64 array (n,).
pub fn keys(value: &Bound<'_, PyAny>, name: &'static str) -> PyResult<Vec<u64>> {
    let error = || Error::Argument { name, accepted: "uint64 of shape (n,)".to_string(), found: describe(value) };
    let array = value.cast::<PyArray1<u64>>().map_err(|_| error())?;
    Ok(array.readonly().as_array().to_vec())
}

/// Converts five points, a float array (5, 2) or a nested sequence, to landmarks.
pub fn landmarks(value: &Bound<'_, PyAny>) -> PyResult<Landmarks> {
    let error =
        || Error::Argument { name: "landmarks", accepted: "five points (x, y)".to_string(), found: describe(value) };
    let points: Vec<(f32, f32)> = value
        .extract::<Vec<(f32, f32)>>()
        .or_else(|_| {
            let listed = value.call_method0("tolist")?;
            listed
                .extract::<Vec<Vec<f32>>>()
                .map(|rows| rows.iter().filter_map(|row| Some((*row.first()?, *row.get(1)?))).collect())
        })
        .map_err(|_| error())?;
    let points: [(f32, f32); 5] = points.try_into().map_err(|_| error())?;
    Ok(Landmarks(points.map(|(x, y)| Point::new(x, y))))
}

/// Returns x1, y1, x2, y2 as a read-only float32 array (4,).
pub fn bbox_to_py(py: Python<'_>, bbox: BBox) -> PyResult<Bound<'_, PyArray1<f32>>> {
    read_only(PyArray1::from_slice(py, &[bbox.x1, bbox.y1, bbox.x2, bbox.y2]))
}

/// Returns five points as a read-only float32 array (5, 2).
pub fn landmarks_to_py<'py>(py: Python<'py>, landmarks: &Landmarks) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let values = Array2::from_shape_fn((5, 2), |(k, axis)| {
        let point = landmarks.0[k];
        if axis == 0 { point.x } else { point.y }
    });
    read_only(PyArray2::from_owned_array(py, values))
}

/// Returns a vector as a read-only float32 array.
pub fn vector_to_py<'py>(py: Python<'py>, values: &[f32]) -> PyResult<Bound<'py, PyArray1<f32>>> {
    read_only(PyArray1::from_slice(py, values))
}

/// Returns an image as a uint8 array (height, width, 3).
pub fn image_to_py(py: Python<'_>, image: Image) -> PyResult<Bound<'_, PyArray3<u8>>> {
    let shape = [image.height() as usize, image.width() as usize, 3];
    PyArray1::from_vec(py, image.into_data()).reshape(shape)
}

fn read_only<T>(array: Bound<'_, T>) -> PyResult<Bound<'_, T>> {
    array.as_any().call_method1("setflags", (false,))?;
    Ok(array)
}
