//! Where the `f32` vectors of a block are: in memory, or in the snapshot that was opened and is read row by row.
//!
//! Only the few candidates of a scan are scored from vectors, so those of a large gallery may stay in its file and in the
//! operating system's cache of it. They are read and not memory-mapped: a file that is cut short, or a disk that fails,
//! is an error that a search returns and not the death of the process. The file was summed when it was opened, and each row
//! again when it is read: one that changed meanwhile is an error. It is not changed as long as it has a name; once that is
//! gone, removed rows are overwritten in it, for those who have it open still.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use xxhash_rust::xxh3::xxh3_64;

/// A snapshot's vectors, open for reading; its name may be gone meanwhile.
pub(super) struct VectorFile {
    file: File,
    path: PathBuf,
    start: u64,
}

/// Values of a chunk: what is copied when a vector in memory changes.
const CHUNK_VALUES: usize = 128 << 10;

/// The vectors of one block.
pub(super) enum Vectors {
    /// In memory.
    Resident(Resident),
    /// In a file, at these rows of it.
    Filed(Arc<VectorFile>, Vec<Filed>),
}

/// A row of a file, and the sum of its bytes.
#[derive(Clone, Copy)]
pub(super) struct Filed {
    pub(super) at: u32,
    pub(super) sum: u32,
}

impl Filed {
    pub(super) fn new(at: u32, bytes: &[u8]) -> Self {
        Self { at, sum: sum_of(bytes) }
    }
}

/// Vectors in memory, in chunks that copies of a block share until one of them changes.
pub(super) struct Resident {
    chunks: Vec<Arc<Chunk>>,
    rows: usize,
}

/// Some vectors one after the other. One that was replaced overwrites them before its memory is given back.
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
    /// The chunk to change: this one if nobody else reads it, a copy in its place otherwise.
    fn to_change(this: &mut Arc<Self>) -> &mut Self {
        if Arc::get_mut(this).is_none() {
            this.replaced.store(true, Ordering::Relaxed);
        }
        Arc::make_mut(this)
    }
}

impl Resident {
    fn rows_of_chunk(dimension: usize) -> usize {
        (CHUNK_VALUES / dimension).max(1)
    }

    fn push(&mut self, vector: &[f32]) {
        let limit = Self::rows_of_chunk(vector.len());
        if self.rows.is_multiple_of(limit) {
            self.chunks.push(Arc::new(Chunk { values: Vec::new(), replaced: AtomicBool::new(false) }));
        }
        self.rows += 1;
        let Some(last) = self.chunks.last_mut() else { return };
        let values = &mut Chunk::to_change(last).values;
        if values.capacity() - values.len() < vector.len() {
            // Grown by hand, so that what moves leaves no copy behind.
            let capacity = (2 * values.len()).clamp(16 * vector.len(), (limit * vector.len()).max(16 * vector.len()));
            let mut grown = Vec::with_capacity(capacity);
            grown.extend_from_slice(values);
            wipe(values);
            *values = grown;
        }
        values.extend_from_slice(vector);
    }

    fn get(&self, row: usize, dimension: usize) -> &[f32] {
        let limit = Self::rows_of_chunk(dimension);
        &self.chunks[row / limit].values[row % limit * dimension..][..dimension]
    }
}

impl VectorFile {
    /// `start` is the first vector's place in the file, bytes. The file can be written to where its owner may do so.
    pub(super) fn open(path: &Path, start: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path))?;
        Ok(Self { file, path: path.to_path_buf(), start })
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Fills `bytes` from row `row` on, of rows of `width` bytes.
    pub(super) fn read(&self, row: u64, width: usize, bytes: &mut [u8]) -> io::Result<()> {
        read_at(&self.file, bytes, self.start + row * width as u64)
    }

    /// Overwrites a row of `width` bytes with zeros, where the file has no name and may be written to.
    #[cfg(unix)]
    fn erase(&self, row: u64, width: usize) {
        use std::os::unix::fs::{FileExt, MetadataExt};
        if self.file.metadata().is_ok_and(|data| data.nlink() == 0) {
            // What cannot be written goes when the last who has the file open closes it.
            let _erased = self.file.write_all_at(&vec![0; width], self.start + row * width as u64);
        }
    }

    /// An open file has a name here.
    #[cfg(not(unix))]
    fn erase(&self, _row: u64, _width: usize) {}
}

impl Vectors {
    /// None yet, in memory.
    pub(super) fn resident() -> Self {
        Self::Resident(Resident { chunks: Vec::new(), rows: 0 })
    }

    /// None yet, in the same place as these.
    pub(super) fn none_beside(&self) -> Self {
        match self {
            Self::Resident(_) => Self::resident(),
            Self::Filed(file, _) => Self::Filed(Arc::clone(file), Vec::new()),
        }
    }

    /// The same vectors, shared until one of the two changes.
    pub(super) fn share(&self) -> Self {
        match self {
            Self::Resident(Resident { chunks, rows }) => {
                Self::Resident(Resident { chunks: chunks.clone(), rows: *rows })
            }
            Self::Filed(file, rows) => Self::Filed(Arc::clone(file), rows.clone()),
        }
    }

    /// Appends a vector, in memory.
    pub(super) fn push(&mut self, vector: &[f32]) {
        if let Self::Resident(resident) = self {
            resident.push(vector);
        }
    }

    /// Appends a row of the file.
    pub(super) fn push_filed(&mut self, row: Filed) {
        if let Self::Filed(_, rows) = self {
            rows.push(row);
        }
    }

    /// Appends a vector of others that are in the same place; false where they are not.
    pub(super) fn push_row_of(&mut self, other: &Self, row: usize, dimension: usize) -> bool {
        match (self, other) {
            (Self::Resident(mine), Self::Resident(others)) => mine.push(others.get(row, dimension)),
            (Self::Filed(_, mine), Self::Filed(_, others)) => mine.push(others[row]),
            _ => return false,
        }
        true
    }

    /// The vector of a row of `dimension` values; `room` holds it where it had to be read.
    pub(super) fn get<'a>(&'a self, row: usize, dimension: usize, room: &'a mut Vec<f32>) -> io::Result<&'a [f32]> {
        match self {
            Self::Resident(resident) => Ok(resident.get(row, dimension)),
            Self::Filed(file, rows) => {
                let mut bytes = vec![0; 4 * dimension];
                file.read(u64::from(rows[row].at), bytes.len(), &mut bytes)?;
                if sum_of(&bytes) != rows[row].sum {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "its bytes are not those that were opened"));
                }
                room.clear();
                room.extend(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
                Ok(room)
            }
        }
    }

    /// Overwrites a row with zeros.
    pub(super) fn erase(&mut self, row: usize, dimension: usize) {
        match self {
            Self::Resident(resident) => {
                let limit = Resident::rows_of_chunk(dimension);
                let chunk = Chunk::to_change(&mut resident.chunks[row / limit]);
                wipe(&mut chunk.values[row % limit * dimension..][..dimension]);
            }
            Self::Filed(file, rows) => file.erase(u64::from(rows[row].at), 4 * dimension),
        }
    }

    /// Says that all of them have been moved, and are to be overwritten when nobody reads them any more.
    pub(super) fn retire(&self) {
        if let Self::Resident(resident) = self {
            resident.chunks.iter().for_each(|chunk| chunk.replaced.store(true, Ordering::Relaxed));
        }
    }

    /// The snapshot that holds them, if one does.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Resident(_) => None,
            Self::Filed(file, _) => Some(&file.path),
        }
    }

    /// Bytes in memory.
    pub(super) fn resident_bytes(&self) -> usize {
        match self {
            Self::Resident(resident) => resident.chunks.iter().map(|chunk| 4 * chunk.values.len()).sum(),
            Self::Filed(_, rows) => size_of::<Filed>() * rows.len(),
        }
    }

    pub(super) fn is_resident(&self) -> bool {
        matches!(self, Self::Resident(_))
    }
}

/// Half of a 64-bit sum: one damaged row of four thousand million passes.
fn sum_of(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32
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
