//! Manifests for Python.

use crate::pack::{FileSpec, Pack};
use pyo3::prelude::*;
use std::path::PathBuf;

/// What a pack is: its files, their licences, and what its similarities mean.
#[pyclass(frozen, module = "facedex")]
pub struct PackInfo {
    pack: Pack,
}

impl PackInfo {
    pub fn new(pack: Pack) -> Self {
        Self { pack }
    }
}

#[pymethods]
impl PackInfo {
    /// Name by which the pack is opened.
    #[getter]
    fn name(&self) -> &str {
        &self.pack.name
    }

    /// One sentence about it.
    #[getter]
    fn summary(&self) -> &str {
        &self.pack.summary
    }

    /// Identifies what its embeddings are: 64 hexadecimal digits. Only embeddings of one digest can be compared.
    #[getter]
    fn digest(&self) -> String {
        self.pack.digest()
    }

    /// Number of values of an embedding; None where the pack has no embedder.
    #[getter]
    fn dimension(&self) -> Option<usize> {
        self.pack.embedder.as_ref().map(|embedder| embedder.dimension)
    }

    /// Default threshold on cosine similarity, −1 to 1, inclusive; None where the manifest states none.
    #[getter]
    fn threshold(&self) -> Option<f64> {
        // Through the shortest decimal form, so that 0.929 in the manifest is 0.929 in Python.
        self.pack.recognition.as_ref().and_then(|recognition| recognition.threshold.to_string().parse().ok())
    }

    /// False match rate at the default threshold, 0 to 1; None where the manifest states none.
    #[getter]
    fn fmr(&self) -> Option<f64> {
        self.pack.recognition.as_ref().map(|recognition| recognition.fmr)
    }

    /// Measured operating points: (false match rate, threshold, false non-match rate).
    #[getter]
    fn operating_points(&self) -> Vec<(f64, f32, f64)> {
        let points = self.pack.recognition.iter().flat_map(|recognition| &recognition.thresholds);
        points.map(|point| (point.fmr, point.threshold, point.fnmr)).collect()
    }

    /// On what data the figures were measured, and by which command.
    #[getter]
    fn source(&self) -> Option<&str> {
        self.pack.recognition.as_ref().map(|recognition| recognition.source.as_str())
    }

    /// Whether every file may be used commercially.
    #[getter]
    fn commercial(&self) -> bool {
        self.pack.commercial()
    }

    /// The licences of its files, each once.
    #[getter]
    fn licences(&self) -> Vec<String> {
        self.pack.licences().into_iter().map(str::to_string).collect()
    }

    /// Its files.
    #[getter]
    fn files(&self) -> Vec<PackFile> {
        self.pack.files.iter().cloned().map(|file| PackFile { file }).collect()
    }

    fn __repr__(&self) -> String {
        let digest = self.pack.digest();
        format!("PackInfo(name={:?}, digest={:?})", self.pack.name, digest.get(..12).unwrap_or_default())
    }
}

/// One file of a pack.
#[pyclass(frozen, module = "facedex")]
pub struct PackFile {
    file: FileSpec,
}

#[pymethods]
impl PackFile {
    /// File name.
    #[getter]
    fn name(&self) -> &str {
        &self.file.name
    }

    /// Size, bytes.
    #[getter]
    fn size(&self) -> u64 {
        self.file.size
    }

    /// SHA-256, 64 hexadecimal digits.
    #[getter]
    fn sha256(&self) -> &str {
        &self.file.sha256
    }

    /// Its licence.
    #[getter]
    fn licence(&self) -> &str {
        &self.file.licence
    }

    /// Whether that licence allows commercial use.
    #[getter]
    fn commercial(&self) -> bool {
        self.file.commercial
    }

    /// Where it is published, and by whom.
    #[getter]
    fn source(&self) -> &str {
        &self.file.source
    }

    /// What it was trained on, as its author states it.
    #[getter]
    fn trained_on(&self) -> &str {
        &self.file.trained_on
    }

    fn __repr__(&self) -> String {
        format!("PackFile(name={:?}, licence={:?})", self.file.name, self.file.licence)
    }
}

/// Read and check the manifest of a pack.
///
/// Parameters
/// ----------
/// path : path
///     A TOML file.
///
/// Raises
/// ------
/// ManifestError
///     It cannot be read, has an unknown key, lacks a field, or a value is out of range; the line is told.
#[pyfunction]
pub fn read_manifest(path: PathBuf) -> PyResult<PackInfo> {
    Ok(PackInfo::new(Pack::read(&path)?))
}
