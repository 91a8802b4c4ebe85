//! Numbers from Python → numbers of the core. A number out of range, however large, is an `ArgumentError` that names
//! the argument.

use super::array;
use crate::error::Error;
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;

/// Error messages give the length of longer integers, not their digits; Python itself prints at most 4300 digits.
const MAX_PRINTED_BITS: u64 = 128;

/// Extracts an integer that is at least `min` and fits into a `T`.
pub fn integer<T: TryFrom<u64>>(value: &Bound<'_, PyAny>, name: &'static str, min: u64) -> PyResult<T> {
    let py = value.py();
    let index = py.import("operator")?.call_method1("index", (value,)).map_err(|error| with_name(py, error, name))?;
    let number = extract::<u64>(&index, name)?;
    let too_small = match number {
        Some(number) => number < min,
        None => index.lt(0)?,
    };
    if too_small {
        return Err(out_of_range(&index, name, format!("at least {min}")));
    }
    let max = u64::MAX >> (64 - 8 * size_of::<T>());
    let converted = number.and_then(|number| T::try_from(number).ok());
    converted.ok_or_else(|| out_of_range(&index, name, format!("at most {max}")))
}

/// Like `integer`, for an optional argument.
pub fn optional<T: TryFrom<u64>>(
    value: Option<&Bound<'_, PyAny>>,
    name: &'static str,
    min: u64,
) -> PyResult<Option<T>> {
    value.map(|value| integer(value, name, min)).transpose()
}

/// Extracts a finite number that fits into an `f32`.
pub fn float(value: &Bound<'_, PyAny>, name: &'static str) -> PyResult<f32> {
    let number = extract::<f32>(value, name)?.filter(|number| number.is_finite());
    number.ok_or_else(|| out_of_range(value, name, "between -3.4e38 and 3.4e38".to_string()))
}

/// Extracts a number; `None` if it is out of range. Anything else than a number is a `TypeError`.
pub fn extract<'py, T: FromPyObjectOwned<'py>>(value: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<T>> {
    let py = value.py();
    match value.extract::<T>().map_err(Into::into) {
        Ok(number) => Ok(Some(number)),
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => Ok(None),
        Err(error) => Err(with_name(py, error, name)),
    }
}

/// Adds the name of the argument to a `TypeError`.
fn with_name(py: Python<'_>, error: PyErr, name: &str) -> PyErr {
    if error.is_instance_of::<PyTypeError>(py) {
        PyTypeError::new_err(format!("argument '{name}': {}", error.value(py)))
    } else {
        error
    }
}

fn out_of_range(value: &Bound<'_, PyAny>, name: &'static str, accepted: String) -> PyErr {
    let bits = value.call_method0("bit_length").and_then(|bits| bits.extract::<u64>()).unwrap_or(0);
    let found = if bits > MAX_PRINTED_BITS {
        format!("an integer of {bits} bits")
    } else {
        value.str().map_or_else(|_| array::describe(value), |text| text.to_string())
    };
    Error::Argument { name, accepted, found }.into()
}
