//! The approximate search: rows are kept in lists round centres, and a probe is compared with the lists nearest to it.
//!
//! The lists are an order of the rows and not a copy of them: each block belongs to one list, the scan of all blocks stays
//! exact and costs what it cost. Centres are unit vectors found by spherical k-means (Dhillon and Modha 2001) over codes,
//! that is with the mean left out. Rows that come later belong to no list and are always scanned, until `arrange` runs again.

use std::sync::Arc;

use super::block::{Block, block_rows};
use super::codes::{Codes, Probe};
use super::dot::{code_dot, dot};
use super::products::{BATCH, Products};
use super::vectors::Vectors;
use super::view::{View, vector_of};
use crate::error::Result;

/// Rows below which lists are not made: the exact scan takes a fraction of a millisecond.
pub(super) const LISTS_FROM: usize = if cfg!(test) { 2_000 } else { 20_000 };

/// Rows a list that k-means looks at, and how often.
const SAMPLE: usize = 48;
const ROUNDS: usize = 8;

/// More lists than this part of them are not worth asking: the exact scan is as fast.
const WORTH: usize = 4;

/// Centres of lists.
pub(super) struct Lists {
    mean: Arc<[f32]>,
    centres: Vec<f32>,
    codes: Codes,
    /// What the mean adds to the product of a vector and each centre.
    shifts: Vec<f32>,
    /// Rows there were when the centres were found.
    trained: usize,
    /// Lists that a probe is compared with.
    probed: usize,
}

impl Lists {
    /// `centres` are unit vectors, one after the other.
    pub(super) fn new(mean: Arc<[f32]>, centres: Vec<f32>, trained: usize, probed: usize) -> Self {
        let dimension = mean.len();
        let mut codes = Codes::new(vec![0.0; dimension].into(), centres.len() / dimension);
        let mut shifts = Vec::new();
        for centre in centres.chunks_exact(dimension) {
            codes.push(centre);
            shifts.push(dot(centre, &mean));
        }
        Self { mean, centres, codes, shifts, trained, probed }
    }

    /// Finds centres for the rows of a view.
    pub(super) fn train(view: &View) -> Self {
        let count = list_count(view.len());
        let (points, values) = sample(view, count * SAMPLE);
        let dimension = view.mean().len();
        let step = (values.len() / dimension / count).max(1);
        let seeds = values.chunks_exact(dimension).step_by(step).take(count);
        let mut lists = Self::new(Arc::clone(view.mean()), seeds.flat_map(unit).collect(), view.len(), count);
        for _ in 0..ROUNDS {
            let assigned = lists.assigner().assign(&points);
            let mut sums = vec![0.0_f32; lists.centres.len()];
            for (value, list) in values.chunks_exact(dimension).zip(&assigned) {
                let sum = &mut sums[*list as usize * dimension..][..dimension];
                sum.iter_mut().zip(value).for_each(|(sum, x)| *sum += x);
            }
            // A centre that nobody chose stays where it was.
            let old = lists.centres.chunks_exact(dimension);
            let centres = sums.chunks_exact(dimension).zip(old).flat_map(|(sum, old)| {
                if sum.iter().all(|x| x.abs() < f32::EPSILON) { old.to_vec() } else { unit(sum) }
            });
            lists = Self::new(Arc::clone(&lists.mean), centres.collect(), lists.trained, count);
        }
        lists
    }

    pub(super) fn len(&self) -> usize {
        self.shifts.len()
    }

    pub(super) fn centres(&self) -> &[f32] {
        &self.centres
    }

    pub(super) fn trained(&self) -> usize {
        self.trained
    }

    pub(super) fn probed(&self) -> usize {
        self.probed
    }

    /// The same lists, of which a search asks so many.
    pub(super) fn asking(&self, probed: usize) -> Self {
        let probed = probed.clamp(1, self.len());
        Self::new(Arc::clone(&self.mean), self.centres.clone(), self.trained, probed)
    }

    /// Whether asking them is faster than scanning everything.
    pub(super) fn are_worth_asking(&self) -> bool {
        self.probed * WORTH <= self.len()
    }

    /// All lists, nearest first.
    pub(super) fn nearest(&self, vector: &[f32]) -> Vec<u32> {
        let probe = Probe::new(vector);
        let score = |list: usize| {
            let product = code_dot(self.codes.row(list), &probe.codes);
            probe.step() * self.codes.scales()[list] * product as f32 - self.shifts[list]
        };
        let mut scored: Vec<(f32, u32)> = (0..self.len()).map(|list| (score(list), list as u32)).collect();
        scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.into_iter().map(|(_, list)| list).collect()
    }

    /// The lists that a search for this vector asks.
    pub(super) fn asked(&self, vector: &[f32]) -> Vec<u32> {
        let mut nearest = self.nearest(vector);
        nearest.truncate(self.probed);
        nearest
    }

    fn assigner(&self) -> Assigner {
        let dimension = self.mean.len();
        let batches = self.codes.rows().chunks(BATCH * dimension).zip(self.codes.scales().chunks(BATCH));
        let batches = batches.map(|(codes, scales)| (Products::new(codes.to_vec(), dimension), scales.to_vec()));
        Assigner { dimension, batches: batches.collect() }
    }
}

/// Says to which list a row of codes belongs.
struct Assigner {
    dimension: usize,
    batches: Vec<(Products, Vec<f32>)>,
}

impl Assigner {
    fn assign(&mut self, codes: &[i8]) -> Vec<u32> {
        let tile = Products::tile_rows(self.dimension) * self.dimension;
        let mut lists = Vec::with_capacity(codes.len() / self.dimension);
        for rows in codes.chunks(tile) {
            let mut best = vec![(f32::MIN, 0_u32); rows.len() / self.dimension];
            let mut first = 0;
            for (products, scales) in &mut self.batches {
                for (best, products) in best.iter_mut().zip(products.of(rows).chunks_exact(scales.len())) {
                    for ((product, scale), list) in products.iter().zip(scales.iter()).zip(first..) {
                        let score = *product as f32 * scale;
                        if score > best.0 {
                            *best = (score, list);
                        }
                    }
                }
                first += scales.len() as u32;
            }
            lists.extend(best.into_iter().map(|(_, list)| list));
        }
        lists
    }
}

/// All rows of a view in blocks of one list each. Rows that have a list keep it where `lists` are those of the view.
pub(super) fn arrange(view: &View, lists: &Lists) -> Result<Vec<Block>> {
    let kept = view.lists().is_some_and(|old| old.centres == lists.centres);
    let mut assigner = lists.assigner();
    let mut members: Vec<Vec<(u32, u32)>> = vec![Vec::new(); lists.len()];
    for (number, block) in view.blocks().iter().enumerate() {
        let assigned = match block.list() {
            Some(list) if kept => vec![list; block.len()],
            _ => assigner.assign(block.codes().rows()),
        };
        for row in block.live_rows() {
            members[assigned[row] as usize].push((number as u32, row as u32));
        }
    }
    let mut blocks = Vec::new();
    for (list, members) in members.iter().enumerate() {
        let resident = |member: &&(u32, u32)| view.blocks()[member.0 as usize].vectors().is_resident();
        let (in_memory, in_file): (Vec<_>, Vec<_>) = members.iter().partition(resident);
        for members in [in_memory, in_file] {
            // Blocks of nearly one size.
            let parts = members.len().div_ceil(block_rows(view.mean().len())).max(1);
            for part in members.chunks(members.len().div_ceil(parts).max(1)) {
                blocks.push(gather(view, list as u32, part)?);
            }
        }
    }
    Ok(blocks)
}

/// Copies rows into one block. They are all in memory or all in the one file that an index can have been opened from.
fn gather(view: &View, list: u32, members: &[(u32, u32)]) -> Result<Block> {
    let first = members.first().map(|(block, _)| view.blocks()[*block as usize].vectors());
    let vectors = first.map_or_else(Vectors::resident, Vectors::none_beside);
    let mut gathered = Block::new(Arc::clone(view.mean()), Some(list), vectors);
    gathered.reserve(members.len());
    let mut room = Vec::new();
    for (block, row) in members {
        let (block, row) = (&view.blocks()[*block as usize], *row as usize);
        if block.codes().mean() == view.mean() {
            gathered.push_row_of(block, row);
        } else {
            gathered.push(block.key(row), block.person(row), vector_of(block, row, &mut room)?);
        }
    }
    Ok(gathered)
}

/// The power of two nearest to the square root.
fn list_count(rows: usize) -> usize {
    1 << (rows.max(1) as f64).sqrt().log2().round() as usize
}

/// Evenly spaced rows: their codes, and what the codes say.
fn sample(view: &View, wanted: usize) -> (Vec<i8>, Vec<f32>) {
    let step = (view.len() / wanted).max(1);
    let rows = view.blocks().iter().flat_map(|block| block.live_rows().map(move |row| (block, row)));
    let (mut codes, mut values) = (Vec::new(), Vec::new());
    for (block, row) in rows.step_by(step) {
        codes.extend_from_slice(block.codes().row(row));
        values.extend(block.codes().approximate(row));
    }
    (codes, values)
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let length = dot(vector, vector).sqrt().max(f32::MIN_POSITIVE);
    vector.iter().map(|x| x / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::exact::{Scope, scan};
    use crate::index::rows::Rows;
    use crate::index::synthetic::{Faces, plain_scan};

    fn listed(dimension: usize, count: usize) -> (Vec<Vec<f32>>, Rows) {
        let faces = Faces::new(dimension, 1).samples(count);
        let mut rows = Rows::new(dimension);
        for (key, face) in faces.iter().enumerate() {
            rows.push(key as u64, key as u64 / 2, face);
        }
        let view = rows.view();
        let lists = Lists::train(&view);
        let blocks = arrange(&view, &lists).unwrap();
        let rows = Rows::from_blocks(blocks, Some(Arc::new(lists)), Arc::clone(view.mean())).unwrap();
        (faces, rows)
    }

    #[test]
    fn arranged_rows_are_the_same_rows_and_the_exact_scan_sees_them_all() {
        let (faces, rows) = listed(48, 3000);
        let view = rows.view();
        assert_eq!((view.len(), view.unlisted(), rows.len()), (3000, 0, 3000));
        for (key, face) in faces.iter().enumerate().step_by(7) {
            let (block, row) = rows.find(key as u64).unwrap();
            assert_eq!(block.vector(row, &mut Vec::new()).unwrap(), face);
            assert_eq!(block.person(row), key as u64 / 2);
        }
        let probes: Vec<&[f32]> = faces[..20].iter().map(Vec::as_slice).collect();
        for (probe, hits) in probes.iter().zip(scan(&view, &probes, 10, Scope::All).unwrap()) {
            assert_eq!(hits, plain_scan(&view, probe, 10));
        }
    }

    #[test]
    fn a_row_is_found_in_the_nearest_lists_and_all_lists_are_everything() {
        let (faces, rows) = listed(48, 3000);
        let view = rows.view();
        let lists = view.lists().unwrap();
        assert_eq!(lists.len(), 64);
        let own = faces.iter().enumerate().step_by(10).filter(|(key, face)| {
            let list = rows.find(*key as u64).unwrap().0.list();
            lists.nearest(face).first().copied() == list
        });
        assert!(own.count() >= 285, "a stored vector belongs to the list nearest to it, rounding aside");
        let probes: Vec<&[f32]> = faces[..40].iter().map(Vec::as_slice).collect();
        for (probed, least) in [(8, 39), (64, 40)] {
            let lists = lists.asking(probed);
            let asked: Vec<Vec<u32>> = probes.iter().map(|probe| lists.asked(probe)).collect();
            let found = scan(&view, &probes, 3, Scope::Lists(&asked)).unwrap();
            let first = found.iter().enumerate().filter(|(key, hits)| hits[0].key == *key as u64).count();
            assert!(first >= least, "{first}");
            if probed == 64 {
                assert_eq!(found, scan(&view, &probes, 3, Scope::All).unwrap());
            }
        }
    }

    #[test]
    fn later_rows_are_scanned_beside_the_lists_and_join_them() {
        let (_, mut rows) = listed(32, 1000);
        let late = Faces::new(32, 9).samples(50);
        for (key, face) in late.iter().enumerate() {
            rows.push(5000 + key as u64, 1, face);
        }
        let view = rows.view();
        assert_eq!(view.unlisted(), 50);
        let asked = vec![view.lists().unwrap().asking(1).asked(&late[3])];
        let found = scan(&view, &[&late[3]], 1, Scope::Lists(&asked)).unwrap();
        assert_eq!(found[0][0].key, 5003);
        let lists = view.lists().unwrap();
        let again = Rows::from_blocks(arrange(&view, lists).unwrap(), Some(Arc::clone(lists)), Arc::clone(view.mean()));
        let again = again.unwrap();
        assert_eq!((again.view().unlisted(), again.len()), (0, 1050));
    }

    #[test]
    fn the_number_of_lists_follows_the_root_of_the_rows() {
        assert_eq!([1, 20_000, 100_000, 1_000_000].map(list_count), [1, 128, 256, 1024]);
    }
}
