//! What the one writer changes: all blocks of an index, and where each key is.
//!
//! `view` hands the blocks to readers; from then on a block that changes is copied first. A change costs the copy of the
//! blocks that it touches, however large the gallery is.

use std::sync::Arc;

use hashbrown::HashTable;

use super::block::{Block, ROWS_LIMIT, RowState};
use super::lists::Lists;
use super::vectors::Vectors;
use super::view::View;

/// The mean behind the codes is taken at this many rows, and again whenever they have doubled, up to the last fit.
const FIRST_FIT: usize = 64;
const LAST_FIT: usize = 4096;

/// Blocks that a place can name.
const BLOCK_LIMIT: usize = u32::MAX as usize / ROWS_LIMIT;

/// Keys and their rows. A place is a block's number times `ROWS_LIMIT` plus the row's.
pub(super) struct Rows {
    blocks: Vec<Arc<Block>>,
    places: HashTable<u32>,
    lists: Option<Arc<Lists>>,
    mean: Arc<[f32]>,
    fitted: usize,
    head: usize,
}

impl Rows {
    pub(super) fn new(dimension: usize) -> Self {
        let mean = vec![0.0; dimension].into();
        Self { blocks: Vec::new(), places: HashTable::new(), lists: None, mean, fitted: 0, head: usize::MAX }
    }

    /// Rows that are there already, as blocks of one mean; the second value is a key that two rows have.
    pub(super) fn from_blocks(
        blocks: Vec<Block>,
        lists: Option<Arc<Lists>>,
        mean: Arc<[f32]>,
    ) -> std::result::Result<Self, u64> {
        let blocks: Vec<Arc<Block>> = blocks.into_iter().map(Arc::new).collect();
        let count = blocks.iter().map(|block| block.len()).sum();
        let fitted = if count < FIRST_FIT { 0 } else { LAST_FIT };
        let mut rows = Self { blocks, places: HashTable::new(), lists, mean, fitted, head: usize::MAX };
        let Self { places, blocks, .. } = &mut rows;
        places.reserve(count, |place| hash(key_at(blocks, *place)));
        for (number, block) in blocks.iter().enumerate() {
            for row in 0..block.len() {
                let key = block.key(row);
                if places.find(hash(key), |place| key_at(blocks, *place) == key).is_some() {
                    return Err(key);
                }
                places.insert_unique(hash(key), place(number, row), |place| hash(key_at(blocks, *place)));
            }
        }
        Ok(rows)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    #[cfg(test)]
    pub(super) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// Whether asking the lists is faster than scanning everything.
    pub(super) fn are_worth_listing(&self) -> bool {
        self.lists.as_ref().is_some_and(|lists| lists.are_worth_asking())
    }

    pub(super) fn set_lists(&mut self, lists: Lists) {
        self.lists = Some(Arc::new(lists));
    }

    pub(super) fn mean(&self) -> &Arc<[f32]> {
        &self.mean
    }

    /// The rows as they are now, for readers.
    pub(super) fn view(&self) -> View {
        View::new(self.blocks.clone(), self.lists.clone(), Arc::clone(&self.mean), self.len())
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.find(key).is_some()
    }

    /// Block and row of a key.
    pub(super) fn find(&self, key: u64) -> Option<(&Block, usize)> {
        let place = *self.places.find(hash(key), |place| key_at(&self.blocks, *place) == key)? as usize;
        Some((self.blocks[place / ROWS_LIMIT].as_ref(), place % ROWS_LIMIT))
    }

    /// Appends a row whose key is new; false where there can be no more.
    pub(super) fn push(&mut self, key: u64, person: u64, vector: &[f32]) -> bool {
        if self.blocks.get(self.head).is_none_or(|block| block.room() == 0) {
            // Blocks that were compacted have room again.
            let open = self.blocks.iter().position(|block| block.room() > 0);
            self.head = open.unwrap_or(self.blocks.len());
            if open.is_none() {
                if self.blocks.len() == BLOCK_LIMIT {
                    return false;
                }
                let vectors = Vectors::resident();
                self.blocks.push(Arc::new(Block::new(Arc::clone(&self.mean), None, vectors)));
            }
        }
        let only = self.blocks.len() == 1;
        let block = Block::to_change(&mut self.blocks[self.head]);
        block.push(key, person, vector);
        let (length, row) = (block.len(), block.len() - 1);
        if self.fitted < LAST_FIT && only && length >= FIRST_FIT.max(2 * self.fitted) {
            block.refit();
            self.mean = Arc::clone(block.codes().mean());
            self.fitted = length;
        }
        let Self { places, blocks, head, .. } = self;
        places.insert_unique(hash(key), place(*head, row), |place| hash(key_at(blocks, *place)));
        true
    }

    /// Removes a key's row; false where the key is unknown.
    pub(super) fn remove(&mut self, key: u64) -> bool {
        let Self { places, blocks, .. } = self;
        let Ok(entry) = places.find_entry(hash(key), |place| key_at(blocks, *place) == key) else { return false };
        let (place, _) = entry.remove();
        Block::to_change(&mut blocks[place as usize / ROWS_LIMIT]).erase(place as usize % ROWS_LIMIT);
        true
    }

    pub(super) fn set_state(&mut self, key: u64, state: RowState) {
        let found = self.places.find(hash(key), |place| key_at(&self.blocks, *place) == key);
        if let Some(place) = found.map(|place| *place as usize) {
            Block::to_change(&mut self.blocks[place / ROWS_LIMIT]).set_state(place % ROWS_LIMIT, state);
        }
    }

    /// Compacts the blocks of which more than a quarter is dead.
    pub(super) fn compact(&mut self) {
        for number in 0..self.blocks.len() {
            if !self.blocks[number].is_sparse() {
                continue;
            }
            let compacted = self.blocks[number].compacted();
            let Self { places, blocks, .. } = self;
            for (new, old) in blocks[number].live_rows().enumerate() {
                let key = blocks[number].key(old);
                let wanted = place(number, old);
                if let Some(found) = places.find_mut(hash(key), |place| *place == wanted) {
                    *found = place(number, new);
                }
            }
            blocks[number].retire();
            blocks[number] = Arc::new(compacted);
        }
        while self.blocks.last().is_some_and(|block| block.len() == 0) {
            self.blocks.pop();
        }
    }

    /// Up to `limit` keys that no graph has tried to take yet.
    pub(super) fn outside(&self, limit: usize) -> Vec<u64> {
        let open = self.blocks.iter().filter(|block| block.outside() > 0);
        let rows = open.flat_map(|block| (0..block.len()).map(move |row| (block, row)));
        let waiting = rows.filter(|(block, row)| block.state(*row) == RowState::Outside);
        waiting.map(|(block, row)| block.key(row)).take(limit).collect()
    }
}

fn place(block: usize, row: usize) -> u32 {
    (block * ROWS_LIMIT + row) as u32
}

fn key_at(blocks: &[Arc<Block>], place: u32) -> u64 {
    blocks[place as usize / ROWS_LIMIT].key(place as usize % ROWS_LIMIT)
}

/// Spreads keys, which are often consecutive numbers: the finishing steps of splitmix64.
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
    fn a_removed_row_is_zero_at_once_and_compaction_keeps_the_others() {
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
    fn rows_spill_into_blocks_and_freed_room_is_used_again() {
        let (half, full) = (ROWS_LIMIT / 2, ROWS_LIMIT as u64);
        let mut rows = Rows::new(1);
        for key in 0..2 * full {
            rows.push(key, key, &[1.0]);
        }
        assert_eq!(rows.blocks().len(), 2);
        for key in 0..full / 2 {
            rows.remove(key);
        }
        rows.compact();
        assert_eq!(rows.blocks()[0].room(), half);
        rows.push(u64::MAX - 1, 1, &[-1.0]);
        assert_eq!((rows.blocks().len(), rows.blocks()[0].room()), (2, half - 1));
        assert_eq!(vector_of(&rows, u64::MAX - 1), Some(vec![-1.0]));
        for key in full / 2..2 * full {
            rows.remove(key);
        }
        rows.compact();
        assert_eq!((rows.blocks().len(), rows.len()), (1, 1));
    }

    #[test]
    fn a_view_stays_as_it_was_and_what_it_alone_held_is_overwritten() {
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
        assert_eq!(block.live(), 100);
    }
}
