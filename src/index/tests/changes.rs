//! Any sequence of changes, and readers concurrent with a writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ndarray::Array2;
use proptest::prelude::*;

use super::{PACK, filled, matrix};
use crate::index::dot::similarity;
use crate::index::ranking::Hit;
use crate::index::synthetic::Faces;
use crate::index::{Index, Method};

#[test]
fn concurrent_readers_see_whole_changes() {
    // Keys are added and removed in pairs that share a vector: a reader must see both of a pair or neither.
    for method in [Method::Exact, Method::Hnsw] {
        let vectors = Faces::new(32, 8).samples(400);
        let index = filled(method, &vectors[..200]);
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = || {
                let mut seen = 0;
                while !ended.load(Ordering::Relaxed) || seen == 0 {
                    for (at, vector) in vectors.iter().enumerate() {
                        let hits = index.search(matrix(std::slice::from_ref(vector)).view(), 2).unwrap().remove(0);
                        assert_eq!(hits.len(), 2);
                        for hit in &hits {
                            let own =
                                &vectors[if hit.key < 1000 { hit.key } else { 200 + (hit.key - 1000) / 2 } as usize];
                            let expected = Hit { similarity: similarity(own, vector), ..*hit };
                            assert_eq!(*hit, expected, "neither zeroed nor the vector of another key");
                        }
                        if at >= 200 {
                            let pair = 1000 + 2 * (at as u64 - 200);
                            let found = hits.iter().filter(|hit| hit.key == pair || hit.key == pair + 1).count();
                            assert_ne!(found, 1);
                            seen += usize::from(found == 2);
                        }
                    }
                }
            };
            let readers: Vec<_> = (0..3).map(|_| scope.spawn(reader)).collect();
            for round in 0..3 {
                for (at, vector) in vectors[200..].iter().enumerate() {
                    let pair = [1000 + 2 * at as u64, 1001 + 2 * at as u64];
                    index.add(&pair, None, matrix(&[vector.clone(), vector.clone()]).view()).unwrap();
                    if round < 2 && at % 3 != 0 {
                        assert_eq!(index.remove(&pair), 2);
                    }
                }
                if round < 2 {
                    index.remove(&(1000..1400).collect::<Vec<u64>>());
                }
            }
            ended.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.join().unwrap();
            }
        });
        assert_eq!(index.len(), 600);
    }
}

#[test]
fn eight_threads_get_the_bits_of_one() {
    let vectors = Faces::new(128, 9).samples(1500);
    for method in [Method::Exact, Method::Hnsw] {
        let index = filled(method, &vectors[..1400]);
        let probes = matrix(&vectors[1400..]);
        let alone = index.search(probes.view(), 10).unwrap();
        thread::scope(|scope| {
            let callers: Vec<_> = (0..8).map(|_| scope.spawn(|| index.search(probes.view(), 10).unwrap())).collect();
            for caller in callers {
                assert_eq!(caller.join().unwrap(), alone);
            }
        });
    }
}

#[derive(Debug, Clone)]
enum Change {
    Add(Vec<u64>),
    Remove(Vec<u64>),
    Reopen,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => prop::collection::vec(0_u64..120, 0..30).prop_map(Change::Add),
        3 => prop::collection::vec(0_u64..120, 0..25).prop_map(Change::Remove),
        1 => Just(Change::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_changes_gives_the_results_of_a_plain_map(
        changes in prop::collection::vec(change(), 1..25),
        method in prop_oneof![Just(Method::Exact), Just(Method::Hnsw), Just(Method::Ivf)],
        seed in 0_u64..1000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces.index");
        let faces = Faces::new(12, seed).samples(120);
        let mut index = Index::new(12, PACK, method).unwrap();
        let mut model: BTreeMap<u64, &[f32]> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Add(mut keys) => {
                    let count = keys.len();
                    keys.sort_unstable();
                    keys.dedup();
                    let clash = keys.len() < count || keys.iter().any(|key| model.contains_key(key));
                    keys.retain(|key| clash || !model.contains_key(key));
                    let vectors: Vec<Vec<f32>> = keys.iter().map(|key| faces[*key as usize].clone()).collect();
                    if keys.is_empty() {
                        continue;
                    }
                    let twice = if clash { [keys.clone(), keys.clone()].concat() } else { keys.clone() };
                    let rows = if clash { [vectors.clone(), vectors].concat() } else { vectors };
                    let added = index.add(&twice, None, matrix(&rows).view());
                    prop_assert_eq!(added.is_err(), clash);
                    if !clash {
                        model.extend(keys.iter().map(|key| (*key, faces[*key as usize].as_slice())));
                    }
                }
                Change::Remove(keys) => {
                    let known = keys.iter().filter(|key| model.remove(key).is_some()).count();
                    prop_assert_eq!(index.remove(&keys), known);
                }
                Change::Reopen => {
                    index.save(&path, "model", 3).unwrap();
                    index = Index::load(&path, PACK, "model", method).unwrap().0;
                }
            }
            prop_assert_eq!(index.len(), model.len());
            for probe in [&faces[0], &faces[60], &faces[119]] {
                let mut truth: Vec<Hit> =
                    model.iter().map(|(key, face)| Hit { key: *key, person: *key, similarity: similarity(face, probe) }).collect();
                truth.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.key.cmp(&b.key)));
                truth.truncate(7);
                let hits = index.search(matrix(std::slice::from_ref(probe)).view(), 7).unwrap().remove(0);
                // A graph this small is searched completely, so its results equal those of the scan.
                prop_assert_eq!(hits, truth);
            }
            for key in 0..120 {
                prop_assert_eq!(index.contains(key), model.contains_key(&key));
            }
        }
    }
}

#[test]
fn a_replaced_row_is_never_missing_and_never_there_twice() {
    for method in [Method::Exact, Method::Hnsw, Method::Ivf] {
        let vectors = Faces::new(32, 41).samples(300);
        let index = filled(method, &vectors[..100]);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let readers = [0, 1].map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let hits = index.search(matrix(&vectors[..1]).view(), 200).unwrap().remove(0);
                        assert_eq!(hits.len(), 100, "{method:?}");
                        assert_eq!(hits.iter().filter(|hit| hit.key == 7).count(), 1, "{method:?}");
                    }
                })
            });
            for vector in &vectors[100..] {
                index.replace(&[7, 5000], &[7], None, matrix(std::slice::from_ref(vector)).view()).unwrap();
                let hit = index.search(matrix(std::slice::from_ref(vector)).view(), 1).unwrap().remove(0)[0];
                assert!(hit.key == 7 && hit.similarity > 0.999, "{method:?} {hit:?}");
            }
            stop.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.join().unwrap();
            }
        });
        let error = index.replace(&[7], &[7, 8], None, matrix(&vectors[..2]).view()).unwrap_err().to_string();
        assert!(error.contains("key must be one that is not in the index, got 8"), "{error}");
        index.replace(&[7, 8], &[], None, Array2::zeros((0, 32)).view()).unwrap();
        assert_eq!((index.len(), index.contains(7), index.contains(9)), (98, false, true));
    }
}
