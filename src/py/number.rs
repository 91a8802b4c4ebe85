//! Numbers from Python → the core's. One outside the range is refused by the name of its argument, whatever its size.

use super::array;
use crate::error::Error;
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;

/// Longer integers are told by their length; Python itself writes none of more than 4300 digits.
const SHOWN_BITS: u64 = 128;

/// A whole number, `least` or more, that a `T` holds.
pub fn whole<T: TryFrom<u64>>(value: &Bound<'_, PyAny>, name: &'static str, least: u64) -> PyResult<T> {
    let py = value.py();
    let index = py.import("operator")?.call_method1("index", (value,)).map_err(|error| named(py, error, name))?;
    let number = fitting::<u64>(&index, name)?;
    let too_small = match number {
        Some(number) => number < least,
        None => index.lt(0)?,
    };
    if too_small {
        return Err(refused(&index, name, format!("at least {least}")));
    }
    let most = u64::MAX >> (64 - 8 * size_of::<T>());
    let held = number.and_then(|number| T::try_from(number).ok());
    held.ok_or_else(|| refused(&index, name, format!("at most {most}")))
}

/// A whole number as `whole` takes it, where there is one.
pub fn optional<T: TryFrom<u64>>(
    value: Option<&Bound<'_, PyAny>>,
    name: &'static str,
    least: u64,
) -> PyResult<Option<T>> {
    value.map(|value| whole(value, name, least)).transpose()
}

/// A finite number that a float of 32 bits holds.
pub fn real(value: &Bound<'_, PyAny>, name: &'static str) -> PyResult<f32> {
    let held = fitting::<f32>(value, name)?.filter(|number| number.is_finite());
    held.ok_or_else(|| refused(value, name, "between -3.4e38 and 3.4e38".to_string()))
}

/// The number, or none where it is out of range. What is no number is a `TypeError`, as for other arguments.
pub fn fitting<'py, T: FromPyObjectOwned<'py>>(value: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<T>> {
    let py = value.py();
    match value.extract::<T>().map_err(Into::into) {
        Ok(number) => Ok(Some(number)),
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => Ok(None),
        Err(error) => Err(named(py, error, name)),
    }
}

/// The error of an argument that is no number at all, with the argument's name.
fn named(py: Python<'_>, error: PyErr, name: &str) -> PyErr {
    if error.is_instance_of::<PyTypeError>(py) {
        PyTypeError::new_err(format!("argument '{name}': {}", error.value(py)))
    } else {
        error
    }
}

fn refused(value: &Bound<'_, PyAny>, name: &'static str, accepted: String) -> PyErr {
    let bits = value.call_method0("bit_length").and_then(|bits| bits.extract::<u64>()).unwrap_or(0);
    let found = if bits > SHOWN_BITS {
        format!("an integer of {bits} bits")
    } else {
        value.str().map_or_else(|_| array::describe(value), |text| text.to_string())
    };
    Error::Argument { name, accepted, found }.into()
}
