//! The thread-safe index: validates arguments, searches, changes, saves and loads.
//!
//! A search reads the latest published view and never waits. A change is published as a whole: a search sees all of it
//! or nothing, and a search that starts after the change has returned sees it. Vectors of another dimension, not finite
//! or not of unit length are rejected, and so are keys that exist already; an addition is made completely or not at
//! all.

#![allow(clippy::needless_pass_by_value)] // array views are references already

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use ndarray::ArrayView2;

use super::dot::check_unit;
use super::hnsw::RESERVED_KEY;
use super::load::{self, Expected, MAX_DIMENSION, RESIDENT_LIMIT, Snapshot};
use super::people::{self, People};
use super::planner::{IndexPlanner, Method, SearchOptions};
use super::ranking::Hit;
use super::reader::{Reader, Status, has_approximate_search, measure_recall};
use super::rows::{Rows, View};
use super::save::{self, Header};
use super::shared::Shared;
use crate::error::{Error, Result};

/// Largest length of a pack digest or gallery name, bytes.
const MAX_NAME_LENGTH: usize = 1024;

/// Number of probes that measure the recall of a loaded snapshot.
const RECALL_PROBES: usize = 200;

/// Unit vectors under keys, searched by cosine.
pub struct Index {
    pub(super) shared: Arc<Shared>,
}

impl Index {
    /// An empty index for vectors of `dimension` values, made by the pack with this digest.
    pub fn new(dimension: usize, pack: &str, options: impl Into<SearchOptions>) -> Result<Self> {
        if !(1..=MAX_DIMENSION).contains(&dimension) {
            let accepted = format!("from 1 to {MAX_DIMENSION}");
            return Err(Error::Argument { name: "dimension", accepted, found: dimension.to_string() });
        }
        check_name("pack", pack)?;
        Ok(Self::from_rows(Rows::new(dimension), pack, options.into()))
    }

    fn from_rows(rows: Rows, pack: &str, options: SearchOptions) -> Self {
        Self { shared: Arc::new(Shared::new(rows, pack, IndexPlanner::new(options))) }
    }

    /// Adds one vector per key, (key, value) as `f32` of unit length, all or none. `people` holds the person of each
    /// vector; without it each key is a person.
    pub fn add(&self, keys: &[u64], people: Option<&[u64]>, vectors: ArrayView2<f32>) -> Result<()> {
        self.replace(&[], keys, people, vectors)
    }

    /// Removes keys, of which unknown ones are ignored, and adds vectors as `add` does, also under removed keys. A
    /// search sees both or neither.
    pub fn replace(
        &self,
        removed: &[u64],
        keys: &[u64],
        people: Option<&[u64]>,
        vectors: ArrayView2<f32>,
    ) -> Result<()> {
        let check_count = |name: &'static str, found: usize| {
            let accepted = format!("one per vector, {}", vectors.nrows());
            if found == vectors.nrows() {
                return Ok(());
            }
            Err(Error::Argument { name, accepted, found: found.to_string() })
        };
        check_count("keys", keys.len())?;
        check_count("people", people.map_or(keys.len(), <[u64]>::len))?;
        self.check_vectors(vectors)?;
        if keys.contains(&RESERVED_KEY) {
            let accepted = format!("below {RESERVED_KEY}");
            return Err(Error::Argument { name: "key", accepted, found: RESERVED_KEY.to_string() });
        }
        if keys.is_empty() && removed.is_empty() {
            return Ok(());
        }
        self.shared.replace(removed, keys, people.unwrap_or(keys), vectors)?;
        self.schedule_rebuild();
        Ok(())
    }

    /// Removes keys and returns how many of them were in the index; unknown keys are ignored. Their vectors are
    /// overwritten at once, also in the snapshot file they were loaded from if it is unlinked. Copies that a search is
    /// still reading are overwritten when it ends.
    pub fn remove(&self, keys: &[u64]) -> usize {
        self.shared.remove(keys)
    }

    /// The `k` nearest keys of each probe, (probe, value) as `f32` of unit length; best first, ties by smaller key.
    pub fn search(&self, probes: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>> {
        let probes = self.check_probes(probes, k)?;
        let probes: Vec<&[f32]> = probes.iter().map(Vec::as_slice).collect();
        Reader::new(&self.shared).nearest(&probes, k)
    }

    /// The `k` best people of each probe: by their best face, or by the mean of their best `faces` if that is above 1.
    pub fn search_people(&self, probes: ArrayView2<f32>, k: usize, faces: usize) -> Result<Vec<People>> {
        if faces == 0 {
            return Err(Error::Argument { name: "faces", accepted: "at least 1".to_owned(), found: "0".to_owned() });
        }
        let probes = self.check_probes(probes, k)?;
        let probes: Vec<&[f32]> = probes.iter().map(Vec::as_slice).collect();
        let reader = Reader::new(&self.shared);
        people::nearest_people(reader.view(), &probes, k, faces, |probes, rows| reader.nearest(probes, rows))
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.shared.view().len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of values of a vector.
    pub fn dimension(&self) -> usize {
        self.shared.dimension
    }

    /// Digest of the pack that made the vectors.
    pub fn pack(&self) -> &str {
        &self.shared.pack
    }

    /// Whether the key is in the index. Waits for a change in progress.
    pub fn contains(&self, key: u64) -> bool {
        self.shared.contains(key)
    }

    /// The method that searches use now; never `Auto`.
    pub fn method_in_use(&self) -> Method {
        Reader::new(&self.shared).method()
    }

    /// What the index holds and how it searches.
    pub fn status(&self) -> Status {
        Reader::new(&self.shared).status()
    }

    /// Recall of the approximate search, measured with `count` probes made from the stored vectors; 1 if there is none.
    /// If it is below the promised recall, searches are exact from then on.
    pub fn sample_recall(&self, count: usize) -> Result<f32> {
        measure_recall(&self.shared, count)
    }

    /// Builds inverted lists now if the method uses them and enough rows have none. Searches and changes go on
    /// meanwhile.
    pub fn maintain(&self) -> Result<()> {
        self.shared.maintain()
    }

    /// Writes a snapshot that belongs to this gallery at this position of its change feed. Searches and changes go on
    /// meanwhile.
    /// Returns the SHA-256 that identifies the snapshot, hexadecimal.
    pub fn save(&self, path: &Path, gallery: &str, position: u64) -> Result<String> {
        check_name("gallery", gallery)?;
        let view = self.shared.view();
        save::write(path, &self.header(&view, gallery, position), &view)
    }

    /// The bytes that `save` would write, for a caller that encrypts them.
    pub fn to_bytes(&self, gallery: &str, position: u64) -> Result<Vec<u8>> {
        check_name("gallery", gallery)?;
        let view = self.shared.view();
        save::to_bytes(&self.header(&view, gallery, position), &view)
    }

    fn header(&self, view: &View, gallery: &str, position: u64) -> Header {
        let (pack, gallery) = (self.shared.pack.clone(), gallery.to_owned());
        Header { pack, gallery, method: self.shared.planner.method().number(), position, ..Header::for_view(view) }
    }

    /// Loads a snapshot of this pack and gallery; returns the index and the position at which it was saved. A graph is
    /// built again. The vectors of a large snapshot stay in the file. The file must not be changed in place, but may be
    /// unlinked where the operating system allows it.
    pub fn load(path: &Path, pack: &str, gallery: &str, options: impl Into<SearchOptions>) -> Result<(Self, u64)> {
        Self::load_within(path, Expected { pack, gallery, digests: None }, options, RESIDENT_LIMIT)
    }

    /// Like `load`, for a snapshot that is known by its digest; vectors of more than `resident_bytes` bytes stay in the
    /// file.
    pub fn load_within(
        path: &Path,
        expected: Expected<'_>,
        options: impl Into<SearchOptions>,
        resident_bytes: usize,
    ) -> Result<(Self, u64)> {
        Self::from_snapshot(load::from_file(path, expected, resident_bytes)?, expected.pack, options.into())
    }

    /// Loads a snapshot from memory; `name` is its path in errors.
    pub fn from_bytes(
        bytes: &[u8],
        name: &Path,
        pack: &str,
        gallery: &str,
        options: impl Into<SearchOptions>,
    ) -> Result<(Self, u64)> {
        let expected = Expected { pack, gallery, digests: None };
        Self::from_snapshot(load::from_bytes(bytes, name, expected)?, pack, options.into())
    }

    fn from_snapshot(snapshot: Snapshot, pack: &str, options: SearchOptions) -> Result<(Self, u64)> {
        let index = Self::from_rows(snapshot.rows, pack, options);
        if options.method == Method::Hnsw {
            index.shared.build_graph()?;
        }
        index.schedule_rebuild();
        index.schedule_recall_measurement();
        Ok((index, snapshot.header.position))
    }

    #[cfg(test)]
    pub(super) fn view(&self) -> Arc<View> {
        self.shared.view()
    }

    /// Starts a thread that builds lists, if they are needed and no other thread is going to.
    fn schedule_rebuild(&self) {
        let shared = &self.shared;
        if !shared.planner.needs_rebuild(&shared.view()) || shared.rebuild_scheduled.swap(true, Ordering::AcqRel) {
            return;
        }
        let moved = Arc::clone(shared);
        let spawned = thread::Builder::new().name("facedex lists".to_owned()).spawn(move || {
            if let Err(error) = moved.maintain() {
                moved.planner.set_note(error.to_string());
            }
            moved.rebuild_scheduled.store(false, Ordering::Release);
        });
        if let Err(error) = spawned {
            shared.planner.set_note(format!("cannot start a thread to build lists: {error}"));
            shared.rebuild_scheduled.store(false, Ordering::Release);
        }
    }

    /// Starts a thread that measures the recall of a loaded snapshot: its lists may have been built for other rows.
    fn schedule_recall_measurement(&self) {
        if !has_approximate_search(&self.shared) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let spawned = thread::Builder::new().name("facedex recall".to_owned()).spawn(move || {
            if let Err(error) = measure_recall(&shared, RECALL_PROBES) {
                shared.planner.set_note(error.to_string());
            }
        });
        if let Err(error) = spawned {
            self.shared.planner.set_note(format!("cannot start a thread to measure the recall: {error}"));
        }
    }

    fn check_vectors(&self, vectors: ArrayView2<f32>) -> Result<()> {
        if vectors.ncols() != self.shared.dimension {
            let reason = format!("must have {} values, got {}", self.shared.dimension, vectors.ncols());
            return Err(Error::Embedding { reason });
        }
        vectors.outer_iter().enumerate().try_for_each(|(row, vector)| match vector.as_slice() {
            Some(vector) => check_unit(row, vector),
            None => check_unit(row, &vector.to_vec()),
        })
    }

    /// Validates the arguments of a search and copies the probes.
    fn check_probes(&self, probes: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<f32>>> {
        if k == 0 {
            return Err(Error::Argument { name: "k", accepted: "at least 1".to_owned(), found: "0".to_owned() });
        }
        self.check_vectors(probes)?;
        Ok(probes.outer_iter().map(|probe| probe.to_vec()).collect())
    }
}

fn check_name(name: &'static str, value: &str) -> Result<()> {
    if (1..=MAX_NAME_LENGTH).contains(&value.len()) {
        return Ok(());
    }
    let accepted = format!("text of 1 to {MAX_NAME_LENGTH} bytes");
    Err(Error::Argument { name, accepted, found: format!("{} bytes", value.len()) })
}
