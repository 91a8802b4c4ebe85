//! Keys ↔ nearest embeddings: unit vectors are stored under keys, and a search returns the nearest keys of a probe with
//! their similarity.
//!
//! From the lowest level up, a file uses only files that are listed before it:
//!
//! - `simd`, `dot`: inner products. `pages`, `codes`: 8-bit codes with error bounds. `vectors`: `f32` vectors in memory
//!   or in a snapshot file. `ranking`: the best hits.
//! - `block`, `lists`, `rows`: the table of rows in copy-on-write blocks, its inverted lists, and the views that
//!   readers see.
//! - `exact`: the scan with recall 1. `hnsw`: the graph. `people`: hits grouped by person.
//! - `clustering`: building lists. `recall`: measuring an approximate search. `planner`: choosing the method.
//! - `save`, `load`: snapshots. `shared`: the writer and the current view. `reader`: one search. `concurrent`: the
//!   public index.
//!
//! Nothing here knows names. The database is the truth, and an index is a cache of it. Equal vectors under several keys
//! stay several rows: each belongs to its own person and is deleted with that person.

mod block;
mod clustering;
mod codes;
mod concurrent;
mod dot;
mod exact;
mod hnsw;
mod lists;
mod load;
mod pages;
mod people;
mod planner;
mod ranking;
mod reader;
mod recall;
mod rows;
mod save;
mod shared;
#[cfg(target_arch = "x86_64")]
mod simd;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;
mod vectors;

pub use concurrent::Index;
pub use load::{Expected, RESIDENT_LIMIT};
pub use people::People;
pub use planner::{DEFAULT_BUDGET_MS, Method, PROMISED_RECALL, SearchOptions};
pub use ranking::Hit;
pub use reader::Status;
