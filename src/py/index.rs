//! The search index for Python.

use super::{array, number};
use crate::error::Error;
use crate::index::{self, Method, Wish};
use ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;

/// Keys ↔ nearest embeddings, in memory. Any number of threads may search while one changes it, and no search waits.
///
/// Parameters
/// ----------
/// dimension : int
///     Number of values of an embedding.
/// pack : str
///     Digest of the pack whose embeddings these are.
/// method : {"auto", "exact", "ivf", "hnsw"}
///     How to search. "exact" considers every face. "ivf" compares a probe with the nearest lists of faces, "hnsw" walks a
///     graph; where the recall of either was measured below what is promised, the search is exact. "auto" is exact while a
///     search stays within the budget, then "ivf".
/// budget_ms : float, optional
///     Milliseconds that a search of one probe may take before "auto" makes lists.
/// promised_recall : float, optional
///     Measured recall, [0, 1], below which an approximate search is not used.
#[pyclass(frozen, module = "facedex._core")]
pub struct Index {
    index: index::Index,
}

/// Keys and similarities, (probes, k).
type Found<'py> = (Bound<'py, PyArray2<u64>>, Bound<'py, PyArray2<f32>>);

/// People, similarities and keys, (probes, k), and margins, (probes,).
type FoundPeople<'py> =
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
        let dimension = number::whole(dimension, "dimension", 1)?;
        let index = index::Index::new(dimension, pack, wish(method, budget_ms, promised_recall)?)?;
        Ok(Self { index })
    }

    /// Add unit vectors (n, dimension), float32, under keys (n,), uint64. All are added or none. `people` (n,), uint64, says
    /// whose they are; without it every key is a person.
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

    /// Remove keys (n,), uint64; unknown ones are passed over. The number removed.
    fn remove(&self, py: Python<'_>, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        let keys = array::keys(keys, "keys")?;
        Ok(py.detach(|| self.index.remove(&keys)))
    }

    /// The k nearest of each probe (m, dimension), float32: keys (m, k') and cosines (m, k'), best first, k' = min(k, len).
    fn search<'py>(&self, py: Python<'py>, probes: &Bound<'py, PyAny>, k: &Bound<'py, PyAny>) -> PyResult<Found<'py>> {
        let (probes, k) = (array::matrix(probes, "probes")?, number::whole(k, "k", 1)?);
        let hits = py.detach(|| self.index.search(probes.view(), k))?;
        // Under a concurrent removal rows could differ in length; every row is cut to the shortest.
        let width = hits.iter().map(Vec::len).min().unwrap_or(0);
        let keys = Array2::from_shape_fn((hits.len(), width), |(row, column)| hits[row][column].key);
        let similarities = Array2::from_shape_fn((hits.len(), width), |(row, column)| hits[row][column].similarity);
        Ok((keys.into_pyarray(py), similarities.into_pyarray(py)))
    }

    /// The k best people of each probe (m, dimension), float32: people (m, k') and their similarities (m, k'), best first,
    /// the key of each one's best face (m, k'), and by how much the first is ahead of the second (m,), infinite where there
    /// is no second. A person's similarity is that of the best face, or the mean of the best `faces`.
    #[pyo3(signature = (probes, k, *, faces = None), text_signature = "($self, probes, k, *, faces=1)")]
    fn search_people<'py>(
        &self,
        py: Python<'py>,
        probes: &Bound<'py, PyAny>,
        k: &Bound<'py, PyAny>,
        faces: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<FoundPeople<'py>> {
        let (probes, k) = (array::matrix(probes, "probes")?, number::whole(k, "k", 1)?);
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

    /// Share of n probes, made from the stored vectors, whose nearest face the approximate search finds, in [0, 1]; 1 where
    /// there is none. One that is below the promised recall is not used from here on.
    #[pyo3(signature = (n = None), text_signature = "($self, n=200)")]
    fn sample_recall(&self, py: Python<'_>, n: Option<&Bound<'_, PyAny>>) -> PyResult<f32> {
        let n = number::optional(n, "n", 0)?.unwrap_or(200);
        Ok(py.detach(|| self.index.sample_recall(n))?)
    }

    /// Put faces into the lists of the approximate search where the method asks for it and enough have none; it would
    /// happen beside the searches soon.
    fn maintain(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.index.maintain())?)
    }

    /// What it holds and how it searches.
    ///
    /// Returns
    /// -------
    /// dict
    ///     faces, method, in_use, lists, lists_probed, outside (faces in no list or graph), recall (last measured, or None),
    ///     promised_recall, exact_ms (what an exact search of one probe takes), code_bytes, vector_bytes (in memory) and note
    ///     (what went wrong while lists were made, or None).
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = self.index.status();
        let dict = PyDict::new(py);
        dict.set_item("faces", status.faces)?;
        dict.set_item("method", name(status.method))?;
        dict.set_item("in_use", name(status.in_use))?;
        dict.set_item("lists", status.lists)?;
        dict.set_item("lists_probed", status.lists_probed)?;
        dict.set_item("outside", status.outside)?;
        dict.set_item("recall", status.recall)?;
        dict.set_item("promised_recall", status.promised_recall)?;
        dict.set_item("exact_ms", status.exact_ms)?;
        dict.set_item("code_bytes", status.code_bytes)?;
        dict.set_item("vector_bytes", status.vector_bytes)?;
        dict.set_item("note", status.note)?;
        Ok(dict)
    }

    /// Write a snapshot of gallery `gallery` at position `position` of its change feed; atomic and durable.
    fn save(&self, py: Python<'_>, path: PathBuf, gallery: &str, position: &Bound<'_, PyAny>) -> PyResult<()> {
        let position = number::whole(position, "position", 0)?;
        Ok(py.detach(|| self.index.save(&path, gallery, position))?)
    }

    /// Read a snapshot: the index and its position. Raises IndexFileError where anything does not agree. Vectors of more
    /// than `resident_bytes`, by default 256 MiB, stay in the file.
    #[staticmethod]
    #[pyo3(signature = (path, pack, gallery, *, method = "auto", budget_ms = None, promised_recall = None, resident_bytes = None))]
    #[allow(clippy::too_many_arguments)] // all but three are keywords
    fn load(
        py: Python<'_>,
        path: PathBuf,
        pack: &str,
        gallery: &str,
        method: &str,
        budget_ms: Option<&Bound<'_, PyAny>>,
        promised_recall: Option<&Bound<'_, PyAny>>,
        resident_bytes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(Self, u64)> {
        let wish = wish(method, budget_ms, promised_recall)?;
        let resident = number::optional(resident_bytes, "resident_bytes", 0)?.unwrap_or(index::RESIDENT_LIMIT);
        let (index, position) = py.detach(|| index::Index::load_within(&path, pack, gallery, wish, resident))?;
        Ok((Self { index }, position))
    }

    /// The bytes of a snapshot, (n,), uint8, as `save` would write them, for a caller that encrypts them.
    fn to_bytes<'py>(
        &self,
        py: Python<'py>,
        gallery: &str,
        position: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let position = number::whole(position, "position", 0)?;
        Ok(py.detach(|| self.index.to_bytes(gallery, position))?.into_pyarray(py))
    }

    /// Read a snapshot from its bytes (n,), uint8; `name` says in an error where they came from.
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
        let (wish, content) = (wish(method, budget_ms, promised_recall)?, array::bytes(content, "content")?);
        let bytes = content.as_slice()?;
        let (index, position) = py.detach(|| index::Index::from_bytes(bytes, &name, pack, gallery, wish))?;
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

    /// How it searches now: "exact", "ivf" or "hnsw".
    #[getter]
    fn method(&self) -> &'static str {
        name(self.index.method_in_use())
    }

    fn __len__(&self) -> usize {
        self.index.len()
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(number::fitting(key, "key")?.is_some_and(|key| self.index.contains(key)))
    }

    fn __repr__(&self) -> String {
        format!("Index(faces={}, dimension={}, method={:?})", self.index.len(), self.index.dimension(), self.method())
    }
}

fn parse(method: &str) -> PyResult<Method> {
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

fn name(method: Method) -> &'static str {
    match method {
        Method::Auto => "auto",
        Method::Exact => "exact",
        Method::Ivf => "ivf",
        Method::Hnsw => "hnsw",
    }
}

fn wish(
    method: &str,
    budget_ms: Option<&Bound<'_, PyAny>>,
    promised_recall: Option<&Bound<'_, PyAny>>,
) -> PyResult<Wish> {
    let mut wish = Wish::from(parse(method)?);
    if let Some(budget) = budget_ms {
        let budget = number::real(budget, "budget_ms")?;
        check("budget_ms", "0 or more milliseconds", budget, budget >= 0.0)?;
        wish.budget_ms = budget;
    }
    if let Some(promised) = promised_recall {
        let promised = number::real(promised, "promised_recall")?;
        check("promised_recall", "from 0 to 1", promised, (0.0..=1.0).contains(&promised))?;
        wish.promised_recall = promised;
    }
    Ok(wish)
}

fn check(name: &'static str, accepted: &str, found: f32, right: bool) -> PyResult<()> {
    let refused = || Error::Argument { name, accepted: accepted.to_owned(), found: found.to_string() };
    if right { Ok(()) } else { Err(refused().into()) }
}
