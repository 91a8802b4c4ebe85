//! Opening a snapshot: the file or bytes that `file` wrote → rows, once everything in it was found right.
//!
//! Refused are a file of another format, pack or gallery, one whose length or checksums are wrong, and one whose content
//! contradicts itself. Vectors of a large gallery stay in the file; its codes are made while it is read and summed.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use xxhash_rust::xxh3::Xxh3;

use super::block::{Block, block_rows};
use super::dot::check_unit;
use super::file::{CHECKSUM, HEADER, Header, MAGIC, NO_LIST, VERSION};
use super::hnsw::RESERVED_KEY;
use super::lists::Lists;
use super::rows::Rows;
use super::vectors::{Filed, VectorFile, Vectors};
use crate::error::{Error, Result};

/// Vectors of more bytes than this stay in the file that is opened.
pub const RESIDENT_LIMIT: usize = 256 << 20;

/// Longest vector: the sums of its codes stay far inside 32 bits.
pub(super) const DIMENSION_LIMIT: usize = 16_384;

/// Threads that read a snapshot; more do not make a disk or memory faster.
const READERS: usize = 4;

/// Bytes read at once: they fit the second cache level while they are summed and coded.
const PIECE: usize = 256 << 10;

type Checked<T> = std::result::Result<T, String>;

/// A snapshot that was read and found whole.
pub(super) struct Opened {
    pub(super) header: Header,
    pub(super) rows: Rows,
}

/// What is read: a file in place, or bytes in memory.
enum Source<'a> {
    File(Arc<VectorFile>, u64),
    Bytes(&'a [u8]),
}

/// Reads a snapshot of this pack and gallery. Vectors stay in the file where they exceed `resident_limit` bytes.
pub(super) fn read(path: &Path, pack: &str, gallery: &str, resident_limit: usize) -> Result<Opened> {
    let refused = |reason: String| Error::IndexFile { path: path.to_path_buf(), reason };
    let open = || -> Checked<Source> {
        let file = VectorFile::open(path, 0).map_err(|error| error.to_string())?;
        let length = file.length().map_err(|error| error.to_string())?;
        Ok(Source::File(Arc::new(file), length))
    };
    open().and_then(|source| load(&source, path, (pack, gallery), resident_limit)).map_err(refused)
}

/// Reads a snapshot of this pack and gallery from memory; `name` says in an error where it came from.
pub(super) fn from_bytes(bytes: &[u8], name: &Path, pack: &str, gallery: &str) -> Result<Opened> {
    let refused = |reason: String| Error::IndexFile { path: name.to_path_buf(), reason };
    load(&Source::Bytes(bytes), name, (pack, gallery), usize::MAX).map_err(refused)
}

impl Source<'_> {
    fn length(&self) -> u64 {
        match self {
            Self::File(_, length) => *length,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `room` with `length` bytes from `start` on.
    fn read(&self, start: u64, length: usize, room: &mut Vec<u8>) -> Checked<()> {
        room.clear();
        if length as u64 > self.length().saturating_sub(start) {
            return Err(malformed());
        }
        room.try_reserve_exact(length).map_err(|_| format!("no memory for {length} bytes of it"))?;
        match self {
            Self::File(file, _) => {
                room.resize(length, 0);
                file.read(start, 1, room).map_err(|error| error.to_string())
            }
            Self::Bytes(bytes) => {
                room.extend_from_slice(&bytes[start as usize..start as usize + length]);
                Ok(())
            }
        }
    }
}

fn load(source: &Source, path: &Path, (pack, gallery): (&str, &str), resident_limit: usize) -> Checked<Opened> {
    let (header, before, sums) = read_frame(source)?;
    if header.pack != pack {
        return Err(format!("it holds embeddings of pack {}, this index is for pack {pack}", header.pack));
    }
    if header.gallery != gallery {
        return Err(format!("it belongs to gallery {:?}, not to {gallery:?}", header.gallery));
    }
    let layout = Layout::parse(&header, &before)?;
    let width = 4 * header.dimension;
    let start = before.len() as u64;
    let layout = Layout { before, ..layout };
    let file = match source {
        Source::File(..) if width * header.count > resident_limit => {
            Some(Arc::new(VectorFile::open(path, start).map_err(|error| error.to_string())?))
        }
        _ => None,
    };
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::with_capacity(header.blocks), None::<String>));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(plan) = layout.blocks.get(number) else { return };
            let checksum = &sums[CHECKSUM * number..CHECKSUM * (number + 1)];
            let block = layout.block(plan, source, start, checksum, file.as_ref());
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
    let readers = thread::available_parallelism().map_or(1, NonZero::get).min(READERS).min(header.blocks);
    thread::scope(|scope| {
        for _ in 1..readers {
            // One that cannot be started leaves its share to the others.
            let _started = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let (mut blocks, failure) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(reason) = failure {
        return Err(reason);
    }
    if blocks.len() != header.blocks {
        return Err("a thread that read it broke off".to_owned());
    }
    blocks.sort_unstable_by_key(|(number, _)| *number);
    let blocks = blocks.into_iter().map(|(_, block)| block).collect();
    drop(layout.before);
    let rows = Rows::from_blocks(blocks, layout.lists.map(Arc::new), layout.mean);
    let rows = rows.map_err(|key| format!("it has key {key} twice"))?;
    Ok(Opened { header, rows })
}

/// Header, the bytes before the vectors and the sums after them, once length and checksum are right.
fn read_frame(source: &Source) -> Checked<(Header, Vec<u8>, Vec<u8>)> {
    let actual = source.length();
    if actual < (HEADER + CHECKSUM) as u64 {
        return Err(format!("it has {actual} bytes, too few for an index file"));
    }
    let mut before = Vec::new();
    source.read(0, HEADER, &mut before)?;
    if before[..8] != MAGIC {
        return Err("it is not an index file: wrong first bytes".to_owned());
    }
    let version = Cursor(&before[8..]).u32().unwrap_or_default();
    if version != VERSION {
        return Err(format!("it has format version {version}, this program reads version {VERSION}"));
    }
    let declared = Cursor(&before[HEADER - 8..]).u64().unwrap_or_default();
    if declared != actual {
        return Err(format!("it is damaged: {actual} bytes, its header says {declared}"));
    }
    let sizes = Sizes::parse(&before).filter(|sizes| sizes.length() == Some(actual)).ok_or_else(malformed)?;
    let (Some(start), Some(tail)) = (sizes.start(), sizes.tail()) else { return Err(malformed()) };
    let (start, tail) = (start as usize, tail as usize);
    source.read(0, start, &mut before)?;
    let mut sums = Vec::new();
    source.read(actual - tail as u64, tail, &mut sums)?;
    let checksum = sums.split_off(tail - CHECKSUM);
    let mut sum = Xxh3::new();
    sum.update(&before);
    sum.update(&sums);
    if sum.digest128().to_le_bytes() != *checksum {
        return Err("it is damaged: its checksum is wrong".to_owned());
    }
    let name = |from: usize, length: usize| String::from_utf8(before[from..from + length].to_vec()).ok();
    let names = (name(HEADER, sizes.pack), name(HEADER + sizes.pack, sizes.gallery));
    let (Some(pack), Some(gallery)) = names else { return Err(malformed()) };
    let header = Header { pack, gallery, ..sizes.header };
    Ok((header, before, sums))
}

/// The numbers of a header, whose products may be anything.
struct Sizes {
    header: Header,
    pack: usize,
    gallery: usize,
}

impl Sizes {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = Cursor(bytes.get(12..)?);
        let mut word = || rest.u32().map(|word| word as usize);
        let (method, dimension, lists, probed) = (word()?, word()?, word()?, word()?);
        let (blocks, pack, gallery) = (word()?, word()?, word()?);
        let (count, trained) = (usize::try_from(rest.u64()?).ok()?, usize::try_from(rest.u64()?).ok()?);
        let position = rest.u64()?;
        let names = (String::new(), String::new());
        let sound = (1..=DIMENSION_LIMIT).contains(&dimension)
            && u32::try_from(count).is_ok()
            && if lists == 0 { probed == 0 } else { (1..=lists).contains(&probed) };
        let header = Header {
            pack: names.0,
            gallery: names.1,
            method: method as u32,
            dimension,
            lists,
            probed,
            trained,
            blocks,
            count,
            position,
        };
        sound.then_some(Self { header, pack, gallery })
    }

    fn start(&self) -> Option<u64> {
        let Header { dimension, lists, blocks, count, .. } = &self.header;
        let (dimension, lists, blocks, count) = (*dimension as u64, *lists as u64, *blocks as u64, *count as u64);
        let names = (self.pack as u64 + self.gallery as u64).next_multiple_of(8);
        let centres = dimension.checked_mul(4 * (1 + lists))?;
        (HEADER as u64 + names + 8 * blocks + 16 * count).checked_add(centres)
    }

    fn tail(&self) -> Option<u64> {
        (self.header.blocks as u64 + 1).checked_mul(CHECKSUM as u64)
    }

    fn length(&self) -> Option<u64> {
        let vectors = (self.header.count as u64).checked_mul(4 * self.header.dimension as u64)?;
        self.start()?.checked_add(vectors)?.checked_add(self.tail()?)
    }
}

/// Where the rows of one block are.
struct Plan {
    first: usize,
    rows: usize,
    list: Option<u32>,
}

/// Everything but the vectors.
struct Layout {
    mean: Arc<[f32]>,
    lists: Option<Lists>,
    blocks: Vec<Plan>,
    /// All bytes before the vectors, and where keys and people begin in them.
    before: Vec<u8>,
    keys: usize,
    people: usize,
}

impl Layout {
    fn parse(header: &Header, before: &[u8]) -> Checked<Self> {
        let names = (header.pack.len() + header.gallery.len()).next_multiple_of(8);
        let mut rest = Cursor(before.get(HEADER + names..).ok_or_else(malformed)?);
        let mean: Arc<[f32]> = rest.floats(header.dimension).ok_or_else(malformed)?.into();
        let centres = rest.floats(header.dimension * header.lists).ok_or_else(malformed)?;
        if mean.iter().chain(&centres).any(|x| !x.is_finite() || x.abs() > 2.0) {
            return Err("its mean or a centre of its lists is not one of unit vectors".to_owned());
        }
        let mut first = 0;
        let mut blocks = Vec::with_capacity(header.blocks);
        for _ in 0..header.blocks {
            let (rows, list) = (rest.u32().ok_or_else(malformed)? as usize, rest.u32().ok_or_else(malformed)?);
            let list = if list == NO_LIST { None } else { Some(list) };
            if !(1..=block_rows(header.dimension)).contains(&rows)
                || list.is_some_and(|list| list as usize >= header.lists)
            {
                return Err(malformed());
            }
            blocks.push(Plan { first, rows, list });
            first += rows;
        }
        if first != header.count || rest.0.len() != 16 * header.count {
            return Err(malformed());
        }
        let people = before.len() - 8 * header.count;
        let lists = Lists::new(Arc::clone(&mean), centres, header.trained, header.probed);
        Ok(Self {
            mean,
            lists: (header.lists > 0).then_some(lists),
            blocks,
            before: Vec::new(),
            keys: people - 8 * header.count,
            people,
        })
    }

    /// Reads the vectors of one block, which begin at `start`, piece by piece.
    fn block(
        &self,
        plan: &Plan,
        source: &Source,
        start: u64,
        checksum: &[u8],
        file: Option<&Arc<VectorFile>>,
    ) -> Checked<Block> {
        let dimension = self.mean.len();
        let width = 4 * dimension;
        let vectors = file.map_or_else(Vectors::resident, |file| Vectors::Filed(Arc::clone(file), Vec::new()));
        let mut block = Block::new(Arc::clone(&self.mean), plan.list, vectors);
        block.reserve(plan.rows);
        let (mut sum, mut wrong) = (Xxh3::new(), None);
        let (mut bytes, mut vector) = (Vec::new(), Vec::with_capacity(dimension));
        let piece = (PIECE / width).max(1);
        for first in (plan.first..plan.first + plan.rows).step_by(piece) {
            let rows = piece.min(plan.first + plan.rows - first);
            source.read(start + (first * width) as u64, rows * width, &mut bytes)?;
            sum.update(&bytes);
            for (row, bytes) in (first..).zip(bytes.chunks_exact(width)) {
                vector.clear();
                vector.extend(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
                let (key, person) = (self.number(self.keys, row), self.number(self.people, row));
                if key == RESERVED_KEY {
                    wrong.get_or_insert(format!("key must be below {RESERVED_KEY}, got {RESERVED_KEY}"));
                } else if let Err(error) = check_unit(row, &vector) {
                    wrong.get_or_insert(error.to_string());
                } else if file.is_some() {
                    block.push_filed(key, person, &vector, Filed::new(row as u32, bytes));
                } else {
                    block.push(key, person, &vector);
                }
            }
        }
        if sum.digest128().to_le_bytes() != *checksum {
            return Err("it is damaged: a checksum of its vectors is wrong".to_owned());
        }
        wrong.map_or(Ok(block), Err)
    }

    /// The key or the person of a row; the layout was checked to have them all.
    fn number(&self, first: usize, row: usize) -> u64 {
        let bytes = self.before[first + 8 * row..].first_chunk();
        bytes.map_or(RESERVED_KEY, |bytes| u64::from_le_bytes(*bytes))
    }
}

fn malformed() -> String {
    "its header contradicts its length".to_owned()
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

    fn floats(&mut self, count: usize) -> Option<Vec<f32>> {
        let bytes = self.take(count.checked_mul(4)?)?;
        Some(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

#[cfg(test)]
mod tests;
