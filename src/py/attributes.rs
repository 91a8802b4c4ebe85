//! Age and gender for Python.

use crate::attributes::{self, Gender};
use crate::error::Error;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Age and gender, estimated by a network from appearance.
///
/// Both are wrong for many people, more often for some groups than for others; neither states what a person is.
///
/// Parameters
/// ----------
/// age : float
///     Years.
/// gender : {"female", "male"}
///     The network's label.
/// gender_score : float
///     The network's probability of that label against the other, 0.5 to 1; not calibrated.
#[pyclass(frozen, eq, module = "facedex")]
#[derive(PartialEq)]
pub struct Attributes {
    attributes: attributes::Attributes,
}

impl From<attributes::Attributes> for Attributes {
    fn from(attributes: attributes::Attributes) -> Self {
        Self { attributes }
    }
}

impl Attributes {
    pub fn inner(&self) -> attributes::Attributes {
        self.attributes
    }
}

#[pymethods]
impl Attributes {
    #[new]
    fn new(age: f32, gender: &str, gender_score: f32) -> PyResult<Self> {
        let gender = match gender {
            "female" => Gender::Female,
            "male" => Gender::Male,
            _ => {
                let accepted = "\"female\" or \"male\"".to_string();
                return Err(Error::Argument { name: "gender", accepted, found: format!("{gender:?}") }.into());
            }
        };
        Ok(Self { attributes: attributes::Attributes { age, gender, gender_score } })
    }

    /// float: estimated age, years.
    #[getter]
    fn age(&self) -> f32 {
        self.attributes.age
    }

    /// str: "female" or "male", the network's label.
    #[getter]
    fn gender(&self) -> &'static str {
        match self.attributes.gender {
            Gender::Female => "female",
            Gender::Male => "male",
        }
    }

    /// float: the network's probability of that label against the other, 0.5 to 1; not calibrated.
    #[getter]
    fn gender_score(&self) -> f32 {
        self.attributes.gender_score
    }

    /// Return all values by name.
    pub fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let values = PyDict::new(py);
        values.set_item("age", self.age())?;
        values.set_item("gender", self.gender())?;
        values.set_item("gender_score", self.gender_score())?;
        Ok(values)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let this = slf.get();
        let parts = (this.age(), this.gender(), this.gender_score()).into_pyobject(slf.py())?;
        Ok((slf.get_type().into_any(), parts))
    }

    fn __hash__(&self) -> u64 {
        u64::from(self.attributes.age.to_bits()) ^ u64::from(self.attributes.gender_score.to_bits())
    }

    fn __repr__(&self) -> String {
        let score = self.attributes.gender_score;
        format!("Attributes(age={:.0}, gender={:?}, gender_score={score:.2})", self.attributes.age, self.gender())
    }
}
