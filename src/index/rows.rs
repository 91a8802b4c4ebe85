//! All rows of an index: segments, and where each key is.

use std::collections::HashMap;

use super::segment::{RowState, Segment};

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    segment: u32,
    row: u32,
}

impl Place {
    fn new(segment: usize, row: usize) -> Self {
        Self { segment: segment as u32, row: row as u32 }
    }
}

/// Keys and their vectors.
pub(super) struct Rows {
    dimension: usize,
    segments: Vec<Segment>,
    places: HashMap<u64, Place>,
}

impl Rows {
    pub(super) fn new(dimension: usize) -> Self {
        Self { dimension, segments: Vec::new(), places: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.places.contains_key(&key)
    }

    pub(super) fn find(&self, key: u64) -> Option<(RowState, &[f32])> {
        let place = self.places.get(&key)?;
        let segment = &self.segments[place.segment as usize];
        Some((segment.state(place.row as usize), segment.vector(place.row as usize)))
    }

    /// Appends a row whose key is new.
    pub(super) fn push(&mut self, key: u64, vector: &[f32]) {
        // Segments that were compacted have room again; they are asked when the newest is full.
        let newest = self.segments.len().checked_sub(1).filter(|index| self.segments[*index].room() > 0);
        let target = newest.or_else(|| self.segments.iter().position(|segment| segment.room() > 0));
        let index = target.unwrap_or_else(|| {
            self.segments.push(Segment::new(self.dimension));
            self.segments.len() - 1
        });
        let segment = &mut self.segments[index];
        self.places.insert(key, Place::new(index, segment.len()));
        segment.push(key, vector);
    }

    /// Removes a key's row; false where the key is unknown.
    pub(super) fn remove(&mut self, key: u64) -> bool {
        let Some(place) = self.places.remove(&key) else { return false };
        self.segments[place.segment as usize].erase(place.row as usize);
        true
    }

    pub(super) fn set_state(&mut self, key: u64, state: RowState) {
        if let Some(place) = self.places.get(&key) {
            self.segments[place.segment as usize].set_state(place.row as usize, state);
        }
    }

    /// Compacts the segments of which more than a quarter is dead.
    pub(super) fn compact(&mut self) {
        for (index, segment) in self.segments.iter_mut().enumerate() {
            if !segment.is_sparse() {
                continue;
            }
            segment.compact();
            for row in 0..segment.len() {
                self.places.insert(segment.key(row), Place::new(index, row));
            }
        }
        while self.segments.last().is_some_and(|segment| segment.len() == 0) {
            self.segments.pop();
        }
    }

    /// Up to `limit` keys that no graph has tried to take yet.
    pub(super) fn outside(&self, limit: usize) -> Vec<u64> {
        let open = self.segments.iter().filter(|segment| segment.outside() > 0);
        let rows = open.flat_map(|segment| (0..segment.len()).map(move |row| (segment, row)));
        let waiting = rows.filter(|(segment, row)| segment.state(*row) == RowState::Outside);
        waiting.map(|(segment, row)| segment.key(row)).take(limit).collect()
    }

    /// Key and vector of every live row, in storage order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &[f32])> + Clone {
        self.segments.iter().flat_map(|segment| {
            (0..segment.len())
                .filter(|row| segment.state(*row) != RowState::Dead)
                .map(|row| (segment.key(row), segment.vector(row)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::segment::SEGMENT_ROWS;
    use crate::index::synthetic::Faces;

    #[test]
    fn a_removed_row_is_zero_at_once_and_compaction_keeps_the_others() {
        let faces = Faces::new(8, 1).samples(40);
        let mut rows = Rows::new(8);
        for (key, face) in faces.iter().enumerate() {
            rows.push(key as u64, face);
        }
        for key in 0..10 {
            assert!(rows.remove(key * 3));
            assert!(!rows.remove(key * 3));
        }
        let erased = (0..10).map(|n| rows.segments()[0].vector(n * 3));
        assert!(erased.flatten().all(|x| x.to_bits() == 0));
        assert_eq!(rows.segments()[0].len(), 40);
        rows.compact();
        assert_eq!(rows.segments()[0].len(), 40, "a quarter is not more than a quarter");
        rows.remove(1);
        rows.compact();
        assert_eq!((rows.segments()[0].len(), rows.len()), (29, 29));
        for (key, face) in faces.iter().enumerate() {
            let expected = (key % 3 != 0 || key >= 30) && key != 1;
            assert_eq!(rows.find(key as u64).map(|(_, vector)| vector), expected.then_some(face.as_slice()));
        }
        assert_eq!(rows.iter().count(), 29);
    }

    #[test]
    fn rows_spill_into_segments_and_freed_room_is_used_again() {
        let mut rows = Rows::new(1);
        for key in 0..2 * SEGMENT_ROWS as u64 {
            rows.push(key, &[1.0]);
        }
        assert_eq!(rows.segments().len(), 2);
        for key in 0..SEGMENT_ROWS as u64 / 2 {
            rows.remove(key);
        }
        rows.compact();
        assert_eq!(rows.segments()[0].room(), SEGMENT_ROWS / 2);
        rows.push(u64::MAX - 1, &[-1.0]);
        assert_eq!((rows.segments().len(), rows.segments()[0].room()), (2, SEGMENT_ROWS / 2 - 1));
        assert_eq!(rows.find(u64::MAX - 1), Some((RowState::Outside, [-1.0].as_slice())));
        for key in SEGMENT_ROWS as u64 / 2..2 * SEGMENT_ROWS as u64 {
            rows.remove(key);
        }
        rows.compact();
        assert_eq!((rows.segments().len(), rows.len()), (1, 1));
    }
}
