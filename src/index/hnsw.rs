//! The HNSW graph of usearch over half-precision copies of the vectors. It only proposes candidates.
//!
//! A graph search returns keys; the caller scores them from the stored `f32` vectors and ignores deleted keys. A vector
//! that the graph cannot find right after its addition is removed from the graph and reported, so that the exact scan
//! covers it. This is the only file that names `usearch`. usearch must not reserve memory during a search or an
//! addition: every change takes `&mut self`, so the caller's lock keeps them apart.

use std::fmt::Display;
use std::num::NonZero;
use std::thread;

use usearch::{IndexOptions, MetricKind, ScalarKind};

use crate::error::{Error, Result};

/// Neighbors per node (M). At 16 about one row in two hundred is unreachable, at 32 none of 100,000 was.
const CONNECTIVITY: usize = 32;

/// Candidates kept during an addition (`ef_construction`) and during a search (`ef_search`).
const EXPANSION: usize = 256;

/// A vector is reachable if it is among this many nearest neighbors of itself.
const SELF_TEST_K: usize = 8;

/// An addition of at least this many rows uses all processors.
const MIN_PARALLEL_ROWS: usize = 512;

/// usearch marks removed nodes with this key.
pub(super) const RESERVED_KEY: u64 = u64::MAX;

/// The graph of one index.
pub(super) struct Graph {
    inner: usearch::Index,
    threads: usize,
    /// Whether a node was ever removed. Additions then reuse its slot, which usearch cannot do in parallel.
    has_free_slots: bool,
}

impl Graph {
    pub(super) fn new(dimension: usize) -> Result<Self> {
        let options = IndexOptions {
            dimensions: dimension,
            metric: MetricKind::IP,
            quantization: ScalarKind::F16,
            connectivity: CONNECTIVITY,
            expansion_add: EXPANSION,
            expansion_search: EXPANSION,
            multi: false,
        };
        let inner = usearch::Index::new(&options).map_err(|error| index_error(&error))?;
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let graph = Self { inner, threads: (4 * processors).clamp(16, 128), has_free_slots: false };
        graph.inner.reserve_capacity_and_threads(1024, graph.threads).map_err(|error| index_error(&error))?;
        Ok(graph)
    }

    pub(super) fn len(&self) -> usize {
        self.inner.size()
    }

    /// Adds rows with new keys. Returns the keys that are unreachable and were therefore not kept.
    pub(super) fn add(&mut self, rows: &[(u64, &[f32])]) -> Result<Vec<u64>> {
        let wanted = self.inner.size() + rows.len();
        if wanted > self.inner.capacity() {
            let capacity = wanted.max(self.inner.capacity() * 3 / 2);
            self.inner.reserve_capacity_and_threads(capacity, self.threads).map_err(|error| index_error(&error))?;
        }
        let processors = thread::available_parallelism().map_or(1, NonZero::get).min(self.threads);
        let workers = if rows.len() < MIN_PARALLEL_ROWS || self.has_free_slots { 1 } else { processors };
        if workers == 1 {
            self.insert(rows);
        } else {
            self.insert_in_parallel(rows, workers)?;
        }
        // A node may become unreachable through later additions; adding it a second time often helps.
        let lost: Vec<(u64, &[f32])> = rows.iter().filter(|row| !self.can_find(row.0, row.1)).copied().collect();
        let mut unreachable = Vec::new();
        for (key, vector) in lost {
            self.remove(key);
            self.insert(&[(key, vector)]);
            if !self.can_find(key, vector) {
                self.remove(key);
                unreachable.push(key);
            }
        }
        Ok(unreachable)
    }

    fn insert_in_parallel(&self, rows: &[(u64, &[f32])], workers: usize) -> Result<()> {
        thread::scope(|scope| {
            let parts = rows.chunks(rows.len().div_ceil(workers).max(1));
            let spawn = |part| thread::Builder::new().spawn_scoped(scope, move || self.insert(part));
            let started: Vec<_> = parts.map(spawn).collect();
            for worker in started {
                let ended = worker.map_err(|error| index_error(&error))?.join();
                ended.map_err(|_| index_error(&"a thread that added to the graph panicked"))?;
            }
            Ok(())
        })
    }

    /// Errors are ignored: the caller checks afterwards which rows can be found.
    fn insert(&self, rows: &[(u64, &[f32])]) {
        for (key, vector) in rows {
            let _ = self.inner.add(*key, vector);
        }
    }

    fn can_find(&self, key: u64, vector: &[f32]) -> bool {
        self.inner.contains(key) && self.candidates(vector, SELF_TEST_K).is_some_and(|keys| keys.contains(&key))
    }

    /// Removes a key. The caller knows which keys are live, so an error costs a little recall and nothing else.
    pub(super) fn remove(&mut self, key: u64) {
        self.has_free_slots = true;
        let _ = self.inner.remove(key);
    }

    /// Keys of the approximately `count` nearest; `None` if the graph cannot search now because all contexts are in
    /// use.
    pub(super) fn candidates(&self, probe: &[f32], count: usize) -> Option<Vec<u64>> {
        self.inner.search(probe, count).ok().map(|matches| matches.keys)
    }
}

fn index_error(reason: &dyn Display) -> Error {
    Error::Index { reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::synthetic::Faces;

    #[test]
    fn added_rows_are_found_and_removed_rows_are_not() {
        let faces = Faces::new(128, 1).samples(600);
        let rows: Vec<(u64, &[f32])> =
            faces.iter().enumerate().map(|(key, face)| (key as u64, face.as_slice())).collect();
        let mut graph = Graph::new(128).unwrap();
        let unreachable = graph.add(&rows).unwrap();
        assert!(unreachable.len() < 6, "{unreachable:?}");
        assert_eq!(graph.len(), 600 - unreachable.len());
        for key in 0..300 {
            graph.remove(key);
        }
        let found = graph.candidates(rows[5].1, 50).unwrap();
        assert!(found.len() == 50 && found.iter().all(|key| *key >= 300));
        assert!(graph.add(&rows[..300]).unwrap().len() < 6, "removed keys can come back");
        assert!(graph.candidates(rows[5].1, 1).unwrap() == [5]);
    }

    #[test]
    fn thousands_of_equal_vectors_are_kept_or_reported() {
        let face = Faces::new(16, 2).samples(1).remove(0);
        let rows: Vec<(u64, &[f32])> = (0..2000).map(|key| (key, face.as_slice())).collect();
        let mut graph = Graph::new(16).unwrap();
        let unreachable = graph.add(&rows).unwrap();
        assert_eq!(graph.len() + unreachable.len(), 2000);
    }

    #[test]
    fn more_searches_than_contexts_fail_without_harm() {
        let faces = Faces::new(32, 3).samples(200);
        let rows: Vec<(u64, &[f32])> =
            faces.iter().enumerate().map(|(key, face)| (key as u64, face.as_slice())).collect();
        let mut graph = Graph::new(32).unwrap();
        graph.add(&rows).unwrap();
        thread::scope(|scope| {
            for _ in 0..2 * graph.threads {
                scope.spawn(|| {
                    for (key, vector) in &rows {
                        assert!(graph.candidates(vector, 8).is_none_or(|keys| keys.contains(key)));
                    }
                });
            }
        });
    }
}
