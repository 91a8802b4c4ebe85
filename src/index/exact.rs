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
mod tests;
