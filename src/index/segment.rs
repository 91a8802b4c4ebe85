//! A block of rows that is scanned, coded and compacted by itself, so that no change touches more than one block.

use super::codes::Codes;

/// Rows a segment holds at most: 128 MiB of vectors at 512 values, moved in tens of milliseconds when it is compacted.
pub(super) const SEGMENT_ROWS: usize = 65_536;

/// The mean behind the codes is taken at this many rows, and again whenever they have doubled, up to the last fit.
const FIRST_FIT: usize = 64;
const LAST_FIT: usize = 8192;

/// Where a row is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowState {
    /// Removed: zeroed, never returned.
    Dead,
    /// By the exact scan only; the graph may take it.
    Outside,
    /// By the exact scan only, for good: the graph could not find it again.
    Unreachable,
    /// By the graph, and by the exact scan where that is the method.
    Graphed,
}

/// Rows of one dimension: key, state, vector and codes.
pub(super) struct Segment {
    dimension: usize,
    keys: Vec<u64>,
    states: Vec<RowState>,
    vectors: Vec<f32>,
    codes: Codes,
    fitted: usize,
    dead: usize,
    graphed: usize,
}

impl Segment {
    pub(super) fn new(dimension: usize) -> Self {
        let codes = Codes::new(dimension);
        Self { dimension, keys: vec![], states: vec![], vectors: vec![], codes, fitted: 0, dead: 0, graphed: 0 }
    }

    /// Rows, dead ones included.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn room(&self) -> usize {
        SEGMENT_ROWS - self.keys.len()
    }

    pub(super) fn live(&self) -> usize {
        self.keys.len() - self.dead
    }

    /// Live rows that no graph holds.
    pub(super) fn outside(&self) -> usize {
        self.live() - self.graphed
    }

    pub(super) fn codes(&self) -> &Codes {
        &self.codes
    }

    pub(super) fn key(&self, row: usize) -> u64 {
        self.keys[row]
    }

    pub(super) fn state(&self, row: usize) -> RowState {
        self.states[row]
    }

    pub(super) fn vector(&self, row: usize) -> &[f32] {
        &self.vectors[row * self.dimension..(row + 1) * self.dimension]
    }

    /// Appends a row, outside the graph. The caller has made sure that there is room.
    pub(super) fn push(&mut self, key: u64, vector: &[f32]) {
        self.keys.push(key);
        self.states.push(RowState::Outside);
        self.vectors.extend_from_slice(vector);
        if self.fitted < LAST_FIT && self.len() >= FIRST_FIT.max(2 * self.fitted) {
            self.codes.refit(&self.vectors);
            self.fitted = self.len();
        } else {
            self.codes.push(vector);
        }
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
        self.vectors[row * self.dimension..(row + 1) * self.dimension].fill(0.0);
        self.codes.erase(row);
        self.dead += 1;
    }

    /// Whether more than a quarter of the rows is dead.
    pub(super) fn is_sparse(&self) -> bool {
        self.dead * 4 > self.len()
    }

    /// Closes the gaps of dead rows; live rows keep their order.
    pub(super) fn compact(&mut self) {
        let mut to = 0;
        for from in 0..self.len() {
            if self.states[from] == RowState::Dead {
                continue;
            }
            if from != to {
                self.keys[to] = self.keys[from];
                self.states[to] = self.states[from];
                self.vectors.copy_within(from * self.dimension..(from + 1) * self.dimension, to * self.dimension);
                self.codes.move_row(from, to);
            }
            to += 1;
        }
        // What the moved rows left behind is overwritten before it is given up: a deleted vector stays nowhere, and
        // neither does a second copy of one that may be deleted later.
        self.vectors[to * self.dimension..].fill(0.0);
        for row in to..self.len() {
            self.codes.erase(row);
        }
        self.keys.truncate(to);
        self.states.truncate(to);
        self.vectors.truncate(to * self.dimension);
        self.codes.truncate(to);
        self.dead = 0;
    }
}
