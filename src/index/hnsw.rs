//! The graph: usearch's HNSW over half-precision copies of the vectors, which names candidates and nothing more.
//!
//! Its answers are keys only; whoever asks scores them from the stored `f32` vectors and ignores keys that are gone. A
//! vector that the graph cannot find again right after it was added is taken out and reported, so that the exact scan
//! keeps it. The only file naming `usearch`. usearch must not be reserved beside a search or an addition: every change
//! takes `&mut self`, so the lock above keeps them apart.

use std::fmt::Display;
use std::num::NonZero;
use std::thread;

use usearch::{IndexOptions, MetricKind, ScalarKind};

use crate::error::{Error, Result};

/// Neighbours a node keeps. At 16 about one row in two hundred cannot be found again, at 32 none of 100,000 was.
const CONNECTIVITY: usize = 32;

/// Nodes kept in view while adding and while searching.
const EXPANSION: usize = 256;

/// A vector counts as found when it is among this many nearest to itself.
const SELF_TEST: usize = 8;

/// From this many rows on, an addition is spread over the processors.
const PARALLEL_ROWS: usize = 512;

/// usearch marks removed nodes with this key.
pub(super) const RESERVED_KEY: u64 = u64::MAX;

/// The graph of one index.
pub(super) struct Graph {
    inner: usearch::Index,
    threads: usize,
    /// Whether a node was ever removed: additions then reuse its place, which usearch does not do side by side.
    reused: bool,
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
        let inner = usearch::Index::new(&options).map_err(|error| failed(&error))?;
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let graph = Self { inner, threads: (4 * processors).clamp(16, 128), reused: false };
        graph.inner.reserve_capacity_and_threads(1024, graph.threads).map_err(|error| failed(&error))?;
        Ok(graph)
    }

    pub(super) fn len(&self) -> usize {
        self.inner.size()
    }

    /// Adds rows whose keys it does not hold; returns the keys that it cannot find again and therefore does not hold.
    pub(super) fn add(&mut self, rows: &[(u64, &[f32])]) -> Result<Vec<u64>> {
        let wanted = self.inner.size() + rows.len();
        if wanted > self.inner.capacity() {
            let capacity = wanted.max(self.inner.capacity() * 3 / 2);
            self.inner.reserve_capacity_and_threads(capacity, self.threads).map_err(|error| failed(&error))?;
        }
        let processors = thread::available_parallelism().map_or(1, NonZero::get).min(self.threads);
        let workers = if rows.len() < PARALLEL_ROWS || self.reused { 1 } else { processors };
        if workers == 1 {
            self.insert(rows);
        } else {
            self.insert_side_by_side(rows, workers)?;
        }
        // Twice, because a node may become unreachable by those added after it, and often is not once it is added again.
        let lost: Vec<(u64, &[f32])> = rows.iter().filter(|row| !self.finds(row.0, row.1)).copied().collect();
        let mut unreachable = Vec::new();
        for (key, vector) in lost {
            self.remove(key);
            self.insert(&[(key, vector)]);
            if !self.finds(key, vector) {
                self.remove(key);
                unreachable.push(key);
            }
        }
        Ok(unreachable)
    }

    fn insert_side_by_side(&self, rows: &[(u64, &[f32])], workers: usize) -> Result<()> {
        thread::scope(|scope| {
            let parts = rows.chunks(rows.len().div_ceil(workers).max(1));
            let spawn = |part| thread::Builder::new().spawn_scoped(scope, move || self.insert(part));
            let started: Vec<_> = parts.map(spawn).collect();
            for worker in started {
                let ended = worker.map_err(|error| failed(&error))?.join();
                ended.map_err(|_| failed(&"an addition to the graph panicked"))?;
            }
            Ok(())
        })
    }

    /// A row that is refused here is not found afterwards, which is what its caller asks.
    fn insert(&self, rows: &[(u64, &[f32])]) {
        for (key, vector) in rows {
            let _refused = self.inner.add(*key, vector);
        }
    }

    fn finds(&self, key: u64, vector: &[f32]) -> bool {
        self.inner.contains(key) && self.candidates(vector, SELF_TEST).is_some_and(|keys| keys.contains(&key))
    }

    /// Takes a key out. Its caller knows which keys are alive, so a refusal costs a little recall and nothing else.
    pub(super) fn remove(&mut self, key: u64) {
        self.reused = true;
        let _refused = self.inner.remove(key);
    }

    /// Keys of about `count` nearest; none where the graph cannot answer now, as when every search context is in use.
    pub(super) fn candidates(&self, probe: &[f32], count: usize) -> Option<Vec<u64>> {
        self.inner.search(probe, count).ok().map(|matches| matches.keys)
    }
}

fn failed(reason: &dyn Display) -> Error {
    Error::Index { reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::synthetic::Faces;

    #[test]
    fn what_was_added_is_found_and_what_was_removed_is_not() {
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
    fn thousands_of_equal_vectors_are_reported_and_not_lost() {
        let face = Faces::new(16, 2).samples(1).remove(0);
        let rows: Vec<(u64, &[f32])> = (0..2000).map(|key| (key, face.as_slice())).collect();
        let mut graph = Graph::new(16).unwrap();
        let unreachable = graph.add(&rows).unwrap();
        assert_eq!(graph.len() + unreachable.len(), 2000);
    }

    #[test]
    fn more_searches_than_contexts_are_refused_and_do_no_harm() {
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
