//! The exact scan: the same result as scoring every vector in `f32`, while reading a quarter of the bytes.
//!
//! The codes of a row give bounds of its similarity. A row stays on the shortlist of a probe while its upper bound
//! reaches the k-th best lower bound seen. At the end the shortlist is scored in `f32`, best upper bound first, until
//! no upper bound reaches the k-th best score. No row in scope is dropped on an estimate, so a scan of all rows has
//! recall 1 by construction. A search runs on the calling thread only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::block::{Block, RowState};
use super::codes::{BoundTerms, Bounds, EncodedProbe};
use super::dot::{BATCH_SIZE, DotProducts, similarity};
use super::ranking::{Hit, TopK};
use super::rows::View;
use crate::error::Result;

/// A shortlist is pruned at this length, or at twice the length that the last pruning left.
const MIN_PRUNE_LENGTH: usize = 4096;

/// Rows compared with the floor at once.
const STRIDE: usize = 32;

/// The rows to scan.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope<'a> {
    /// Every live row.
    All,
    /// Live rows that are not in the graph.
    NotInGraph,
    /// For each probe the live rows of these lists, and those without a list.
    Lists(&'a [Vec<u32>]),
}

impl Scope<'_> {
    fn includes(self, state: RowState) -> bool {
        match self {
            Self::NotInGraph => matches!(state, RowState::NotInGraph | RowState::Unreachable),
            Self::All | Self::Lists(_) => state != RowState::Deleted,
        }
    }
}

/// The `k` best hits in `scope` for each probe, best first.
pub(super) fn scan(view: &View, probes: &[&[f32]], k: usize, scope: Scope) -> Result<Vec<Vec<Hit>>> {
    let mut results = Vec::with_capacity(probes.len());
    for (number, batch) in probes.chunks(BATCH_SIZE).enumerate() {
        let scope = match scope {
            Scope::Lists(lists) => Scope::Lists(&lists[number * BATCH_SIZE..][..batch.len()]),
            other => other,
        };
        let encoded: Vec<EncodedProbe> = batch.iter().map(|vector| EncodedProbe::new(vector)).collect();
        let mut shortlists: Vec<Shortlist> = batch.iter().map(|_| Shortlist::new(k)).collect();
        scan_blocks(view, &encoded, &mut shortlists, scope);
        for (shortlist, probe) in shortlists.into_iter().zip(&encoded) {
            results.push(shortlist.score(view, probe)?);
        }
    }
    Ok(results)
}

fn scan_blocks(view: &View, probes: &[EncodedProbe], shortlists: &mut [Shortlist], scope: Scope) {
    let all: Vec<usize> = (0..probes.len()).collect();
    let probes_by_list = ProbesByList::new(scope, view);
    let mut last: Option<(Vec<usize>, DotProducts)> = None;
    for (number, block) in view.blocks().iter().enumerate() {
        let active = probes_by_list.probes_of(block.list()).unwrap_or(&all);
        if active.is_empty() || (matches!(scope, Scope::NotInGraph) && block.len_not_in_graph() == 0) {
            continue;
        }
        let same = last.as_ref().is_some_and(|(before, _)| before == active);
        if !same {
            let codes = active.iter().flat_map(|probe| &probes[*probe].codes).copied().collect();
            last = Some((active.clone(), DotProducts::new(codes, view.mean().len())));
        }
        if let Some((_, products)) = &mut last {
            scan_block(number, block, active, probes, products, shortlists, scope);
        }
    }
}

/// The numbers of the probes that search each list; `None` if every probe searches every row.
struct ProbesByList(Option<Vec<Vec<usize>>>);

impl ProbesByList {
    fn new(scope: Scope, view: &View) -> Self {
        let (Scope::Lists(lists_of_probes), Some(lists)) = (scope, view.lists()) else { return Self(None) };
        let mut probes = vec![Vec::new(); lists.len()];
        for (probe, lists) in lists_of_probes.iter().enumerate() {
            for list in lists {
                probes[*list as usize].push(probe);
            }
        }
        Self(Some(probes))
    }

    /// The probes that search a list; `None` for all probes.
    fn probes_of(&self, list: Option<u32>) -> Option<&Vec<usize>> {
        self.0.as_ref()?.get(list? as usize)
    }
}

fn scan_block(
    number: usize,
    block: &Block,
    active: &[usize],
    probes: &[EncodedProbe],
    products: &mut DotProducts,
    shortlists: &mut [Shortlist],
    scope: Scope,
) {
    let codes = block.codes();
    let dimension = codes.mean().len();
    let terms: Vec<BoundTerms> = active.iter().map(|probe| codes.bound_terms(&probes[*probe])).collect();
    let maxima = codes.maxima();
    let min_product_for = |shortlist: &Shortlist| terms[0].min_product(maxima, shortlist.floor);
    let mut min_product = min_product_for(&shortlists[active[0]]);
    let mut filter = FloorFilter::new(&terms, active.iter().map(|probe| shortlists[*probe].floor));
    let tile = DotProducts::tile_rows(dimension);
    let parameters = codes.scales().chunks(tile).zip(codes.errors().chunks(tile));
    for (tile_number, (rows, (scales, errors))) in codes.rows().chunks(tile * dimension).zip(parameters).enumerate() {
        let tile_products = products.multiply(rows);
        let mut consider = |row: usize, probe: usize, product: i32, filter: &mut FloorFilter| {
            let shortlist = &mut shortlists[active[probe]];
            let bounds = terms[probe].bounds(scales[row], errors[row], product);
            let row = tile_number * tile + row;
            if bounds.upper >= shortlist.floor && scope.includes(block.state(row)) {
                let before = shortlist.floor;
                shortlist.push(number, row, bounds);
                if shortlist.floor > before {
                    filter.set_floor(probe, shortlist.floor);
                    return Some(min_product_for(shortlist));
                }
            }
            None
        };
        if active.len() == 1 {
            let parameters = scales.chunks(STRIDE).zip(errors.chunks(STRIDE));
            for (start, (products, (scales, errors))) in tile_products.chunks(STRIDE).zip(parameters).enumerate() {
                if any_at_least(products, min_product) && filter.any_row_passes(products, scales, errors) {
                    for (row, product) in products.iter().enumerate() {
                        if filter.passes(0, *product, scales[row], errors[row]) {
                            let raised = consider(start * STRIDE + row, 0, *product, &mut filter);
                            min_product = raised.unwrap_or(min_product);
                        }
                    }
                }
            }
        } else {
            for (row, (products, (scale, error))) in
                tile_products.chunks(active.len()).zip(scales.iter().zip(errors)).enumerate()
            {
                if filter.any_probe_passes(products, *scale, *error) {
                    for (probe, product) in products.iter().enumerate() {
                        if filter.passes(probe, *product, *scale, *error) {
                            consider(row, probe, *product, &mut filter);
                        }
                    }
                }
            }
        }
    }
}

/// Whether any product is at least `min`. Has no branch per product, so that it is vectorized.
#[inline]
fn any_at_least(products: &[i32], min: i32) -> bool {
    products.iter().map(|product| i32::from(*product >= min)).sum::<i32>() > 0
}

/// Tests whether a row can reach the floor of a probe. Stored in columns, so that tests of several probes are
/// vectorized.
struct FloorFilter {
    bases: Vec<f32>,
    steps: Vec<f32>,
    norms: Vec<f32>,
    floors: Vec<f32>,
}

impl FloorFilter {
    fn new(terms: &[BoundTerms], floors: impl Iterator<Item = f32>) -> Self {
        let column = |part: fn(&BoundTerms) -> f32| terms.iter().map(part).collect();
        let (bases, steps, norms) = (column(BoundTerms::base), column(BoundTerms::step), column(BoundTerms::norm));
        let floors: Vec<f32> = floors.collect();
        let mut filter = Self { bases, steps, norms, floors: vec![0.0; floors.len()] };
        floors.into_iter().enumerate().for_each(|(probe, floor)| filter.set_floor(probe, floor));
        filter
    }

    /// Bounds are clamped to the range of similarities, but the sums here are not. A floor at -1 therefore passes every
    /// row.
    fn set_floor(&mut self, probe: usize, floor: f32) {
        self.floors[probe] = if floor > -1.0 { floor } else { f32::MIN };
    }

    /// Whether the upper bound of a row reaches the floor; the arithmetic is that of `BoundTerms::upper`.
    #[inline]
    fn passes(&self, probe: usize, product: i32, scale: f32, error: f32) -> bool {
        self.bases[probe] + scale * self.steps[probe] * product as f32 + error * self.norms[probe] >= self.floors[probe]
    }

    /// Whether any of these rows can reach the floor of the first probe.
    #[inline]
    fn any_row_passes(&self, products: &[i32], scales: &[f32], errors: &[f32]) -> bool {
        let (base, step, norm, floor) = (self.bases[0], self.steps[0], self.norms[0], self.floors[0]);
        let parameters = scales.iter().zip(errors);
        let reach = |(product, (scale, error)): (&i32, (&f32, &f32))| {
            i32::from(base + scale * step * *product as f32 + error * norm >= floor)
        };
        products.iter().zip(parameters).map(reach).sum::<i32>() > 0
    }

    /// Whether a row can reach the floor of any probe.
    #[inline]
    fn any_probe_passes(&self, products: &[i32], scale: f32, error: f32) -> bool {
        let count = products.len();
        let (bases, steps) = (&self.bases[..count], &self.steps[..count]);
        let (norms, floors) = (&self.norms[..count], &self.floors[..count]);
        let reach = |at: usize| {
            i32::from(bases[at] + scale * steps[at] * products[at] as f32 + error * norms[at] >= floors[at])
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

/// The rows that may still be among the `k` best of one probe.
struct Shortlist {
    k: usize,
    /// The k best lower bounds as ordinals, the smallest on top.
    lowers: BinaryHeap<Reverse<i32>>,
    /// The k-th best lower bound; -2, below every similarity, while there are fewer than k.
    floor: f32,
    candidates: Vec<Candidate>,
    prune_at: usize,
}

impl Shortlist {
    fn new(k: usize) -> Self {
        Self {
            k,
            lowers: BinaryHeap::new(),
            floor: -2.0,
            candidates: Vec::new(),
            prune_at: MIN_PRUNE_LENGTH.max(4 * k),
        }
    }

    fn push(&mut self, block: usize, row: usize, bounds: Bounds) {
        self.candidates.push(Candidate { bounds, block: block as u32, row: row as u32 });
        if self.lowers.len() < self.k || bounds.lower > self.floor {
            self.lowers.push(Reverse(ordinal(bounds.lower)));
            if self.lowers.len() > self.k {
                self.lowers.pop();
            }
            if let (true, Some(Reverse(smallest))) = (self.lowers.len() == self.k, self.lowers.peek()) {
                self.floor = from_ordinal(*smallest);
            }
        }
        if self.candidates.len() >= self.prune_at {
            let floor = self.floor;
            self.candidates.retain(|candidate| candidate.bounds.upper >= floor);
            self.prune_at = MIN_PRUNE_LENGTH.max(4 * self.k).max(2 * self.candidates.len());
        }
    }

    /// Scores the remaining candidates and returns the best.
    fn score(mut self, view: &View, probe: &EncodedProbe) -> Result<Vec<Hit>> {
        let floor = self.floor;
        self.candidates.retain(|candidate| candidate.bounds.upper >= floor);
        self.candidates.sort_unstable_by(|a, b| b.bounds.upper.total_cmp(&a.bounds.upper));
        let mut best = TopK::new(self.k);
        let mut buffer = Vec::new();
        for Candidate { bounds, block, row } in self.candidates {
            if best.floor().is_some_and(|worst| bounds.upper < worst) {
                break;
            }
            let (block, row) = (&view.blocks()[block as usize], row as usize);
            let similarity = similarity(block.vector(row, &mut buffer)?, probe.vector);
            if !(bounds.lower..=bounds.upper).contains(&similarity) {
                return Err(block.unreadable_vector("it differs from the vector that was encoded"));
            }
            best.push(Hit { key: block.key(row), person: block.person(row), similarity });
        }
        Ok(best.into_hits())
    }
}

/// Maps a finite number to an integer of the same order.
fn ordinal(value: f32) -> i32 {
    flip(value.to_bits().cast_signed())
}

fn from_ordinal(ordinal: i32) -> f32 {
    f32::from_bits(flip(ordinal).cast_unsigned())
}

/// Converts sign and magnitude to two's complement, and back.
fn flip(bits: i32) -> i32 {
    bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()
}

#[cfg(test)]
mod tests;
