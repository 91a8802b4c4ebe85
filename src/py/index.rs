//! The search index for Python.

use super::{array, number};
use crate::error::Error;
use crate::index::{self, Method, SearchOptions};
use ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;

/// A search index of embeddings, in memory. Any number of threads may search while one changes the index; no search
/// waits.
///
/// Parameters
/// ----------
/// dimension : int
///     Number of values of an embedding.
/// pack : str
///     Digest of the pack that made the embeddings.
/// method : {"auto", "exact", "ivf", "hnsw"}
///     How to search. "exact" compares the probe with every face, "ivf" with the faces of the nearest inverted lists,
///     and "hnsw" searches a graph. If the measured recall of "ivf" or "hnsw" is below `promised_recall`, searches are
///     exact. "auto" is exact while a search stays within the budget, then "ivf".
/// budget_ms : float, optional
///     Time limit for a search of one probe, milliseconds; above it "auto" builds lists. 50 by default.
/// promised_recall : float, optional
///     An approximate search is used only if its measured recall, [0, 1], is at least this. 0.99 by default.
#[pyclass(frozen, module = "facedex._core")]
pub struct Index {
    index: index::Index,
}

/// Keys and similarities, (probes, k).
type Hits<'py> = (Bound<'py, PyArray2<u64>>, Bound<'py, PyArray2<f32>>);

/// People, similarities and keys, (probes, k), and margins, (probes,).
type PeopleHits<'py> =
    (Bound<'py, PyArray2<u64>>, Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<u64>>, Bound<'py, PyArray1<f32>>);

#[pymethods]
impl Index {
    #[new]
    #[pyo3(signature = (dimension, pack, *, method = "auto", budget_ms = None, promised_recall = None))]
    fn new(
        dimension: &Bound<'_, PyAny>,
        pack: &str,
        method: &str,
        budget_ms: Option<&Bound<'_, PyAny>>,
        promised_recall: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let dimension = number::integer(dimension, "dimension", 1)?;
        let index = index::Index::new(dimension, pack, search_options(method, budget_ms, promised_recall)?)?;
        Ok(Self { index })
    }

    /// Add unit vectors (n, dimension), float32, under keys (n,), uint64, all or none. `people` (n,), uint64, holds the
    /// person of each vector; without it each key is a person.
    #[pyo3(signature = (keys, vectors, *, people = None))]
    fn add(
        &self,
        py: Python<'_>,
        keys: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyAny>,
        people: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (keys, vectors) = (array::keys(keys, "keys")?, array::matrix(vectors, "vectors")?);
        let people = people.map(|people| array::keys(people, "people")).transpose()?;
        Ok(py.detach(|| self.index.add(&keys, people.as_deref(), vectors.view()))?)
    }

    /// Remove keys (r,), uint64, of which unknown ones are ignored, and add vectors as `add` does, also under removed
    /// keys. A search sees both or neither.
    #[pyo3(signature = (removed, keys, vectors, *, people = None))]
    fn replace(
        &self,
        py: Python<'_>,
        removed: &Bound<'_, PyAny>,
        keys: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyAny>,
        people: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (removed, keys) = (array::keys(removed, "removed")?, array::keys(keys, "keys")?);
        let vectors = array::matrix(vectors, "vectors")?;
        let people = people.map(|people| array::keys(people, "people")).transpose()?;
        Ok(py.detach(|| self.index.replace(&removed, &keys, people.as_deref(), vectors.view()))?)
    }

    /// Remove keys (n,), uint64, and return how many of them were in the index. Unknown keys are ignored.
    fn remove(&self, py: Python<'_>, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        let keys = array::keys(keys, "keys")?;
        Ok(py.detach(|| self.index.remove(&keys)))
    }

    /// Find the k nearest keys of each probe (m, dimension), float32. Returns keys (m, k') and cosines (m, k'), best
    /// first, k' = min(k, len).
    fn search<'py>(&self, py: Python<'py>, probes: &Bound<'py, PyAny>, k: &Bound<'py, PyAny>) -> PyResult<Hits<'py>> {
        let (probes, k) = (array::matrix(probes, "probes")?, number::integer(k, "k", 1)?);
        let hits = py.detach(|| self.index.search(probes.view(), k))?;
        // A concurrent removal can make rows differ in length; all are truncated to the shortest.
        let width = hits.iter().map(Vec::len).min().unwrap_or(0);
        let keys = Array2::from_shape_fn((hits.len(), width), |(row, column)| hits[row][column].key);
        let similarities = Array2::from_shape_fn((hits.len(), width), |(row, column)| hits[row][column].similarity);
        Ok((keys.into_pyarray(py), similarities.into_pyarray(py)))
    }

    /// Find the k best people of each probe (m, dimension), float32. Returns people (m, k') and their similarities (m,
    /// k'), best first, the key of the best face of each (m, k'), and the similarity of the first minus that of the
    /// second (m,), infinite if there is no second. The similarity of a person is that of the best face, or the mean of
    /// the best `faces`.
    #[pyo3(signature = (probes, k, *, faces = None), text_signature = "($self, probes, k, *, faces=1)")]
    fn search_people<'py>(
        &self,
        py: Python<'py>,
        probes: &Bound<'py, PyAny>,
        k: &Bound<'py, PyAny>,
        faces: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<PeopleHits<'py>> {
        let (probes, k) = (array::matrix(probes, "probes")?, number::integer(k, "k", 1)?);
        let faces = number::optional(faces, "faces", 1)?.unwrap_or(1);
        let found = py.detach(|| self.index.search_people(probes.view(), k, faces))?;
        let width = found.iter().map(|people| people.hits.len()).min().unwrap_or(0);
        let shape = (found.len(), width);
        let people = Array2::from_shape_fn(shape, |(row, column)| found[row].hits[column].person);
        let similarities = Array2::from_shape_fn(shape, |(row, column)| found[row].hits[column].similarity);
        let keys = Array2::from_shape_fn(shape, |(row, column)| found[row].hits[column].key);
        let margins = PyArray1::from_iter(py, found.iter().map(|people| people.margin));
        Ok((people.into_pyarray(py), similarities.into_pyarray(py), keys.into_pyarray(py), margins))
    }

    /// Measure the recall of the approximate search, [0, 1], with n probes made from the stored vectors; 1 if there is
    /// no approximate search. If it is below the promised recall, searches are exact from then on.
    #[pyo3(signature = (n = None), text_signature = "($self, n=200)")]
    fn sample_recall(&self, py: Python<'_>, n: Option<&Bound<'_, PyAny>>) -> PyResult<f32> {
        let n = number::optional(n, "n", 0)?.unwrap_or(200);
        Ok(py.detach(|| self.index.sample_recall(n))?)
    }

    /// Build inverted lists now if the method uses them and enough faces have none, instead of soon in the background.
    fn maintain(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.index.maintain())?)
    }

    /// Report what the index holds and how it searches.
    ///
    /// Returns
    /// -------
    /// dict
    ///     faces, method, in_use (the method of searches now), n_lists, n_probe (lists per search), unindexed (faces in
    ///     no list and not in the graph, which each search scans too), recall (last measured, or None),
    ///     promised_recall, exact_ms (expected time of an exact search for one probe), code_bytes, vector_bytes (in
    ///     memory) and note (the last error or remark of a background thread, or None).
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = self.index.status();
        let dict = PyDict::new(py);
        dict.set_item("faces", status.faces)?;
        dict.set_item("method", method_name(status.method))?;
        dict.set_item("in_use", method_name(status.in_use))?;
        dict.set_item("n_lists", status.n_lists)?;
        dict.set_item("n_probe", status.n_probe)?;
        dict.set_item("unindexed", status.unindexed)?;
        dict.set_item("recall", status.recall)?;
        dict.set_item("promised_recall", status.promised_recall)?;
        dict.set_item("exact_ms", status.exact_ms)?;
        dict.set_item("code_bytes", status.code_bytes)?;
        dict.set_item("vector_bytes", status.vector_bytes)?;
        dict.set_item("note", status.note)?;
        Ok(dict)
    }

    /// Write a snapshot that belongs to this gallery at this position of its change feed, atomically and durably;
    /// returns its digest, by which `load` tells it from a file that somebody else wrote.
    fn save(&self, py: Python<'_>, path: PathBuf, gallery: &str, position: &Bound<'_, PyAny>) -> PyResult<String> {
        let position = number::integer(position, "position", 0)?;
        Ok(py.detach(|| self.index.save(&path, gallery, position))?)
    }

    /// Load a snapshot; returns the index and the position at which it was saved. Raises IndexFileError if the file is
    /// damaged or belongs to another pack or gallery. Vectors of more than `resident_bytes`, by default 256 MiB, stay
    /// in it. With `digests`, only a snapshot for which `save` returned one of them is loaded.
    #[staticmethod]
    #[pyo3(signature = (path, pack, gallery, *, digests = None, method = "auto", budget_ms = None, promised_recall = None, resident_bytes = None))]
    #[allow(clippy::too_many_arguments)] // all but three are keywords
    fn load(
        py: Python<'_>,
        path: PathBuf,
        pack: &str,
        gallery: &str,
        digests: Option<Vec<String>>,
        method: &str,
        budget_ms: Option<&Bound<'_, PyAny>>,
        promised_recall: Option<&Bound<'_, PyAny>>,
        resident_bytes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(Self, u64)> {
        let options = search_options(method, budget_ms, promised_recall)?;
        let resident = number::optional(resident_bytes, "resident_bytes", 0)?.unwrap_or(index::RESIDENT_LIMIT);
        let expected = index::Expected { pack, gallery, digests: digests.as_deref() };
        let (index, position) = py.detach(|| index::Index::load_within(&path, expected, options, resident))?;
        Ok((Self { index }, position))
    }

    /// Return the bytes that `save` would write, (n,), uint8, for a caller that encrypts them.
    fn to_bytes<'py>(
        &self,
        py: Python<'py>,
        gallery: &str,
        position: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let position = number::integer(position, "position", 0)?;
        Ok(py.detach(|| self.index.to_bytes(gallery, position))?.into_pyarray(py))
    }

    /// Load a snapshot from its bytes (n,), uint8; `name` is its path in errors. Otherwise like `load`.
    #[staticmethod]
    #[pyo3(signature = (content, name, pack, gallery, *, method = "auto", budget_ms = None, promised_recall = None))]
    #[allow(clippy::too_many_arguments)] // all but four are keywords
    fn from_bytes(
        py: Python<'_>,
        content: &Bound<'_, PyAny>,
        name: PathBuf,
        pack: &str,
        gallery: &str,
        method: &str,
        budget_ms: Option<&Bound<'_, PyAny>>,
        promised_recall: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(Self, u64)> {
        let (options, content) =
            (search_options(method, budget_ms, promised_recall)?, array::bytes(content, "content")?);
        let bytes = content.as_slice()?;
        let (index, position) = py.detach(|| index::Index::from_bytes(bytes, &name, pack, gallery, options))?;
        Ok((Self { index }, position))
    }

    /// Number of values of an embedding.
    #[getter]
    fn dimension(&self) -> usize {
        self.index.dimension()
    }

    /// Digest of the pack.
    #[getter]
    fn pack(&self) -> &str {
        self.index.pack()
    }

    /// The method that searches use now: "exact", "ivf" or "hnsw".
    #[getter]
    fn method(&self) -> &'static str {
        method_name(self.index.method_in_use())
    }

    fn __len__(&self) -> usize {
        self.index.len()
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(number::extract(key, "key")?.is_some_and(|key| self.index.contains(key)))
    }

    fn __repr__(&self) -> String {
        format!("Index(faces={}, dimension={}, method={:?})", self.index.len(), self.index.dimension(), self.method())
    }
}

fn parse_method(method: &str) -> PyResult<Method> {
    match method {
        "auto" => Ok(Method::Auto),
        "exact" => Ok(Method::Exact),
        "ivf" => Ok(Method::Ivf),
        "hnsw" => Ok(Method::Hnsw),
        _ => Err(Error::Argument {
            name: "method",
            accepted: "\"auto\", \"exact\", \"ivf\" or \"hnsw\"".to_string(),
            found: format!("{method:?}"),
        }
        .into()),
    }
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Auto => "auto",
        Method::Exact => "exact",
        Method::Ivf => "ivf",
        Method::Hnsw => "hnsw",
    }
}

fn search_options(
    method: &str,
    budget_ms: Option<&Bound<'_, PyAny>>,
    promised_recall: Option<&Bound<'_, PyAny>>,
) -> PyResult<SearchOptions> {
    let mut options = SearchOptions::from(parse_method(method)?);
    if let Some(budget) = budget_ms {
        let budget = number::float(budget, "budget_ms")?;
        check_range("budget_ms", "0 or more milliseconds", budget, budget >= 0.0)?;
        options.budget_ms = budget;
    }
    if let Some(promised) = promised_recall {
        let recall = number::float(promised, "promised_recall")?;
        check_range("promised_recall", "from 0 to 1", recall, (0.0..=1.0).contains(&recall))?;
        options.promised_recall = recall;
    }
    Ok(options)
}

fn check_range(name: &'static str, accepted: &str, found: f32, valid: bool) -> PyResult<()> {
    let error = || Error::Argument { name, accepted: accepted.to_owned(), found: found.to_string() };
    if valid { Ok(()) } else { Err(error().into()) }
}
