//! Hits grouped by person: the best people for a probe, and the margin between the first and the second.
//!
//! The similarity of a person is that of their best face, or the mean of their best few faces. More and more rows are
//! fetched until no person who was not seen yet can rank among the best: a mean is never above the best face.

use std::collections::HashMap;

use super::dot::similarity;
use super::ranking::Hit;
use super::rows::View;
use crate::error::Result;

/// Rows fetched in the first round, in addition to `k`.
const EXTRA_ROWS: usize = 32;

/// The best people for one probe.
#[derive(Debug, Clone, PartialEq)]
pub struct People {
    /// At most `k` people, best first: `key` is the person's best face, `similarity` the similarity of the person.
    pub hits: Vec<Hit>,
    /// Similarity of the first minus that of the second; infinite if there is no second.
    pub margin: f32,
}

/// Finds the `k` best people for each probe. `nearest` returns rows for some probes; fewer than requested means that
/// there are no more.
pub(super) fn nearest_people(
    view: &View,
    probes: &[&[f32]],
    k: usize,
    faces: usize,
    nearest: impl Fn(&[&[f32]], usize) -> Result<Vec<Vec<Hit>>>,
) -> Result<Vec<People>> {
    let mut results: Vec<Option<People>> = vec![None; probes.len()];
    let mut width = k.saturating_add(EXTRA_ROWS);
    while results.iter().any(Option::is_none) {
        let pending: Vec<usize> = (0..probes.len()).filter(|probe| results[*probe].is_none()).collect();
        let pending_probes: Vec<&[f32]> = pending.iter().map(|probe| probes[*probe]).collect();
        let found = nearest(&pending_probes, width)?;
        let rows = if faces > 1 { rows_by_person(view, &found) } else { HashMap::new() };
        for ((number, probe), hits) in pending.iter().zip(&pending_probes).zip(found) {
            let complete = hits.len() < width || width >= view.len();
            let last = hits.last().map_or(f32::MIN, |hit| hit.similarity);
            let mut people = best_face_per_person(hits);
            if faces > 1 {
                for hit in &mut people {
                    hit.similarity =
                        mean_of_best_faces(view, probe, rows.get(&hit.person), faces)?.unwrap_or(hit.similarity);
                }
                people.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.key.cmp(&b.key)));
            }
            let settled = people.get(k).is_some_and(|next| faces == 1 || next.similarity > last);
            if complete || settled {
                let margin = match people.as_slice() {
                    [first, second, ..] => first.similarity - second.similarity,
                    _ => f32::INFINITY,
                };
                people.truncate(k);
                results[*number] = Some(People { hits: people, margin });
            }
        }
        width = width.saturating_mul(4);
    }
    Ok(results.into_iter().flatten().collect())
}

/// The best face of each person, in order.
fn best_face_per_person(hits: Vec<Hit>) -> Vec<Hit> {
    let mut seen = std::collections::HashSet::new();
    hits.into_iter().filter(|hit| seen.insert(hit.person)).collect()
}

/// Block and row of every face of the people found, in one pass over all rows.
fn rows_by_person(view: &View, found: &[Vec<Hit>]) -> HashMap<u64, Vec<(usize, usize)>> {
    let mut rows: HashMap<u64, Vec<(usize, usize)>> =
        found.iter().flatten().map(|hit| (hit.person, Vec::new())).collect();
    for (number, block) in view.blocks().iter().enumerate() {
        for row in block.live_rows() {
            if let Some(positions) = rows.get_mut(&block.people()[row]) {
                positions.push((number, row));
            }
        }
    }
    rows
}

/// Mean similarity of the best `faces` faces of a person, or of all if there are fewer.
fn mean_of_best_faces(
    view: &View,
    probe: &[f32],
    rows: Option<&Vec<(usize, usize)>>,
    faces: usize,
) -> Result<Option<f32>> {
    let mut buffer = Vec::new();
    let mut scores = Vec::new();
    for (block, row) in rows.into_iter().flatten() {
        scores.push(similarity(view.blocks()[*block].vector(*row, &mut buffer)?, probe));
    }
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    scores.truncate(faces);
    let sum: f32 = scores.iter().sum();
    Ok(if scores.is_empty() { None } else { Some(sum / scores.len() as f32) })
}
