//! The graph and the lists: their recall, when they are used, and changes while they are built.

use std::sync::Arc;
use std::thread;

use super::{PACK, clustered_faces, expected, filled, matrix};
use crate::index::clustering::{group_rows, train};
use crate::index::dot::similarity;
use crate::index::ranking::Hit;
use crate::index::reader::Reader;
use crate::index::rows::Rows;
use crate::index::save::{self, Header};
use crate::index::synthetic::Faces;
use crate::index::{Index, Method, PROMISED_RECALL, SearchOptions};

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
fn the_automatic_index_builds_lists_above_its_budget_and_searches_throughout() {
    let vectors = clustered_faces(5, 2400);
    let empty = || Index::new(512, PACK, Method::Auto).unwrap();
    let options = SearchOptions { budget_ms: 0.0, ..SearchOptions::from(Method::Auto) };
    let (slow, fast) = (Index::new(512, PACK, options).unwrap(), empty());
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
    assert_eq!((status.n_lists, status.faces, status.unindexed, status.note), (32, 2400, 400, None));
    assert_eq!((status.in_use, status.n_probe * 4 <= status.n_lists), (Method::Ivf, true));
    assert_eq!((fast.status().n_lists, fast.method_in_use()), (0, Method::Exact));
}

#[test]
fn lists_find_nearly_all_and_score_exactly() {
    let vectors = clustered_faces(4, 2200);
    let (stored, probes) = vectors.split_at(2100);
    let index = filled(Method::Ivf, stored);
    assert_eq!(index.status().n_lists, 0);
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
fn changes_while_lists_are_built_are_kept() {
    let vectors = clustered_faces(21, 2600);
    let index = filled(Method::Ivf, &vectors[..2000]);
    thread::scope(|scope| {
        let rebuilding = scope.spawn(|| index.maintain().unwrap());
        // While lists are built, some rows are added, some removed, and some replaced.
        for (at, part) in vectors[2000..].chunks(10).enumerate() {
            let keys: Vec<u64> = (0..10).map(|n| 2000 + 10 * at as u64 + n).collect();
            index.add(&keys, None, matrix(part).view()).unwrap();
            let gone: Vec<u64> = (0..10).map(|n| 10 * at as u64 + n).collect();
            assert_eq!(index.remove(&gone), 10);
            index.add(&gone[..5], None, matrix(&part[..5]).view()).unwrap();
        }
        rebuilding.join().unwrap();
    });
    index.maintain().unwrap();
    assert_eq!((index.len(), index.status().n_lists), (2000 + 600 - 5 * 60, 32));
    for key in [0, 4, 5, 9, 10, 14, 15, 599, 600, 1999, 2000, 2599_u64] {
        let gone = key < 600 && key % 10 >= 5;
        assert_eq!(index.contains(key), !gone, "{key}");
    }
    let replaced = Reader::new(&index.shared).exact(&[&vectors[2013]], 2).unwrap().remove(0);
    assert_eq!(replaced.iter().map(|hit| hit.key).collect::<Vec<_>>(), [13, 2013]);
}

#[test]
fn an_approximate_search_below_the_promised_recall_is_not_used() {
    let index = filled(Method::Hnsw, &Faces::new(64, 4).samples(3000));
    assert_eq!(index.method_in_use(), Method::Hnsw);
    index.shared.planner.record_recall(0.5);
    assert_eq!((index.method_in_use(), index.status().recall), (Method::Exact, Some(0.5)));
    let recall = index.sample_recall(100).unwrap();
    assert_eq!(index.method_in_use() == Method::Hnsw, recall >= PROMISED_RECALL);
    assert!((filled(Method::Exact, &Faces::new(8, 1).samples(9)).sample_recall(10).unwrap() - 1.0).abs() < 1e-9);
}

#[test]
fn loaded_lists_are_measured_and_not_used_if_their_recall_is_too_low() {
    let vectors = Faces::new(64, 26).samples(4000);
    let mut rows = Rows::new(64);
    for (key, vector) in vectors.iter().enumerate() {
        rows.push(key as u64, key as u64, vector);
    }
    let view = rows.view();
    let lists = train(&view).with_n_probe(1); // 1 of 64, with photographs far from each other
    let blocks = group_rows(&view, &lists).unwrap();
    let rows = Rows::from_blocks(blocks, Some(Arc::new(lists)), Arc::clone(view.mean())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let listed = rows.view();
    let names = ("door".to_owned(), PACK.to_owned());
    save::write(&path, &Header { gallery: names.0, pack: names.1, ..Header::for_view(&listed) }, &listed).unwrap();
    let (index, _) = Index::load(&path, PACK, "door", Method::Ivf).unwrap();
    let waited = std::time::Instant::now();
    while index.status().recall.is_none() && waited.elapsed().as_secs() < 60 {
        thread::yield_now();
    }
    let status = index.status();
    assert!(status.recall.is_some_and(|recall| recall < status.promised_recall), "{:?}", status.recall);
    assert_eq!((status.in_use, status.n_probe), (Method::Exact, 1));
    for probe in vectors.iter().step_by(400) {
        assert_eq!(index.search(matrix(std::slice::from_ref(probe)).view(), 5).unwrap()[0], expected(&index, probe, 5));
    }
    let options = SearchOptions { promised_recall: 0.0, ..SearchOptions::from(Method::Ivf) };
    let (trusting, _) = Index::load(&path, PACK, "door", options).unwrap();
    assert!(trusting.sample_recall(300).unwrap() < 0.99);
    assert_eq!(trusting.method_in_use(), Method::Ivf);
}
