//! The bindings for Python: the extension module `facedex._core`. One file per module of the core, with the same name.

// Docstrings here follow NumPy's grammar for Python's help(), and PyO3 passes values by ownership.
#![allow(clippy::doc_markdown, clippy::needless_pass_by_value)]

mod analyze;
mod array;
mod attributes;
mod enter;
mod error;
mod image;
mod index;
mod liveness;
mod number;
mod pack;
mod quality;

use pyo3::prelude::*;

/// The native module: decode, detect, align, embed, index.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::analyze::{Engine, Face};
    #[pymodule_export]
    use super::attributes::Attributes;
    #[pymodule_export]
    use super::image::{decode, encode_png, load, probe, thumbnail, without_metadata};
    #[pymodule_export]
    use super::index::Index;
    #[pymodule_export]
    use super::liveness::Liveness;
    #[pymodule_export]
    use super::pack::{PackArchive, PackFile, PackInfo, PackPrior, PackScores, PackTail, is_plain_name, read_manifest};
    #[pymodule_export]
    use super::quality::Quality;
}
