//! Snapshot files of an index: keys and vectors under a header that says whose they are, all under one checksum.
//!
//! Little-endian: header (magic, version, method, dimension, lengths of the two names, count, position, file length),
//! pack digest and gallery name, zeros up to a multiple of eight, keys (u64), vectors (f32, row by row), XXH3 (128 bits)
//! of everything before. Nothing is used before length and checksum are right. XXH3 and not SHA-256: what it guards
//! against is damage, and at memory speed; an unkeyed digest of any kind does not stop whoever can write the file.
//! The graph is not in it but built again: its bytes would keep deleted vectors, and usearch trusts them blindly.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::error::{Error, Result};

const MAGIC: [u8; 8] = *b"fdxindex";
const VERSION: u32 = 1;
const HEADER: usize = 56;
const CHECKSUM: usize = 16;

/// A temporary file left behind by a process that died is removed by a later save when it is this old.
const STALE: Duration = Duration::from_secs(600);

/// What a snapshot says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) pack: String,
    pub(super) gallery: String,
    pub(super) method: u32,
    pub(super) dimension: usize,
    pub(super) count: usize,
    pub(super) position: u64,
}

/// A snapshot that was read and found whole.
pub(super) struct Snapshot {
    pub(super) header: Header,
    pub(super) keys: Vec<u64>,
    pub(super) vectors: Vec<f32>,
}

/// Writes a snapshot beside `path` and renames it there when it is on the disk.
pub(super) fn write<'a, I>(path: &Path, header: &Header, rows: I) -> Result<()>
where
    I: Iterator<Item = (u64, &'a [f32])> + Clone,
{
    let failed = |error: io::Error| Error::Index { reason: format!("cannot write {}: {error}", path.display()) };
    let (folder, name) = folder_and_name(path).map_err(failed)?;
    remove_stale(&folder, &name);
    let aside = folder.join(temporary_name(&name));
    let written = write_aside(&aside, header, rows).and_then(|()| fs::rename(&aside, path));
    if let Err(error) = written {
        // The error that is reported is the one that mattered; the leftover goes with the next save at the latest.
        let _left = fs::remove_file(&aside);
        return Err(failed(error));
    }
    sync_folder(&folder).map_err(failed)
}

/// The snapshot as bytes in memory, for a caller that encrypts them.
pub(super) fn to_bytes<'a, I>(header: &Header, rows: I) -> Result<Vec<u8>>
where
    I: Iterator<Item = (u64, &'a [f32])> + Clone,
{
    let failed = |error: io::Error| Error::Index { reason: format!("cannot make a snapshot: {error}") };
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(header.length()).map_err(|error| failed(error.into()))?;
    emit(bytes, header, rows).map_err(failed)
}

/// Reads a snapshot of this pack and gallery.
pub(super) fn read(path: &Path, pack: &str, gallery: &str) -> Result<Snapshot> {
    let refused = |reason: String| Error::IndexFile { path: path.to_path_buf(), reason };
    snapshot_of(&read_whole(path).map_err(refused)?, path, pack, gallery)
}

/// Reads a snapshot of this pack and gallery from memory; `name` says in an error where it came from.
pub(super) fn from_bytes(bytes: &[u8], name: &Path, pack: &str, gallery: &str) -> Result<Snapshot> {
    check_head(bytes, bytes.len() as u64)
        .and_then(|()| check_sum(bytes))
        .map_err(|reason| Error::IndexFile { path: name.to_path_buf(), reason })?;
    snapshot_of(bytes, name, pack, gallery)
}

fn snapshot_of(bytes: &[u8], path: &Path, pack: &str, gallery: &str) -> Result<Snapshot> {
    let refused = |reason: String| Error::IndexFile { path: path.to_path_buf(), reason };
    let snapshot = parse(bytes).map_err(refused)?;
    let header = &snapshot.header;
    if header.pack != pack {
        return Err(refused(format!("it holds embeddings of pack {}, this index is for pack {pack}", header.pack)));
    }
    if header.gallery != gallery {
        return Err(refused(format!("it belongs to gallery {:?}, not to {gallery:?}", header.gallery)));
    }
    Ok(snapshot)
}

fn write_aside<'a, I>(aside: &Path, header: &Header, rows: I) -> io::Result<()>
where
    I: Iterator<Item = (u64, &'a [f32])> + Clone,
{
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600); // templates are nobody else's business
    let out = BufWriter::with_capacity(1 << 20, options.open(aside)?);
    emit(out, header, rows)?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Writes the whole content: header, names, keys, vectors, checksum.
fn emit<'a, W, I>(out: W, header: &Header, rows: I) -> io::Result<W>
where
    W: Write,
    I: Iterator<Item = (u64, &'a [f32])> + Clone,
{
    let mut out = Summing { out, sum: Xxh3::new() };
    out.write_all(&header.to_bytes())?;
    for (key, _) in rows.clone() {
        out.write_all(&key.to_le_bytes())?;
    }
    let mut bytes = Vec::with_capacity(header.dimension * 4);
    for (_, vector) in rows {
        bytes.clear();
        bytes.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    let Summing { mut out, sum } = out;
    out.write_all(&sum.digest128().to_le_bytes())?;
    Ok(out)
}

/// Writes through and sums what it writes.
struct Summing<W> {
    out: W,
    sum: Xxh3,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Header {
    fn names(&self) -> usize {
        (self.pack.len() + self.gallery.len()).next_multiple_of(8)
    }

    /// Bytes of the whole snapshot.
    fn length(&self) -> usize {
        HEADER + self.names() + self.count * (8 + 4 * self.dimension) + CHECKSUM
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.names());
        bytes.extend(MAGIC);
        for word in [VERSION, self.method, self.dimension as u32, 0, self.pack.len() as u32, self.gallery.len() as u32]
        {
            bytes.extend(word.to_le_bytes());
        }
        for word in [self.count as u64, self.position, self.length() as u64] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(self.pack.as_bytes());
        bytes.extend(self.gallery.as_bytes());
        bytes.resize(HEADER + self.names(), 0);
        bytes
    }
}

/// The file's bytes, once its head has said that this is a snapshot of this length.
fn read_whole(path: &Path) -> std::result::Result<Vec<u8>, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let actual = file.metadata().map_err(|error| error.to_string())?.len();
    let mut bytes = Vec::with_capacity(HEADER);
    (&mut file).take(HEADER as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    check_head(&bytes, actual)?;
    let length = usize::try_from(actual).map_err(|_| format!("{actual} bytes do not fit this machine's memory"))?;
    bytes.try_reserve_exact(length - HEADER).map_err(|_| format!("no memory for its {actual} bytes"))?;
    file.take(actual - HEADER as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() != length {
        return Err(format!("it is damaged: it ends after {} of {actual} bytes", bytes.len()));
    }
    check_sum(&bytes).map(|()| bytes)
}

/// Whether these first bytes are the head of a snapshot of `actual` bytes.
fn check_head(bytes: &[u8], actual: u64) -> std::result::Result<(), String> {
    if actual < (HEADER + CHECKSUM) as u64 || bytes.len() < HEADER {
        return Err(format!("it has {actual} bytes, too few for an index file"));
    }
    if bytes[..8] != MAGIC {
        return Err("it is not an index file: wrong first bytes".to_owned());
    }
    let version = Cursor(&bytes[8..]).u32().unwrap_or_default();
    if version != VERSION {
        return Err(format!("it has format version {version}, this program reads version {VERSION}"));
    }
    let declared = Cursor(&bytes[HEADER - 8..]).u64().unwrap_or_default();
    if declared != actual {
        return Err(format!("it is damaged: {actual} bytes, its header says {declared}"));
    }
    Ok(())
}

/// Whether the checksum at the end is that of everything before.
fn check_sum(bytes: &[u8]) -> std::result::Result<(), String> {
    let (body, checksum) = bytes.split_at(bytes.len().saturating_sub(CHECKSUM));
    if xxh3_128(body).to_le_bytes() != *checksum {
        return Err("it is damaged: its checksum is wrong".to_owned());
    }
    Ok(())
}

/// Takes apart what `read_whole` found intact; still trusts no length.
fn parse(bytes: &[u8]) -> std::result::Result<Snapshot, String> {
    let malformed = || "its header contradicts its length".to_owned();
    let mut rest = Cursor(bytes.get(8..bytes.len().saturating_sub(CHECKSUM)).ok_or_else(malformed)?);
    let mut word = || rest.u32().map(|word| word as usize);
    let (Some(_version), Some(method), Some(dimension), Some(_zero), Some(pack), Some(gallery)) =
        (word(), word(), word(), word(), word(), word())
    else {
        return Err(malformed());
    };
    let (Some(count), Some(position), Some(_length)) = (rest.u64(), rest.u64(), rest.u64()) else {
        return Err(malformed());
    };
    let count = usize::try_from(count).map_err(|_| malformed())?;
    if pack > bytes.len() || gallery > bytes.len() {
        return Err(malformed());
    }
    let padding = (pack + gallery).next_multiple_of(8) - pack - gallery;
    let name = |bytes: Option<&[u8]>| String::from_utf8(bytes?.to_vec()).ok();
    let (pack, gallery) = (name(rest.take(pack)), name(rest.take(gallery)));
    let (Some(pack), Some(gallery), Some(_)) = (pack, gallery, rest.take(padding)) else { return Err(malformed()) };
    let key_bytes = count.checked_mul(8).and_then(|length| rest.take(length)).ok_or_else(malformed)?;
    let values = count.checked_mul(dimension).and_then(|values| values.checked_mul(4));
    let vector_bytes = values.and_then(|length| rest.take(length)).ok_or_else(malformed)?;
    if dimension == 0 || !rest.0.is_empty() {
        return Err(malformed());
    }
    let keys = key_bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let vectors = vector_bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let header = Header { pack, gallery, method: method as u32, dimension, count, position };
    Ok(Snapshot { header, keys, vectors })
}

/// Bytes that are taken from the front, as far as they go.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

fn folder_and_name(path: &Path) -> io::Result<(PathBuf, OsString)> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    Ok((folder.to_path_buf(), name.to_os_string()))
}

/// A name that no other save has, in this process or another.
fn temporary_name(name: &OsString) -> OsString {
    static SAVES: AtomicU64 = AtomicU64::new(0);
    let mut temporary = name.clone();
    let nanoseconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let save = SAVES.fetch_add(1, Ordering::Relaxed);
    temporary.push(format!(".{}-{nanoseconds:x}-{save}.tmp", std::process::id()));
    temporary
}

/// Removes what saves of this file left behind when their process died: templates must not lie about.
fn remove_stale(folder: &Path, name: &OsString) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let (start, end) = ([name.as_encoded_bytes(), b"."].concat(), b".tmp".as_slice());
    for entry in entries.flatten() {
        let candidate = entry.file_name();
        let candidate = candidate.as_encoded_bytes();
        let ours =
            candidate.starts_with(&start) && candidate.ends_with(end) && candidate.len() > start.len() + end.len();
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        if ours && age.is_some_and(|age| age >= STALE) {
            // Another save may have been faster.
            let _gone = fs::remove_file(entry.path());
        }
    }
}

/// Makes the renaming itself durable, where folders can be synced.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::synthetic::{Faces, random};

    const ROWS: usize = 5;
    const DIMENSION: usize = 12;

    fn header() -> Header {
        let (pack, gallery) = ("ab12".repeat(16), "office 3".to_owned());
        Header { pack, gallery, method: 2, dimension: DIMENSION, count: ROWS, position: 77 }
    }

    /// A folder with one snapshot, and the snapshot's bytes.
    fn saved() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gallery.index");
        let vectors = Faces::new(DIMENSION, 1).samples(ROWS);
        write(&path, &header(), vectors.iter().enumerate().map(|(key, face)| (key as u64 * 3, face.as_slice())))
            .unwrap();
        let bytes = fs::read(&path).unwrap();
        (folder, path, bytes)
    }

    fn reason(path: &Path, pack: &str, gallery: &str) -> String {
        match read(path, pack, gallery) {
            Err(Error::IndexFile { path: named, reason }) if named == path => reason,
            Err(other) => panic!("another error: {other}"),
            Ok(_) => panic!("it was read"),
        }
    }

    fn reason_of(path: &Path, bytes: &[u8]) -> String {
        fs::write(path, bytes).unwrap();
        reason(path, &header().pack, &header().gallery)
    }

    /// The bytes with a right length and checksum again.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.truncate(bytes.len() - CHECKSUM);
        let length = (bytes.len() + CHECKSUM) as u64;
        bytes[HEADER - 8..HEADER].copy_from_slice(&length.to_le_bytes());
        let checksum = xxh3_128(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written() {
        let (_folder, path, bytes) = saved();
        assert_eq!(bytes.len(), HEADER + 64 + 8 + ROWS * (8 + 4 * DIMENSION) + CHECKSUM);
        let snapshot = read(&path, &header().pack, &header().gallery).unwrap();
        assert_eq!(snapshot.header, header());
        assert_eq!(snapshot.keys, [0, 3, 6, 9, 12]);
        assert_eq!(snapshot.vectors, Faces::new(DIMENSION, 1).samples(ROWS).concat());
        let empty = Header { count: 0, ..header() };
        write(&path, &empty, std::iter::empty()).unwrap();
        assert_eq!(read(&path, &header().pack, &header().gallery).unwrap().header, empty);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
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
    fn a_snapshot_in_memory_is_that_of_the_file_and_checked_as_well() {
        let (_folder, path, bytes) = saved();
        let vectors = Faces::new(DIMENSION, 1).samples(ROWS);
        let rows = vectors.iter().enumerate().map(|(key, face)| (key as u64 * 3, face.as_slice()));
        assert_eq!(to_bytes(&header(), rows).unwrap(), bytes);
        let load = |bytes: &[u8]| from_bytes(bytes, &path, &header().pack, &header().gallery);
        assert_eq!(load(&bytes).unwrap().vectors, vectors.concat());
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
    fn every_truncation_and_every_extension_is_noticed() {
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
    fn swapped_blocks_and_zeroed_pages_are_noticed() {
        let (_folder, path, bytes) = saved();
        let mut zeroed = bytes.clone();
        zeroed[200..264].fill(0);
        let mut swapped = bytes.clone();
        swapped.copy_within(200..216, 240);
        for damaged in [zeroed, swapped] {
            assert_eq!(reason_of(&path, &damaged), "it is damaged: its checksum is wrong");
        }
    }

    #[test]
    fn each_refusal_says_why() {
        let (folder, path, bytes) = saved();
        assert!(reason(&path, &"0".repeat(64), "office 3").contains("this index is for pack 0000"));
        assert!(reason(&path, &header().pack, "home").contains("gallery \"office 3\", not to \"home\""));
        assert!(reason(&folder.path().join("none"), "", "").contains("No such file"));
        assert!(reason_of(&path, b"SQLite format 3").contains("too few"));
        assert!(reason_of(&path, &[b'S'; 500]).contains("not an index file"));
        let mut newer = bytes.clone();
        newer[8] = 9;
        assert_eq!(reason_of(&path, &newer), "it has format version 9, this program reads version 1");
    }

    #[test]
    fn a_sealed_file_with_impossible_numbers_is_refused() {
        let (_folder, path, bytes) = saved();
        for at in [16, 24, 28, 32, 38, 39] {
            for value in [0, 1, 0x7f, 0xff] {
                let mut crafted = bytes.clone();
                if crafted[at] == value {
                    continue;
                }
                crafted[at] = value;
                let reason = reason_of(&path, &sealed(crafted));
                assert!(
                    ["contradicts", "pack", "gallery"].iter().any(|word| reason.contains(word)),
                    "{at} {value}: {reason}"
                );
            }
        }
        let mut nameless = bytes;
        nameless[HEADER] = 0xff;
        assert!(reason_of(&path, &sealed(nameless)).contains("contradicts"), "a pack that is not text");
    }

    #[test]
    fn a_failed_save_leaves_the_old_snapshot_and_nothing_else() {
        let (folder, path, bytes) = saved();
        let other = folder.path().join("a-folder");
        fs::create_dir(&other).unwrap();
        let vectors = Faces::new(DIMENSION, 2).samples(ROWS);
        let rows = vectors.iter().enumerate().map(|(key, face)| (key as u64, face.as_slice()));
        let refused = write(&other, &header(), rows.clone()).unwrap_err();
        assert!(matches!(refused, Error::Index { ref reason } if reason.contains("a-folder")), "{refused}");
        assert!(write(&folder.path().join("missing/x.index"), &header(), rows.clone()).is_err());
        assert!(write(Path::new("/"), &header(), rows).is_err());
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn leftovers_of_this_file_go_when_they_are_old() {
        let (folder, path, _) = saved();
        let name = |name: &str| folder.path().join(name);
        let old = SystemTime::now() - 2 * STALE;
        for (file, modified) in [
            ("gallery.index.7-1-0.tmp", Some(old)),
            ("gallery.index.8-1-0.tmp", None),
            ("other.index.7-1-0.tmp", Some(old)),
            ("gallery.index.bak", Some(old)),
        ] {
            let file = File::create(name(file)).unwrap();
            if let Some(time) = modified {
                file.set_modified(time).unwrap();
            }
        }
        let face = Faces::new(DIMENSION, 3).samples(1).remove(0);
        write(&path, &Header { count: 1, ..header() }, std::iter::once((1, face.as_slice()))).unwrap();
        assert!(!name("gallery.index.7-1-0.tmp").exists());
        for kept in ["gallery.index.8-1-0.tmp", "other.index.7-1-0.tmp", "gallery.index.bak"] {
            assert!(name(kept).exists(), "{kept}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_snapshot_is_for_its_owner_only() {
        let (_folder, path, _) = saved();
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
