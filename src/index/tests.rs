//! Tests of the public index.

mod approximate;
mod changes;
mod snapshots;

use std::collections::BTreeMap;

use ndarray::Array2;

use super::dot::similarity;
use super::ranking::Hit;
use super::synthetic::{Faces, plain_scan};
use super::{Index, Method};

const PACK: &str = "c0ffee";

fn matrix(vectors: &[Vec<f32>]) -> Array2<f32> {
    let dimension = vectors.first().map_or(1, Vec::len);
    Array2::from_shape_vec((vectors.len(), dimension), vectors.concat()).unwrap()
}

fn filled(method: Method, vectors: &[Vec<f32>]) -> Index {
    let index = Index::new(vectors[0].len(), PACK, method).unwrap();
    let keys: Vec<u64> = (0..vectors.len() as u64).collect();
    index.add(&keys, None, matrix(vectors).view()).unwrap();
    index
}

/// Faces in clusters, so that lists pay off for few of them.
fn clustered_faces(seed: u64, count: usize) -> Vec<Vec<f32>> {
    let centres = Faces::new(512, 99).samples(200);
    let own = Faces::new(512, seed).samples(count);
    let mixed = own.iter().enumerate().map(|(row, own)| {
        let centre = &centres[row % 24 * 8];
        let mixed: Vec<f32> = own.iter().zip(centre).map(|(own, x)| 0.6 * own + 0.8 * x).collect();
        let length = mixed.iter().map(|x| x * x).sum::<f32>().sqrt();
        mixed.into_iter().map(|x| x / length).collect()
    });
    mixed.collect()
}

/// The reference result of a search.
fn expected(index: &Index, probe: &[f32], k: usize) -> Vec<Hit> {
    plain_scan(&index.view(), probe, k)
}

#[test]
fn every_rejection_names_the_value_and_the_limit_and_changes_nothing() {
    let vectors = Faces::new(8, 1).samples(3);
    let index = filled(Method::Exact, &vectors);
    let good = Faces::new(8, 2).samples(2);
    let corrupt = |at: usize, value: f32| {
        let mut corrupted = good.clone();
        corrupted[1][at] = value;
        matrix(&corrupted)
    };
    let keys: &[u64] = &[10, 11];
    for (keys, vectors, message) in [
        (keys, matrix(&Faces::new(9, 1).samples(2)), "embedding must have 8 values, got 9"),
        (keys, corrupt(3, f32::NAN), "embedding must be finite, row 1 is not"),
        (keys, corrupt(3, f32::INFINITY), "embedding must be finite, row 1 is not"),
        (keys, corrupt(3, 3e38), "embedding must have length 1 within 0.001, row 1 has length"),
        (keys, matrix(&[good[0].clone(), vec![0.0; 8]]), "row 1 has length 0.000000"),
        (&[10], matrix(&good), "keys must be one per vector, 2, got 1"),
        (&[10, 2], matrix(&good), "key must be one that is not in the index, got 2"),
        (&[10, 10], matrix(&good), "key must be one that is not in the index, got 10"),
        (&[10, u64::MAX], matrix(&good), "key must be below 18446744073709551615, got 18446744073709551615"),
    ] {
        let error = index.add(keys, None, vectors.view()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!((index.len(), index.contains(10)), (3, false), "{error}");
    }
    let error = |probes: Array2<f32>, k| index.search(probes.view(), k).unwrap_err().to_string();
    assert_eq!(error(matrix(&good), 0), "k must be at least 1, got 0");
    assert!(error(corrupt(0, f32::NAN), 1).contains("finite"));
    assert!(error(matrix(&[vec![1.0; 8]]), 1).contains("length 2.828427"));
    assert!(error(matrix(&[vec![1.0; 7]]), 1).contains("8 values, got 7"));
    assert!(Index::new(0, PACK, Method::Exact).is_err() && Index::new(20_000, PACK, Method::Exact).is_err());
    assert!(Index::new(8, "", Method::Exact).is_err());
}

#[test]
fn small_cases_return_the_expected_hits() {
    for method in [Method::Exact, Method::Hnsw, Method::Auto] {
        let vectors = Faces::new(16, 3).samples(6);
        let index = Index::new(16, PACK, method).unwrap();
        assert!(index.is_empty());
        assert_eq!(index.search(matrix(&vectors).view(), 5).unwrap(), vec![Vec::new(); 6]);
        index.add(&[], None, Array2::zeros((0, 16)).view()).unwrap();
        index
            .add(&[7, 5, 9], None, matrix(&[vectors[0].clone(), vectors[0].clone(), vectors[1].clone()]).view())
            .unwrap();
        let hits = index.search(matrix(&vectors[..1]).view(), 10).unwrap().remove(0);
        assert_eq!(hits.iter().map(|hit| hit.key).take(2).collect::<Vec<_>>(), [5, 7]);
        assert_eq!((hits.len(), index.len(), index.dimension(), index.pack()), (3, 3, 16, PACK));
        assert!((hits[0].similarity - 1.0).abs() < 1e-6);
        assert_eq!(index.remove(&[5, 5, 1234]), 1);
        assert!(!index.contains(5) && index.contains(7));
        assert_eq!(index.search(Array2::zeros((0, 16)).view(), 1).unwrap(), Vec::<Vec<Hit>>::new());
        assert_eq!(index.remove(&[7, 9]), 2);
        assert!(index.is_empty());
    }
}

#[test]
fn column_major_arrays_are_the_same_vectors() {
    let vectors = Faces::new(16, 3).samples(20);
    let column_major = Array2::from_shape_fn((16, 20), |(value, row)| vectors[row][value]);
    let index = Index::new(16, PACK, Method::Exact).unwrap();
    index.add(&(0..20).collect::<Vec<u64>>(), None, column_major.t()).unwrap();
    let row_major = filled(Method::Exact, &vectors);
    assert_eq!(index.search(column_major.t(), 3).unwrap(), row_major.search(matrix(&vectors).view(), 3).unwrap());
}

#[test]
fn people_are_ranked_by_their_best_face_or_the_mean_of_their_best_faces() {
    let vectors = Faces::new(32, 22).samples(1300);
    let people: Vec<u64> = (0..1260).map(|row| row / 3 % 400).collect();
    let index = Index::new(32, PACK, Method::Exact).unwrap();
    index.add(&(0..1260).collect::<Vec<u64>>(), Some(&people), matrix(&vectors[..1260]).view()).unwrap();
    let probes = &vectors[1240..];
    for (k, faces) in [(1, 1), (5, 1), (1, 2), (4, 3), (400, 2), (1000, 1)] {
        let found = index.search_people(matrix(probes).view(), k, faces).unwrap();
        for (probe, found) in probes.iter().zip(found) {
            let mut scores: BTreeMap<u64, Vec<(f32, u64)>> = BTreeMap::new();
            for (key, vector) in vectors[..1260].iter().enumerate() {
                scores.entry(people[key]).or_default().push((similarity(vector, probe), key as u64));
            }
            let mut truth: Vec<Hit> = scores
                .into_iter()
                .map(|(person, mut scores)| {
                    scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                    let key = scores[0].1;
                    scores.truncate(faces);
                    let mean = scores.iter().map(|(score, _)| score).sum::<f32>() / scores.len() as f32;
                    Hit { key, person, similarity: mean }
                })
                .collect();
            truth.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.key.cmp(&b.key)));
            let margin = truth[0].similarity - truth[1].similarity;
            truth.truncate(k);
            assert_eq!((found.hits, found.margin.to_bits()), (truth, margin.to_bits()), "{k} {faces}");
        }
    }
    let alone = filled(Method::Exact, &vectors[..1]);
    let found = alone.search_people(matrix(probes).view(), 3, 1).unwrap();
    assert!(found.iter().all(|people| people.margin.is_infinite() && people.hits.len() == 1));
    assert!(alone.search_people(matrix(probes).view(), 3, 0).unwrap_err().to_string().contains("faces must be"));
}
