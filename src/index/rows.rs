//! The rows of an index: [`Rows`] is the table that the writer changes, [`View`] the immutable state that readers see.
//!
//! A view shares the blocks of the table; a shared block is copied before it changes. A change therefore costs the copy
//! of the blocks that it touches, however large the index is, and a reader needs no lock.

use std::sync::Arc;

use hashbrown::HashTable;

use super::block::{Block, MAX_ROWS, RowState};
use super::lists::Lists;
use super::vectors::Vectors;

/// The mean behind the codes is computed at this many rows, and again each time they have doubled, up to the second
/// number.
const FIRST_FIT: usize = 64;
const LAST_FIT: usize = 4096;

/// Largest number of blocks that a slot can name.
const MAX_BLOCKS: usize = u32::MAX as usize / MAX_ROWS;

/// The rows of an index at one moment.
pub(super) struct View {
    blocks: Vec<Arc<Block>>,
    lists: Option<Arc<Lists>>,
    mean: Arc<[f32]>,
    live: usize,
}

impl View {
    /// Number of live rows.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    pub(super) fn lists(&self) -> Option<&Arc<Lists>> {
        self.lists.as_ref()
    }

    /// The mean that new codes subtract.
    pub(super) fn mean(&self) -> &Arc<[f32]> {
        &self.mean
    }

    /// The live rows in order, with their blocks.
    pub(super) fn live_rows(&self) -> impl Iterator<Item = (&Block, usize)> {
        self.blocks.iter().flat_map(|block| block.live_rows().map(move |row| (block.as_ref(), row)))
    }

    /// Number of live rows that were added after the lists were built.
    pub(super) fn len_without_list(&self) -> usize {
        self.blocks.iter().filter(|block| block.list().is_none()).map(|block| block.live_len()).sum()
    }

    /// Bytes of the codes, which an exact scan reads.
    pub(super) fn code_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.codes().bytes()).sum()
    }

    /// Bytes of the vectors in memory.
    pub(super) fn vector_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.vectors().resident_bytes()).sum()
    }
}

/// A table of rows with unique keys. A slot is the number of a block times `MAX_ROWS` plus the number of the row.
pub(super) struct Rows {
    blocks: Vec<Arc<Block>>,
    slots: HashTable<u32>,
    lists: Option<Arc<Lists>>,
    mean: Arc<[f32]>,
    /// Number of rows when the mean was computed.
    fitted: usize,
    /// Number of the block that takes new rows.
    head: usize,
}

impl Rows {
    pub(super) fn new(dimension: usize) -> Self {
        let mean = vec![0.0; dimension].into();
        Self { blocks: Vec::new(), slots: HashTable::new(), lists: None, mean, fitted: 0, head: usize::MAX }
    }

    /// A table of blocks with one common mean. The error is a key that two rows have.
    pub(super) fn from_blocks(
        blocks: Vec<Block>,
        lists: Option<Arc<Lists>>,
        mean: Arc<[f32]>,
    ) -> std::result::Result<Self, u64> {
        let blocks: Vec<Arc<Block>> = blocks.into_iter().map(Arc::new).collect();
        let count = blocks.iter().map(|block| block.len()).sum();
        let fitted = if count < FIRST_FIT { 0 } else { LAST_FIT };
        let mut rows = Self { blocks, slots: HashTable::new(), lists, mean, fitted, head: usize::MAX };
        let Self { slots, blocks, .. } = &mut rows;
        slots.reserve(count, |slot| hash(key_at(blocks, *slot)));
        for (number, block) in blocks.iter().enumerate() {
            for row in 0..block.len() {
                let key = block.key(row);
                if slots.find(hash(key), |slot| key_at(blocks, *slot) == key).is_some() {
                    return Err(key);
                }
                slots.insert_unique(hash(key), slot_of(number, row), |slot| hash(key_at(blocks, *slot)));
            }
        }
        Ok(rows)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    #[cfg(test)]
    pub(super) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    pub(super) fn set_lists(&mut self, lists: Lists) {
        self.lists = Some(Arc::new(lists));
    }

    pub(super) fn mean(&self) -> &Arc<[f32]> {
        &self.mean
    }

    /// The current state of the table, for readers.
    pub(super) fn view(&self) -> View {
        let (blocks, lists, mean) = (self.blocks.clone(), self.lists.clone(), Arc::clone(&self.mean));
        View { blocks, lists, mean, live: self.len() }
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.find(key).is_some()
    }

    /// Block and row of a key.
    pub(super) fn find(&self, key: u64) -> Option<(&Block, usize)> {
        let slot = *self.slots.find(hash(key), |slot| key_at(&self.blocks, *slot) == key)? as usize;
        Some((self.blocks[slot / MAX_ROWS].as_ref(), slot % MAX_ROWS))
    }

    /// Appends a row with a new key; false if the table is full.
    pub(super) fn push(&mut self, key: u64, person: u64, vector: &[f32]) -> bool {
        if self.blocks.get(self.head).is_none_or(|block| block.free_rows() == 0) {
            // Compacted blocks have free rows again.
            let open = self.blocks.iter().position(|block| block.free_rows() > 0);
            self.head = open.unwrap_or(self.blocks.len());
            if open.is_none() {
                if self.blocks.len() == MAX_BLOCKS {
                    return false;
                }
                let vectors = Vectors::resident();
                self.blocks.push(Arc::new(Block::new(Arc::clone(&self.mean), None, vectors)));
            }
        }
        let only = self.blocks.len() == 1;
        let block = Block::make_mut(&mut self.blocks[self.head]);
        block.push(key, person, vector);
        let (length, row) = (block.len(), block.len() - 1);
        if self.fitted < LAST_FIT && only && length >= FIRST_FIT.max(2 * self.fitted) {
            block.refit();
            self.mean = Arc::clone(block.codes().mean());
            self.fitted = length;
        }
        let Self { slots, blocks, head, .. } = self;
        slots.insert_unique(hash(key), slot_of(*head, row), |slot| hash(key_at(blocks, *slot)));
        true
    }

    /// Deletes the row of a key; false if the key is unknown.
    pub(super) fn remove(&mut self, key: u64) -> bool {
        let Self { slots, blocks, .. } = self;
        let Ok(entry) = slots.find_entry(hash(key), |slot| key_at(blocks, *slot) == key) else { return false };
        let (slot, _) = entry.remove();
        Block::make_mut(&mut blocks[slot as usize / MAX_ROWS]).erase(slot as usize % MAX_ROWS);
        true
    }

    pub(super) fn set_state(&mut self, key: u64, state: RowState) {
        let found = self.slots.find(hash(key), |slot| key_at(&self.blocks, *slot) == key);
        if let Some(slot) = found.map(|slot| *slot as usize) {
            Block::make_mut(&mut self.blocks[slot / MAX_ROWS]).set_state(slot % MAX_ROWS, state);
        }
    }

    /// Compacts each block of which more than a quarter is deleted.
    pub(super) fn compact(&mut self) {
        for number in 0..self.blocks.len() {
            if !self.blocks[number].is_sparse() {
                continue;
            }
            let compacted = self.blocks[number].compact();
            let Self { slots, blocks, .. } = self;
            for (new, old) in blocks[number].live_rows().enumerate() {
                let key = blocks[number].key(old);
                let old_slot = slot_of(number, old);
                if let Some(slot) = slots.find_mut(hash(key), |slot| *slot == old_slot) {
                    *slot = slot_of(number, new);
                }
            }
            blocks[number].retire();
            blocks[number] = Arc::new(compacted);
        }
        while self.blocks.last().is_some_and(|block| block.len() == 0) {
            self.blocks.pop();
        }
    }

    /// Keys of the rows that were never added to the graph.
    pub(super) fn keys_not_in_graph(&self) -> Vec<u64> {
        let blocks = self.blocks.iter().filter(|block| block.len_not_in_graph() > 0);
        let rows = blocks.flat_map(|block| (0..block.len()).map(move |row| (block, row)));
        let missing = rows.filter(|(block, row)| block.state(*row) == RowState::NotInGraph);
        missing.map(|(block, row)| block.key(row)).collect()
    }
}

fn slot_of(block: usize, row: usize) -> u32 {
    (block * MAX_ROWS + row) as u32
}

fn key_at(blocks: &[Arc<Block>], slot: u32) -> u64 {
    blocks[slot as usize / MAX_ROWS].key(slot as usize % MAX_ROWS)
}

/// Hashes a key with the finalizer of splitmix64, because keys are often consecutive numbers.
fn hash(key: u64) -> u64 {
    let mixed = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::synthetic::Faces;

    fn vector_of(rows: &Rows, key: u64) -> Option<Vec<f32>> {
        rows.find(key).map(|(block, row)| block.vector(row, &mut Vec::new()).unwrap().to_vec())
    }

    #[test]
    fn a_removed_row_is_zeroed_at_once_and_compaction_keeps_the_others() {
        let faces = Faces::new(8, 1).samples(40);
        let mut rows = Rows::new(8);
        for (key, face) in faces.iter().enumerate() {
            assert!(rows.push(key as u64, 7 * key as u64, face));
        }
        for key in 0..10 {
            assert!(rows.remove(key * 3));
            assert!(!rows.remove(key * 3));
        }
        let block = &rows.blocks()[0];
        for row in (0..10).map(|n| n * 3) {
            assert!(block.vector(row, &mut Vec::new()).unwrap().iter().all(|x| x.to_bits() == 0));
        }
        assert_eq!(block.len(), 40);
        rows.compact();
        assert_eq!(rows.blocks()[0].len(), 40, "a quarter is not more than a quarter");
        rows.remove(1);
        rows.compact();
        assert_eq!((rows.blocks()[0].len(), rows.len()), (29, 29));
        for (key, face) in faces.iter().enumerate() {
            let expected = (key % 3 != 0 || key >= 30) && key != 1;
            assert_eq!(vector_of(&rows, key as u64), expected.then_some(face.clone()));
            let person = rows.find(key as u64).map(|(block, row)| block.person(row));
            assert_eq!(person, expected.then_some(7 * key as u64));
        }
    }

    #[test]
    fn full_blocks_are_followed_by_new_ones_and_freed_rows_are_used_again() {
        let (half, full) = (MAX_ROWS / 2, MAX_ROWS as u64);
        let mut rows = Rows::new(1);
        for key in 0..2 * full {
            rows.push(key, key, &[1.0]);
        }
        assert_eq!(rows.blocks().len(), 2);
        for key in 0..full / 2 {
            rows.remove(key);
        }
        rows.compact();
        assert_eq!(rows.blocks()[0].free_rows(), half);
        rows.push(u64::MAX - 1, 1, &[-1.0]);
        assert_eq!((rows.blocks().len(), rows.blocks()[0].free_rows()), (2, half - 1));
        assert_eq!(vector_of(&rows, u64::MAX - 1), Some(vec![-1.0]));
        for key in full / 2..2 * full {
            rows.remove(key);
        }
        rows.compact();
        assert_eq!((rows.blocks().len(), rows.len()), (1, 1));
    }

    #[test]
    fn a_view_does_not_change_when_its_rows_are_removed() {
        let faces = Faces::new(16, 2).samples(100);
        let mut rows = Rows::new(16);
        for (key, face) in faces.iter().enumerate() {
            rows.push(key as u64, key as u64, face);
        }
        let view = rows.view();
        for key in 0..100 {
            rows.remove(key);
        }
        rows.compact();
        assert_eq!((rows.len(), view.len()), (0, 100));
        let block = &view.blocks()[0];
        assert_eq!(block.vector(5, &mut Vec::new()).unwrap(), faces[5]);
        assert_eq!(block.live_len(), 100);
    }
}
