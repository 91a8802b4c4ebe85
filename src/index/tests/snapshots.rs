//! An index that is saved and loaded returns the same results, and its file holds nothing that was removed.

use super::{PACK, clustered_faces, expected, filled, matrix};
use crate::error::Error;
use crate::index::ranking::Hit;
use crate::index::rows::Rows;
use crate::index::save::{self, Header};
use crate::index::synthetic::Faces;
use crate::index::{Expected, Index, Method};

const DOOR: Expected = Expected { pack: PACK, gallery: "door", digests: None };

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
        let search = |index: &Index| index.search(probes.view(), 5).unwrap();
        assert_eq!(search(&again), search(&index));
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
fn an_intact_file_with_invalid_content_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let (one, long) = ([1.0_f32, 0.0], [1.0_f32, 1.0]);
    for (content, message) in [
        ([(1, one), (1, one)], "key 1 occurs twice"),
        ([(1, one), (2, long)], "row 1 has length 1.414214"),
        ([(1, one), (u64::MAX, one)], "key must be below"),
    ] {
        let mut rows = Rows::new(2);
        for (key, vector) in content {
            assert!(rows.push(key, key, &vector));
        }
        let view = rows.view();
        let header = Header { pack: PACK.to_owned(), gallery: "door".to_owned(), ..Header::for_view(&view) };
        save::write(&path, &header, &view).unwrap();
        let error = Index::load(&path, PACK, "door", Method::Auto).err().unwrap();
        assert!(matches!(&error, Error::IndexFile { reason, .. } if reason.contains(message)), "{error}");
    }
}

#[test]
fn vectors_on_disk_give_the_results_of_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let vectors = clustered_faces(23, 2600);
    let (stored, probes) = vectors.split_at(2500);
    let resident = filled(Method::Ivf, stored);
    resident.maintain().unwrap();
    resident.remove(&(0..2500).step_by(5).collect::<Vec<u64>>());
    resident.save(&path, "door", 4).unwrap();
    let on_disk = |method| Index::load_within(&path, DOOR, method, 0).unwrap().0;
    let (lists, exact) = (on_disk(Method::Ivf), on_disk(Method::Exact));
    assert_eq!(lists.status().n_lists, 64);
    std::fs::remove_file(&path).unwrap();
    assert!(exact.status().vector_bytes < 2500 * 8);
    let search = |index: &Index| index.search(matrix(probes).view(), 7).unwrap();
    let truth: Vec<Vec<Hit>> = probes.iter().map(|probe| expected(&resident, probe, 7)).collect();
    assert_eq!(search(&exact), truth);
    assert_eq!(search(&lists), search(&resident));
    // It can be changed, with and without lists, and saved again.
    for index in [&lists, &exact, &resident] {
        assert_eq!(index.remove(&(0..2500).step_by(6).collect::<Vec<u64>>()), 333);
        index.add(&(50_000..50_100).collect::<Vec<u64>>(), None, matrix(probes).view()).unwrap();
    }
    assert_eq!(search(&lists), search(&resident));
    assert_eq!(exact.search(matrix(probes).view(), 1).unwrap()[3][0].key, 50_003);
    let again = folder.path().join("again.index");
    lists.save(&again, "door", 5).unwrap();
    let (reopened, position) = Index::load(&again, PACK, "door", Method::Exact).unwrap();
    assert_eq!((position, reopened.len()), (5, lists.len()));
    assert_eq!(search(&reopened), search(&exact));
}

#[test]
fn a_vector_that_changed_in_its_file_is_an_error() {
    use std::os::unix::fs::FileExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let vectors = Faces::new(32, 24).samples(50);
    filled(Method::Exact, &vectors).save(&path, "door", 4).unwrap();
    let index = Index::load_within(&path, DOOR, Method::Exact, 0).unwrap().0;
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let end = std::fs::metadata(&path).unwrap().len();
    file.write_all_at(&[0; 50 * 128], end - 32 - 50 * 128).unwrap();
    let error = index.search(matrix(&vectors[..1]).view(), 1).unwrap_err();
    assert!(matches!(&error, Error::IndexFile { path: named, .. } if *named == path), "{error}");
    // The lowest bit of a value, far below the resolution of the codes.
    filled(Method::Exact, &vectors).save(&path, "door", 4).unwrap();
    let index = Index::load_within(&path, DOOR, Method::Exact, 0).unwrap().0;
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

#[test]
fn removed_rows_are_overwritten_in_an_unlinked_snapshot() {
    use std::os::unix::fs::FileExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.index");
    let vectors = Faces::new(32, 25).samples(50);
    filled(Method::Exact, &vectors).save(&path, "door", 4).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let index = Index::load_within(&path, DOOR, Method::Exact, 0).unwrap().0;
    index.remove(&[3]);
    assert_eq!(std::fs::read(&path).unwrap(), whole, "a linked file is not changed");
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
