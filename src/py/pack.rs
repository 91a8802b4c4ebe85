//! Manifests for Python.

use crate::pack::{ArchiveSpec, FileSpec, OperatingPoint, Pack, PriorSpec, ScoresSpec, TailSpec};
use pyo3::prelude::*;
use std::collections::HashMap;
use std::path::PathBuf;

/// A pack: its files, their licences, and what its similarities mean.
#[pyclass(frozen, get_all, module = "facedex")]
pub struct PackInfo {
    /// Name by which the pack is opened.
    name: String,
    /// Summary in one sentence.
    summary: String,
    /// Roles that it has a network for: "detector", "landmarks", "embedder", "liveness", "attributes".
    roles: Vec<&'static str>,
    /// Identifies the embeddings: 64 hexadecimal digits. Only embeddings with the same digest can be compared.
    digest: String,
    /// Number of values of an embedding; None without an embedder.
    dimension: Option<usize>,
    /// Default threshold on cosine similarity, [−1, 1], inclusive; None if the manifest states none.
    threshold: Option<f64>,
    /// False match rate at the default threshold, [0, 1]; None if the manifest states none.
    fmr: Option<f64>,
    /// Measured operating points: (false match rate, threshold, false non-match rate).
    operating_points: Vec<(f64, f32, f64)>,
    /// Data and command with which the error rates were measured.
    source: Option<String>,
    /// Measured distributions of similarities; None if the manifest has none.
    scores: Option<PackScores>,
    /// Measured tails of the similarities of different people; None if the manifest has none.
    prior: Option<PackPrior>,
    /// Whether the licences of all files allow commercial use.
    commercial: bool,
    /// Licences of the files, without duplicates.
    licences: Vec<String>,
    /// Files of the pack.
    files: Vec<PackFile>,
    /// Archives that hold some of the files.
    archives: Vec<PackArchive>,
}

impl From<&Pack> for PackInfo {
    fn from(pack: &Pack) -> Self {
        let recognition = pack.recognition.as_ref();
        let point = |point: &OperatingPoint| (point.fmr, point.threshold, point.fnmr);
        Self {
            name: pack.name.clone(),
            summary: pack.summary.clone(),
            roles: pack.roles(),
            digest: pack.digest(),
            dimension: pack.embedder.as_ref().map(|embedder| embedder.dimension),
            // Through the shortest decimal form, so that 0.929 in the manifest is 0.929 in Python.
            threshold: recognition.and_then(|recognition| recognition.threshold.to_string().parse().ok()),
            fmr: recognition.map(|recognition| recognition.fmr),
            operating_points: recognition.iter().flat_map(|recognition| &recognition.thresholds).map(point).collect(),
            source: recognition.map(|recognition| recognition.source.clone()),
            scores: pack.scores.clone().map(PackScores::from),
            prior: pack.prior.clone().map(PackPrior::from),
            commercial: pack.commercial(),
            licences: pack.licences().into_iter().map(str::to_string).collect(),
            files: pack.files.iter().cloned().map(PackFile::from).collect(),
            archives: pack.archives.iter().cloned().map(PackArchive::from).collect(),
        }
    }
}

#[pymethods]
impl PackInfo {
    fn __repr__(&self) -> String {
        format!("PackInfo(name={:?}, digest={:?})", self.name, self.digest.get(..12).unwrap_or_default())
    }
}

/// Measured similarities of different people and of the same person under a pack.
#[pyclass(frozen, get_all, module = "facedex")]
#[derive(Clone)]
pub struct PackScores {
    /// Data and command of the measurement.
    data: String,
    /// Number of comparisons of different people.
    impostor_pairs: u64,
    /// Number of comparisons of the same person.
    genuine_pairs: u64,
    /// Pairs of false match rate, falling, and cosine, rising.
    impostor: Vec<(f64, f64)>,
    /// Pairs of false non-match rate and cosine, both rising.
    genuine: Vec<(f64, f64)>,
}

impl From<ScoresSpec> for PackScores {
    fn from(spec: ScoresSpec) -> Self {
        let ScoresSpec { data, impostor_pairs, genuine_pairs, impostor, genuine } = spec;
        Self { data, impostor_pairs, genuine_pairs, impostor, genuine }
    }
}

#[pymethods]
impl PackScores {
    fn __repr__(&self) -> String {
        format!("PackScores(impostor_pairs={}, genuine_pairs={})", self.impostor_pairs, self.genuine_pairs)
    }
}

/// Measured tails of the similarities of different people under a pack.
#[pyclass(frozen, get_all, module = "facedex")]
#[derive(Clone)]
pub struct PackPrior {
    /// Data and command of the measurement.
    data: String,
    /// One for each measured number of pictures a person.
    tails: Vec<PackTail>,
}

impl From<PriorSpec> for PackPrior {
    fn from(spec: PriorSpec) -> Self {
        Self { data: spec.data, tails: spec.tails.into_iter().map(PackTail::from).collect() }
    }
}

#[pymethods]
impl PackPrior {
    fn __repr__(&self) -> String {
        format!("PackPrior({:?})", self.data)
    }
}

/// The tail of the similarities of one face to the fused template of another person.
#[pyclass(frozen, get_all, module = "facedex")]
#[derive(Clone)]
pub struct PackTail {
    /// Number of pictures that are fused.
    pictures: u32,
    /// Number of people who were compared.
    people: u32,
    /// Number of pairs of them.
    pairs: u64,
    /// False match rate, falling; cosine, rising; standard error of the cosine.
    points: Vec<(f64, f64, f64)>,
}

impl From<TailSpec> for PackTail {
    fn from(spec: TailSpec) -> Self {
        let TailSpec { pictures, people, pairs, points } = spec;
        Self { pictures, people, pairs, points }
    }
}

#[pymethods]
impl PackTail {
    fn __repr__(&self) -> String {
        format!("PackTail(pictures={}, people={}, pairs={})", self.pictures, self.people, self.pairs)
    }
}

/// One file of a pack.
#[pyclass(frozen, get_all, module = "facedex")]
#[derive(Clone)]
pub struct PackFile {
    /// File name.
    name: String,
    /// Size, bytes; None if unknown.
    size: Option<u64>,
    /// SHA-256, 64 hexadecimal digits; None if its author publishes none.
    sha256: Option<String>,
    /// URLs of the file itself, in order of preference.
    urls: Vec<String>,
    /// Name of the archive that holds it.
    archive: Option<String>,
    /// Path within that archive.
    member: Option<String>,
    /// Built-in pack that contains it.
    pack: Option<String>,
    /// Licence.
    licence: String,
    /// Whether that licence allows commercial use.
    commercial: bool,
    /// What the licence allows, in one sentence; None if it is well known.
    terms: Option<String>,
    /// Where the licence is stated.
    licence_source: String,
    /// Author, and where the file is published.
    source: String,
    /// Training data, as stated by its author.
    trained_on: String,
}

impl From<FileSpec> for PackFile {
    fn from(file: FileSpec) -> Self {
        Self {
            sha256: (!file.unverified()).then_some(file.sha256),
            name: file.name,
            size: file.size,
            urls: file.urls,
            archive: file.archive,
            member: file.member,
            pack: file.pack,
            licence: file.licence,
            commercial: file.commercial,
            terms: file.terms,
            licence_source: file.licence_source,
            source: file.source,
            trained_on: file.trained_on,
        }
    }
}

#[pymethods]
impl PackFile {
    fn __repr__(&self) -> String {
        format!("PackFile(name={:?}, licence={:?})", self.name, self.licence)
    }
}

/// A zip archive that holds files of a pack.
#[pyclass(frozen, get_all, module = "facedex")]
#[derive(Clone)]
pub struct PackArchive {
    /// File name.
    name: String,
    /// Size, bytes.
    size: u64,
    /// SHA-256, 64 hexadecimal digits.
    sha256: String,
    /// URLs, in order of preference.
    urls: Vec<String>,
}

impl From<ArchiveSpec> for PackArchive {
    fn from(spec: ArchiveSpec) -> Self {
        let ArchiveSpec { name, size, sha256, urls } = spec;
        Self { name, size, sha256, urls }
    }
}

#[pymethods]
impl PackArchive {
    fn __repr__(&self) -> String {
        format!("PackArchive(name={:?})", self.name)
    }
}

/// Read and check the manifest of a pack.
///
/// Parameters
/// ----------
/// path : path
///     A TOML file.
/// pins : dict of str to str, optional
///     SHA-256 of the files that the manifest declares as unverified, as recorded when they were accepted.
///
/// Raises
/// ------
/// ManifestError
///     It cannot be read, has an unknown key, lacks a field, or has a value out of range. The message names the line.
#[pyfunction]
#[pyo3(signature = (path, *, pins = None))]
pub fn read_manifest(path: PathBuf, pins: Option<HashMap<String, String>>) -> PyResult<PackInfo> {
    let mut pack = Pack::read(&path)?;
    pack.pin(&pins.unwrap_or_default());
    Ok(PackInfo::from(&pack))
}

/// Return whether a text is a valid name of a pack or of a file in one: 1 to 200 letters, digits, `_`, `-`, `+` and
/// `.`, without `.` at either end and without `.toml` at the end. A valid name is never a path.
#[pyfunction]
pub fn is_plain_name(name: &str) -> bool {
    crate::pack::is_plain_name(name)
}
