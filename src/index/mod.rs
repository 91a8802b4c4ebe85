//! Keys ↔ nearest embeddings: unit vectors go in under a key, a probe's nearest keys come out with their similarity.
//!
//! `concurrent` is the index that callers hold, `inner` its writer and readers that wait for nobody. `rows` is what the writer
//! changes, block by `block`, and `view` what a reader sees; `vectors` are in memory or in the opened snapshot, `codes` are
//! their 8-bit shadows on huge `pages`, multiplied in `products` and `wide`. `exact` scans them with recall 1, `lists` and `hnsw` are the approximate
//! ways, `sample` measures what these find, `choice` and `search` take the way; `people` groups rows by person, `file` and
//! `open` write and read snapshots. Nothing here knows names; the database above is the truth and an index is a cache of it.
//!
//! Equal vectors under several keys are several rows: each belongs to a person of its own and goes with that person, and what
//! sharing would save is the rows of photographs that were registered twice.

mod block;
mod choice;
mod codes;
mod concurrent;
mod dot;
mod exact;
mod file;
mod hnsw;
mod inner;
mod lists;
mod open;
mod pages;
mod people;
mod products;
mod ranking;
mod rows;
mod sample;
mod search;
mod status;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;
mod vectors;
mod view;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use choice::{DEFAULT_BUDGET_MS, PROMISED_RECALL, Wish};
pub use concurrent::{Index, Method};
pub use open::RESIDENT_LIMIT;
pub use people::People;
pub use ranking::Hit;
pub use status::Status;
