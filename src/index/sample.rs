//! How often the approximate search finds what the exact one finds, measured on the gallery itself.
//!
//! The probes are second photographs: stored faces of people who have another one, each looked for without itself. For
//! people with one face a probe is the stored vector moved in a random direction, as far as two photographs that differ
//! much (cosine 0.5). Asked is what a recognition wants: of the cases in which the exact scan ranks a photograph of the right
//! person first, how many the approximate search answers with the same one.

use super::dot::dot;
use super::exact::{Scope, scan};
use super::lists::Lists;
use super::ranking::Hit;
use super::rows::Rows;
use super::view::{View, vector_of};
use crate::error::Result;

/// Cosine of a probe and the vector that it was made from.
const CLOSENESS: f32 = 0.5;

/// Probes behind the number of lists that are asked.
const PROBES: usize = 512;

/// Fewer cases than this say nothing: the exact search itself finds hardly anybody here.
const TELLING: usize = 50;

/// Share of those probes whose answer must be in the lists, before some more are added.
const WANTED: f64 = 0.999;

/// The part of the lists that is always asked.
const LEAST: usize = 16;

/// A probe, and the key that the exact scan ranks first when `without` is left out.
pub(super) struct Case {
    pub(super) vector: Vec<f32>,
    pub(super) without: Option<u64>,
    pub(super) answer: u64,
}

impl Case {
    /// Whether the two best rows found have the answer first.
    pub(super) fn is_answered(&self, hits: &[Hit]) -> bool {
        first_without(hits, self.without).is_some_and(|hit| hit.key == self.answer)
    }
}

/// `count` cases, the same for the same gallery.
pub(super) fn cases(view: &View, count: usize) -> Result<Vec<Case>> {
    let count = count.min(view.len());
    let rows = view.blocks().iter().flat_map(|block| block.live_rows().map(move |row| (block, row)));
    let (mut vectors, mut names, mut room) = (Vec::new(), Vec::new(), Vec::new());
    for (block, row) in rows.step_by((view.len() / count.max(1)).max(1)).take(count) {
        vectors.push(vector_of(block, row, &mut room)?.to_vec());
        names.push((block.key(row), block.person(row)));
    }
    let mut without = Vec::with_capacity(count);
    let slices: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
    let neighbours = scan(view, &slices, 2, Scope::All)?;
    let mut state = 0x5eed;
    for ((vector, (key, person)), hits) in vectors.iter_mut().zip(&names).zip(neighbours) {
        let mated = first_without(&hits, Some(*key)).is_some_and(|hit| hit.person == *person);
        without.push(mated.then_some(*key));
        if !mated {
            *vector = moved(vector, &mut state);
        }
    }
    let slices: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
    let answers = scan(view, &slices, 2, Scope::All)?;
    let cases = vectors.into_iter().zip(without).zip(answers).zip(names);
    Ok(cases
        .filter_map(|(((vector, without), hits), (_, person))| {
            let first = first_without(&hits, without).filter(|hit| hit.person == person)?;
            Some(Case { vector, without, answer: first.key })
        })
        .collect())
}

fn first_without(hits: &[Hit], without: Option<u64>) -> Option<&Hit> {
    hits.iter().find(|hit| Some(hit.key) != without)
}

/// A unit vector at the cosine `CLOSENESS`, in a random direction.
fn moved(own: &[f32], state: &mut u64) -> Vec<f32> {
    let mut away: Vec<f32> = own.iter().map(|_| normal(state)).collect();
    let along = dot(&away, own);
    away.iter_mut().zip(own).for_each(|(x, own)| *x -= along * own);
    let rest = (1.0 - CLOSENESS * CLOSENESS).sqrt() / dot(&away, &away).sqrt().max(f32::MIN_POSITIVE);
    let moved: Vec<f32> = own.iter().zip(away).map(|(own, x)| CLOSENESS * own + rest * x).collect();
    let length = dot(&moved, &moved).sqrt();
    moved.into_iter().map(|x| x / length).collect()
}

/// How many lists a search of these rows must ask, all where that cannot be told, and the share of probes that then find their answer.
pub(super) fn lists_to_ask(rows: &Rows, lists: &Lists) -> Result<(usize, f64)> {
    let cases = cases(&rows.view(), PROBES)?;
    let mut ranks: Vec<usize> = cases
        .iter()
        .map(|case| {
            let list = rows.find(case.answer).and_then(|(block, _)| block.list());
            let rank = |list| lists.nearest(&case.vector).iter().position(|other| *other == list);
            list.and_then(rank).unwrap_or(0)
        })
        .collect();
    ranks.sort_unstable();
    if ranks.len() < TELLING {
        return Ok((lists.len(), 1.0));
    }
    let needed = (WANTED * ranks.len() as f64).ceil() as usize;
    let needed = ranks.get(needed.saturating_sub(1)).map_or(1, |rank| rank + 1);
    // A quarter more, because so few probes do not show the rarest cases.
    let asked = (needed * 5).div_ceil(4).max(lists.len() / LEAST).max(1);
    let found = ranks.iter().filter(|rank| **rank < asked).count();
    Ok((asked, found as f64 / ranks.len().max(1) as f64))
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
