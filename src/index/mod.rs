//! Keys ↔ nearest embeddings: unit vectors go in under a key, a probe's nearest keys come out with their similarity.
//!
//! `concurrent` is the index that callers hold: one lock, many readers. `rows` and `segment` keep the vectors, `codes`
//! their 8-bit shadows, `exact` scans them with recall 1, `hnsw` walks a usearch graph, `file` writes and reads snapshots.
//! Nothing here knows people or names; the database above is the truth and an index is a cache of it.

mod codes;
mod concurrent;
mod dot;
mod exact;
mod file;
mod hnsw;
mod ranking;
mod rows;
mod segment;
#[cfg(test)]
mod synthetic;

pub use concurrent::{AUTO_LIMIT, Index, Method};
pub use ranking::Hit;
