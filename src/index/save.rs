//! Writing snapshot files of an index. A snapshot holds all rows, names their pack and gallery, and carries checksums.
//!
//! Format, little-endian: header (magic, version, method, dimension, number of lists, `n_probe`, number of blocks,
//! lengths of the two names, number of rows, number of rows when the lists were trained, position, file length), pack
//! digest and gallery name, zeros up to a multiple of eight, mean, centroids of the lists, blocks (number of rows,
//! list), keys (u64), people (u64), vectors (f32, row by row), the first half of the SHA-256 of the vectors of each
//! block, the first half of the SHA-256 of everything except the vectors.
//!
//! Nothing is used before length and checksums are verified. The last SHA-256 covers the checksums of the blocks and so
//! identifies the snapshot: a caller that keeps it can tell this file from every other. Codes are not stored but
//! computed again from the vectors, and a graph is built again: its bytes would keep deleted vectors, and usearch does
//! not validate them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::rows::View;
use crate::error::{Error, Result};
use crate::pack::hex;

pub(super) const MAGIC: [u8; 8] = *b"fdxindex";
pub(super) const VERSION: u32 = 3;
pub(super) const HEADER: usize = 72;
pub(super) const CHECKSUM: usize = 16;

/// List number of a block without a list.
pub(super) const NO_LIST: u32 = u32::MAX;

/// Age at which a later save removes a temporary file that a dead process left behind.
const STALE_AGE: Duration = Duration::from_secs(600);

/// Header of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) pack: String,
    pub(super) gallery: String,
    pub(super) method: u32,
    pub(super) dimension: usize,
    pub(super) lists: usize,
    pub(super) n_probe: usize,
    pub(super) trained_rows: usize,
    pub(super) blocks: usize,
    pub(super) count: usize,
    pub(super) position: u64,
}

/// Writes a snapshot to a temporary file next to `path`, syncs it and renames it to `path`. Returns its SHA-256,
/// hexadecimal.
pub(super) fn write(path: &Path, header: &Header, view: &View) -> Result<String> {
    let failed = |error: io::Error| Error::Index { reason: format!("cannot write {}: {error}", path.display()) };
    let (folder, name) = folder_and_name(path).map_err(failed)?;
    remove_stale(&folder, &name);
    let temporary = folder.join(temporary_name(&name));
    let result = write_file(&temporary, header, view)
        .and_then(|digest| fs::rename(&temporary, path).map(|()| digest).map_err(|error| io_error(&error)));
    let digest = result.map_err(|error| {
        // The first error is the one to report; a file that is left behind is removed by a later save.
        let _ = fs::remove_file(&temporary);
        match error {
            Error::Index { reason } => Error::Index { reason: format!("cannot write {}: {reason}", path.display()) },
            other => other,
        }
    })?;
    sync_folder(&folder).map_err(failed)?;
    Ok(digest)
}

/// Writes a snapshot to memory, for a caller that encrypts it.
pub(super) fn to_bytes(header: &Header, view: &View) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(header.length());
    reserved.map_err(|error| Error::Index { reason: format!("not enough memory for a snapshot: {error}") })?;
    write_content(bytes, header, view).map(|(bytes, _)| bytes)
}

fn write_file(path: &Path, header: &Header, view: &View) -> Result<String> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600); // biometric templates are readable by their owner only
    let out = BufWriter::with_capacity(1 << 20, options.open(path).map_err(|error| io_error(&error))?);
    let (out, digest) = write_content(out, header, view)?;
    let file = out.into_inner().map_err(|error| io_error(&error.into_error()))?;
    file.sync_all().map_err(|error| io_error(&error))?;
    Ok(digest)
}

fn io_error(error: &io::Error) -> Error {
    Error::Index { reason: error.to_string() }
}

/// Returns the writer and the SHA-256 that identifies the snapshot.
fn write_content<W: Write>(mut out: W, header: &Header, view: &View) -> Result<(W, String)> {
    let mut sum = Sha256::new();
    let mut write = |out: &mut W, bytes: &[u8]| {
        sum.update(bytes);
        out.write_all(bytes).map_err(|error| io_error(&error))
    };
    write(&mut out, &header.to_bytes())?;
    write(&mut out, &floats(view.mean()))?;
    if let Some(lists) = view.lists() {
        write(&mut out, &floats(lists.centroids()))?;
    }
    let blocks = || view.blocks().iter().filter(|block| block.live_len() > 0);
    for block in blocks() {
        write(&mut out, &(block.live_len() as u32).to_le_bytes())?;
        write(&mut out, &block.list().unwrap_or(NO_LIST).to_le_bytes())?;
    }
    let mut numbers: Vec<u8> = Vec::new();
    for block in blocks() {
        numbers.clear();
        numbers.extend(block.live_rows().flat_map(|row| block.key(row).to_le_bytes()));
        write(&mut out, &numbers)?;
    }
    for block in blocks() {
        numbers.clear();
        numbers.extend(block.live_rows().flat_map(|row| block.person(row).to_le_bytes()));
        write(&mut out, &numbers)?;
    }
    let (mut buffer, mut checksums) = (Vec::new(), Vec::new());
    for block in blocks() {
        let mut bytes = Vec::with_capacity(4 * header.dimension * block.live_len());
        for row in block.live_rows() {
            bytes.extend(floats(block.vector(row, &mut buffer)?));
        }
        out.write_all(&bytes).map_err(|error| io_error(&error))?;
        checksums.extend(&Sha256::digest(&bytes)[..CHECKSUM]);
    }
    write(&mut out, &checksums)?;
    let digest = sum.finalize();
    out.write_all(&digest[..CHECKSUM]).map_err(|error| io_error(&error))?;
    Ok((out, hex(&digest)))
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

impl Header {
    /// The header for a view, without pack, gallery, method and position.
    pub(super) fn for_view(view: &View) -> Self {
        let lists = view.lists();
        Self {
            pack: String::new(),
            gallery: String::new(),
            method: 0,
            dimension: view.mean().len(),
            lists: lists.map_or(0, |lists| lists.len()),
            n_probe: lists.map_or(0, |lists| lists.n_probe()),
            trained_rows: lists.map_or(0, |lists| lists.trained_rows()),
            blocks: view.blocks().iter().filter(|block| block.live_len() > 0).count(),
            count: view.len(),
            position: 0,
        }
    }

    /// Length of the names and their padding, bytes.
    fn names_length(&self) -> usize {
        (self.pack.len() + self.gallery.len()).next_multiple_of(8)
    }

    /// Offset of the vectors, bytes.
    fn vectors_start(&self) -> usize {
        HEADER + self.names_length() + 4 * self.dimension * (1 + self.lists) + 8 * self.blocks + 16 * self.count
    }

    /// Length of the whole snapshot, bytes.
    pub(super) fn length(&self) -> usize {
        self.vectors_start() + 4 * self.dimension * self.count + CHECKSUM * (self.blocks + 1)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.names_length());
        bytes.extend(MAGIC);
        let lengths = [self.pack.len(), self.gallery.len()];
        for word in [VERSION, self.method, self.dimension as u32, self.lists as u32, self.n_probe as u32] {
            bytes.extend(word.to_le_bytes());
        }
        for word in [self.blocks as u32, lengths[0] as u32, lengths[1] as u32] {
            bytes.extend(word.to_le_bytes());
        }
        for word in [self.count as u64, self.trained_rows as u64, self.position, self.length() as u64] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(self.pack.as_bytes());
        bytes.extend(self.gallery.as_bytes());
        bytes.resize(HEADER + self.names_length(), 0);
        bytes
    }
}

fn folder_and_name(path: &Path) -> io::Result<(PathBuf, OsString)> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    Ok((folder.to_path_buf(), name.to_os_string()))
}

/// A name that no other save uses, in this process or in another.
fn temporary_name(name: &OsString) -> OsString {
    static SAVES: AtomicU64 = AtomicU64::new(0);
    let mut temporary = name.clone();
    let nanoseconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let save = SAVES.fetch_add(1, Ordering::Relaxed);
    temporary.push(format!(".{}-{nanoseconds:x}-{save}.tmp", std::process::id()));
    temporary
}

/// Removes old temporary files of this snapshot that dead processes left behind, because they hold biometric templates.
fn remove_stale(folder: &Path, name: &OsString) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let (start, end) = ([name.as_encoded_bytes(), b"."].concat(), b".tmp".as_slice());
    for entry in entries.flatten() {
        let candidate = entry.file_name();
        let candidate = candidate.as_encoded_bytes();
        let is_ours =
            candidate.starts_with(&start) && candidate.ends_with(end) && candidate.len() > start.len() + end.len();
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        if is_ours && age.is_some_and(|age| age >= STALE_AGE) {
            // Another save may have removed it already.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes the renaming durable, on systems that can sync folders.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
