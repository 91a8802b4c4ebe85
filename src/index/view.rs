//! What a reader sees: all rows of an index at one moment. It never changes, and it costs its reader no lock.

use std::path::Path;
use std::sync::Arc;

use super::block::Block;
use super::lists::Lists;
use crate::error::{Error, Result};

/// The rows of an index at one moment.
pub(super) struct View {
    blocks: Vec<Arc<Block>>,
    lists: Option<Arc<Lists>>,
    mean: Arc<[f32]>,
    live: usize,
}

impl View {
    pub(super) fn new(blocks: Vec<Arc<Block>>, lists: Option<Arc<Lists>>, mean: Arc<[f32]>, live: usize) -> Self {
        Self { blocks, lists, mean, live }
    }

    /// Live rows.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    pub(super) fn lists(&self) -> Option<&Arc<Lists>> {
        self.lists.as_ref()
    }

    /// The mean that new codes leave out.
    pub(super) fn mean(&self) -> &Arc<[f32]> {
        &self.mean
    }

    /// Rows that came after the lists were made.
    pub(super) fn unlisted(&self) -> usize {
        self.blocks.iter().filter(|block| block.list().is_none()).map(|block| block.live()).sum()
    }

    /// Bytes of the codes that an exact scan reads.
    pub(super) fn code_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.codes().bytes()).sum()
    }

    /// Bytes that the vectors take in memory.
    pub(super) fn vector_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.vectors().resident_bytes()).sum()
    }
}

/// The vector of a row; `room` holds it where it had to be read.
pub(super) fn vector_of<'a>(block: &'a Block, row: usize, room: &'a mut Vec<f32>) -> Result<&'a [f32]> {
    block.vector(row, room).map_err(|error| unreadable(block, &error.to_string()))
}

/// A vector of this block could not be read from its snapshot.
pub(super) fn unreadable(block: &Block, reason: &str) -> Error {
    let path = block.vectors().path().map(Path::to_path_buf).unwrap_or_default();
    Error::IndexFile { path, reason: format!("a vector of it, needed by a search: {reason}") }
}
