//! Quality for Python.

use crate::quality;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// How well a face serves recognition: components from 0 to 100, 100 is best, and one unified score.
///
/// Measured from the picture alone, without a network. The terms are those of ISO/IEC 29794-5; the measures are our own,
/// and no conformity with that standard is claimed. The unified score is the geometric mean of the components with the
/// weights 0.10 head size, 0.15 inter-eye distance, 0.25 head pose, 0.25 sharpness, 0.15 exposure, 0.05 dynamic range,
/// 0.05 face occlusion prevention.
#[pyclass(frozen, module = "facedex")]
#[derive(PartialEq)]
pub struct Quality {
    quality: quality::Quality,
}

impl From<quality::Quality> for Quality {
    fn from(quality: quality::Quality) -> Self {
        Self { quality }
    }
}

impl Quality {
    pub fn inner(&self) -> quality::Quality {
        self.quality
    }

    fn parts(&self) -> [(&'static str, f32); 11] {
        let q = &self.quality;
        [
            ("unified_score", q.unified_score),
            ("head_size", q.head_size),
            ("inter_eye_distance", q.inter_eye_distance),
            ("head_pose", q.head_pose),
            ("sharpness", q.sharpness),
            ("exposure", q.exposure),
            ("dynamic_range", q.dynamic_range),
            ("face_occlusion_prevention", q.face_occlusion_prevention),
            ("yaw", q.yaw),
            ("pitch", q.pitch),
            ("roll", q.roll),
        ]
    }
}

#[pymethods]
impl Quality {
    #[new]
    #[pyo3(signature = (unified_score, head_size, inter_eye_distance, head_pose, sharpness, exposure, dynamic_range,
                        face_occlusion_prevention, yaw, pitch, roll))]
    #[allow(clippy::too_many_arguments)] // a record, made whole when it is unpickled
    fn new(
        unified_score: f32,
        head_size: f32,
        inter_eye_distance: f32,
        head_pose: f32,
        sharpness: f32,
        exposure: f32,
        dynamic_range: f32,
        face_occlusion_prevention: f32,
        yaw: f32,
        pitch: f32,
        roll: f32,
    ) -> Self {
        let quality = quality::Quality {
            unified_score,
            head_size,
            inter_eye_distance,
            head_pose,
            sharpness,
            exposure,
            dynamic_range,
            face_occlusion_prevention,
            yaw,
            pitch,
            roll,
        };
        Self { quality }
    }

    /// float: the weighted geometric mean of the components, 0 to 100.
    #[getter]
    fn unified_score(&self) -> f32 {
        self.quality.unified_score
    }

    /// float: shorter side of the box; 0 at 16 pixels, 100 from 128 pixels.
    #[getter]
    fn head_size(&self) -> f32 {
        self.quality.head_size
    }

    /// float: distance of the eyes; 0 at 6 pixels, 100 from 60 pixels.
    #[getter]
    fn inter_eye_distance(&self) -> f32 {
        self.quality.inter_eye_distance
    }

    /// float: 100 for a face seen from the front, falling with cos² of yaw, of pitch and of half the roll.
    #[getter]
    fn head_pose(&self) -> f32 {
        self.quality.head_pose
    }

    /// float: energy of the finest structures against all contrast; noise counts as structure.
    #[getter]
    fn sharpness(&self) -> f32 {
        self.quality.sharpness
    }

    /// float: share of the inner face that is neither black nor burnt out.
    #[getter]
    fn exposure(&self) -> f32 {
        self.quality.exposure
    }

    /// float: entropy of the luminance of the inner face, 12.5 for each bit.
    #[getter]
    fn dynamic_range(&self) -> f32 {
        self.quality.dynamic_range
    }

    /// float: a hint, no detector: structure in eyes and mouth, and share of the inner face inside the picture.
    #[getter]
    fn face_occlusion_prevention(&self) -> f32 {
        self.quality.face_occlusion_prevention
    }

    /// float: turn to the side, degrees, estimated within about 10; positive: the nose points to larger x.
    #[getter]
    fn yaw(&self) -> f32 {
        self.quality.yaw
    }

    /// float: nod, degrees, estimated within about 10; positive: the nose points down.
    #[getter]
    fn pitch(&self) -> f32 {
        self.quality.pitch
    }

    /// float: turn in the picture's plane, degrees, −180 to 180; positive: clockwise.
    #[getter]
    fn roll(&self) -> f32 {
        self.quality.roll
    }

    /// All figures by name.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let figures = PyDict::new(py);
        self.parts().into_iter().try_for_each(|(name, value)| figures.set_item(name, value))?;
        Ok(figures)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let values = PyTuple::new(slf.py(), slf.get().parts().map(|(_, value)| value))?;
        Ok((slf.get_type().into_any(), values))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get() == self)
    }

    fn __hash__(&self) -> u64 {
        self.parts().iter().fold(0, |hash, (_, value)| hash.rotate_left(7) ^ u64::from(value.to_bits()))
    }

    fn __repr__(&self) -> String {
        let parts = self.parts().map(|(name, value)| format!("{name}={value:.0}"));
        format!("Quality({})", parts.join(", "))
    }
}
