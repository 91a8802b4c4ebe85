//! The scan compared with scoring every row.

use super::*;
use crate::index::block::max_rows;
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
fn ordinals_keep_the_order_of_the_numbers() {
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
fn hits_of_several_blocks_are_merged() {
    let full = max_rows(256);
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
fn clamped_similarities_tie_by_key_too() {
    // The codes of these vectors are nearly exact, so their bounds are clamped.
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
fn a_long_shortlist_is_pruned_without_loss() {
    // Each row is better than the one before, so that each enters; then thousands of equal rows, none of which can be
    // pruned.
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
