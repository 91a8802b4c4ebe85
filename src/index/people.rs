//! Rows grouped by person: the best people for a probe, and by how much the first is ahead of the second.
//!
//! A person's similarity is that of their best face, or the mean of their best few. Rows are asked for until no person that
//! was not seen yet can come among the best: nobody's mean is above their best face.

use std::collections::HashMap;

use super::dot::similarity;
use super::ranking::Hit;
use super::view::{View, vector_of};
use crate::error::Result;

/// What the first round asks for, besides a row for each person wanted.
const FIRST_ROWS: usize = 32;

/// The best people for one probe.
#[derive(Debug, Clone, PartialEq)]
pub struct People {
    /// Best first, at most as many as were asked for: `key` is the person's best face, `similarity` the person's.
    pub hits: Vec<Hit>,
    /// Similarity of the first less that of the second; infinite where there is no second.
    pub margin: f32,
}

/// The `k` best people of each probe. `nearest` finds rows for some probes; one that finds fewer than asked has no more.
pub(super) fn group(
    view: &View,
    probes: &[&[f32]],
    k: usize,
    faces: usize,
    nearest: impl Fn(&[&[f32]], usize) -> Result<Vec<Vec<Hit>>>,
) -> Result<Vec<People>> {
    let mut answers: Vec<Option<People>> = vec![None; probes.len()];
    let mut width = k.saturating_add(FIRST_ROWS);
    while answers.iter().any(Option::is_none) {
        let open: Vec<usize> = (0..probes.len()).filter(|probe| answers[*probe].is_none()).collect();
        let asked: Vec<&[f32]> = open.iter().map(|probe| probes[*probe]).collect();
        let found = nearest(&asked, width)?;
        let rows = if faces > 1 { rows_of_people(view, &found) } else { HashMap::new() };
        for ((number, probe), hits) in open.iter().zip(&asked).zip(found) {
            let complete = hits.len() < width || width >= view.len();
            let last = hits.last().map_or(f32::MIN, |hit| hit.similarity);
            let mut people = first_of_each(hits);
            if faces > 1 {
                for hit in &mut people {
                    hit.similarity = mean_of_best(view, probe, rows.get(&hit.person), faces)?.unwrap_or(hit.similarity);
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
                answers[*number] = Some(People { hits: people, margin });
            }
        }
        width = width.saturating_mul(4);
    }
    Ok(answers.into_iter().flatten().collect())
}

/// Each person's best face, in order.
fn first_of_each(hits: Vec<Hit>) -> Vec<Hit> {
    let mut seen = std::collections::HashSet::new();
    hits.into_iter().filter(|hit| seen.insert(hit.person)).collect()
}

/// Block and row of every face of the people found: one pass over all rows' people.
fn rows_of_people(view: &View, found: &[Vec<Hit>]) -> HashMap<u64, Vec<(usize, usize)>> {
    let mut rows: HashMap<u64, Vec<(usize, usize)>> =
        found.iter().flatten().map(|hit| (hit.person, Vec::new())).collect();
    for (number, block) in view.blocks().iter().enumerate() {
        for row in block.live_rows() {
            if let Some(places) = rows.get_mut(&block.people()[row]) {
                places.push((number, row));
            }
        }
    }
    rows
}

/// Mean similarity of a person's best faces, of all where there are fewer.
fn mean_of_best(view: &View, probe: &[f32], rows: Option<&Vec<(usize, usize)>>, faces: usize) -> Result<Option<f32>> {
    let mut room = Vec::new();
    let mut scores = Vec::new();
    for (block, row) in rows.into_iter().flatten() {
        scores.push(similarity(vector_of(&view.blocks()[*block], *row, &mut room)?, probe));
    }
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    scores.truncate(faces);
    let sum: f32 = scores.iter().sum();
    Ok(if scores.is_empty() { None } else { Some(sum / scores.len() as f32) })
}
