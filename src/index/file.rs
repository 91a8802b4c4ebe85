//! Snapshot files of an index: all rows under a header that says whose they are, and under checksums.
//!
//! Little-endian: header (magic, version, method, dimension, lists, lists asked, blocks, lengths of the two names, rows,
//! rows when the lists were made, position, file length), pack digest and gallery name, zeros up to a multiple of eight,
//! mean, centres of the lists, blocks (rows, list), keys (u64), people (u64), vectors (f32, row by row), XXH3 (128 bits) of
//! each block's vectors, XXH3 of everything but the vectors. Nothing is used before length and checksums are right; blocks
//! are read and summed side by side. XXH3 and not SHA-256: what it guards against is damage, and at memory speed; an
//! unkeyed digest of any kind does not stop whoever can write the file. Codes are made again from the vectors, and so is a
//! graph: its bytes would keep deleted vectors, and usearch trusts them blindly.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::view::{View, vector_of};
use crate::error::{Error, Result};

pub(super) const MAGIC: [u8; 8] = *b"fdxindex";
pub(super) const VERSION: u32 = 2;
pub(super) const HEADER: usize = 72;
pub(super) const CHECKSUM: usize = 16;

/// List of a block that belongs to none.
pub(super) const NO_LIST: u32 = u32::MAX;

/// A temporary file left behind by a process that died is removed by a later save when it is this old.
const STALE: Duration = Duration::from_secs(600);

/// What a snapshot says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) pack: String,
    pub(super) gallery: String,
    pub(super) method: u32,
    pub(super) dimension: usize,
    pub(super) lists: usize,
    pub(super) probed: usize,
    pub(super) trained: usize,
    pub(super) blocks: usize,
    pub(super) count: usize,
    pub(super) position: u64,
}

/// Writes a snapshot beside `path` and renames it there when it is on the disk.
pub(super) fn write(path: &Path, header: &Header, view: &View) -> Result<()> {
    let failed = |error: io::Error| Error::Index { reason: format!("cannot write {}: {error}", path.display()) };
    let (folder, name) = folder_and_name(path).map_err(failed)?;
    remove_stale(&folder, &name);
    let aside = folder.join(temporary_name(&name));
    let written =
        write_aside(&aside, header, view).and_then(|()| fs::rename(&aside, path).map_err(|error| unwritten(&error)));
    if let Err(error) = written {
        // The error that is reported is the one that mattered; the leftover goes with the next save at the latest.
        let _left = fs::remove_file(&aside);
        return Err(match error {
            Error::Index { reason } => Error::Index { reason: format!("cannot write {}: {reason}", path.display()) },
            other => other,
        });
    }
    sync_folder(&folder).map_err(failed)
}

/// The snapshot as bytes in memory, for a caller that encrypts them.
pub(super) fn to_bytes(header: &Header, view: &View) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(header.length());
    reserved.map_err(|error| Error::Index { reason: format!("cannot make a snapshot: {error}") })?;
    emit(bytes, header, view)
}

fn write_aside(aside: &Path, header: &Header, view: &View) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600); // templates are nobody else's business
    let out = BufWriter::with_capacity(1 << 20, options.open(aside).map_err(|error| unwritten(&error))?);
    let file = emit(out, header, view)?.into_inner().map_err(|error| unwritten(&error.into_error()))?;
    file.sync_all().map_err(|error| unwritten(&error))
}

fn unwritten(error: &io::Error) -> Error {
    Error::Index { reason: error.to_string() }
}

/// Writes the whole content.
fn emit<W: Write>(mut out: W, header: &Header, view: &View) -> Result<W> {
    let mut sum = Xxh3::new();
    let mut put = |out: &mut W, bytes: &[u8]| {
        sum.update(bytes);
        out.write_all(bytes).map_err(|error| unwritten(&error))
    };
    put(&mut out, &header.to_bytes())?;
    put(&mut out, &floats(view.mean()))?;
    if let Some(lists) = view.lists() {
        put(&mut out, &floats(lists.centres()))?;
    }
    let blocks = || view.blocks().iter().filter(|block| block.live() > 0);
    for block in blocks() {
        put(&mut out, &(block.live() as u32).to_le_bytes())?;
        put(&mut out, &block.list().unwrap_or(NO_LIST).to_le_bytes())?;
    }
    let mut numbers: Vec<u8> = Vec::new();
    for block in blocks() {
        numbers.clear();
        numbers.extend(block.live_rows().flat_map(|row| block.key(row).to_le_bytes()));
        put(&mut out, &numbers)?;
    }
    for block in blocks() {
        numbers.clear();
        numbers.extend(block.live_rows().flat_map(|row| block.person(row).to_le_bytes()));
        put(&mut out, &numbers)?;
    }
    let (mut room, mut sums) = (Vec::new(), Vec::new());
    for block in blocks() {
        let mut bytes = Vec::with_capacity(4 * header.dimension * block.live());
        for row in block.live_rows() {
            bytes.extend(floats(vector_of(block, row, &mut room)?));
        }
        out.write_all(&bytes).map_err(|error| unwritten(&error))?;
        sums.extend(xxh3_128(&bytes).to_le_bytes());
    }
    put(&mut out, &sums)?;
    out.write_all(&sum.digest128().to_le_bytes()).map_err(|error| unwritten(&error))?;
    Ok(out)
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

impl Header {
    /// Of a view, with nothing said yet about whose it is.
    pub(super) fn of(view: &View) -> Self {
        let lists = view.lists();
        Self {
            pack: String::new(),
            gallery: String::new(),
            method: 0,
            dimension: view.mean().len(),
            lists: lists.map_or(0, |lists| lists.len()),
            probed: lists.map_or(0, |lists| lists.probed()),
            trained: lists.map_or(0, |lists| lists.trained()),
            blocks: view.blocks().iter().filter(|block| block.live() > 0).count(),
            count: view.len(),
            position: 0,
        }
    }

    fn names(&self) -> usize {
        (self.pack.len() + self.gallery.len()).next_multiple_of(8)
    }

    /// Bytes before the vectors.
    fn start(&self) -> usize {
        HEADER + self.names() + 4 * self.dimension * (1 + self.lists) + 8 * self.blocks + 16 * self.count
    }

    /// Bytes of the whole snapshot.
    pub(super) fn length(&self) -> usize {
        self.start() + 4 * self.dimension * self.count + CHECKSUM * (self.blocks + 1)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.names());
        bytes.extend(MAGIC);
        let lengths = [self.pack.len(), self.gallery.len()];
        for word in [VERSION, self.method, self.dimension as u32, self.lists as u32, self.probed as u32] {
            bytes.extend(word.to_le_bytes());
        }
        for word in [self.blocks as u32, lengths[0] as u32, lengths[1] as u32] {
            bytes.extend(word.to_le_bytes());
        }
        for word in [self.count as u64, self.trained as u64, self.position, self.length() as u64] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(self.pack.as_bytes());
        bytes.extend(self.gallery.as_bytes());
        bytes.resize(HEADER + self.names(), 0);
        bytes
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
