//! Tests of the index as its callers see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ndarray::Array2;
use proptest::prelude::*;

use super::dot::similarity;
use super::file::{self, Header};
use super::lists::{self, Lists};
use super::open;
use super::ranking::Hit;
use super::rows::Rows;
use super::search::Reader;
use super::synthetic::{Faces, plain_scan};
use super::{Index, Method, Wish};
use crate::error::Error;

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

/// Faces that fall into families, so that lists pay for few of them already.
fn families(seed: u64, count: usize) -> Vec<Vec<f32>> {
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

/// What a search must return, from the rows that are there.
fn expected(index: &Index, probe: &[f32], k: usize) -> Vec<Hit> {
    plain_scan(&index.view(), probe, k)
}

#[test]
fn every_refusal_names_the_value_and_the_limit_and_changes_nothing() {
    let vectors = Faces::new(8, 1).samples(3);
    let index = filled(Method::Exact, &vectors);
    let good = Faces::new(8, 2).samples(2);
    let spoiled = |at: usize, value: f32| {
        let mut spoiled = good.clone();
        spoiled[1][at] = value;
        matrix(&spoiled)
    };
    let keys: &[u64] = &[10, 11];
    for (keys, vectors, message) in [
        (keys, matrix(&Faces::new(9, 1).samples(2)), "embedding must have 8 values, got 9"),
        (keys, spoiled(3, f32::NAN), "embedding must be finite, row 1 is not"),
        (keys, spoiled(3, f32::INFINITY), "embedding must be finite, row 1 is not"),
        (keys, spoiled(3, 3e38), "embedding must have length 1 within 0.001, row 1 has length"),
        (keys, matrix(&[good[0].clone(), vec![0.0; 8]]), "row 1 has length 0.000000"),
        (&[10], matrix(&good), "keys must be one a vector, 2, got 1"),
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
    assert!(error(spoiled(0, f32::NAN), 1).contains("finite"));
    assert!(error(matrix(&[vec![1.0; 8]]), 1).contains("length 2.828427"));
    assert!(error(matrix(&[vec![1.0; 7]]), 1).contains("8 values, got 7"));
    assert!(Index::new(0, PACK, Method::Exact).is_err() && Index::new(20_000, PACK, Method::Exact).is_err());
    assert!(Index::new(8, "", Method::Exact).is_err());
}

#[test]
fn small_cases_have_their_answers() {
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
fn columns_first_arrays_are_the_same_vectors() {
    let vectors = Faces::new(16, 3).samples(20);
    let across = Array2::from_shape_fn((16, 20), |(value, row)| vectors[row][value]);
    let index = Index::new(16, PACK, Method::Exact).unwrap();
    index.add(&(0..20).collect::<Vec<u64>>(), None, across.t()).unwrap();
    let straight = filled(Method::Exact, &vectors);
    assert_eq!(index.search(across.t(), 3).unwrap(), straight.search(matrix(&vectors).view(), 3).unwrap());
}

#[test]
fn a_graph_finds_nearly_all_and_scores_exactly() {
    let vectors = Faces::new(64, 4).samples(5100);
    let (stored, probes) = vectors.split_at(5000);
    let index = filled(Method::Hnsw, stored);
    assert_eq!(index.method_in_use(), Method::Hnsw);
    let found = index.search(matrix(probes).view(), 10).unwrap();
    let (mut right, mut wanted) = (0, 0);
    for (probe, hits) in probes.iter().zip(&found) {
        let truth = expected(&index, probe, 10);
        right += truth.iter().filter(|hit| hits.contains(hit)).count();
        wanted += truth.len();
        let scored = |hit: &Hit| Hit { similarity: similarity(&stored[hit.key as usize], probe), ..*hit };
        assert!(hits.iter().all(|hit| *hit == scored(hit)));
        assert_eq!(hits.len(), 10);
    }
    assert!(right as f64 >= 0.98 * wanted as f64, "{right} of {wanted}");
    let own = index.search(matrix(&stored[..300]).view(), 1).unwrap();
    assert!(own.iter().enumerate().all(|(key, hits)| hits[0].key == key as u64), "a stored vector finds itself");
}

#[test]
fn the_automatic_index_makes_lists_when_the_budget_is_spent_and_answers_throughout() {
    let vectors = families(5, 2400);
    let empty = || Index::new(512, PACK, Method::Auto).unwrap();
    let wish = Wish { budget_ms: 0.0, ..Wish::from(Method::Auto) };
    let (slow, fast) = (Index::new(512, PACK, wish).unwrap(), empty());
    for (batch, part) in vectors.chunks(400).enumerate() {
        let keys: Vec<u64> = (0..400).map(|n| batch as u64 * 400 + n).collect();
        for index in [&slow, &fast] {
            index.add(&keys, None, matrix(part).view()).unwrap();
            index.maintain().unwrap();
            let hits = index.search(matrix(&part[..1]).view(), 3).unwrap();
            assert_eq!((hits[0][0].key, hits[0].len()), (keys[0], 3));
        }
    }
    let status = slow.status();
    assert_eq!((status.lists, status.faces, status.outside, status.note), (32, 2400, 400, None));
    assert_eq!((status.in_use, status.lists_probed * 4 <= status.lists), (Method::Ivf, true));
    assert_eq!((fast.status().lists, fast.method_in_use()), (0, Method::Exact));
}

#[test]
fn lists_find_nearly_all_and_score_exactly() {
    let vectors = families(4, 2200);
    let (stored, probes) = vectors.split_at(2100);
    let index = filled(Method::Ivf, stored);
    assert_eq!(index.status().lists, 0);
    index.maintain().unwrap();
    let lists = index.view().lists().cloned().unwrap();
    assert_eq!(lists.len(), 64);
    let recall = index.sample_recall(200).unwrap();
    assert!(index.status().recall == Some(recall) && (0.97..=1.0).contains(&recall), "{recall}");
    let found = index.search(matrix(probes).view(), 10).unwrap();
    for (probe, hits) in probes.iter().zip(&found) {
        let scored = |hit: &Hit| Hit { similarity: similarity(&stored[hit.key as usize], probe), ..*hit };
        assert!(hits.len() == 10 && hits.iter().all(|hit| *hit == scored(hit)));
    }
    for key in 0..100 {
        assert_eq!(index.remove(&[key]), 1);
        let hits = index.search(matrix(&stored[key as usize..=key as usize]).view(), 5).unwrap().remove(0);
        assert!(hits.iter().all(|hit| hit.key > key), "a removed key is gone from the lists");
    }
}

#[test]
fn changes_during_an_arrangement_are_in_it() {
    let vectors = families(21, 2600);
    let index = filled(Method::Ivf, &vectors[..2000]);
    thread::scope(|scope| {
        let arranging = scope.spawn(|| index.maintain().unwrap());
        // Some come, some go, and some change their vector, while the rows are put into lists.
        for (at, part) in vectors[2000..].chunks(10).enumerate() {
            let keys: Vec<u64> = (0..10).map(|n| 2000 + 10 * at as u64 + n).collect();
            index.add(&keys, None, matrix(part).view()).unwrap();
            let gone: Vec<u64> = (0..10).map(|n| 10 * at as u64 + n).collect();
            assert_eq!(index.remove(&gone), 10);
            index.add(&gone[..5], None, matrix(&part[..5]).view()).unwrap();
        }
        arranging.join().unwrap();
    });
    index.maintain().unwrap();
    assert_eq!((index.len(), index.status().lists), (2000 + 600 - 5 * 60, 32));
    for key in [0, 4, 5, 9, 10, 14, 15, 599, 600, 1999, 2000, 2599_u64] {
        let gone = key < 600 && key % 10 >= 5;
        assert_eq!(index.contains(key), !gone, "{key}");
    }
    let replaced = Reader::new(&index.inner).exact(&[&vectors[2013]], 2).unwrap().remove(0);
    assert_eq!(replaced.iter().map(|hit| hit.key).collect::<Vec<_>>(), [13, 2013]);
}

#[test]
fn an_approximate_search_below_the_promise_is_not_used() {
    let index = filled(Method::Hnsw, &Faces::new(64, 4).samples(3000));
    assert_eq!(index.method_in_use(), Method::Hnsw);
    index.inner.choice.judge(0.5);
    assert_eq!((index.method_in_use(), index.status().recall), (Method::Exact, Some(0.5)));
    let recall = index.sample_recall(100).unwrap();
    assert_eq!(index.method_in_use() == Method::Hnsw, recall >= super::PROMISED_RECALL);
    assert!((filled(Method::Exact, &Faces::new(8, 1).samples(9)).sample_recall(10).unwrap() - 1.0).abs() < 1e-9);
}

#[test]
fn people_are_their_best_faces_or_the_mean_of_their_best() {
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

#[test]
fn save_and_load_are_identity() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let vectors = Faces::new(32, 6).samples(700);
    let probes = matrix(&vectors[..20]);
    for method in [Method::Exact, Method::Hnsw, Method::Auto] {
        let index = filled(method, &vectors);
        index.remove(&(0..700).step_by(3).collect::<Vec<u64>>());
        index.save(&path, "door", 41).unwrap();
        let (again, position) = Index::load(&path, PACK, "door", method).unwrap();
        assert_eq!((position, again.len(), again.dimension(), again.pack()), (41, index.len(), 32, PACK));
        assert_eq!(again.method_in_use(), index.method_in_use());
        let answer = |index: &Index| index.search(probes.view(), 5).unwrap();
        assert_eq!(answer(&again), answer(&index));
        again.save(&path, "door", 41).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        index.save(&path, "door", 41).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_removed_vector_is_in_no_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let vectors = Faces::new(32, 7).samples(100);
    let index = filled(Method::Hnsw, &vectors);
    let trace = |key: usize| -> Vec<u8> { vectors[key][..4].iter().flat_map(|x| x.to_le_bytes()).collect() };
    let holds = |bytes: &[u8], key| bytes.windows(16).any(|window| window == trace(key));
    index.remove(&[17]);
    index.save(&path, "door", 1).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(holds(&bytes, 16) && !holds(&bytes, 17));
}

#[test]
fn a_whole_file_with_wrong_content_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let (one, long) = ([1.0_f32, 0.0], [1.0_f32, 1.0]);
    for (content, message) in [
        ([(1, one), (1, one)], "it has key 1 twice"),
        ([(1, one), (2, long)], "row 1 has length 1.414214"),
        ([(1, one), (u64::MAX, one)], "key must be below"),
    ] {
        let mut rows = Rows::new(2);
        for (key, vector) in content {
            assert!(rows.push(key, key, &vector));
        }
        let view = rows.view();
        let header = Header { pack: PACK.to_owned(), gallery: "door".to_owned(), ..Header::of(&view) };
        file::write(&path, &header, &view).unwrap();
        let error = Index::load(&path, PACK, "door", Method::Auto).err().unwrap();
        assert!(matches!(&error, Error::IndexFile { reason, .. } if reason.contains(message)), "{error}");
    }
}

#[test]
fn vectors_that_stay_in_the_file_answer_as_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let vectors = families(23, 2600);
    let (stored, probes) = vectors.split_at(2500);
    let resident = filled(Method::Ivf, stored);
    resident.maintain().unwrap();
    resident.remove(&(0..2500).step_by(5).collect::<Vec<u64>>());
    resident.save(&path, "door", 4).unwrap();
    let filed = |method| Index::opened(open::read(&path, PACK, "door", 0).unwrap(), PACK, method).unwrap().0;
    let (lists, exact) = (filed(Method::Ivf), filed(Method::Exact));
    assert_eq!(lists.status().lists, 64);
    std::fs::remove_file(&path).unwrap();
    assert!(exact.status().vector_bytes < 2500 * 8);
    let answer = |index: &Index| index.search(matrix(probes).view(), 7).unwrap();
    let truth: Vec<Vec<Hit>> = probes.iter().map(|probe| expected(&resident, probe, 7)).collect();
    assert_eq!(answer(&exact), truth);
    assert_eq!(answer(&lists), answer(&resident));
    // It goes on changing, in lists and beside them, and can be written again.
    for index in [&lists, &exact, &resident] {
        assert_eq!(index.remove(&(0..2500).step_by(6).collect::<Vec<u64>>()), 333);
        index.add(&(50_000..50_100).collect::<Vec<u64>>(), None, matrix(probes).view()).unwrap();
    }
    assert_eq!(answer(&lists), answer(&resident));
    assert_eq!(exact.search(matrix(probes).view(), 1).unwrap()[3][0].key, 50_003);
    let again = folder.path().join("again.index");
    lists.save(&again, "door", 5).unwrap();
    let (reopened, position) = Index::load(&again, PACK, "door", Method::Exact).unwrap();
    assert_eq!((position, reopened.len()), (5, lists.len()));
    assert_eq!(answer(&reopened), answer(&exact));
}

#[cfg(unix)]
#[test]
fn a_vector_that_changed_in_its_file_is_an_error_and_not_an_answer() {
    use std::os::unix::fs::FileExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let vectors = Faces::new(32, 24).samples(50);
    filled(Method::Exact, &vectors).save(&path, "door", 4).unwrap();
    let index = Index::opened(open::read(&path, PACK, "door", 0).unwrap(), PACK, Method::Exact).unwrap().0;
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let end = std::fs::metadata(&path).unwrap().len();
    file.write_all_at(&[0; 50 * 128], end - 32 - 50 * 128).unwrap();
    let error = index.search(matrix(&vectors[..1]).view(), 1).unwrap_err();
    assert!(matches!(&error, Error::IndexFile { path: named, .. } if *named == path), "{error}");
    // One bit at the end of a value, far below what the codes could tell.
    filled(Method::Exact, &vectors).save(&path, "door", 4).unwrap();
    let index = Index::opened(open::read(&path, PACK, "door", 0).unwrap(), PACK, Method::Exact).unwrap().0;
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 32 - 50 * 128 + 7 * 128;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(index.search(matrix(&vectors[7..8]).view(), 1), Err(Error::IndexFile { .. })));
    assert!(matches!(index.search_people(matrix(&vectors[7..8]).view(), 1, 2), Err(Error::IndexFile { .. })));
    assert_eq!(index.search(matrix(&vectors[8..9]).view(), 1).unwrap()[0][0].key, 8);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(100).unwrap();
    assert!(matches!(index.search(matrix(&vectors[..1]).view(), 1), Err(Error::IndexFile { .. })));
}

#[cfg(unix)]
#[test]
fn removed_rows_are_overwritten_in_a_snapshot_without_a_name() {
    use std::os::unix::fs::FileExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let vectors = Faces::new(32, 25).samples(50);
    filled(Method::Exact, &vectors).save(&path, "door", 4).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let index = Index::opened(open::read(&path, PACK, "door", 0).unwrap(), PACK, Method::Exact).unwrap().0;
    index.remove(&[3]);
    assert_eq!(std::fs::read(&path).unwrap(), whole, "a file with a name is not changed");
    let held = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    index.remove(&[4]);
    let start = whole.len() - 32 - 50 * 128;
    for row in [3, 4, 5] {
        let mut now = [0; 128];
        held.read_exact_at(&mut now, (start + row * 128) as u64).unwrap();
        let before = &whole[start + row * 128..][..128];
        if row == 4 { assert_eq!(now, [0; 128]) } else { assert_eq!(now, before) }
    }
    assert_eq!(index.search(matrix(&vectors[5..6]).view(), 1).unwrap()[0][0].key, 5);
}

#[test]
fn lists_that_find_too_few_are_measured_when_they_are_opened_and_left_alone() {
    let vectors = Faces::new(64, 26).samples(4000);
    let mut rows = Rows::new(64);
    for (key, vector) in vectors.iter().enumerate() {
        rows.push(key as u64, key as u64, vector);
    }
    let view = rows.view();
    let lists = Lists::train(&view).asking(1); // one of 64, where photographs are far from each other
    let blocks = lists::arrange(&view, &lists).unwrap();
    let rows = Rows::from_blocks(blocks, Some(Arc::new(lists)), Arc::clone(view.mean())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let listed = rows.view();
    let names = ("door".to_owned(), PACK.to_owned());
    file::write(&path, &Header { gallery: names.0, pack: names.1, ..Header::of(&listed) }, &listed).unwrap();
    let (index, _) = Index::load(&path, PACK, "door", Method::Ivf).unwrap();
    let waited = std::time::Instant::now();
    while index.status().recall.is_none() && waited.elapsed().as_secs() < 60 {
        thread::yield_now();
    }
    let status = index.status();
    assert!(status.recall.is_some_and(|recall| recall < status.promised_recall), "{:?}", status.recall);
    assert_eq!((status.in_use, status.lists_probed), (Method::Exact, 1));
    for probe in vectors.iter().step_by(400) {
        assert_eq!(index.search(matrix(std::slice::from_ref(probe)).view(), 5).unwrap()[0], expected(&index, probe, 5));
    }
    let wish = Wish { promised_recall: 0.0, ..Wish::from(Method::Ivf) };
    let (trusting, _) = Index::load(&path, PACK, "door", wish).unwrap();
    assert!(trusting.sample_recall(300).unwrap() < 0.99);
    assert_eq!(trusting.method_in_use(), Method::Ivf);
}

#[test]
fn readers_beside_a_writer_see_whole_changes() {
    // Keys come and go in pairs with one vector: a reader must see both of a pair or none.
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
                            assert_eq!(*hit, expected, "not a zeroed or another's vector");
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
    fn any_sequence_of_changes_answers_as_a_plain_map(
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
                    let asked = keys.len();
                    keys.sort_unstable();
                    keys.dedup();
                    let clash = keys.len() < asked || keys.iter().any(|key| model.contains_key(key));
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
                // So small a graph is walked whole, so its answers are the scan's too.
                prop_assert_eq!(hits, truth);
            }
            for key in 0..120 {
                prop_assert_eq!(index.contains(key), model.contains_key(&key));
            }
        }
    }
}
