//! A block of rows: what is copied when one of its rows changes, so that whoever reads the old copy is not disturbed.
//!
//! The codes of a full block fill one huge page, which is copied in a fraction of a millisecond; its vectors are shared by
//! copies in smaller chunks. A copy that was replaced overwrites its rows with zeros before its memory is given back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::codes::{Codes, mean_of};
use super::pages::HUGE_PAGE;
use super::vectors::{Filed, Vectors};

/// Rows a block holds at most, whatever their dimension.
pub(super) const ROWS_LIMIT: usize = 1 << 14;

/// Rows a block of this dimension holds at most.
pub(super) fn block_rows(dimension: usize) -> usize {
    (HUGE_PAGE / dimension).clamp(64, ROWS_LIMIT)
}

/// Room that a copy of a block has beyond its rows.
const SPARE_ROWS: usize = 64;

/// Where a row is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowState {
    /// Removed: zeroed, never returned.
    Dead,
    /// By the scan only; the graph may take it.
    Outside,
    /// By the scan only, for good: the graph could not find it again.
    Unreachable,
    /// By the graph, and by the scan where that is the method.
    Graphed,
}

/// Rows of one dimension: key, person, state, vector and codes.
pub(super) struct Block {
    keys: Vec<u64>,
    people: Vec<u64>,
    states: Vec<RowState>,
    vectors: Vectors,
    codes: Codes,
    /// The list of the approximate search that these rows belong to; none for rows that came after the lists were made.
    list: Option<u32>,
    dead: usize,
    graphed: usize,
    replaced: AtomicBool,
}

impl Clone for Block {
    /// With room for some more rows where there can be more, so that one addition does not copy twice.
    fn clone(&self) -> Self {
        let spare = self.room().min(SPARE_ROWS);
        Self {
            keys: self.keys.clone(),
            people: self.people.clone(),
            states: self.states.clone(),
            vectors: self.vectors.share(),
            codes: self.codes.copy(spare),
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
        Self { keys, people, states, vectors, codes, list, dead: 0, graphed: 0, replaced: AtomicBool::new(false) }
    }

    /// The block to change: this one if nobody else reads it, a copy in its place otherwise.
    pub(super) fn to_change(this: &mut Arc<Self>) -> &mut Self {
        if Arc::get_mut(this).is_none() {
            this.replaced.store(true, Ordering::Relaxed);
        }
        Arc::make_mut(this)
    }

    /// Says that this copy is in use no more, except by those who read it now.
    pub(super) fn retire(&self) {
        self.vectors.retire();
        self.replaced.store(true, Ordering::Relaxed);
    }

    /// Rows, dead ones included.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Rows that can still be added.
    pub(super) fn room(&self) -> usize {
        let open = self.list.is_none() && self.vectors.is_resident();
        if open { block_rows(self.codes.mean().len()).saturating_sub(self.keys.len()) } else { 0 }
    }

    pub(super) fn live(&self) -> usize {
        self.keys.len() - self.dead
    }

    /// Live rows that no graph holds.
    pub(super) fn outside(&self) -> usize {
        self.live() - self.graphed
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
        (0..self.len()).filter(|row| self.states[*row] != RowState::Dead)
    }

    /// The vector of a row; `room` holds it where it had to be read.
    pub(super) fn vector<'a>(&'a self, row: usize, room: &'a mut Vec<f32>) -> io::Result<&'a [f32]> {
        self.vectors.get(row, self.codes.mean().len(), room)
    }

    /// Makes room for `rows` more rows.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.keys.reserve(rows);
        self.people.reserve(rows);
        self.states.reserve(rows);
        self.codes.reserve(rows);
    }

    /// Appends a row, outside the graph. The caller has made sure that there is room.
    pub(super) fn push(&mut self, key: u64, person: u64, vector: &[f32]) {
        self.vectors.push(vector);
        self.codes.push(vector);
        self.push_names(key, person);
    }

    /// Appends a row whose vector is in the file that this block reads from.
    pub(super) fn push_filed(&mut self, key: u64, person: u64, vector: &[f32], at: Filed) {
        self.vectors.push_filed(at);
        self.codes.push(vector);
        self.push_names(key, person);
    }

    /// Appends a live row of another block with the same mean and the same place of vectors.
    pub(super) fn push_row_of(&mut self, other: &Self, row: usize) {
        if self.vectors.push_row_of(&other.vectors, row, self.codes.mean().len()) {
            self.codes.push_row_of(&other.codes, row);
            self.push_names(other.keys[row], other.people[row]);
        }
    }

    fn push_names(&mut self, key: u64, person: u64) {
        self.keys.push(key);
        self.people.push(person);
        self.states.push(RowState::Outside);
    }

    /// Takes the mean of these rows and codes them anew; only where the vectors are in memory.
    pub(super) fn refit(&mut self) {
        let mut room = Vec::new();
        let mut values = Vec::new();
        for row in 0..self.len() {
            match self.vector(row, &mut room) {
                Ok(vector) if self.vectors.is_resident() => values.extend_from_slice(vector),
                _ => return,
            }
        }
        let dimension = self.codes.mean().len();
        let mut codes = Codes::new(mean_of(values.chunks_exact(dimension), dimension), self.len());
        values.chunks_exact(dimension).for_each(|vector| codes.push(vector));
        self.dead_rows().for_each(|row| codes.erase(row));
        self.codes.wipe();
        self.codes = codes;
    }

    fn dead_rows(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(|row| self.states[*row] == RowState::Dead)
    }

    /// Says whether the graph holds a live row, or cannot.
    pub(super) fn set_state(&mut self, row: usize, state: RowState) {
        let counts = |state: RowState| usize::from(state == RowState::Graphed);
        self.graphed = self.graphed + counts(state) - counts(self.states[row]);
        self.states[row] = state;
    }

    /// Removes a live row: its vector and codes are zero from here on.
    pub(super) fn erase(&mut self, row: usize) {
        self.set_state(row, RowState::Dead);
        self.vectors.erase(row, self.codes.mean().len());
        self.codes.erase(row);
        self.dead += 1;
    }

    /// Whether more than a quarter of the rows is dead.
    pub(super) fn is_sparse(&self) -> bool {
        self.dead * 4 > self.len()
    }

    /// A block of the live rows alone, in their order.
    pub(super) fn compacted(&self) -> Self {
        let mut compacted = Self::new(Arc::clone(self.codes.mean()), self.list, self.vectors.none_beside());
        compacted.reserve(self.live());
        for row in self.live_rows() {
            compacted.push_row_of(self, row);
            compacted.set_state(compacted.len() - 1, self.states[row]);
        }
        compacted
    }
}
