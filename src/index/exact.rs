//! The scan: the same answer as scoring every vector in `f32`, at a quarter of the bytes.
//!
//! Every row's codes give bounds of its similarity. A row stays on the probe's shortlist while its upper bound reaches the
//! k-th best lower bound seen; what is left at the end is scored in `f32`, most promising first, until no upper bound
//! reaches the k-th best score. No row in scope is dropped on an estimate, so over all rows recall is 1 by construction.
//! A search uses the thread that asks and no other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::block::{Block, RowState};
use super::codes::{Bounds, Lens, Probe};
use super::dot::similarity;
use super::products::{BATCH, Products};
use super::ranking::{Best, Hit};
use super::view::{View, unreadable, vector_of};
use crate::error::Result;

/// A shortlist is thinned out when it has grown to this length, or to twice what the last thinning left.
const THIN_AT: usize = 4096;

/// Rows that are compared with the floor at once.
const STRIDE: usize = 32;

/// Which rows are scanned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope<'a> {
    /// Every live row.
    All,
    /// Live rows that no graph holds.
    Outside,
    /// Live rows of each probe's lists, and those of no list.
    Lists(&'a [Vec<u32>]),
}

impl Scope<'_> {
    fn holds(self, state: RowState) -> bool {
        match self {
            Self::Outside => matches!(state, RowState::Outside | RowState::Unreachable),
            Self::All | Self::Lists(_) => state != RowState::Dead,
        }
    }
}

/// The `k` best hits in `scope` for each probe, best first.
pub(super) fn scan(view: &View, probes: &[&[f32]], k: usize, scope: Scope) -> Result<Vec<Vec<Hit>>> {
    let mut answers = Vec::with_capacity(probes.len());
    for (number, batch) in probes.chunks(BATCH).enumerate() {
        let scope = match scope {
            Scope::Lists(lists) => Scope::Lists(&lists[number * BATCH..][..batch.len()]),
            other => other,
        };
        let coded: Vec<Probe> = batch.iter().map(|vector| Probe::new(vector)).collect();
        let mut shortlists: Vec<Shortlist> = batch.iter().map(|_| Shortlist::new(k)).collect();
        scan_blocks(view, &coded, &mut shortlists, scope);
        for (shortlist, probe) in shortlists.into_iter().zip(&coded) {
            answers.push(shortlist.score(view, probe)?);
        }
    }
    Ok(answers)
}

fn scan_blocks(view: &View, probes: &[Probe], shortlists: &mut [Shortlist], scope: Scope) {
    let everyone: Vec<usize> = (0..probes.len()).collect();
    let askers = Askers::new(scope, view);
    let mut last: Option<(Vec<usize>, Products)> = None;
    for (number, block) in view.blocks().iter().enumerate() {
        let asking = askers.of(block.list()).unwrap_or(&everyone);
        if asking.is_empty() || (matches!(scope, Scope::Outside) && block.outside() == 0) {
            continue;
        }
        let same = last.as_ref().is_some_and(|(before, _)| before == asking);
        if !same {
            let codes = asking.iter().flat_map(|probe| &probes[*probe].codes).copied().collect();
            last = Some((asking.clone(), Products::new(codes, view.mean().len())));
        }
        if let Some((_, products)) = &mut last {
            scan_block(number, block, asking, probes, products, shortlists, scope);
        }
    }
}

/// Which probes ask for which list.
struct Askers(Option<Vec<Vec<usize>>>);

impl Askers {
    fn new(scope: Scope, view: &View) -> Self {
        let (Scope::Lists(wanted), Some(lists)) = (scope, view.lists()) else { return Self(None) };
        let mut askers = vec![Vec::new(); lists.len()];
        for (probe, lists) in wanted.iter().enumerate() {
            for list in lists {
                askers[*list as usize].push(probe);
            }
        }
        Self(Some(askers))
    }

    /// None where everyone asks.
    fn of(&self, list: Option<u32>) -> Option<&Vec<usize>> {
        self.0.as_ref()?.get(list? as usize)
    }
}

fn scan_block(
    number: usize,
    block: &Block,
    asking: &[usize],
    probes: &[Probe],
    products: &mut Products,
    shortlists: &mut [Shortlist],
    scope: Scope,
) {
    let codes = block.codes();
    let dimension = codes.mean().len();
    let lenses: Vec<Lens> = asking.iter().map(|probe| codes.lens(&probes[*probe])).collect();
    let greatest = codes.greatest();
    let least_of = |shortlist: &Shortlist| lenses[0].least_product(greatest, shortlist.floor);
    let mut least = least_of(&shortlists[asking[0]]);
    let mut gates = Gates::new(&lenses, asking.iter().map(|probe| shortlists[*probe].floor));
    let tile = Products::tile_rows(dimension);
    let marks = codes.scales().chunks(tile).zip(codes.errors().chunks(tile));
    for (at, (rows, (scales, errors))) in codes.rows().chunks(tile * dimension).zip(marks).enumerate() {
        let found = products.of(rows);
        let mut consider = |row: usize, asker: usize, product: i32, gates: &mut Gates| {
            let shortlist = &mut shortlists[asking[asker]];
            let bounds = lenses[asker].bounds(scales[row], errors[row], product);
            let row = at * tile + row;
            if bounds.upper >= shortlist.floor && scope.holds(block.state(row)) {
                let before = shortlist.floor;
                shortlist.push(number, row, bounds);
                if shortlist.floor > before {
                    gates.set_floor(asker, shortlist.floor);
                    return Some(least_of(shortlist));
                }
            }
            None
        };
        if asking.len() == 1 {
            let marks = scales.chunks(STRIDE).zip(errors.chunks(STRIDE));
            for (start, (products, (scales, errors))) in found.chunks(STRIDE).zip(marks).enumerate() {
                if any_of_rows(products, least) && gates.any_row(products, scales, errors) {
                    for (row, product) in products.iter().enumerate() {
                        if gates.lets(0, *product, scales[row], errors[row]) {
                            least = consider(start * STRIDE + row, 0, *product, &mut gates).unwrap_or(least);
                        }
                    }
                }
            }
        } else {
            for (row, (products, (scale, error))) in
                found.chunks(asking.len()).zip(scales.iter().zip(errors)).enumerate()
            {
                if gates.any_probe(products, *scale, *error) {
                    for (asker, product) in products.iter().enumerate() {
                        if gates.lets(asker, *product, *scale, *error) {
                            consider(row, asker, *product, &mut gates);
                        }
                    }
                }
            }
        }
    }
}

/// Whether any row's product is at least so much. Without a branch for each, so that several are compared at once.
#[inline]
fn any_of_rows(products: &[i32], least: i32) -> bool {
    products.iter().map(|product| i32::from(*product >= least)).sum::<i32>() > 0
}

/// What decides whether a row can reach the floor of a probe, in columns, so that several probes are compared at once.
struct Gates {
    bases: Vec<f32>,
    steps: Vec<f32>,
    lengths: Vec<f32>,
    floors: Vec<f32>,
}

impl Gates {
    fn new(lenses: &[Lens], floors: impl Iterator<Item = f32>) -> Self {
        let column = |part: fn(&Lens) -> f32| lenses.iter().map(part).collect();
        let (bases, steps, lengths) = (column(Lens::base), column(Lens::step), column(Lens::length));
        let floors: Vec<f32> = floors.collect();
        let mut gates = Self { bases, steps, lengths, floors: vec![0.0; floors.len()] };
        floors.into_iter().enumerate().for_each(|(probe, floor)| gates.set_floor(probe, floor));
        gates
    }

    /// Bounds are cut to the range of similarities and these here are not, so a floor at its end lets every row in.
    fn set_floor(&mut self, probe: usize, floor: f32) {
        self.floors[probe] = if floor > -1.0 { floor } else { f32::MIN };
    }

    /// Whether the upper bound of a row reaches the floor, in the arithmetic of `Lens::upper`.
    #[inline]
    fn lets(&self, probe: usize, product: i32, scale: f32, error: f32) -> bool {
        self.bases[probe] + scale * self.steps[probe] * product as f32 + error * self.lengths[probe]
            >= self.floors[probe]
    }

    /// Whether any of some rows can reach the floor of the first probe.
    #[inline]
    fn any_row(&self, products: &[i32], scales: &[f32], errors: &[f32]) -> bool {
        let (base, step, length, floor) = (self.bases[0], self.steps[0], self.lengths[0], self.floors[0]);
        let marks = scales.iter().zip(errors);
        let reach = |(product, (scale, error)): (&i32, (&f32, &f32))| {
            i32::from(base + scale * step * *product as f32 + error * length >= floor)
        };
        products.iter().zip(marks).map(reach).sum::<i32>() > 0
    }

    /// Whether a row can reach the floor of any probe.
    #[inline]
    fn any_probe(&self, products: &[i32], scale: f32, error: f32) -> bool {
        let count = products.len();
        let (bases, steps) = (&self.bases[..count], &self.steps[..count]);
        let (lengths, floors) = (&self.lengths[..count], &self.floors[..count]);
        let reach = |at: usize| {
            i32::from(bases[at] + scale * steps[at] * products[at] as f32 + error * lengths[at] >= floors[at])
        };
        (0..count).map(reach).sum::<i32>() > 0
    }
}

/// A row that may be among the best.
struct Candidate {
    bounds: Bounds,
    block: u32,
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

    fn push(&mut self, block: usize, row: usize, bounds: Bounds) {
        self.candidates.push(Candidate { bounds, block: block as u32, row: row as u32 });
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
            self.candidates.retain(|candidate| candidate.bounds.upper >= floor);
            self.thin_at = THIN_AT.max(4 * self.k).max(2 * self.candidates.len());
        }
    }

    /// Scores what is left and keeps the best.
    fn score(mut self, view: &View, probe: &Probe) -> Result<Vec<Hit>> {
        let floor = self.floor;
        self.candidates.retain(|candidate| candidate.bounds.upper >= floor);
        self.candidates.sort_unstable_by(|a, b| b.bounds.upper.total_cmp(&a.bounds.upper));
        let mut best = Best::new(self.k);
        let mut room = Vec::new();
        for Candidate { bounds, block, row } in self.candidates {
            if best.floor().is_some_and(|worst| bounds.upper < worst) {
                break;
            }
            let (block, row) = (&view.blocks()[block as usize], row as usize);
            let similarity = similarity(vector_of(block, row, &mut room)?, probe.vector);
            if !(bounds.lower..=bounds.upper).contains(&similarity) {
                return Err(unreadable(block, "it is not the one that its codes were made of"));
            }
            best.push(Hit { key: block.key(row), person: block.person(row), similarity });
        }
        Ok(best.into_hits())
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
    use crate::index::block::block_rows;
    use crate::index::rows::Rows;
    use crate::index::synthetic::{Faces, plain_scan, random};
    use proptest::prelude::*;

    fn rows_of(vectors: &[Vec<f32>]) -> Rows {
        let mut rows = Rows::new(vectors[0].len());
        for (key, vector) in vectors.iter().enumerate() {
            rows.push(key as u64, key as u64, vector);
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
            let rows = rows_of(stored).view();
            let probes: Vec<&[f32]> = probes.iter().map(Vec::as_slice).collect();
            for k in [1, 10, 1200] {
                let found = scan(&rows, &probes, k, Scope::All).unwrap();
                for (probe, hits) in probes.iter().zip(&found) {
                    assert_eq!(hits, &plain_scan(&rows, probe, k));
                    assert_eq!(hits, &scan(&rows, &[probe], k, Scope::All).unwrap()[0], "alone as in a batch");
                }
            }
        }
    }

    #[test]
    fn similarities_are_those_of_double_precision() {
        let vectors = Faces::new(128, 8).samples(500);
        let rows = rows_of(&vectors[1..]).view();
        let found = scan(&rows, &[&vectors[0]], 5, Scope::All).unwrap();
        let double = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        let mut truth: Vec<f64> = vectors[1..].iter().map(|vector| double(vector, &vectors[0])).collect();
        truth.sort_by(|a, b| b.total_cmp(a));
        for (hit, expected) in found[0].iter().zip(truth) {
            assert!((f64::from(hit.similarity) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn several_blocks_are_one_answer() {
        let full = block_rows(256);
        let faces = Faces::new(256, 9);
        let vectors = faces.samples(full + 300);
        let mut rows = rows_of(&vectors);
        for key in 0..3000 {
            rows.remove(key);
        }
        for compacted in [false, true] {
            if compacted {
                rows.compact();
            }
            let probe = &vectors[full + 7];
            let found = scan(&rows.view(), &[probe], 50, Scope::All).unwrap();
            assert_eq!(found[0], plain_scan(&rows.view(), probe, 50));
            assert!(found[0].iter().any(|hit| hit.key == full as u64 + 7));
        }
    }

    #[test]
    fn similarities_cut_to_the_range_tie_as_others_do() {
        // Codes of such vectors are all but exact, so their bounds end where the range does.
        for sign in [1.0, -1.0] {
            let mut rows = Rows::new(3);
            for (key, length) in [(3, 1.0009), (1, 1.0009), (0, 1.0003), (2, 1.0006)] {
                rows.push(key, key, &[sign * length, 0.0, 0.0]);
            }
            let found = scan(&rows.view(), &[&[1.0, 0.0, 0.0]], 3, Scope::All).unwrap().remove(0);
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
        let rows = rows_of(&vectors).view();
        for k in [1, 7, 9500] {
            let angle = random(&mut state);
            let probe = [angle.cos(), angle.sin()];
            assert_eq!(scan(&rows, &[&probe], k, Scope::All).unwrap()[0], plain_scan(&rows, &probe, k));
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
            let rows = rows_of(&vectors).view();
            let probe = unit(probe);
            prop_assert_eq!(&scan(&rows, &[&probe], k, Scope::All).unwrap()[0], &plain_scan(&rows, &probe, k));
        }
    }
}
