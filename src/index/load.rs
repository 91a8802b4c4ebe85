//! Loading a snapshot that `save` wrote, after everything in it was validated.
//!
//! A file of another format, pack or gallery is rejected, and so is one with a wrong length or checksum, with a digest
//! that the caller does not know, or with inconsistent content. The vectors of a large gallery stay in the file; codes
//! are computed while the file is read and verified.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sha2::{Digest, Sha256};

use super::block::{Block, max_rows};
use super::dot::check_unit;
use super::hnsw::RESERVED_KEY;
use super::lists::Lists;
use super::rows::Rows;
use super::save::{CHECKSUM, HEADER, Header, MAGIC, NO_LIST, VERSION};
use super::vectors::{DiskRow, VectorFile, Vectors};
use crate::error::{Error, Result};
use crate::pack::hex;

/// Default limit of vectors in memory, bytes; a snapshot with more keeps its vectors in the file.
pub const RESIDENT_LIMIT: usize = 256 << 20;

/// Largest dimension; inner products of codes then stay far below 2^31.
pub(super) const MAX_DIMENSION: usize = 16_384;

/// Largest number of threads that read a snapshot; more do not make a disk or memory faster.
const MAX_THREADS: usize = 4;

/// Bytes read at once: they stay in the L2 cache while they are verified and encoded.
const CHUNK: usize = 256 << 10;

/// The error is the reason why a snapshot is rejected.
type Checked<T> = std::result::Result<T, String>;

/// A validated snapshot.
pub(super) struct Snapshot {
    pub(super) header: Header,
    pub(super) rows: Rows,
}

/// Where a snapshot is read from.
enum Source<'a> {
    /// A file and its length.
    File(Arc<VectorFile>, u64),
    Bytes(&'a [u8]),
}

/// Which snapshot is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Digest of the pack that made the embeddings.
    pub pack: &'a str,
    /// Name of the gallery, as when the snapshot was saved.
    pub gallery: &'a str,
    /// What `save` returned for the snapshots that are accepted; none accepts any.
    pub digests: Option<&'a [String]>,
}

/// Loads a snapshot from a file. Vectors of more than `resident_limit` bytes stay in the file.
pub(super) fn from_file(path: &Path, expected: Expected<'_>, resident_limit: usize) -> Result<Snapshot> {
    let reject = |reason: String| Error::IndexFile { path: path.to_path_buf(), reason };
    let open = || -> Checked<Source> {
        let file = VectorFile::open(path, 0).map_err(|error| error.to_string())?;
        let length = file.length().map_err(|error| error.to_string())?;
        Ok(Source::File(Arc::new(file), length))
    };
    open().and_then(|source| load(&source, path, expected, resident_limit)).map_err(reject)
}

/// Loads a snapshot from memory; `name` is its path in errors.
pub(super) fn from_bytes(bytes: &[u8], name: &Path, expected: Expected<'_>) -> Result<Snapshot> {
    let reject = |reason: String| Error::IndexFile { path: name.to_path_buf(), reason };
    load(&Source::Bytes(bytes), name, expected, usize::MAX).map_err(reject)
}

impl Source<'_> {
    fn length(&self) -> u64 {
        match self {
            Self::File(_, length) => *length,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `buffer` with `length` bytes from `start` on.
    fn read(&self, start: u64, length: usize, buffer: &mut Vec<u8>) -> Checked<()> {
        buffer.clear();
        if length as u64 > self.length().saturating_sub(start) {
            return Err(inconsistent());
        }
        buffer.try_reserve_exact(length).map_err(|_| format!("not enough memory for {length} bytes of it"))?;
        match self {
            Self::File(file, _) => {
                buffer.resize(length, 0);
                file.read(start, 1, buffer).map_err(|error| error.to_string())
            }
            Self::Bytes(bytes) => {
                buffer.extend_from_slice(&bytes[start as usize..start as usize + length]);
                Ok(())
            }
        }
    }
}

fn load(source: &Source, path: &Path, expected: Expected<'_>, resident_limit: usize) -> Checked<Snapshot> {
    let Expected { pack, gallery, digests } = expected;
    let (header, metadata, checksums) = read_metadata(source, digests)?;
    if header.pack != pack {
        return Err(format!("it holds embeddings of pack {}, this index is for pack {pack}", header.pack));
    }
    if header.gallery != gallery {
        return Err(format!("it belongs to gallery {:?}, not to {gallery:?}", header.gallery));
    }
    let layout = Layout::parse(&header, metadata)?;
    let start = layout.metadata.len() as u64;
    let file = match source {
        Source::File(..) if 4 * header.dimension * header.count > resident_limit => {
            Some(Arc::new(VectorFile::open(path, start).map_err(|error| error.to_string())?))
        }
        _ => None,
    };
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::with_capacity(header.blocks), None::<String>));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = layout.blocks.get(number) else { return };
            let checksum = &checksums[CHECKSUM * number..CHECKSUM * (number + 1)];
            let block = layout.read_block(entry, source, start, checksum, file.as_ref());
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            match block {
                Ok(block) => done.0.push((number, block)),
                Err(reason) => {
                    done.1.get_or_insert(reason);
                    next.store(usize::MAX / 2, Ordering::Relaxed);
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS).min(header.blocks);
    thread::scope(|scope| {
        for _ in 1..threads {
            // If a thread cannot be started, the others do its work.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let (mut blocks, failure) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(reason) = failure {
        return Err(reason);
    }
    if blocks.len() != header.blocks {
        return Err("a thread that read it panicked".to_owned());
    }
    blocks.sort_unstable_by_key(|(number, _)| *number);
    let blocks = blocks.into_iter().map(|(_, block)| block).collect();
    drop(layout.metadata);
    let rows = Rows::from_blocks(blocks, layout.lists.map(Arc::new), layout.mean);
    let rows = rows.map_err(|key| format!("key {key} occurs twice"))?;
    Ok(Snapshot { header, rows })
}

/// Reads the header, all bytes before the vectors, and the checksums after them; verifies length,
/// checksum and digest.
fn read_metadata(source: &Source, digests: Option<&[String]>) -> Checked<(Header, Vec<u8>, Vec<u8>)> {
    let actual = source.length();
    if actual < (HEADER + CHECKSUM) as u64 {
        return Err(format!("it has {actual} bytes, too few for an index file"));
    }
    let mut metadata = Vec::new();
    source.read(0, HEADER, &mut metadata)?;
    if metadata[..8] != MAGIC {
        return Err("it is not an index file: wrong first bytes".to_owned());
    }
    let version = Cursor(&metadata[8..]).u32().unwrap_or_default();
    if version != VERSION {
        return Err(format!("it has format version {version}, this program reads version {VERSION}"));
    }
    let declared = Cursor(&metadata[HEADER - 8..]).u64().unwrap_or_default();
    if declared != actual {
        return Err(format!("it is damaged: {actual} bytes, its header says {declared}"));
    }
    let raw = RawHeader::parse(&metadata).filter(|raw| raw.length() == Some(actual)).ok_or_else(inconsistent)?;
    let (Some(start), Some(tail)) = (raw.vectors_start(), raw.checksums_length()) else { return Err(inconsistent()) };
    let (start, tail) = (start as usize, tail as usize);
    source.read(0, start, &mut metadata)?;
    let mut checksums = Vec::new();
    source.read(actual - tail as u64, tail, &mut checksums)?;
    let checksum = checksums.split_off(tail - CHECKSUM);
    let digest = Sha256::new().chain_update(&metadata).chain_update(&checksums).finalize();
    if digest[..CHECKSUM] != *checksum {
        return Err("it is damaged: its checksum is wrong".to_owned());
    }
    if digests.is_some_and(|known| !known.contains(&hex(&digest))) {
        return Err("it was changed, or written by somebody else: its digest is not a known one".to_owned());
    }
    let name = |from: usize, length: usize| String::from_utf8(metadata[from..from + length].to_vec()).ok();
    let names = (name(HEADER, raw.pack_length), name(HEADER + raw.pack_length, raw.gallery_length));
    let (Some(pack), Some(gallery)) = names else { return Err(inconsistent()) };
    let header = Header { pack, gallery, ..raw.header };
    Ok((header, metadata, checksums))
}

/// The numbers of an untrusted header; sums and products of them are checked for overflow.
struct RawHeader {
    header: Header,
    pack_length: usize,
    gallery_length: usize,
}

impl RawHeader {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = Cursor(bytes.get(12..)?);
        let mut word = || rest.u32().map(|word| word as usize);
        let (method, dimension, lists, n_probe) = (word()?, word()?, word()?, word()?);
        let (blocks, pack_length, gallery_length) = (word()?, word()?, word()?);
        let (count, trained_rows) = (usize::try_from(rest.u64()?).ok()?, usize::try_from(rest.u64()?).ok()?);
        let position = rest.u64()?;
        let valid = (1..=MAX_DIMENSION).contains(&dimension)
            && u32::try_from(count).is_ok()
            && if lists == 0 { n_probe == 0 } else { (1..=lists).contains(&n_probe) };
        let header = Header {
            pack: String::new(),
            gallery: String::new(),
            method: method as u32,
            dimension,
            lists,
            n_probe,
            trained_rows,
            blocks,
            count,
            position,
        };
        valid.then_some(Self { header, pack_length, gallery_length })
    }

    /// Offset of the vectors, bytes.
    fn vectors_start(&self) -> Option<u64> {
        let Header { dimension, lists, blocks, count, .. } = &self.header;
        let (dimension, lists, blocks, count) = (*dimension as u64, *lists as u64, *blocks as u64, *count as u64);
        let names = (self.pack_length as u64 + self.gallery_length as u64).next_multiple_of(8);
        let mean_and_centroids = dimension.checked_mul(4 * (1 + lists))?;
        (HEADER as u64 + names + 8 * blocks + 16 * count).checked_add(mean_and_centroids)
    }

    /// Length of all checksums, bytes.
    fn checksums_length(&self) -> Option<u64> {
        (self.header.blocks as u64 + 1).checked_mul(CHECKSUM as u64)
    }

    /// Length of the whole snapshot, bytes.
    fn length(&self) -> Option<u64> {
        let vectors = (self.header.count as u64).checked_mul(4 * self.header.dimension as u64)?;
        self.vectors_start()?.checked_add(vectors)?.checked_add(self.checksums_length()?)
    }
}

/// The rows and the list of one block.
struct BlockEntry {
    first: usize,
    rows: usize,
    list: Option<u32>,
}

/// Everything except the vectors.
struct Layout {
    mean: Arc<[f32]>,
    lists: Option<Lists>,
    blocks: Vec<BlockEntry>,
    /// All bytes before the vectors.
    metadata: Vec<u8>,
    /// Offsets of keys and people in `metadata`.
    keys_start: usize,
    people_start: usize,
}

impl Layout {
    fn parse(header: &Header, metadata: Vec<u8>) -> Checked<Self> {
        let names = (header.pack.len() + header.gallery.len()).next_multiple_of(8);
        let mut rest = Cursor(metadata.get(HEADER + names..).ok_or_else(inconsistent)?);
        let mean: Arc<[f32]> = rest.floats(header.dimension).ok_or_else(inconsistent)?.into();
        let centroids = rest.floats(header.dimension * header.lists).ok_or_else(inconsistent)?;
        if mean.iter().chain(&centroids).any(|x| !x.is_finite() || x.abs() > 2.0) {
            return Err("its mean or a centroid cannot come from unit vectors".to_owned());
        }
        let mut first = 0;
        let mut blocks = Vec::with_capacity(header.blocks);
        for _ in 0..header.blocks {
            let (rows, list) = (rest.u32().ok_or_else(inconsistent)? as usize, rest.u32().ok_or_else(inconsistent)?);
            let list = if list == NO_LIST { None } else { Some(list) };
            if !(1..=max_rows(header.dimension)).contains(&rows)
                || list.is_some_and(|list| list as usize >= header.lists)
            {
                return Err(inconsistent());
            }
            blocks.push(BlockEntry { first, rows, list });
            first += rows;
        }
        if first != header.count || rest.0.len() != 16 * header.count {
            return Err(inconsistent());
        }
        let people_start = metadata.len() - 8 * header.count;
        let keys_start = people_start - 8 * header.count;
        let lists = Lists::new(Arc::clone(&mean), centroids, header.trained_rows, header.n_probe);
        let lists = (header.lists > 0).then_some(lists);
        Ok(Self { mean, lists, blocks, metadata, keys_start, people_start })
    }

    /// Reads one block; the vectors of all blocks begin at offset `start`. They stay in `file` if one is given.
    fn read_block(
        &self,
        entry: &BlockEntry,
        source: &Source,
        start: u64,
        checksum: &[u8],
        file: Option<&Arc<VectorFile>>,
    ) -> Checked<Block> {
        let dimension = self.mean.len();
        let width = 4 * dimension;
        let vectors = file.map_or_else(Vectors::resident, |file| Vectors::OnDisk(Arc::clone(file), Vec::new()));
        let mut block = Block::new(Arc::clone(&self.mean), entry.list, vectors);
        block.reserve(entry.rows);
        let (mut hash, mut invalid) = (Sha256::new(), None);
        let (mut bytes, mut vector) = (Vec::new(), Vec::with_capacity(dimension));
        let rows_per_chunk = (CHUNK / width).max(1);
        for first in (entry.first..entry.first + entry.rows).step_by(rows_per_chunk) {
            let rows = rows_per_chunk.min(entry.first + entry.rows - first);
            source.read(start + (first * width) as u64, rows * width, &mut bytes)?;
            hash.update(&bytes);
            for (row, bytes) in (first..).zip(bytes.chunks_exact(width)) {
                vector.clear();
                vector.extend(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
                let (key, person) = (self.id(self.keys_start, row), self.id(self.people_start, row));
                if key == RESERVED_KEY {
                    invalid.get_or_insert(format!("key must be below {RESERVED_KEY}, got {RESERVED_KEY}"));
                } else if let Err(error) = check_unit(row, &vector) {
                    invalid.get_or_insert(error.to_string());
                } else if file.is_some() {
                    block.push_on_disk(key, person, &vector, DiskRow::new(row as u32, bytes));
                } else {
                    block.push(key, person, &vector);
                }
            }
        }
        if hash.finalize()[..CHECKSUM] != *checksum {
            return Err("it is damaged: the checksum of a block of vectors is wrong".to_owned());
        }
        invalid.map_or(Ok(block), Err)
    }

    /// The key or the person of a row. `parse` checked that there is one for each row.
    fn id(&self, start: usize, row: usize) -> u64 {
        let bytes = self.metadata[start + 8 * row..].first_chunk();
        bytes.map_or(RESERVED_KEY, |bytes| u64::from_le_bytes(*bytes))
    }
}

fn inconsistent() -> String {
    "its header contradicts its content".to_owned()
}

/// Reads values from the front of a byte slice; `None` at its end.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn floats(&mut self, count: usize) -> Option<Vec<f32>> {
        let bytes = self.bytes(count.checked_mul(4)?)?;
        Some(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

#[cfg(test)]
mod tests;
