//! The search index for Python.

use super::array;
use crate::error::Error;
use crate::index::{self, Method};
use ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::prelude::*;
use std::path::PathBuf;

/// Keys ↔ nearest embeddings, in memory. Any number of threads may search while one changes it.
///
/// Parameters
/// ----------
/// dimension : int
///     Number of values of an embedding.
/// pack : str
///     Digest of the pack whose embeddings these are.
/// method : {"auto", "exact", "hnsw"}
///     How to search; "auto" is exact until the gallery is large.
#[pyclass(frozen, module = "facedex._core")]
pub struct Index {
    index: index::Index,
}

/// Keys and similarities, (probes, k).
type Found<'py> = (Bound<'py, PyArray2<u64>>, Bound<'py, PyArray2<f32>>);

#[pymethods]
impl Index {
    #[new]
    #[pyo3(signature = (dimension, pack, *, method = "auto"))]
    fn new(dimension: usize, pack: &str, method: &str) -> PyResult<Self> {
        Ok(Self { index: index::Index::new(dimension, pack, parse(method)?)? })
    }

    /// Add unit vectors (n, dimension), float32, under keys (n,), uint64. All are added or none.
    fn add(&self, py: Python<'_>, keys: &Bound<'_, PyAny>, vectors: &Bound<'_, PyAny>) -> PyResult<()> {
        let (keys, vectors) = (array::keys(keys)?, array::matrix(vectors, "vectors")?);
        Ok(py.detach(|| self.index.add(&keys, vectors.view()))?)
    }

    /// Remove keys (n,), uint64; unknown ones are passed over. The number removed.
    fn remove(&self, py: Python<'_>, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        let keys = array::keys(keys)?;
        Ok(py.detach(|| self.index.remove(&keys)))
    }

    /// The k nearest of each probe (m, dimension), float32: keys (m, k') and cosines (m, k'), best first, k' = min(k, len).
    fn search<'py>(&self, py: Python<'py>, probes: &Bound<'py, PyAny>, k: usize) -> PyResult<Found<'py>> {
        let probes = array::matrix(probes, "probes")?;
        let hits = py.detach(|| self.index.search(probes.view(), k))?;
        // Under a concurrent removal rows could differ in length; every row is cut to the shortest.
        let width = hits.iter().map(Vec::len).min().unwrap_or(0);
        let keys = Array2::from_shape_fn((hits.len(), width), |(row, column)| hits[row][column].key);
        let similarities = Array2::from_shape_fn((hits.len(), width), |(row, column)| hits[row][column].similarity);
        Ok((keys.into_pyarray(py), similarities.into_pyarray(py)))
    }

    /// Write a snapshot of gallery `gallery` at position `position` of its change feed; atomic and durable.
    fn save(&self, py: Python<'_>, path: PathBuf, gallery: &str, position: u64) -> PyResult<()> {
        Ok(py.detach(|| self.index.save(&path, gallery, position))?)
    }

    /// Read a snapshot: the index and its position. Raises IndexFileError where anything does not agree.
    #[staticmethod]
    #[pyo3(signature = (path, pack, gallery, *, method = "auto"))]
    fn load(py: Python<'_>, path: PathBuf, pack: &str, gallery: &str, method: &str) -> PyResult<(Self, u64)> {
        let method = parse(method)?;
        let (index, position) = py.detach(|| index::Index::load(&path, pack, gallery, method))?;
        Ok((Self { index }, position))
    }

    /// The bytes of a snapshot, (n,), uint8, as `save` would write them, for a caller that encrypts them.
    fn to_bytes<'py>(&self, py: Python<'py>, gallery: &str, position: u64) -> PyResult<Bound<'py, PyArray1<u8>>> {
        Ok(py.detach(|| self.index.to_bytes(gallery, position))?.into_pyarray(py))
    }

    /// Read a snapshot from its bytes (n,), uint8; `name` says in an error where they came from.
    #[staticmethod]
    #[pyo3(signature = (content, name, pack, gallery, *, method = "auto"))]
    fn from_bytes(
        py: Python<'_>,
        content: &Bound<'_, PyAny>,
        name: PathBuf,
        pack: &str,
        gallery: &str,
        method: &str,
    ) -> PyResult<(Self, u64)> {
        let (method, content) = (parse(method)?, array::bytes(content, "content")?);
        let bytes = content.as_slice()?;
        let (index, position) = py.detach(|| index::Index::from_bytes(bytes, &name, pack, gallery, method))?;
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

    /// How it searches now: "exact" or "hnsw".
    #[getter]
    fn method(&self) -> &'static str {
        match self.index.method_in_use() {
            Method::Hnsw => "hnsw",
            Method::Exact | Method::Auto => "exact",
        }
    }

    fn __len__(&self) -> usize {
        self.index.len()
    }

    fn __contains__(&self, key: u64) -> bool {
        self.index.contains(key)
    }

    fn __repr__(&self) -> String {
        format!("Index(faces={}, dimension={}, method={:?})", self.index.len(), self.index.dimension(), self.method())
    }
}

fn parse(method: &str) -> PyResult<Method> {
    match method {
        "auto" => Ok(Method::Auto),
        "exact" => Ok(Method::Exact),
        "hnsw" => Ok(Method::Hnsw),
        _ => Err(Error::Argument {
            name: "method",
            accepted: "\"auto\", \"exact\" or \"hnsw\"".to_string(),
            found: format!("{method:?}"),
        }
        .into()),
    }
}
