//! Quality for Python.

use crate::quality;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Define the class with these fields, its conversions from and to the core's type, and its values by name.
macro_rules! record {
    ($(#[$attribute:meta])* $class:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$attribute])*
        #[pyclass(frozen, get_all, eq, module = "facedex")]
        #[derive(PartialEq)]
        pub struct $class {
            $($(#[$doc])* $field: f32,)*
        }

        impl From<quality::$class> for $class {
            fn from(value: quality::$class) -> Self {
                Self { $($field: value.$field,)* }
            }
        }

        impl From<&$class> for quality::$class {
            fn from(value: &$class) -> Self {
                Self { $($field: value.$field,)* }
            }
        }

        impl $class {
            fn values(&self) -> [(&'static str, f32); 11] {
                [$((stringify!($field), self.$field),)*]
            }
        }
    };
}

record! {
    /// How well a face serves recognition: components from 0 to 100, 100 is best, and one unified score.
    ///
    /// Measured from the image alone, without a network. The terms are those of ISO/IEC 29794-5; the measures are our
    /// own, and no conformity with that standard is claimed. The unified score is the geometric mean of the components
    /// with the weights 0.10 head size, 0.15 inter-eye distance, 0.25 head pose, 0.25 sharpness, 0.15 exposure, 0.05
    /// dynamic range, 0.05 face occlusion prevention.
    Quality {
        /// float: the weighted geometric mean of the components, 0 to 100.
        unified_score,
        /// float: shorter side of the box; 0 at 16 pixels, 100 from 128 pixels.
        head_size,
        /// float: distance between the eyes; 0 at 6 pixels, 100 from 60 pixels.
        inter_eye_distance,
        /// float: 100 for a face seen from the front, falling with cos² of yaw, of pitch and of half the roll.
        head_pose,
        /// float: energy of the finest structures relative to the contrast; noise counts as structure.
        sharpness,
        /// float: share of the inner face that is neither underexposed nor overexposed.
        exposure,
        /// float: entropy of the luminance of the inner face, 12.5 per bit.
        dynamic_range,
        /// float: a hint, not a detection: structure in eyes and mouth, and share of the inner face inside the image.
        face_occlusion_prevention,
        /// float: turn to the side, degrees, accurate to about 10; positive: the nose points to larger x.
        yaw,
        /// float: nod, degrees, accurate to about 10; positive: the nose points down.
        pitch,
        /// float: in-plane rotation, degrees, −180 to 180; positive: clockwise.
        roll,
    }
}

#[pymethods]
impl Quality {
    #[new]
    #[pyo3(signature = (unified_score, head_size, inter_eye_distance, head_pose, sharpness, exposure, dynamic_range,
                        face_occlusion_prevention, yaw, pitch, roll))]
    #[allow(clippy::too_many_arguments)] // a record with all of its fields, for pickle
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
        Self {
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
        }
    }

    /// Return all values by name.
    pub fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let figures = PyDict::new(py);
        self.values().into_iter().try_for_each(|(name, value)| figures.set_item(name, value))?;
        Ok(figures)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let values = PyTuple::new(slf.py(), slf.get().values().map(|(_, value)| value))?;
        Ok((slf.get_type().into_any(), values))
    }

    fn __hash__(&self) -> u64 {
        self.values().iter().fold(0, |hash, (_, value)| hash.rotate_left(7) ^ u64::from(value.to_bits()))
    }

    fn __repr__(&self) -> String {
        let parts = self.values().map(|(name, value)| format!("{name}={value:.0}"));
        format!("Quality({})", parts.join(", "))
    }
}
