//! Snapshots that are intact, damaged, crafted or of another gallery; what a failed save leaves behind.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::*;
use crate::index::rows::View;
use crate::index::save::{to_bytes, write};
use crate::index::synthetic::{Faces, random};

const ROWS: usize = 5;
const DIMENSION: usize = 12;

/// Five rows: four in two lists, one without a list.
fn view() -> View {
    let mean: Arc<[f32]> = vec![0.01; DIMENSION].into();
    let vectors = Faces::new(DIMENSION, 1).samples(ROWS);
    let lists = Lists::new(Arc::clone(&mean), vectors[..2].concat(), 4, 1);
    let mut blocks = Vec::new();
    for (list, rows) in [(Some(1), 0..2), (Some(0), 2..4), (None, 4..5)] {
        let mut block = Block::new(Arc::clone(&mean), list, Vectors::resident());
        rows.for_each(|row| block.push(row as u64 * 3, row as u64 / 2, &vectors[row]));
        blocks.push(block);
    }
    Rows::from_blocks(blocks, Some(Arc::new(lists)), mean).unwrap().view()
}

fn header() -> Header {
    let (pack, gallery) = ("ab12".repeat(16), "office 3".to_owned());
    Header { pack, gallery, method: 2, position: 77, ..Header::for_view(&view()) }
}

/// A folder with one snapshot, and its bytes.
fn saved() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery.index");
    write(&path, &header(), &view()).unwrap();
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes)
}

fn read(path: &Path, pack: &str, gallery: &str) -> Result<Snapshot> {
    super::from_file(path, Expected { pack, gallery, digests: None }, 0)
}

fn from_bytes(bytes: &[u8], name: &Path, pack: &str, gallery: &str) -> Result<Snapshot> {
    super::from_bytes(bytes, name, Expected { pack, gallery, digests: None })
}

fn contents(snapshot: &Snapshot) -> Vec<(u64, u64, Option<u32>, Vec<f32>)> {
    let mut buffer = Vec::new();
    let blocks = snapshot.rows.blocks().iter();
    blocks
        .flat_map(|block| block.live_rows().map(move |row| (block, row)))
        .map(|(block, row)| {
            (block.key(row), block.person(row), block.list(), block.vector(row, &mut buffer).unwrap().to_vec())
        })
        .collect()
}

fn reason(path: &Path, pack: &str, gallery: &str) -> String {
    match read(path, pack, gallery) {
        Err(Error::IndexFile { path: named, reason }) if named == path => reason,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it was loaded"),
    }
}

fn reason_of(path: &Path, bytes: &[u8]) -> String {
    fs::write(path, bytes).unwrap();
    reason(path, &header().pack, &header().gallery)
}

/// The bytes with a valid length and metadata checksum.
fn with_valid_checksum(mut bytes: Vec<u8>, header: &Header) -> Vec<u8> {
    bytes.truncate(bytes.len() - CHECKSUM);
    let length = bytes.len() + CHECKSUM;
    bytes[HEADER - 8..HEADER].copy_from_slice(&(length as u64).to_le_bytes());
    let tail = CHECKSUM * header.blocks;
    let vectors = 4 * header.dimension * header.count;
    let start = length - CHECKSUM - tail - vectors;
    let metadata = [&bytes[..start], &bytes[length - CHECKSUM - tail..]].concat();
    bytes.extend(&Sha256::digest(&metadata)[..CHECKSUM]);
    bytes
}

#[test]
fn a_loaded_snapshot_equals_the_saved_one() {
    let (_folder, path, bytes) = saved();
    assert_eq!(bytes.len(), header().length());
    let vectors = Faces::new(DIMENSION, 1).samples(ROWS);
    let expected: Vec<_> = [Some(1), Some(1), Some(0), Some(0), None]
        .into_iter()
        .enumerate()
        .map(|(row, list)| (row as u64 * 3, row as u64 / 2, list, vectors[row].clone()))
        .collect();
    let (on_disk, resident) = (
        read(&path, &header().pack, "office 3").unwrap(),
        from_bytes(&bytes, &path, &header().pack, "office 3").unwrap(),
    );
    assert_eq!((contents(&on_disk), contents(&resident)), (expected.clone(), expected));
    assert_eq!((&on_disk.header, &resident.header), (&header(), &header()));
    assert!(!on_disk.rows.blocks()[0].vectors().is_resident() && resident.rows.blocks()[0].vectors().is_resident());
    assert_eq!(on_disk.rows.view().lists().unwrap().centroids(), vectors[..2].concat());
    let none = Rows::new(DIMENSION).view();
    let empty = Header { pack: "a".to_owned(), gallery: "b".to_owned(), ..Header::for_view(&none) };
    write(&path, &empty, &none).unwrap();
    assert_eq!(read(&path, "a", "b").unwrap().header, empty);
}

#[test]
fn every_flipped_bit_is_detected() {
    let (_folder, path, bytes) = saved();
    let mut state = 5;
    // Every byte of header, names and checksum, and a random bit of every byte between.
    for at in 0..bytes.len() {
        let all = at < HEADER || at >= bytes.len() - CHECKSUM;
        let any = (random(&mut state) * 8.0) as u8;
        for bit in if all { 0..8 } else { any..any + 1 } {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            reason_of(&path, &damaged);
        }
    }
}

#[test]
fn a_snapshot_in_memory_equals_the_file_and_is_validated_too() {
    let (_folder, path, bytes) = saved();
    assert_eq!(to_bytes(&header(), &view()).unwrap(), bytes);
    let load = |bytes: &[u8]| from_bytes(bytes, &path, &header().pack, &header().gallery);
    assert_eq!(contents(&load(&bytes).unwrap()).len(), ROWS);
    for length in [0, 7, HEADER - 1, HEADER, HEADER + CHECKSUM, bytes.len() - 1] {
        assert!(load(&bytes[..length]).is_err(), "{length}");
    }
    for at in [0, 8, 40, HEADER, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(load(&damaged).is_err(), "{at}");
    }
    assert!(from_bytes(&bytes, &path, "another", &header().gallery).is_err());
    assert!(from_bytes(&bytes, &path, &header().pack, "another").is_err());
}

#[test]
fn a_sound_snapshot_of_somebody_else_is_not_one_that_is_known_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery.index");
    let digest = write(&path, &header(), &view()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let known = ["0".repeat(64), digest];
    let Header { pack, gallery, .. } = header();
    let load = |digests| super::from_file(&path, Expected { pack: &pack, gallery: &gallery, digests }, 0);
    assert_eq!(contents(&load(Some(&known)).unwrap()).len(), ROWS);
    // Every checksum is right, but a face has another's number, or its vector.
    let start = bytes.len() - CHECKSUM * 4 - 4 * DIMENSION * ROWS;
    let mut renamed = bytes.clone();
    renamed[start - 16 * ROWS] ^= 1;
    let mut moved = bytes;
    moved.copy_within(start + 8 * DIMENSION..start + 12 * DIMENSION, start);
    let sum = Sha256::digest(&moved[start..start + 8 * DIMENSION]);
    let place = moved.len() - 4 * CHECKSUM;
    moved[place..place + CHECKSUM].copy_from_slice(&sum[..CHECKSUM]);
    for forged in [renamed, moved] {
        fs::write(&path, with_valid_checksum(forged, &header())).unwrap();
        assert_eq!(contents(&load(None).unwrap()).len(), ROWS);
        let error = load(Some(&known)).err().unwrap().to_string();
        assert!(error.contains("its digest is not a known one"), "{error}");
    }
}

#[test]
fn every_truncation_and_every_extension_is_detected() {
    let (_folder, path, bytes) = saved();
    for length in 0..bytes.len() {
        reason_of(&path, &bytes[..length]);
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert_eq!(
        reason_of(&path, &longer),
        format!("it is damaged: {} bytes, its header says {}", longer.len(), bytes.len())
    );
}

#[test]
fn swapped_and_zeroed_bytes_are_detected() {
    let (_folder, path, bytes) = saved();
    let vectors = bytes.len() - CHECKSUM * 4 - 4 * DIMENSION * ROWS;
    for (at, message) in
        [(HEADER + 80, "its checksum is wrong"), (vectors, "the checksum of a block of vectors is wrong")]
    {
        let mut zeroed = bytes.clone();
        zeroed[at..at + 64].fill(0);
        let mut swapped = bytes.clone();
        swapped.copy_within(at..at + 16, at + 40);
        for damaged in [zeroed, swapped] {
            assert_eq!(reason_of(&path, &damaged), format!("it is damaged: {message}"));
        }
    }
}

#[test]
fn each_rejection_gives_its_reason() {
    let (folder, path, bytes) = saved();
    assert!(reason(&path, &"0".repeat(64), "office 3").contains("this index is for pack 0000"));
    assert!(reason(&path, &header().pack, "home").contains("gallery \"office 3\", not to \"home\""));
    assert!(reason(&folder.path().join("none"), "", "").contains("No such file"));
    assert!(reason_of(&path, b"SQLite format 3").contains("too few"));
    assert!(reason_of(&path, &[b'S'; 500]).contains("not an index file"));
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert_eq!(reason_of(&path, &newer), "it has format version 9, this program reads version 3");
}

#[test]
fn a_file_with_valid_checksums_and_impossible_numbers_is_rejected() {
    let (_folder, path, bytes) = saved();
    // Dimension, lists, n_probe, blocks, names, rows.
    for at in [16, 19, 20, 23, 24, 28, 31, 32, 36, 40, 46, 47] {
        for value in [0, 7, 0x7f, 0xff] {
            let mut crafted = bytes.clone();
            if crafted[at] == value {
                continue;
            }
            crafted[at] = value;
            let reason = reason_of(&path, &with_valid_checksum(crafted, &header()));
            assert!(
                ["contradicts", "checksum", "pack", "gallery"].iter().any(|word| reason.contains(word)),
                "{at} {value}: {reason}"
            );
        }
    }
    let blocks = HEADER + 72 + 4 * DIMENSION * 3;
    for (at, value, message) in [
        (blocks, 3, "contradicts"),
        (blocks, 0, "contradicts"),
        (blocks + 4, 2, "contradicts"),
        (HEADER + 72 + 3, 0x7f, "its mean or a centroid"),
    ] {
        let mut crafted = bytes.clone();
        crafted[at] = value;
        assert!(reason_of(&path, &with_valid_checksum(crafted, &header())).contains(message), "{at}");
    }
    let mut nameless = bytes;
    nameless[HEADER] = 0xff;
    assert!(
        reason_of(&path, &with_valid_checksum(nameless, &header())).contains("contradicts"),
        "a pack that is not text"
    );
}

#[test]
fn a_failed_save_leaves_the_old_snapshot_and_nothing_else() {
    let (folder, path, bytes) = saved();
    let other = folder.path().join("a-folder");
    fs::create_dir(&other).unwrap();
    let refused = write(&other, &header(), &view()).unwrap_err();
    assert!(matches!(refused, Error::Index { ref reason } if reason.contains("a-folder")), "{refused}");
    assert!(write(&folder.path().join("missing/x.index"), &header(), &view()).is_err());
    assert!(write(Path::new("/"), &header(), &view()).is_err());
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn old_temporary_files_of_this_snapshot_are_removed() {
    let (folder, path, _) = saved();
    let name = |name: &str| folder.path().join(name);
    let old = SystemTime::now() - 2 * Duration::from_secs(600);
    for (file, modified) in [
        ("gallery.index.7-1-0.tmp", Some(old)),
        ("gallery.index.8-1-0.tmp", None),
        ("other.index.7-1-0.tmp", Some(old)),
        ("gallery.index.bak", Some(old)),
    ] {
        let file = fs::File::create(name(file)).unwrap();
        if let Some(time) = modified {
            file.set_modified(time).unwrap();
        }
    }
    write(&path, &header(), &view()).unwrap();
    assert!(!name("gallery.index.7-1-0.tmp").exists());
    for kept in ["gallery.index.8-1-0.tmp", "other.index.7-1-0.tmp", "gallery.index.bak"] {
        assert!(name(kept).exists(), "{kept}");
    }
}

#[cfg(unix)]
#[test]
fn a_snapshot_is_readable_by_its_owner_only() {
    let (_folder, path, _) = saved();
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}
