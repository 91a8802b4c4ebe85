//! Storage for the `f32` vectors of a block: in memory, or in the snapshot file, from which they are read row by row.
//!
//! A scan scores only a few candidates from vectors, so the vectors of a large gallery may stay in the file and in the
//! operating system's page cache. They are read and not memory-mapped: a truncated file or a failing disk is then an
//! error of one search and does not kill the process. Checksums are verified when the file is opened and again when a
//! row is read, so a row that changed in between is an error. The file is never written while it has a name. Once it is
//! unlinked, removed rows are overwritten in it, for processes that still have it open.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The vectors of an open snapshot file, which may have been unlinked since.
pub(super) struct VectorFile {
    file: File,
    path: PathBuf,
    start: u64,
}

/// Values per chunk; a chunk is copied when one of its vectors changes.
const CHUNK_VALUES: usize = 128 << 10;

/// The vectors of one block.
pub(super) enum Vectors {
    /// In memory.
    Resident(Resident),
    /// In a snapshot file, in these rows of it.
    OnDisk(Arc<VectorFile>, Vec<DiskRow>),
}

/// Number of a row in a snapshot file, and the checksum of its bytes.
#[derive(Clone, Copy)]
pub(super) struct DiskRow {
    number: u32,
    checksum: u32,
}

impl DiskRow {
    pub(super) fn new(number: u32, bytes: &[u8]) -> Self {
        Self { number, checksum: checksum(bytes) }
    }
}

/// Vectors in memory, in chunks that copies of a block share (copy-on-write).
pub(super) struct Resident {
    chunks: Vec<Arc<Chunk>>,
    rows: usize,
}

/// Consecutive vectors. A replaced chunk overwrites them with zeros before its memory is freed.
struct Chunk {
    values: Vec<f32>,
    replaced: AtomicBool,
}

impl Clone for Chunk {
    fn clone(&self) -> Self {
        let mut values = Vec::with_capacity(self.values.capacity());
        values.extend_from_slice(&self.values);
        Self { values, replaced: AtomicBool::new(false) }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if *self.replaced.get_mut() {
            wipe(&mut self.values);
        }
    }
}

impl Chunk {
    /// Mutable access to the chunk; a shared one is replaced by a copy first.
    fn make_mut(this: &mut Arc<Self>) -> &mut Self {
        if Arc::get_mut(this).is_none() {
            this.replaced.store(true, Ordering::Relaxed);
        }
        Arc::make_mut(this)
    }
}

impl Resident {
    fn rows_per_chunk(dimension: usize) -> usize {
        (CHUNK_VALUES / dimension).max(1)
    }

    fn push(&mut self, vector: &[f32]) {
        let limit = Self::rows_per_chunk(vector.len());
        if self.rows.is_multiple_of(limit) {
            self.chunks.push(Arc::new(Chunk { values: Vec::new(), replaced: AtomicBool::new(false) }));
        }
        self.rows += 1;
        let Some(last) = self.chunks.last_mut() else { return };
        let values = &mut Chunk::make_mut(last).values;
        if values.capacity() - values.len() < vector.len() {
            // Grown by hand, so that the old memory is overwritten.
            let capacity = (2 * values.len()).clamp(16 * vector.len(), (limit * vector.len()).max(16 * vector.len()));
            let mut grown = Vec::with_capacity(capacity);
            grown.extend_from_slice(values);
            wipe(values);
            *values = grown;
        }
        values.extend_from_slice(vector);
    }

    fn get(&self, row: usize, dimension: usize) -> &[f32] {
        let limit = Self::rows_per_chunk(dimension);
        &self.chunks[row / limit].values[row % limit * dimension..][..dimension]
    }
}

impl VectorFile {
    /// `start` is the offset of the first vector, bytes. The file is opened for writing too where permissions allow it.
    pub(super) fn open(path: &Path, start: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path))?;
        Ok(Self { file, path: path.to_path_buf(), start })
    }

    /// Length of the file, bytes.
    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Fills `bytes` from row `row` on; a row has `width` bytes.
    pub(super) fn read(&self, row: u64, width: usize, bytes: &mut [u8]) -> io::Result<()> {
        read_at(&self.file, bytes, self.start + row * width as u64)
    }

    /// Overwrites a row of `width` bytes with zeros if the file is unlinked and writable.
    #[cfg(unix)]
    fn erase(&self, row: u64, width: usize) {
        use std::os::unix::fs::{FileExt, MetadataExt};
        if self.file.metadata().is_ok_and(|data| data.nlink() == 0) {
            // If this fails, the data are gone when the last process closes the file.
            let _erased = self.file.write_all_at(&vec![0; width], self.start + row * width as u64);
        }
    }

    /// An open file cannot be unlinked here.
    #[cfg(not(unix))]
    fn erase(&self, _row: u64, _width: usize) {}
}

impl Vectors {
    /// Empty storage in memory.
    pub(super) fn resident() -> Self {
        Self::Resident(Resident { chunks: Vec::new(), rows: 0 })
    }

    /// Empty storage of the same kind: in memory, or in the same file.
    pub(super) fn empty_like(&self) -> Self {
        match self {
            Self::Resident(_) => Self::resident(),
            Self::OnDisk(file, _) => Self::OnDisk(Arc::clone(file), Vec::new()),
        }
    }

    /// A copy that shares chunks with this one (copy-on-write).
    pub(super) fn share(&self) -> Self {
        match self {
            Self::Resident(Resident { chunks, rows }) => {
                Self::Resident(Resident { chunks: chunks.clone(), rows: *rows })
            }
            Self::OnDisk(file, rows) => Self::OnDisk(Arc::clone(file), rows.clone()),
        }
    }

    /// Appends a vector in memory.
    pub(super) fn push(&mut self, vector: &[f32]) {
        if let Self::Resident(resident) = self {
            resident.push(vector);
        }
    }

    /// Appends a row of the file.
    pub(super) fn push_on_disk(&mut self, row: DiskRow) {
        if let Self::OnDisk(_, rows) = self {
            rows.push(row);
        }
    }

    /// Appends a vector of other storage of the same kind; false if the kinds differ.
    pub(super) fn push_from(&mut self, other: &Self, row: usize, dimension: usize) -> bool {
        match (self, other) {
            (Self::Resident(mine), Self::Resident(others)) => mine.push(others.get(row, dimension)),
            (Self::OnDisk(_, mine), Self::OnDisk(_, others)) => mine.push(others[row]),
            _ => return false,
        }
        true
    }

    /// The vector of a row of `dimension` values; one on disk is read into `buffer`.
    pub(super) fn get<'a>(&'a self, row: usize, dimension: usize, buffer: &'a mut Vec<f32>) -> io::Result<&'a [f32]> {
        match self {
            Self::Resident(resident) => Ok(resident.get(row, dimension)),
            Self::OnDisk(file, rows) => {
                let mut bytes = vec![0; 4 * dimension];
                file.read(u64::from(rows[row].number), bytes.len(), &mut bytes)?;
                if checksum(&bytes) != rows[row].checksum {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "its checksum is wrong, it changed since it was opened",
                    ));
                }
                buffer.clear();
                buffer.extend(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
                Ok(buffer)
            }
        }
    }

    /// Overwrites a row with zeros.
    pub(super) fn erase(&mut self, row: usize, dimension: usize) {
        match self {
            Self::Resident(resident) => {
                let limit = Resident::rows_per_chunk(dimension);
                let chunk = Chunk::make_mut(&mut resident.chunks[row / limit]);
                wipe(&mut chunk.values[row % limit * dimension..][..dimension]);
            }
            Self::OnDisk(file, rows) => file.erase(u64::from(rows[row].number), 4 * dimension),
        }
    }

    /// Marks all vectors as replaced: they are overwritten when the last reader is done.
    pub(super) fn retire(&self) {
        if let Self::Resident(resident) = self {
            resident.chunks.iter().for_each(|chunk| chunk.replaced.store(true, Ordering::Relaxed));
        }
    }

    /// The snapshot file that holds the vectors, if any.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Resident(_) => None,
            Self::OnDisk(file, _) => Some(&file.path),
        }
    }

    /// Bytes used in memory.
    pub(super) fn resident_bytes(&self) -> usize {
        match self {
            Self::Resident(resident) => resident.chunks.iter().map(|chunk| 4 * chunk.values.len()).sum(),
            Self::OnDisk(_, rows) => size_of::<DiskRow>() * rows.len(),
        }
    }

    pub(super) fn is_resident(&self) -> bool {
        matches!(self, Self::Resident(_))
    }
}

/// The low half of XXH3-64: a damaged row passes with probability 2^-32.
fn checksum(bytes: &[u8]) -> u32 {
    // The seed is a secret of this process: who writes into the file cannot make a row that passes.
    static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    xxh3_64_with_seed(bytes, *SEED) as u32
}

fn wipe(values: &mut [f32]) {
    values.fill(0.0);
    std::hint::black_box(values);
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[count..];
        offset += count as u64;
    }
    Ok(())
}
