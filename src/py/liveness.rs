//! Liveness for Python.

use crate::analyze::LivenessPolicy;
use crate::error::Error;
use crate::liveness;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

/// Whether a face is live, as far as a single image shows.
///
/// Networks that judge a single image detect flat prints and screens. They do not detect paper that is cut to the
/// outline of a face, masks, disguise, or generated images; if these matter, ask for a movement or use a depth camera.
///
/// Parameters
/// ----------
/// score : float, optional
///     Mean of the networks' probabilities that the face is live, 0 to 1, higher is more likely live. None if the
///     face cannot be judged.
/// threshold : float, optional
///     Minimum score of a live face, inclusive. None if the face cannot be judged.
/// reason : str, optional
///     Why the face cannot be judged.
#[pyclass(frozen, eq, module = "facedex")]
#[derive(PartialEq)]
pub struct Liveness {
    liveness: liveness::Liveness,
}

impl From<liveness::Liveness> for Liveness {
    fn from(liveness: liveness::Liveness) -> Self {
        Self { liveness }
    }
}

impl Liveness {
    pub fn inner(&self) -> &liveness::Liveness {
        &self.liveness
    }
}

#[pymethods]
impl Liveness {
    #[new]
    #[pyo3(signature = (score = None, threshold = None, reason = None))]
    fn new(score: Option<f64>, threshold: Option<f64>, reason: Option<String>) -> PyResult<Self> {
        let liveness = match (score, threshold, reason) {
            (Some(score), Some(threshold), None) => liveness::Liveness::Judged { score, threshold },
            (None, None, Some(reason)) => liveness::Liveness::Unavailable { reason },
            _ => {
                let accepted = "score and threshold, or reason alone".to_string();
                return Err(Error::Argument { name: "liveness", accepted, found: "another combination".into() }.into());
            }
        };
        Ok(Self { liveness })
    }

    /// str: "live", "attack" or "unavailable".
    #[getter]
    fn status(&self) -> &'static str {
        match &self.liveness {
            liveness::Liveness::Unavailable { .. } => "unavailable",
            judged if judged.is_live() => "live",
            liveness::Liveness::Judged { .. } => "attack",
        }
    }

    /// bool: whether the score reaches the threshold; False if the face cannot be judged.
    #[getter]
    fn live(&self) -> bool {
        self.liveness.is_live()
    }

    /// float or None: 0 to 1, higher is more likely live; None if the face cannot be judged.
    #[getter]
    fn score(&self) -> Option<f64> {
        match &self.liveness {
            liveness::Liveness::Judged { score, .. } => Some(*score),
            liveness::Liveness::Unavailable { .. } => None,
        }
    }

    /// float or None: minimum score of a live face, inclusive; None if the face cannot be judged.
    #[getter]
    fn threshold(&self) -> Option<f64> {
        match &self.liveness {
            liveness::Liveness::Judged { threshold, .. } => Some(*threshold),
            liveness::Liveness::Unavailable { .. } => None,
        }
    }

    /// str or None: why the face cannot be judged.
    #[getter]
    fn reason(&self) -> Option<&str> {
        match &self.liveness {
            liveness::Liveness::Judged { .. } => None,
            liveness::Liveness::Unavailable { reason } => Some(reason),
        }
    }

    /// Return all values by name.
    pub fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let values = PyDict::new(py);
        values.set_item("status", self.status())?;
        values.set_item("live", self.live())?;
        values.set_item("score", self.score())?;
        values.set_item("threshold", self.threshold())?;
        values.set_item("reason", self.reason())?;
        Ok(values)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let this = slf.get();
        let parts = (this.score(), this.threshold(), this.reason()).into_pyobject(slf.py())?;
        Ok((slf.get_type().into_any(), parts))
    }

    fn __hash__(&self) -> u64 {
        self.score().map_or(0, f64::to_bits)
    }

    fn __repr__(&self) -> String {
        match &self.liveness {
            liveness::Liveness::Judged { score, threshold } => {
                format!("Liveness({}, score {score:.3}, threshold {threshold:.3})", self.status())
            }
            liveness::Liveness::Unavailable { reason } => format!("Liveness(unavailable: {reason})"),
        }
    }
}

/// Convert the `liveness` argument: False, True or "advisory", "required".
pub fn policy(value: Option<&Bound<'_, PyAny>>) -> PyResult<LivenessPolicy> {
    let Some(value) = value else { return Ok(LivenessPolicy::Off) };
    if let Ok(wanted) = value.cast::<PyBool>() {
        return Ok(if wanted.is_true() { LivenessPolicy::Advisory } else { LivenessPolicy::Off });
    }
    match value.extract::<String>().as_deref() {
        Ok("advisory") => Ok(LivenessPolicy::Advisory),
        Ok("required") => Ok(LivenessPolicy::Required),
        _ => {
            let accepted = "False, True, \"advisory\" or \"required\"".to_string();
            Err(Error::Argument { name: "liveness", accepted, found: value.repr()?.to_string() }.into())
        }
    }
}
