//! The index that callers hold: rows, scan and graph behind one read-write lock, and a check of everything that enters.
//!
//! Searches run side by side and see either all of an addition or removal or nothing of it. Refused are vectors of another
//! dimension, not finite or not of unit length, and keys that are there already; an addition is made whole or not at all.

#![allow(clippy::needless_pass_by_value)] // array views are references already

use std::collections::HashSet;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ndarray::{ArrayView1, ArrayView2};

use super::dot::similarity;
use super::exact::{Scope, scan};
use super::file::{self, Header, Snapshot};
use super::hnsw::{Graph, RESERVED_KEY};
use super::ranking::{Best, Hit};
use super::rows::Rows;
use super::segment::RowState;
use crate::error::{Error, Result};

/// Faces beyond which `Method::Auto` begins to use the graph. The exact scan takes tens of milliseconds there, with recall
/// 1; up to a million faces, where both were measured, no graph that finds as much was faster.
pub const AUTO_LIMIT: usize = 2_000_000;

/// How far the length of a vector may be from 1.
const UNIT_TOLERANCE: f64 = 1e-3;

/// Longest vector: the sums of its codes stay far inside 32 bits.
const DIMENSION_LIMIT: usize = 16_384;

/// Longest pack digest or gallery name in a snapshot, bytes.
const NAME_LIMIT: usize = 1024;

/// Beyond this many answers the exact scan is the faster way.
const GRAPH_K_LIMIT: usize = 256;

/// Rows that one addition moves into the graph besides its own number, while `Method::Auto` is changing over.
const AUTO_STEP: usize = 256;

/// How the nearest vectors are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Every vector is considered: recall 1.
    Exact,
    /// A usearch graph names candidates, which are scored exactly; a few neighbours may be missed.
    Hnsw,
    /// Exact up to `AUTO_LIMIT` faces, then the graph, into which every addition moves some more rows.
    Auto,
}

/// Unit vectors under keys, searched by cosine.
pub struct Index {
    dimension: usize,
    pack: String,
    method: Method,
    auto_limit: usize,
    state: RwLock<State>,
}

struct State {
    rows: Rows,
    graph: Option<Graph>,
}

impl State {
    fn remove(&mut self, keys: &[u64]) -> usize {
        let mut removed = 0;
        for key in keys {
            if self.rows.remove(*key) {
                removed += 1;
                if let Some(graph) = &mut self.graph {
                    graph.remove(*key);
                }
            }
        }
        self.rows.compact();
        removed
    }
}

impl Index {
    /// An empty index for vectors of `dimension` values made by the pack with this digest.
    pub fn new(dimension: usize, pack: &str, method: Method) -> Result<Self> {
        if !(1..=DIMENSION_LIMIT).contains(&dimension) {
            let accepted = format!("from 1 to {DIMENSION_LIMIT}");
            return Err(Error::Argument { name: "dimension", accepted, found: dimension.to_string() });
        }
        check_name("pack", pack)?;
        let state = RwLock::new(State { rows: Rows::new(dimension), graph: None });
        Ok(Self { dimension, pack: pack.to_owned(), method, auto_limit: AUTO_LIMIT, state })
    }

    /// Adds one vector a key, (key, value) as `f32` of unit length, all or none.
    pub fn add(&self, keys: &[u64], vectors: ArrayView2<f32>) -> Result<()> {
        if keys.len() != vectors.nrows() {
            let accepted = format!("one a vector, {}", vectors.nrows());
            return Err(Error::Argument { name: "keys", accepted, found: keys.len().to_string() });
        }
        self.check_vectors(vectors)?;
        if keys.contains(&RESERVED_KEY) {
            let accepted = format!("below {RESERVED_KEY}");
            return Err(Error::Argument { name: "key", accepted, found: RESERVED_KEY.to_string() });
        }
        let mut state = self.write()?;
        let mut seen = HashSet::with_capacity(keys.len());
        if let Some(key) = keys.iter().find(|key| state.rows.contains(**key) || !seen.insert(**key)) {
            let accepted = "one that is not in the index".to_owned();
            return Err(Error::Argument { name: "key", accepted, found: key.to_string() });
        }
        for (key, vector) in keys.iter().zip(vectors.outer_iter()) {
            match vector.as_slice() {
                Some(vector) => state.rows.push(*key, vector),
                None => state.rows.push(*key, &vector.to_vec()),
            }
        }
        self.feed_graph(&mut state, keys.len()).inspect_err(|_| {
            state.remove(keys);
        })
    }

    /// Removes keys and returns how many there were; unknown ones are ignored. Their vectors are overwritten at once.
    pub fn remove(&self, keys: &[u64]) -> usize {
        self.state.write().unwrap_or_else(PoisonError::into_inner).remove(keys)
    }

    /// The `k` nearest keys of each probe, (probe, value) as `f32` of unit length; best first, equals by smaller key.
    pub fn search(&self, probes: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>> {
        if k == 0 {
            return Err(Error::Argument { name: "k", accepted: "at least 1".to_owned(), found: "0".to_owned() });
        }
        self.check_vectors(probes)?;
        let probes: Vec<Vec<f32>> = probes.outer_iter().map(|probe| probe.to_vec()).collect();
        let probes: Vec<&[f32]> = probes.iter().map(Vec::as_slice).collect();
        let state = self.read()?;
        let k = k.min(state.rows.len());
        if k == 0 {
            return Ok(vec![Vec::new(); probes.len()]);
        }
        Ok(match &state.graph {
            Some(graph) if k <= GRAPH_K_LIMIT && graph.len() > 4 * k => {
                probes.iter().map(|probe| search_graph(&state.rows, graph, probe, k)).collect()
            }
            _ => scan(&state.rows, &probes, k, Scope::All),
        })
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.state.read().unwrap_or_else(PoisonError::into_inner).rows.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Digest of the pack whose embeddings these are.
    pub fn pack(&self) -> &str {
        &self.pack
    }

    /// Whether the key is there.
    pub fn contains(&self, key: u64) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).rows.contains(key)
    }

    /// How searches are answered now: `Exact`, or `Hnsw` once there is a graph.
    pub fn method_in_use(&self) -> Method {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.graph.is_some() { Method::Hnsw } else { Method::Exact }
    }

    /// Writes a snapshot for this gallery at this position of its changes. Searches go on meanwhile, changes wait.
    pub fn save(&self, path: &Path, gallery: &str, position: u64) -> Result<()> {
        check_name("gallery", gallery)?;
        let state = self.read()?;
        file::write(path, &self.header(&state, gallery, position), state.rows.iter())
    }

    /// The bytes of a snapshot, as `save` would write them, for a caller that encrypts them.
    pub fn to_bytes(&self, gallery: &str, position: u64) -> Result<Vec<u8>> {
        check_name("gallery", gallery)?;
        let state = self.read()?;
        file::to_bytes(&self.header(&state, gallery, position), state.rows.iter())
    }

    fn header(&self, state: &State, gallery: &str, position: u64) -> Header {
        Header {
            pack: self.pack.clone(),
            gallery: gallery.to_owned(),
            method: self.method.number(),
            dimension: self.dimension,
            count: state.rows.len(),
            position,
        }
    }

    /// Reads a snapshot of this pack and gallery, and the position it was written at. A graph is built again.
    pub fn load(path: &Path, pack: &str, gallery: &str, method: Method) -> Result<(Self, u64)> {
        Self::from_snapshot(file::read(path, pack, gallery)?, path, pack, method)
    }

    /// Reads a snapshot from memory; `name` says in an error where it came from.
    pub fn from_bytes(bytes: &[u8], name: &Path, pack: &str, gallery: &str, method: Method) -> Result<(Self, u64)> {
        Self::from_snapshot(file::from_bytes(bytes, name, pack, gallery)?, name, pack, method)
    }

    fn from_snapshot(snapshot: Snapshot, path: &Path, pack: &str, method: Method) -> Result<(Self, u64)> {
        let Snapshot { header, keys, vectors } = snapshot;
        let refused = |reason: String| Error::IndexFile { path: path.to_path_buf(), reason };
        let index = Self::new(header.dimension, pack, method).map_err(|error| refused(error.to_string()))?;
        let view = ArrayView2::from_shape((keys.len(), header.dimension), &vectors);
        let view = view.map_err(|error| refused(error.to_string()))?;
        match index.add(&keys, view) {
            Err(error @ (Error::Embedding { .. } | Error::Argument { .. })) => Err(refused(error.to_string())),
            other => other.map(|()| (index, header.position)),
        }
    }

    /// Moves rows into the graph as far as the method asks after `added` rows came.
    fn feed_graph(&self, state: &mut State, added: usize) -> Result<()> {
        let quota = match self.method {
            Method::Exact => 0,
            Method::Hnsw => usize::MAX,
            Method::Auto if state.graph.is_none() && state.rows.len() <= self.auto_limit => 0,
            Method::Auto => added.saturating_mul(2).saturating_add(AUTO_STEP),
        };
        let State { rows, graph } = state;
        let keys = if quota == 0 { Vec::new() } else { rows.outside(quota) };
        if keys.is_empty() {
            return Ok(());
        }
        let graph = match graph {
            Some(graph) => graph,
            None => graph.insert(Graph::new(self.dimension)?),
        };
        let entering: Vec<(u64, &[f32])> =
            keys.iter().filter_map(|key| rows.find(*key).map(|(_, vector)| (*key, vector))).collect();
        let unreachable: HashSet<u64> = graph.add(&entering)?.into_iter().collect();
        for key in keys {
            let reached = !unreachable.contains(&key);
            rows.set_state(key, if reached { RowState::Graphed } else { RowState::Unreachable });
        }
        Ok(())
    }

    fn check_vectors(&self, vectors: ArrayView2<f32>) -> Result<()> {
        if vectors.ncols() != self.dimension {
            let reason = format!("must have {} values, got {}", self.dimension, vectors.ncols());
            return Err(Error::Embedding { reason });
        }
        vectors.outer_iter().enumerate().try_for_each(|(row, vector)| check_vector(row, vector))
    }

    /// For reading, unless a change broke off in the middle.
    fn read(&self) -> Result<RwLockReadGuard<'_, State>> {
        self.state.read().map_err(|_| broken())
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, State>> {
        self.state.write().map_err(|_| broken())
    }
}

impl Method {
    fn number(self) -> u32 {
        match self {
            Self::Exact => 0,
            Self::Hnsw => 1,
            Self::Auto => 2,
        }
    }
}

/// The graph's candidates and the rows outside it, all scored from the vectors; the scan where the graph falls short.
fn search_graph(rows: &Rows, graph: &Graph, probe: &[f32], k: usize) -> Vec<Hit> {
    let wanted = (2 * k).max(k + 64).min(graph.len());
    let mut best = Best::new(k);
    for key in graph.candidates(probe, wanted).unwrap_or_default() {
        if let Some((RowState::Graphed, vector)) = rows.find(key) {
            best.push(Hit { key, similarity: similarity(vector, probe) });
        }
    }
    let reached = best.len() == k;
    let all = |scope| scan(rows, &[probe], k, scope).into_iter().flatten();
    for hit in all(Scope::Outside) {
        best.push(hit);
    }
    if reached { best.into_hits() } else { all(Scope::All).collect() }
}

fn check_vector(row: usize, vector: ArrayView1<f32>) -> Result<()> {
    let squares: f64 = vector.iter().map(|x| f64::from(*x).powi(2)).sum();
    if !squares.is_finite() {
        return Err(Error::Embedding { reason: format!("must be finite, row {row} is not") });
    }
    let length = squares.sqrt();
    if (length - 1.0).abs() > UNIT_TOLERANCE {
        let reason = format!("must have length 1 within {UNIT_TOLERANCE}, row {row} has length {length:.6}");
        return Err(Error::Embedding { reason });
    }
    Ok(())
}

fn check_name(name: &'static str, value: &str) -> Result<()> {
    if (1..=NAME_LIMIT).contains(&value.len()) {
        return Ok(());
    }
    let accepted = format!("text of 1 to {NAME_LIMIT} bytes");
    Err(Error::Argument { name, accepted, found: format!("{} bytes", value.len()) })
}

fn broken() -> Error {
    Error::Index { reason: "a change broke off in the middle; build the index again".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::index::synthetic::{Faces, plain_scan};

    const PACK: &str = "c0ffee";

    fn matrix(vectors: &[Vec<f32>]) -> Array2<f32> {
        let dimension = vectors.first().map_or(1, Vec::len);
        Array2::from_shape_vec((vectors.len(), dimension), vectors.concat()).unwrap()
    }

    fn filled(method: Method, vectors: &[Vec<f32>]) -> Index {
        let index = Index::new(vectors[0].len(), PACK, method).unwrap();
        let keys: Vec<u64> = (0..vectors.len() as u64).collect();
        index.add(&keys, matrix(vectors).view()).unwrap();
        index
    }

    /// What a search must return, from the rows that are there.
    fn expected(index: &Index, probe: &[f32], k: usize) -> Vec<Hit> {
        plain_scan(&index.state.read().unwrap().rows, probe, k)
    }

    #[test]
    fn every_refusal_names_the_value_and_the_limit_and_changes_nothing() {
        let vectors = Faces::new(8, 1).samples(3);
        let index = filled(Method::Exact, &vectors);
        let good = Faces::new(8, 2).samples(2);
        let spoiled = |at: usize, value: f32| {
            let mut spoiled = good.clone();
            spoiled[1][at] = value;
            matrix(&spoiled)
        };
        let keys: &[u64] = &[10, 11];
        for (keys, vectors, message) in [
            (keys, matrix(&Faces::new(9, 1).samples(2)), "embedding must have 8 values, got 9"),
            (keys, spoiled(3, f32::NAN), "embedding must be finite, row 1 is not"),
            (keys, spoiled(3, f32::INFINITY), "embedding must be finite, row 1 is not"),
            (keys, spoiled(3, 3e38), "embedding must have length 1 within 0.001, row 1 has length"),
            (keys, matrix(&[good[0].clone(), vec![0.0; 8]]), "row 1 has length 0.000000"),
            (&[10], matrix(&good), "keys must be one a vector, 2, got 1"),
            (&[10, 2], matrix(&good), "key must be one that is not in the index, got 2"),
            (&[10, 10], matrix(&good), "key must be one that is not in the index, got 10"),
            (&[10, u64::MAX], matrix(&good), "key must be below 18446744073709551615, got 18446744073709551615"),
        ] {
            let error = index.add(keys, vectors.view()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert_eq!((index.len(), index.contains(10)), (3, false), "{error}");
        }
        let error = |probes: Array2<f32>, k| index.search(probes.view(), k).unwrap_err().to_string();
        assert_eq!(error(matrix(&good), 0), "k must be at least 1, got 0");
        assert!(error(spoiled(0, f32::NAN), 1).contains("finite"));
        assert!(error(matrix(&[vec![1.0; 8]]), 1).contains("length 2.828427"));
        assert!(error(matrix(&[vec![1.0; 7]]), 1).contains("8 values, got 7"));
        assert!(Index::new(0, PACK, Method::Exact).is_err() && Index::new(20_000, PACK, Method::Exact).is_err());
        assert!(Index::new(8, "", Method::Exact).is_err());
    }

    #[test]
    fn small_cases_have_their_answers() {
        for method in [Method::Exact, Method::Hnsw, Method::Auto] {
            let vectors = Faces::new(16, 3).samples(6);
            let index = Index::new(16, PACK, method).unwrap();
            assert!(index.is_empty());
            assert_eq!(index.search(matrix(&vectors).view(), 5).unwrap(), vec![Vec::new(); 6]);
            index.add(&[], Array2::zeros((0, 16)).view()).unwrap();
            index
                .add(&[7, 5, 9], matrix(&[vectors[0].clone(), vectors[0].clone(), vectors[1].clone()]).view())
                .unwrap();
            let hits = index.search(matrix(&vectors[..1]).view(), 10).unwrap().remove(0);
            assert_eq!(hits.iter().map(|hit| hit.key).take(2).collect::<Vec<_>>(), [5, 7]);
            assert_eq!((hits.len(), index.len(), index.dimension(), index.pack()), (3, 3, 16, PACK));
            assert!((hits[0].similarity - 1.0).abs() < 1e-6);
            assert_eq!(index.remove(&[5, 5, 1234]), 1);
            assert!(!index.contains(5) && index.contains(7));
            assert_eq!(index.search(Array2::zeros((0, 16)).view(), 1).unwrap(), Vec::<Vec<Hit>>::new());
            assert_eq!(index.remove(&[7, 9]), 2);
            assert!(index.is_empty());
        }
    }

    #[test]
    fn columns_first_arrays_are_the_same_vectors() {
        let vectors = Faces::new(16, 3).samples(20);
        let across = Array2::from_shape_fn((16, 20), |(value, row)| vectors[row][value]);
        let index = Index::new(16, PACK, Method::Exact).unwrap();
        index.add(&(0..20).collect::<Vec<u64>>(), across.t()).unwrap();
        let straight = filled(Method::Exact, &vectors);
        assert_eq!(index.search(across.t(), 3).unwrap(), straight.search(matrix(&vectors).view(), 3).unwrap());
    }

    #[test]
    fn a_graph_finds_nearly_all_and_scores_exactly() {
        let vectors = Faces::new(64, 4).samples(5100);
        let (stored, probes) = vectors.split_at(5000);
        let index = filled(Method::Hnsw, stored);
        assert_eq!(index.method_in_use(), Method::Hnsw);
        let found = index.search(matrix(probes).view(), 10).unwrap();
        let (mut right, mut wanted) = (0, 0);
        for (probe, hits) in probes.iter().zip(&found) {
            let truth = expected(&index, probe, 10);
            right += truth.iter().filter(|hit| hits.contains(hit)).count();
            wanted += truth.len();
            let scored = |hit: &Hit| Hit { similarity: similarity(&stored[hit.key as usize], probe), ..*hit };
            assert!(hits.iter().all(|hit| *hit == scored(hit)));
            assert_eq!(hits.len(), 10);
        }
        assert!(right as f64 >= 0.98 * wanted as f64, "{right} of {wanted}");
        let own = index.search(matrix(&stored[..300]).view(), 1).unwrap();
        assert!(own.iter().enumerate().all(|(key, hits)| hits[0].key == key as u64), "a stored vector finds itself");
    }

    #[test]
    fn the_automatic_index_changes_over_step_by_step_and_answers_throughout() {
        let vectors = Faces::new(16, 5).samples(1500);
        let mut index = Index::new(16, PACK, Method::Auto).unwrap();
        index.auto_limit = 1000;
        for (batch, part) in vectors.chunks(100).enumerate() {
            let keys: Vec<u64> = (0..100).map(|n| batch as u64 * 100 + n).collect();
            index.add(&keys, matrix(part).view()).unwrap();
            assert_eq!(index.method_in_use(), if batch < 10 { Method::Exact } else { Method::Hnsw });
            let hits = index.search(matrix(&part[..1]).view(), 3).unwrap();
            assert_eq!((hits[0][0].key, hits[0].len()), (keys[0], 3));
        }
        let state = index.state.read().unwrap();
        assert!(state.graph.as_ref().is_some_and(|graph| graph.len() > 1400));
    }

    #[test]
    fn save_and_load_are_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces.index");
        let vectors = Faces::new(32, 6).samples(700);
        let probes = matrix(&vectors[..20]);
        for method in [Method::Exact, Method::Hnsw, Method::Auto] {
            let index = filled(method, &vectors);
            index.remove(&(0..700).step_by(3).collect::<Vec<u64>>());
            index.save(&path, "door", 41).unwrap();
            let (again, position) = Index::load(&path, PACK, "door", method).unwrap();
            assert_eq!((position, again.len(), again.dimension(), again.pack()), (41, index.len(), 32, PACK));
            assert_eq!(again.method_in_use(), index.method_in_use());
            let answer = |index: &Index| index.search(probes.view(), 5).unwrap();
            assert_eq!(answer(&again), answer(&index));
            again.save(&path, "door", 41).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            index.save(&path, "door", 41).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn a_removed_vector_is_in_no_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces.index");
        let vectors = Faces::new(32, 7).samples(100);
        let index = filled(Method::Hnsw, &vectors);
        let trace = |key: usize| -> Vec<u8> { vectors[key][..4].iter().flat_map(|x| x.to_le_bytes()).collect() };
        let holds = |bytes: &[u8], key| bytes.windows(16).any(|window| window == trace(key));
        index.remove(&[17]);
        index.save(&path, "door", 1).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(holds(&bytes, 16) && !holds(&bytes, 17));
    }

    #[test]
    fn a_whole_file_with_wrong_content_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces.index");
        let header = |dimension, count| {
            let (pack, gallery) = (PACK.to_owned(), "door".to_owned());
            Header { pack, gallery, method: 0, dimension, count, position: 1 }
        };
        let (one, long) = ([1.0_f32, 0.0], [1.0_f32, 1.0]);
        for (rows, message) in [
            ([(1, one), (1, one)], "not in the index, got 1"),
            ([(1, one), (2, long)], "row 1 has length 1.414214"),
            ([(1, one), (u64::MAX, one)], "key must be below"),
        ] {
            let rows = rows.iter().map(|(key, vector)| (*key, vector.as_slice()));
            file::write(&path, &header(2, 2), rows).unwrap();
            let error = Index::load(&path, PACK, "door", Method::Auto).err().unwrap();
            assert!(matches!(&error, Error::IndexFile { reason, .. } if reason.contains(message)), "{error}");
        }
        let wide = vec![1.0; DIMENSION_LIMIT + 1];
        file::write(&path, &header(wide.len(), 1), std::iter::once((1, wide.as_slice()))).unwrap();
        assert!(matches!(Index::load(&path, PACK, "door", Method::Auto), Err(Error::IndexFile { .. })));
    }

    #[test]
    fn readers_beside_a_writer_see_whole_changes() {
        // Keys come and go in pairs with one vector: a reader must see both of a pair or none.
        for method in [Method::Exact, Method::Hnsw] {
            let vectors = Faces::new(32, 8).samples(400);
            let index = filled(method, &vectors[..200]);
            let ended = AtomicBool::new(false);
            thread::scope(|scope| {
                let reader = || {
                    let mut seen = 0;
                    while !ended.load(Ordering::Relaxed) || seen == 0 {
                        for (at, vector) in vectors.iter().enumerate() {
                            let hits = index.search(matrix(std::slice::from_ref(vector)).view(), 2).unwrap().remove(0);
                            assert_eq!(hits.len(), 2);
                            for hit in &hits {
                                let own = &vectors
                                    [if hit.key < 1000 { hit.key } else { 200 + (hit.key - 1000) / 2 } as usize];
                                let expected = Hit { key: hit.key, similarity: similarity(own, vector) };
                                assert_eq!(*hit, expected, "not a zeroed or another's vector");
                            }
                            if at >= 200 {
                                let pair = 1000 + 2 * (at as u64 - 200);
                                let found = hits.iter().filter(|hit| hit.key == pair || hit.key == pair + 1).count();
                                assert_ne!(found, 1);
                                seen += usize::from(found == 2);
                            }
                        }
                    }
                };
                let readers: Vec<_> = (0..3).map(|_| scope.spawn(reader)).collect();
                for round in 0..3 {
                    for (at, vector) in vectors[200..].iter().enumerate() {
                        let pair = [1000 + 2 * at as u64, 1001 + 2 * at as u64];
                        index.add(&pair, matrix(&[vector.clone(), vector.clone()]).view()).unwrap();
                        if round < 2 && at % 3 != 0 {
                            assert_eq!(index.remove(&pair), 2);
                        }
                    }
                    if round < 2 {
                        index.remove(&(1000..1400).collect::<Vec<u64>>());
                    }
                }
                ended.store(true, Ordering::Relaxed);
                for reader in readers {
                    reader.join().unwrap();
                }
            });
            assert_eq!(index.len(), 600);
        }
    }

    #[test]
    fn eight_threads_get_the_bits_of_one() {
        let vectors = Faces::new(128, 9).samples(1500);
        for method in [Method::Exact, Method::Hnsw] {
            let index = filled(method, &vectors[..1400]);
            let probes = matrix(&vectors[1400..]);
            let alone = index.search(probes.view(), 10).unwrap();
            thread::scope(|scope| {
                let callers: Vec<_> =
                    (0..8).map(|_| scope.spawn(|| index.search(probes.view(), 10).unwrap())).collect();
                for caller in callers {
                    assert_eq!(caller.join().unwrap(), alone);
                }
            });
        }
    }

    #[derive(Debug, Clone)]
    enum Change {
        Add(Vec<u64>),
        Remove(Vec<u64>),
        Reopen,
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            4 => prop::collection::vec(0_u64..120, 0..30).prop_map(Change::Add),
            3 => prop::collection::vec(0_u64..120, 0..25).prop_map(Change::Remove),
            1 => Just(Change::Reopen),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn any_sequence_of_changes_answers_as_a_plain_map(
            changes in prop::collection::vec(change(), 1..25),
            method in prop_oneof![Just(Method::Exact), Just(Method::Hnsw), Just(Method::Auto)],
            seed in 0_u64..1000,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("faces.index");
            let faces = Faces::new(12, seed).samples(120);
            let mut index = Index::new(12, PACK, method).unwrap();
            index.auto_limit = 40;
            let mut model: BTreeMap<u64, &[f32]> = BTreeMap::new();
            for change in changes {
                match change {
                    Change::Add(mut keys) => {
                        let asked = keys.len();
                        keys.sort_unstable();
                        keys.dedup();
                        let clash = keys.len() < asked || keys.iter().any(|key| model.contains_key(key));
                        keys.retain(|key| clash || !model.contains_key(key));
                        let vectors: Vec<Vec<f32>> = keys.iter().map(|key| faces[*key as usize].clone()).collect();
                        if keys.is_empty() {
                            continue;
                        }
                        let twice = if clash { [keys.clone(), keys.clone()].concat() } else { keys.clone() };
                        let rows = if clash { [vectors.clone(), vectors].concat() } else { vectors };
                        let added = index.add(&twice, matrix(&rows).view());
                        prop_assert_eq!(added.is_err(), clash);
                        if !clash {
                            model.extend(keys.iter().map(|key| (*key, faces[*key as usize].as_slice())));
                        }
                    }
                    Change::Remove(keys) => {
                        let known = keys.iter().filter(|key| model.remove(key).is_some()).count();
                        prop_assert_eq!(index.remove(&keys), known);
                    }
                    Change::Reopen => {
                        index.save(&path, "model", 3).unwrap();
                        index = Index::load(&path, PACK, "model", method).unwrap().0;
                        index.auto_limit = 40;
                    }
                }
                prop_assert_eq!(index.len(), model.len());
                for probe in [&faces[0], &faces[60], &faces[119]] {
                    let mut truth: Vec<Hit> =
                        model.iter().map(|(key, face)| Hit { key: *key, similarity: similarity(face, probe) }).collect();
                    truth.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.key.cmp(&b.key)));
                    truth.truncate(7);
                    let hits = index.search(matrix(std::slice::from_ref(probe)).view(), 7).unwrap().remove(0);
                    // So small a graph is walked whole, so its answers are the scan's too.
                    prop_assert_eq!(hits, truth);
                }
                for key in 0..120 {
                    prop_assert_eq!(index.contains(key), model.contains_key(&key));
                }
            }
        }
    }
}
