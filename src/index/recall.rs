//! Recall of the approximate search, measured on the rows of the index itself.
//!
//! The probes imitate second photographs: stored faces of people who have another face, each searched without itself.
//! For people with a single face the stored vector is moved in a random direction, as far as two very different
//! photographs are apart (cosine 0.5). Recall is the share of probes for which the approximate search returns the same
//! first row as the exact scan, among the probes for which the exact scan ranks a face of the right person first.

use super::dot::dot;
use super::exact::{Scope, scan};
use super::lists::Lists;
use super::ranking::Hit;
use super::rows::{Rows, View};
use crate::error::Result;

/// Cosine of a perturbed probe and the vector it was made from.
const PERTURBATION_COSINE: f32 = 0.5;

/// Probes from which `n_probe` is chosen.
const PROBES: usize = 512;

/// With fewer cases `n_probe` cannot be chosen: even the exact search hardly finds anyone here.
const MIN_CASES: usize = 50;

/// Share of the probes whose expected row must be in the probed lists, before a margin is added.
const MIN_SHARE: f64 = 0.999;

/// At least one of this many lists is probed.
const MAX_LISTS_PER_PROBE: usize = 16;

/// A probe and its expected result.
pub(super) struct Case {
    pub(super) probe: Vec<f32>,
    /// A key to ignore in the result: that of the probe itself.
    excluded: Option<u64>,
    /// The key that the exact scan ranks first.
    expected: u64,
}

impl Case {
    /// Whether the best two rows of a search begin with the expected row.
    pub(super) fn is_correct(&self, hits: &[Hit]) -> bool {
        first_except(hits, self.excluded).is_some_and(|hit| hit.key == self.expected)
    }
}

/// Makes up to `count` cases; the same rows give the same cases.
pub(super) fn sample_cases(view: &View, count: usize) -> Result<Vec<Case>> {
    let count = count.min(view.len());
    let (mut vectors, mut ids, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
    for (block, row) in view.live_rows().step_by((view.len() / count.max(1)).max(1)).take(count) {
        vectors.push(block.vector(row, &mut buffer)?.to_vec());
        ids.push((block.key(row), block.person(row)));
    }
    let mut excluded = Vec::with_capacity(count);
    let slices: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
    let neighbors = scan(view, &slices, 2, Scope::All)?;
    let mut state = 0x5eed;
    for ((vector, (key, person)), hits) in vectors.iter_mut().zip(&ids).zip(neighbors) {
        let mated = first_except(&hits, Some(*key)).is_some_and(|hit| hit.person == *person);
        excluded.push(mated.then_some(*key));
        if !mated {
            *vector = perturb(vector, &mut state);
        }
    }
    let slices: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
    let results = scan(view, &slices, 2, Scope::All)?;
    let cases = vectors.into_iter().zip(excluded).zip(results).zip(ids);
    Ok(cases
        .filter_map(|(((probe, excluded), hits), (_, person))| {
            let first = first_except(&hits, excluded).filter(|hit| hit.person == person)?;
            Some(Case { probe, excluded, expected: first.key })
        })
        .collect())
}

fn first_except(hits: &[Hit], excluded: Option<u64>) -> Option<&Hit> {
    hits.iter().find(|hit| Some(hit.key) != excluded)
}

/// A unit vector at the cosine `PERTURBATION_COSINE` to `own`, in a random direction.
fn perturb(own: &[f32], state: &mut u64) -> Vec<f32> {
    let mut away: Vec<f32> = own.iter().map(|_| normal(state)).collect();
    let along = dot(&away, own);
    away.iter_mut().zip(own).for_each(|(x, own)| *x -= along * own);
    let rest =
        (1.0 - PERTURBATION_COSINE * PERTURBATION_COSINE).sqrt() / dot(&away, &away).sqrt().max(f32::MIN_POSITIVE);
    let moved: Vec<f32> = own.iter().zip(away).map(|(own, x)| PERTURBATION_COSINE * own + rest * x).collect();
    let length = dot(&moved, &moved).sqrt();
    moved.into_iter().map(|x| x / length).collect()
}

/// Chooses the number of lists that a search of these rows must probe; all if there are too few cases. The second value
/// is the recall at that number.
pub(super) fn choose_n_probe(rows: &Rows, lists: &Lists) -> Result<(usize, f64)> {
    let cases = sample_cases(&rows.view(), PROBES)?;
    let mut ranks: Vec<usize> = cases
        .iter()
        .map(|case| {
            let list = rows.find(case.expected).and_then(|(block, _)| block.list());
            let rank = |list| lists.rank(&case.probe).iter().position(|other| *other == list);
            list.and_then(rank).unwrap_or(0)
        })
        .collect();
    ranks.sort_unstable();
    if ranks.len() < MIN_CASES {
        return Ok((lists.len(), 1.0));
    }
    let needed = (MIN_SHARE * ranks.len() as f64).ceil() as usize;
    let needed = ranks.get(needed.saturating_sub(1)).map_or(1, |rank| rank + 1);
    // A margin of a quarter, because so few probes do not include the rarest cases.
    let n_probe = (needed * 5).div_ceil(4).max(lists.len() / MAX_LISTS_PER_PROBE).max(1);
    let found = ranks.iter().filter(|rank| **rank < n_probe).count();
    Ok((n_probe, found as f64 / ranks.len().max(1) as f64))
}

/// The next number of a splitmix64 sequence, in [0, 1).
pub(super) fn random(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
}

/// The next normally distributed number.
pub(super) fn normal(state: &mut u64) -> f32 {
    (-2.0 * (1.0 - random(state)).ln()).sqrt() * (std::f32::consts::TAU * random(state)).cos()
}
