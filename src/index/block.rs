//! A block of rows: the unit of copy-on-write, so that a change never disturbs the readers of the old copy.
//!
//! The codes of a full block fill one huge page, which is copied in a fraction of a millisecond; copies share their
//! vectors in smaller chunks. A replaced copy overwrites its rows with zeros before its memory is freed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::codes::{Codes, compute_mean};
use super::pages::HUGE_PAGE;
use super::vectors::{DiskRow, Vectors};
use crate::error::{Error, Result};

/// Largest number of rows in a block of any dimension.
pub(super) const MAX_ROWS: usize = 1 << 14;

/// Largest number of rows in a block of this dimension.
pub(super) fn max_rows(dimension: usize) -> usize {
    (HUGE_PAGE / dimension).clamp(64, MAX_ROWS)
}

/// Spare capacity of a copied block, rows.
const SPARE_ROWS: usize = 64;

/// Which search finds a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowState {
    /// None: the row is deleted and zeroed.
    Deleted,
    /// The scan only; the row can be added to the graph.
    NotInGraph,
    /// The scan only, permanently: the graph did not find the row again after it was added.
    Unreachable,
    /// The graph, and an exact scan.
    InGraph,
}

/// Rows of one dimension: key, person, state, vector and codes.
pub(super) struct Block {
    keys: Vec<u64>,
    people: Vec<u64>,
    states: Vec<RowState>,
    vectors: Vectors,
    codes: Codes,
    /// The inverted list of these rows; `None` for rows that were added after the lists were built.
    list: Option<u32>,
    deleted: usize,
    in_graph: usize,
    replaced: AtomicBool,
}

impl Clone for Block {
    /// Reserves capacity for some more rows where the block can grow, so that one addition does not copy twice.
    fn clone(&self) -> Self {
        let spare = self.free_rows().min(SPARE_ROWS);
        Self {
            keys: self.keys.clone(),
            people: self.people.clone(),
            states: self.states.clone(),
            vectors: self.vectors.share(),
            codes: self.codes.copy_with_capacity(spare),
            replaced: AtomicBool::new(false),
            ..*self
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if *self.replaced.get_mut() {
            self.codes.wipe();
        }
    }
}

impl Block {
    pub(super) fn new(mean: Arc<[f32]>, list: Option<u32>, vectors: Vectors) -> Self {
        let codes = Codes::new(mean, 0);
        let (keys, people, states) = (Vec::new(), Vec::new(), Vec::new());
        Self { keys, people, states, vectors, codes, list, deleted: 0, in_graph: 0, replaced: AtomicBool::new(false) }
    }

    /// Mutable access to the block; a shared one is replaced by a copy first.
    pub(super) fn make_mut(this: &mut Arc<Self>) -> &mut Self {
        if Arc::get_mut(this).is_none() {
            this.replaced.store(true, Ordering::Relaxed);
        }
        Arc::make_mut(this)
    }

    /// Marks this copy as replaced: it is overwritten when the last reader is done.
    pub(super) fn retire(&self) {
        self.vectors.retire();
        self.replaced.store(true, Ordering::Relaxed);
    }

    /// Number of rows, including deleted ones.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Number of rows that can still be added.
    pub(super) fn free_rows(&self) -> usize {
        let open = self.list.is_none() && self.vectors.is_resident();
        if open { max_rows(self.codes.mean().len()).saturating_sub(self.keys.len()) } else { 0 }
    }

    /// Number of live rows.
    pub(super) fn live_len(&self) -> usize {
        self.keys.len() - self.deleted
    }

    /// Number of live rows that are not in the graph.
    pub(super) fn len_not_in_graph(&self) -> usize {
        self.live_len() - self.in_graph
    }

    pub(super) fn list(&self) -> Option<u32> {
        self.list
    }

    pub(super) fn codes(&self) -> &Codes {
        &self.codes
    }

    pub(super) fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    pub(super) fn key(&self, row: usize) -> u64 {
        self.keys[row]
    }

    pub(super) fn person(&self, row: usize) -> u64 {
        self.people[row]
    }

    pub(super) fn people(&self) -> &[u64] {
        &self.people
    }

    pub(super) fn state(&self, row: usize) -> RowState {
        self.states[row]
    }

    /// Numbers of the live rows, in order.
    pub(super) fn live_rows(&self) -> impl Iterator<Item = usize> + Clone {
        (0..self.len()).filter(|row| self.states[*row] != RowState::Deleted)
    }

    /// The vector of a row; one on disk is read into `buffer`.
    pub(super) fn vector<'a>(&'a self, row: usize, buffer: &'a mut Vec<f32>) -> Result<&'a [f32]> {
        let vector = self.vectors.get(row, self.codes.mean().len(), buffer);
        vector.map_err(|error| self.unreadable_vector(&error.to_string()))
    }

    /// The error of a vector that cannot be read from its snapshot file.
    pub(super) fn unreadable_vector(&self, reason: &str) -> Error {
        let path = self.vectors.path().map(Path::to_path_buf).unwrap_or_default();
        Error::IndexFile { path, reason: format!("cannot read a vector for a search: {reason}") }
    }

    /// Reserves capacity for `rows` more rows.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.keys.reserve(rows);
        self.people.reserve(rows);
        self.states.reserve(rows);
        self.codes.reserve(rows);
    }

    /// Appends a row that is not in the graph. The caller checks that there is a free row.
    pub(super) fn push(&mut self, key: u64, person: u64, vector: &[f32]) {
        self.vectors.push(vector);
        self.codes.push(vector);
        self.push_ids(key, person);
    }

    /// Appends a row whose vector is in the file of this block.
    pub(super) fn push_on_disk(&mut self, key: u64, person: u64, vector: &[f32], row: DiskRow) {
        self.vectors.push_on_disk(row);
        self.codes.push(vector);
        self.push_ids(key, person);
    }

    /// Appends a live row of another block with the same mean and the same kind of storage.
    pub(super) fn push_from(&mut self, other: &Self, row: usize) {
        if self.vectors.push_from(&other.vectors, row, self.codes.mean().len()) {
            self.codes.push_from(&other.codes, row);
            self.push_ids(other.keys[row], other.people[row]);
        }
    }

    fn push_ids(&mut self, key: u64, person: u64) {
        self.keys.push(key);
        self.people.push(person);
        self.states.push(RowState::NotInGraph);
    }

    /// Recomputes the mean from these rows and encodes them again; does nothing unless the vectors are in memory.
    pub(super) fn refit(&mut self) {
        let mut buffer = Vec::new();
        let mut values = Vec::new();
        for row in 0..self.len() {
            match self.vector(row, &mut buffer) {
                Ok(vector) if self.vectors.is_resident() => values.extend_from_slice(vector),
                _ => return,
            }
        }
        let dimension = self.codes.mean().len();
        let mut codes = Codes::new(compute_mean(values.chunks_exact(dimension), dimension), self.len());
        values.chunks_exact(dimension).for_each(|vector| codes.push(vector));
        self.deleted_rows().for_each(|row| codes.erase(row));
        self.codes.wipe();
        self.codes = codes;
    }

    fn deleted_rows(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(|row| self.states[*row] == RowState::Deleted)
    }

    /// Sets which search finds a live row.
    pub(super) fn set_state(&mut self, row: usize, state: RowState) {
        let in_graph = |state: RowState| usize::from(state == RowState::InGraph);
        self.in_graph = self.in_graph + in_graph(state) - in_graph(self.states[row]);
        self.states[row] = state;
    }

    /// Deletes a live row: its vector and codes are overwritten with zeros.
    pub(super) fn erase(&mut self, row: usize) {
        self.set_state(row, RowState::Deleted);
        self.vectors.erase(row, self.codes.mean().len());
        self.codes.erase(row);
        self.deleted += 1;
    }

    /// Whether more than a quarter of the rows is deleted.
    pub(super) fn is_sparse(&self) -> bool {
        self.deleted * 4 > self.len()
    }

    /// Copies the live rows, in order, into a new block.
    pub(super) fn compact(&self) -> Self {
        let mut compacted = Self::new(Arc::clone(self.codes.mean()), self.list, self.vectors.empty_like());
        compacted.reserve(self.live_len());
        for row in self.live_rows() {
            compacted.push_from(self, row);
            compacted.set_state(compacted.len() - 1, self.states[row]);
        }
        compacted
    }
}
