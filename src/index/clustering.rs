//! Building inverted lists: train centroids on a view, and group its rows by the nearest centroid.
//!
//! Centroids are unit vectors found by spherical k-means (Dhillon and Modha 2001) over codes, that is after the mean is
//! subtracted.

use std::sync::Arc;

use super::block::{Block, max_rows};
use super::dot::{BATCH_SIZE, DotProducts, dot};
use super::lists::Lists;
use super::rows::View;
use super::vectors::Vectors;
use crate::error::Result;

/// Rows per list in the training sample.
const SAMPLE_PER_LIST: usize = 48;

/// Iterations of k-means.
const ITERATIONS: usize = 8;

/// Trains centroids on the rows of a view. `n_probe` is the number of all lists.
pub(super) fn train(view: &View) -> Lists {
    let count = list_count(view.len());
    let (codes, values) = sample(view, count * SAMPLE_PER_LIST);
    let dimension = view.mean().len();
    let step = (values.len() / dimension / count).max(1);
    let seeds = values.chunks_exact(dimension).step_by(step).take(count);
    let mut lists = Lists::new(Arc::clone(view.mean()), seeds.flat_map(normalize).collect(), view.len(), count);
    for _ in 0..ITERATIONS {
        let assigned = Assigner::new(&lists).assign(&codes);
        let mut sums = vec![0.0_f32; lists.centroids().len()];
        for (value, list) in values.chunks_exact(dimension).zip(&assigned) {
            let sum = &mut sums[*list as usize * dimension..][..dimension];
            sum.iter_mut().zip(value).for_each(|(sum, x)| *sum += x);
        }
        // The centroid of an empty list does not move.
        let old = lists.centroids().chunks_exact(dimension);
        let centroids = sums.chunks_exact(dimension).zip(old).flat_map(|(sum, old)| {
            if sum.iter().all(|x| x.abs() < f32::EPSILON) { old.to_vec() } else { normalize(sum) }
        });
        lists = Lists::new(Arc::clone(lists.mean()), centroids.collect(), lists.trained_rows(), count);
    }
    lists
}

/// Copies all rows of a view into blocks of one list each. If `lists` are those of the view, listed rows keep their
/// list.
pub(super) fn group_rows(view: &View, lists: &Lists) -> Result<Vec<Block>> {
    let same_lists = view.lists().is_some_and(|old| old.centroids() == lists.centroids());
    let mut assigner = Assigner::new(lists);
    let mut members: Vec<Vec<(u32, u32)>> = vec![Vec::new(); lists.len()];
    for (number, block) in view.blocks().iter().enumerate() {
        let assigned = match block.list() {
            Some(list) if same_lists => vec![list; block.len()],
            _ => assigner.assign(block.codes().rows()),
        };
        for row in block.live_rows() {
            members[assigned[row] as usize].push((number as u32, row as u32));
        }
    }
    let mut blocks = Vec::new();
    for (list, members) in members.iter().enumerate() {
        let resident = |member: &&(u32, u32)| view.blocks()[member.0 as usize].vectors().is_resident();
        let (in_memory, on_disk): (Vec<_>, Vec<_>) = members.iter().partition(resident);
        for members in [in_memory, on_disk] {
            // Blocks of nearly equal size.
            let parts = members.len().div_ceil(max_rows(view.mean().len())).max(1);
            for part in members.chunks(members.len().div_ceil(parts).max(1)) {
                blocks.push(gather(view, list as u32, part)?);
            }
        }
    }
    Ok(blocks)
}

/// Copies rows into one block. All are in memory, or all in the one snapshot file that the index was loaded from.
fn gather(view: &View, list: u32, members: &[(u32, u32)]) -> Result<Block> {
    let first = members.first().map(|(block, _)| view.blocks()[*block as usize].vectors());
    let vectors = first.map_or_else(Vectors::resident, Vectors::empty_like);
    let mut gathered = Block::new(Arc::clone(view.mean()), Some(list), vectors);
    gathered.reserve(members.len());
    let mut buffer = Vec::new();
    for (block, row) in members {
        let (block, row) = (&view.blocks()[*block as usize], *row as usize);
        if block.codes().mean() == view.mean() {
            gathered.push_from(block, row);
        } else {
            gathered.push(block.key(row), block.person(row), block.vector(row, &mut buffer)?);
        }
    }
    Ok(gathered)
}

/// Finds the nearest list for rows of codes.
struct Assigner {
    dimension: usize,
    batches: Vec<(DotProducts, Vec<f32>)>,
}

impl Assigner {
    fn new(lists: &Lists) -> Self {
        let (dimension, codes) = (lists.mean().len(), lists.codes());
        let batches = codes.rows().chunks(BATCH_SIZE * dimension).zip(codes.scales().chunks(BATCH_SIZE));
        let batches = batches.map(|(codes, scales)| (DotProducts::new(codes.to_vec(), dimension), scales.to_vec()));
        Self { dimension, batches: batches.collect() }
    }

    fn assign(&mut self, codes: &[i8]) -> Vec<u32> {
        let tile = DotProducts::tile_rows(self.dimension) * self.dimension;
        let mut lists = Vec::with_capacity(codes.len() / self.dimension);
        for rows in codes.chunks(tile) {
            let mut best = vec![(f32::MIN, 0_u32); rows.len() / self.dimension];
            let mut first = 0;
            for (products, scales) in &mut self.batches {
                for (best, products) in best.iter_mut().zip(products.multiply(rows).chunks_exact(scales.len())) {
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

/// Number of lists for a number of rows: the power of two nearest to its square root.
fn list_count(rows: usize) -> usize {
    1 << (rows.max(1) as f64).sqrt().log2().round() as usize
}

/// Evenly spaced rows: their codes and the decoded values.
fn sample(view: &View, count: usize) -> (Vec<i8>, Vec<f32>) {
    let step = (view.len() / count).max(1);
    let (mut codes, mut values) = (Vec::new(), Vec::new());
    for (block, row) in view.live_rows().step_by(step) {
        codes.extend_from_slice(block.codes().row(row));
        values.extend(block.codes().decode(row));
    }
    (codes, values)
}

fn normalize(vector: &[f32]) -> Vec<f32> {
    let length = dot(vector, vector).sqrt().max(f32::MIN_POSITIVE);
    vector.iter().map(|x| x / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::exact::{Scope, scan};
    use crate::index::rows::Rows;
    use crate::index::synthetic::{Faces, plain_scan};

    fn build(dimension: usize, count: usize) -> (Vec<Vec<f32>>, Rows) {
        let faces = Faces::new(dimension, 1).samples(count);
        let mut rows = Rows::new(dimension);
        for (key, face) in faces.iter().enumerate() {
            rows.push(key as u64, key as u64 / 2, face);
        }
        let view = rows.view();
        let lists = train(&view);
        let blocks = group_rows(&view, &lists).unwrap();
        let rows = Rows::from_blocks(blocks, Some(Arc::new(lists)), Arc::clone(view.mean())).unwrap();
        (faces, rows)
    }

    #[test]
    fn grouped_rows_are_the_same_rows_and_the_exact_scan_sees_them_all() {
        let (faces, rows) = build(48, 3000);
        let view = rows.view();
        assert_eq!((view.len(), view.len_without_list(), rows.len()), (3000, 0, 3000));
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
    fn a_row_is_found_in_the_nearest_lists_and_probing_all_lists_is_exact() {
        let (faces, rows) = build(48, 3000);
        let view = rows.view();
        let lists = view.lists().unwrap();
        assert_eq!(lists.len(), 64);
        let own = faces.iter().enumerate().step_by(10).filter(|(key, face)| {
            let list = rows.find(*key as u64).unwrap().0.list();
            lists.rank(face).first().copied() == list
        });
        assert!(own.count() >= 285, "a stored vector belongs to the list nearest to it, apart from rounding");
        let probes: Vec<&[f32]> = faces[..40].iter().map(Vec::as_slice).collect();
        for (n_probe, least) in [(8, 39), (64, 40)] {
            let lists = lists.with_n_probe(n_probe);
            let nearest: Vec<Vec<u32>> = probes.iter().map(|probe| lists.nearest(probe)).collect();
            let found = scan(&view, &probes, 3, Scope::Lists(&nearest)).unwrap();
            let first = found.iter().enumerate().filter(|(key, hits)| hits[0].key == *key as u64).count();
            assert!(first >= least, "{first}");
            if n_probe == 64 {
                assert_eq!(found, scan(&view, &probes, 3, Scope::All).unwrap());
            }
        }
    }

    #[test]
    fn later_rows_are_scanned_besides_the_lists_and_can_join_them() {
        let (_, mut rows) = build(32, 1000);
        let late = Faces::new(32, 9).samples(50);
        for (key, face) in late.iter().enumerate() {
            rows.push(5000 + key as u64, 1, face);
        }
        let view = rows.view();
        assert_eq!(view.len_without_list(), 50);
        let nearest = vec![view.lists().unwrap().with_n_probe(1).nearest(&late[3])];
        let found = scan(&view, &[&late[3]], 1, Scope::Lists(&nearest)).unwrap();
        assert_eq!(found[0][0].key, 5003);
        let lists = view.lists().unwrap();
        let again =
            Rows::from_blocks(group_rows(&view, lists).unwrap(), Some(Arc::clone(lists)), Arc::clone(view.mean()));
        let again = again.unwrap();
        assert_eq!((again.view().len_without_list(), again.len()), (0, 1050));
    }

    #[test]
    fn the_number_of_lists_grows_with_the_square_root_of_the_rows() {
        assert_eq!([1, 20_000, 100_000, 1_000_000].map(list_count), [1, 128, 256, 1024]);
    }
}
