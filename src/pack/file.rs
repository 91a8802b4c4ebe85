//! The files of a pack: what a manifest declares of each, and where they lie.

use super::{Pack, Refusal};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One file of a pack.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// File name, without a folder.
    pub name: String,
    /// Size, bytes.
    pub size: u64,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// SPDX identifier or name of its licence.
    pub licence: String,
    /// Whether that licence allows commercial use.
    pub commercial: bool,
    /// Where the file and its licence are published, and who made it.
    pub source: String,
    /// What it was trained on, as its author states it.
    pub trained_on: String,
}

impl FileSpec {
    pub(super) fn check(&self) -> Refusal {
        let plain = Path::new(&self.name).file_name().is_some_and(|name| name == self.name.as_str());
        if !plain || self.name.contains('\\') {
            return Err(format!("file name {:?} must be a plain name without a folder", self.name));
        }
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(format!("sha256 of file {:?} must be 64 lower-case hexadecimal digits", self.name));
        }
        Ok(())
    }
}

/// A pack's manifest and the folders in which its files lie.
#[derive(Debug, Clone)]
pub struct PackFiles {
    /// The declarations.
    pub pack: Pack,
    /// Folders searched for files, in order.
    pub folders: Vec<PathBuf>,
}

impl PackFiles {
    /// The path of a file of the pack.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
            Error::WeightsMissing {
                pack: self.pack.name.clone(),
                file: name.to_string(),
                folder: self.folders.last().cloned().unwrap_or_default(),
            }
        })
    }
}
