//! Manifests for Python.

use crate::pack::{ArchiveSpec, FileSpec, Pack, ScoresSpec};
use pyo3::prelude::*;
use std::collections::HashMap;
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

    /// Its roles: "detector", "landmarks", "embedder", "liveness", "attributes".
    #[getter]
    fn roles(&self) -> Vec<&'static str> {
        self.pack.roles()
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

    /// Similarities of many comparisons; None where the manifest has none.
    #[getter]
    fn scores(&self) -> Option<PackScores> {
        self.pack.scores.clone().map(|scores| PackScores { scores })
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

    /// The archives that hold some of them.
    #[getter]
    fn archives(&self) -> Vec<PackArchive> {
        self.pack.archives.iter().cloned().map(|archive| PackArchive { archive }).collect()
    }

    fn __repr__(&self) -> String {
        let digest = self.pack.digest();
        format!("PackInfo(name={:?}, digest={:?})", self.pack.name, digest.get(..12).unwrap_or_default())
    }
}

/// Similarities of different people and of the same person under a pack, as measured.
#[pyclass(frozen, module = "facedex")]
pub struct PackScores {
    scores: ScoresSpec,
}

#[pymethods]
impl PackScores {
    /// On what data they were measured, by which command.
    #[getter]
    fn data(&self) -> &str {
        &self.scores.data
    }

    /// Number of comparisons of different people.
    #[getter]
    fn impostor_pairs(&self) -> u64 {
        self.scores.impostor_pairs
    }

    /// Number of comparisons of the same person.
    #[getter]
    fn genuine_pairs(&self) -> u64 {
        self.scores.genuine_pairs
    }

    /// (False match rate, falling; cosine, rising).
    #[getter]
    fn impostor(&self) -> Vec<(f64, f64)> {
        self.scores.impostor.clone()
    }

    /// (False non-match rate, cosine), both rising.
    #[getter]
    fn genuine(&self) -> Vec<(f64, f64)> {
        self.scores.genuine.clone()
    }

    fn __repr__(&self) -> String {
        let (impostor, genuine) = (self.scores.impostor_pairs, self.scores.genuine_pairs);
        format!("PackScores(impostor_pairs={impostor}, genuine_pairs={genuine})")
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

    /// Size, bytes; None where it is not known.
    #[getter]
    fn size(&self) -> Option<u64> {
        self.file.size
    }

    /// SHA-256, 64 hexadecimal digits; None where none is published.
    #[getter]
    fn sha256(&self) -> Option<&str> {
        (!self.file.unverified()).then_some(self.file.sha256.as_str())
    }

    /// Addresses of the file itself, in order of preference.
    #[getter]
    fn urls(&self) -> Vec<String> {
        self.file.urls.clone()
    }

    /// Name of the archive that holds it.
    #[getter]
    fn archive(&self) -> Option<&str> {
        self.file.archive.as_deref()
    }

    /// Its path within that archive.
    #[getter]
    fn member(&self) -> Option<&str> {
        self.file.member.as_deref()
    }

    /// The built-in pack that brings it.
    #[getter]
    fn pack(&self) -> Option<&str> {
        self.file.pack.as_deref()
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

    /// What its licence allows, in one sentence; None where it is well known.
    #[getter]
    fn terms(&self) -> Option<&str> {
        self.file.terms.as_deref()
    }

    /// Where the licence is stated.
    #[getter]
    fn licence_source(&self) -> &str {
        &self.file.licence_source
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

/// A zip archive that holds files of a pack.
#[pyclass(frozen, module = "facedex")]
pub struct PackArchive {
    archive: ArchiveSpec,
}

#[pymethods]
impl PackArchive {
    /// File name.
    #[getter]
    fn name(&self) -> &str {
        &self.archive.name
    }

    /// Size, bytes.
    #[getter]
    fn size(&self) -> u64 {
        self.archive.size
    }

    /// SHA-256, 64 hexadecimal digits.
    #[getter]
    fn sha256(&self) -> &str {
        &self.archive.sha256
    }

    /// Its addresses, in order of preference.
    #[getter]
    fn urls(&self) -> Vec<String> {
        self.archive.urls.clone()
    }

    fn __repr__(&self) -> String {
        format!("PackArchive(name={:?})", self.archive.name)
    }
}

/// Read and check the manifest of a pack.
///
/// Parameters
/// ----------
/// path : path
///     A TOML file.
/// pins : dict of str to str, optional
///     SHA-256 of files that the manifest calls unverified, as they were when they were accepted.
///
/// Raises
/// ------
/// ManifestError
///     It cannot be read, has an unknown key, lacks a field, or a value is out of range; the line is told.
#[pyfunction]
#[pyo3(signature = (path, *, pins = None))]
pub fn read_manifest(path: PathBuf, pins: Option<HashMap<String, String>>) -> PyResult<PackInfo> {
    let mut pack = Pack::read(&path)?;
    pack.pin(&pins.unwrap_or_default());
    Ok(PackInfo::new(pack))
}

/// Whether a text is a name of a pack or of a file of one, by the rule of manifests: letters, digits, `_`, `-`, `+` and `.`,
/// which is not at an end, and no .toml at the end; so it is never a path.
#[pyfunction]
pub fn is_plain_name(name: &str) -> bool {
    crate::pack::is_plain_name(name)
}
