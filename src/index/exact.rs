//! The exact scan: the same answer as scoring every vector in `f32`, at a quarter of the bytes.
//!
//! Every row's codes give bounds of its similarity. A row stays on the probe's shortlist while its upper bound reaches the
//! k-th best lower bound seen; what is left at the end is scored in `f32`, most promising first, until no upper bound
//! reaches the k-th best score. No row is dropped on an estimate, so recall is 1 by construction.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::codes::{Bounds, Probe};
use super::dot::similarity;
use super::ranking::{Best, Hit};
use super::rows::Rows;
use super::segment::{RowState, Segment};

/// Rows are scanned in blocks whose codes fit the first two cache levels, so that many probes share one read.
const BLOCK_CODES: usize = 64 * 1024;

/// A shortlist is thinned out when it has grown to this length, or to twice what the last thinning left.
const THIN_AT: usize = 4096;

/// Which rows are scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every live row.
    All,
    /// Live rows that no graph holds.
    Outside,
}

impl Scope {
    fn holds(self, state: RowState) -> bool {
        match self {
            Self::All => state != RowState::Dead,
            Self::Outside => matches!(state, RowState::Outside | RowState::Unreachable),
        }
    }
}

/// The `k` best hits in `scope` for each probe, best first.
pub(super) fn scan(rows: &Rows, probes: &[&[f32]], k: usize, scope: Scope) -> Vec<Vec<Hit>> {
    let coded: Vec<Probe> = probes.iter().map(|vector| Probe::new(vector)).collect();
    let mut shortlists: Vec<Shortlist> = probes.iter().map(|_| Shortlist::new(k)).collect();
    for (index, segment) in rows.segments().iter().enumerate() {
        if scope == Scope::All || segment.outside() > 0 {
            scan_segment(index, segment, &coded, &mut shortlists, scope);
        }
    }
    shortlists.into_iter().zip(&coded).map(|(shortlist, probe)| shortlist.score(rows, probe)).collect()
}

fn scan_segment(index: usize, segment: &Segment, probes: &[Probe], shortlists: &mut [Shortlist], scope: Scope) {
    let codes = segment.codes();
    let offsets: Vec<f32> = probes.iter().map(|probe| codes.offset(probe)).collect();
    let block = (BLOCK_CODES / codes.dimension()).max(1);
    let mut start = 0;
    while start < segment.len() {
        let end = segment.len().min(start + block);
        for ((probe, offset), shortlist) in probes.iter().zip(&offsets).zip(&mut *shortlists) {
            for row in start..end {
                if scope == Scope::Outside && !scope.holds(segment.state(row)) {
                    continue;
                }
                let bounds = codes.bounds(row, probe, *offset);
                if shortlist.admits(bounds) && scope.holds(segment.state(row)) {
                    shortlist.push(index, row, bounds);
                }
            }
        }
        start = end;
    }
}

/// A row that may be among the best.
struct Candidate {
    upper: f32,
    segment: u32,
    row: u32,
}

/// The rows that may still be among one probe's `k` best.
struct Shortlist {
    k: usize,
    /// The k best lower bounds, the least on top, as integers of the same order.
    lowers: BinaryHeap<Reverse<i32>>,
    /// The k-th best lower bound; below every similarity while there are fewer.
    floor: f32,
    candidates: Vec<Candidate>,
    thin_at: usize,
}

impl Shortlist {
    fn new(k: usize) -> Self {
        Self { k, lowers: BinaryHeap::new(), floor: -2.0, candidates: Vec::new(), thin_at: THIN_AT.max(4 * k) }
    }

    fn admits(&self, bounds: Bounds) -> bool {
        bounds.upper >= self.floor
    }

    fn push(&mut self, segment: usize, row: usize, bounds: Bounds) {
        self.candidates.push(Candidate { upper: bounds.upper, segment: segment as u32, row: row as u32 });
        if self.lowers.len() < self.k || bounds.lower > self.floor {
            self.lowers.push(Reverse(ordinal(bounds.lower)));
            if self.lowers.len() > self.k {
                self.lowers.pop();
            }
            if let (true, Some(Reverse(least))) = (self.lowers.len() == self.k, self.lowers.peek()) {
                self.floor = from_ordinal(*least);
            }
        }
        if self.candidates.len() >= self.thin_at {
            let floor = self.floor;
            self.candidates.retain(|candidate| candidate.upper >= floor);
            self.thin_at = THIN_AT.max(4 * self.k).max(2 * self.candidates.len());
        }
    }

    /// Scores what is left and keeps the best.
    fn score(mut self, rows: &Rows, probe: &Probe) -> Vec<Hit> {
        let floor = self.floor;
        self.candidates.retain(|candidate| candidate.upper >= floor);
        self.candidates.sort_unstable_by(|a, b| b.upper.total_cmp(&a.upper));
        let mut best = Best::new(self.k);
        for candidate in self.candidates {
            if best.floor().is_some_and(|worst| candidate.upper < worst) {
                break;
            }
            let segment = &rows.segments()[candidate.segment as usize];
            let row = candidate.row as usize;
            best.push(Hit { key: segment.key(row), similarity: similarity(segment.vector(row), probe.vector) });
        }
        best.into_hits()
    }
}

/// An integer that orders as the finite number does.
fn ordinal(value: f32) -> i32 {
    flip(value.to_bits().cast_signed())
}

fn from_ordinal(ordinal: i32) -> f32 {
    f32::from_bits(flip(ordinal).cast_unsigned())
}

/// Turns sign and magnitude into two's complement, and back.
fn flip(bits: i32) -> i32 {
    bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::segment::SEGMENT_ROWS;
    use crate::index::synthetic::{Faces, plain_scan, random};
    use proptest::prelude::*;

    fn rows_of(vectors: &[Vec<f32>]) -> Rows {
        let mut rows = Rows::new(vectors[0].len());
        for (key, vector) in vectors.iter().enumerate() {
            rows.push(key as u64, vector);
        }
        rows
    }

    #[test]
    fn ordinals_order_as_the_numbers_do() {
        let values = [-2.0, -1.0, -1e-30, 0.0, 1e-30, 0.5, 1.0];
        assert!(values.windows(2).all(|pair| ordinal(pair[0]) < ordinal(pair[1])));
        assert!(values.iter().all(|value| from_ordinal(ordinal(*value)).to_bits() == value.to_bits()));
    }

    #[test]
    fn the_scan_equals_scoring_everything() {
        for faces in [Faces::new(512, 4), Faces::new(128, 5), Faces::new(128, 6).in_a_cone(0.83), Faces::new(17, 7)] {
            let vectors = faces.samples(1220);
            let (stored, probes) = vectors.split_at(1200);
            let rows = rows_of(stored);
            let probes: Vec<&[f32]> = probes.iter().map(Vec::as_slice).collect();
            for k in [1, 10, 1200] {
                let found = scan(&rows, &probes, k, Scope::All);
                for (probe, hits) in probes.iter().zip(&found) {
                    assert_eq!(hits, &plain_scan(&rows, probe, k));
                    assert_eq!(hits, &scan(&rows, &[probe], k, Scope::All)[0], "alone as in a batch");
                }
            }
        }
    }

    #[test]
    fn similarities_are_those_of_double_precision() {
        let vectors = Faces::new(128, 8).samples(500);
        let rows = rows_of(&vectors[1..]);
        let found = scan(&rows, &[&vectors[0]], 5, Scope::All);
        let double = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        let mut truth: Vec<f64> = vectors[1..].iter().map(|vector| double(vector, &vectors[0])).collect();
        truth.sort_by(|a, b| b.total_cmp(a));
        for (hit, expected) in found[0].iter().zip(truth) {
            assert!((f64::from(hit.similarity) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn several_segments_are_one_answer() {
        let faces = Faces::new(4, 9);
        let vectors = faces.samples(SEGMENT_ROWS + 3000);
        let mut rows = rows_of(&vectors);
        for key in 0..20_000 {
            rows.remove(key);
        }
        for compacted in [false, true] {
            if compacted {
                rows.compact();
            }
            let probe = &vectors[SEGMENT_ROWS + 7];
            let found = scan(&rows, &[probe], 50, Scope::All);
            assert_eq!(found[0], plain_scan(&rows, probe, 50));
            assert!(found[0].iter().any(|hit| hit.key == SEGMENT_ROWS as u64 + 7));
        }
    }

    #[test]
    fn similarities_cut_to_the_range_tie_as_others_do() {
        // Codes of such vectors are all but exact, so their bounds end where the range does.
        for sign in [1.0, -1.0] {
            let mut rows = Rows::new(3);
            for (key, length) in [(3, 1.0009), (1, 1.0009), (0, 1.0003), (2, 1.0006)] {
                rows.push(key, &[sign * length, 0.0, 0.0]);
            }
            let found = scan(&rows, &[&[1.0, 0.0, 0.0]], 3, Scope::All).remove(0);
            assert_eq!(found.iter().map(|hit| hit.key).collect::<Vec<_>>(), [0, 1, 2]);
            assert!(found.iter().all(|hit| hit.similarity.to_bits() == f32::to_bits(sign)));
        }
    }

    #[test]
    fn a_long_shortlist_is_thinned_without_loss() {
        // Ever better rows, so that each one enters; and thousands that are equal, so that none can be told apart.
        let mut state = 3;
        let mut vectors: Vec<Vec<f32>> = (0..9000)
            .map(|n| {
                let angle = 1.5 - 1.4 * n as f32 / 9000.0;
                vec![angle.cos(), angle.sin()]
            })
            .collect();
        vectors.extend((0..9000).map(|_| vec![0.8, 0.6]));
        let rows = rows_of(&vectors);
        for k in [1, 7, 9500] {
            let angle = random(&mut state);
            let probe = [angle.cos(), angle.sin()];
            assert_eq!(scan(&rows, &[&probe], k, Scope::All)[0], plain_scan(&rows, &probe, k));
        }
    }

    proptest! {
        #[test]
        fn ties_and_duplicates_come_by_key(
            picks in prop::collection::vec((0_i8..3, 0_i8..3, -1_i8..2), 1..150),
            probe in (0_i8..3, 0_i8..3, -1_i8..2),
            k in 1_usize..20,
        ) {
            let unit = |(a, b, c): (i8, i8, i8)| {
                let values = [f32::from(a) + 0.1, f32::from(b), f32::from(c)];
                let length = values.iter().map(|x| x * x).sum::<f32>().sqrt();
                values.map(|x| x / length).to_vec()
            };
            let vectors: Vec<Vec<f32>> = picks.into_iter().map(unit).collect();
            let rows = rows_of(&vectors);
            let probe = unit(probe);
            prop_assert_eq!(&scan(&rows, &[&probe], k, Scope::All)[0], &plain_scan(&rows, &probe, k));
        }
    }
}
