//! The index that callers hold: one writer at a time, readers on views that never change, and a check of all that enters.
//!
//! A search takes the latest view and waits for nobody. A change is made beside the views and published as a whole: a
//! reader sees all of it or nothing, and one that begins after the change returned sees it. Refused are vectors of another
//! dimension, not finite or not of unit length, and keys that are there already; an addition is made whole or not at all.

#![allow(clippy::needless_pass_by_value)] // array views are references already

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;

use ndarray::ArrayView2;

use super::choice::{Choice, Wish};
use super::dot::check_unit;
use super::file::{self, Header};
use super::hnsw::RESERVED_KEY;
use super::inner::Inner;
use super::open::{self, DIMENSION_LIMIT, Opened, RESIDENT_LIMIT};
use super::people::{self, People};
use super::ranking::Hit;
use super::rows::Rows;
use super::search::Reader;
use super::status::Status;
use super::view::View;
use crate::error::{Error, Result};

/// Longest pack digest or gallery name in a snapshot, bytes.
const NAME_LIMIT: usize = 1024;

/// Probes by which a snapshot that was opened is measured.
const OPENING_PROBES: usize = 200;

/// How the nearest vectors are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Every vector is considered: recall 1.
    Exact,
    /// A usearch graph names candidates, which are scored exactly; a few neighbours may be missed.
    Hnsw,
    /// Rows are kept in lists, and those nearest to the probe are scanned; a few neighbours may be missed.
    Ivf,
    /// Exact while a search stays within the budget, then lists.
    Auto,
}

/// Unit vectors under keys, searched by cosine.
pub struct Index {
    pub(super) inner: Arc<Inner>,
}

impl Index {
    /// An empty index for vectors of `dimension` values made by the pack with this digest.
    pub fn new(dimension: usize, pack: &str, wish: impl Into<Wish>) -> Result<Self> {
        if !(1..=DIMENSION_LIMIT).contains(&dimension) {
            let accepted = format!("from 1 to {DIMENSION_LIMIT}");
            return Err(Error::Argument { name: "dimension", accepted, found: dimension.to_string() });
        }
        check_name("pack", pack)?;
        Ok(Self::from_rows(Rows::new(dimension), pack, wish.into()))
    }

    fn from_rows(rows: Rows, pack: &str, wish: Wish) -> Self {
        Self { inner: Arc::new(Inner::new(rows, pack, Choice::new(wish))) }
    }

    /// Adds one vector a key, (key, value) as `f32` of unit length, all or none. `people` says whose each is; without it
    /// every key is a person.
    pub fn add(&self, keys: &[u64], people: Option<&[u64]>, vectors: ArrayView2<f32>) -> Result<()> {
        let one_a_vector = |name: &'static str, found: usize| {
            let accepted = format!("one a vector, {}", vectors.nrows());
            if found == vectors.nrows() {
                return Ok(());
            }
            Err(Error::Argument { name, accepted, found: found.to_string() })
        };
        one_a_vector("keys", keys.len())?;
        one_a_vector("people", people.map_or(keys.len(), <[u64]>::len))?;
        self.check_vectors(vectors)?;
        if keys.contains(&RESERVED_KEY) {
            let accepted = format!("below {RESERVED_KEY}");
            return Err(Error::Argument { name: "key", accepted, found: RESERVED_KEY.to_string() });
        }
        if keys.is_empty() {
            return Ok(());
        }
        self.inner.add(keys, people.unwrap_or(keys), vectors)?;
        self.schedule();
        Ok(())
    }

    /// Removes keys and returns how many there were; unknown ones are ignored. Their vectors are overwritten at once, also
    /// in an opened snapshot whose name is gone; in copies that a search still reads when it ends.
    pub fn remove(&self, keys: &[u64]) -> usize {
        self.inner.remove(keys)
    }

    /// The `k` nearest keys of each probe, (probe, value) as `f32` of unit length; best first, equals by smaller key.
    pub fn search(&self, probes: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>> {
        let probes = self.checked_probes(probes, k)?;
        let probes: Vec<&[f32]> = probes.iter().map(Vec::as_slice).collect();
        Reader::new(&self.inner).nearest(&probes, k)
    }

    /// The `k` best people of each probe: by their best face, or by the mean of their best `faces` where that is above 1.
    pub fn search_people(&self, probes: ArrayView2<f32>, k: usize, faces: usize) -> Result<Vec<People>> {
        if faces == 0 {
            return Err(Error::Argument { name: "faces", accepted: "at least 1".to_owned(), found: "0".to_owned() });
        }
        let probes = self.checked_probes(probes, k)?;
        let probes: Vec<&[f32]> = probes.iter().map(Vec::as_slice).collect();
        let reader = Reader::new(&self.inner);
        people::group(reader.view(), &probes, k, faces, |probes, rows| reader.nearest(probes, rows))
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.inner.view().len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of a vector.
    pub fn dimension(&self) -> usize {
        self.inner.dimension
    }

    /// Digest of the pack whose embeddings these are.
    pub fn pack(&self) -> &str {
        &self.inner.pack
    }

    /// Whether the key is there. Waits for a change that is being made.
    pub fn contains(&self, key: u64) -> bool {
        self.inner.contains(key)
    }

    /// How searches are answered now: never `Auto`.
    pub fn method_in_use(&self) -> Method {
        Reader::new(&self.inner).method()
    }

    /// What it holds and how it searches.
    pub fn status(&self) -> Status {
        Status::of(&self.inner)
    }

    /// Share of `count` probes, made from this gallery's own vectors, for which the approximate search finds the nearest
    /// row, 1 where there is no approximate search. One that is below the promised recall is not used from here on.
    pub fn sample_recall(&self, count: usize) -> Result<f32> {
        self.inner.sample_recall(count)
    }

    /// Puts rows into lists where the method asks for them and enough rows have none. Searches and changes go on meanwhile.
    pub fn maintain(&self) -> Result<()> {
        let _one = self.inner.arranging.lock().unwrap_or_else(PoisonError::into_inner);
        if self.inner.choice.is_due(&self.inner.view()) { self.inner.arrange() } else { Ok(()) }
    }

    /// Writes a snapshot for this gallery at this position of its changes. Searches and changes go on meanwhile.
    pub fn save(&self, path: &Path, gallery: &str, position: u64) -> Result<()> {
        check_name("gallery", gallery)?;
        let view = self.inner.view();
        file::write(path, &self.header(&view, gallery, position), &view)
    }

    /// The bytes of a snapshot, as `save` would write them, for a caller that encrypts them.
    pub fn to_bytes(&self, gallery: &str, position: u64) -> Result<Vec<u8>> {
        check_name("gallery", gallery)?;
        let view = self.inner.view();
        file::to_bytes(&self.header(&view, gallery, position), &view)
    }

    fn header(&self, view: &View, gallery: &str, position: u64) -> Header {
        let (pack, gallery) = (self.inner.pack.clone(), gallery.to_owned());
        Header { pack, gallery, method: self.inner.choice.method().number(), position, ..Header::of(view) }
    }

    /// Reads a snapshot of this pack and gallery, and the position it was written at. A graph is built again. The vectors
    /// of a large gallery stay in the file, which must not be changed in place, and may be removed where the system allows.
    pub fn load(path: &Path, pack: &str, gallery: &str, wish: impl Into<Wish>) -> Result<(Self, u64)> {
        Self::load_within(path, pack, gallery, wish, RESIDENT_LIMIT)
    }

    /// The same; vectors stay in the file where they are more bytes than this.
    pub fn load_within(
        path: &Path,
        pack: &str,
        gallery: &str,
        wish: impl Into<Wish>,
        resident_bytes: usize,
    ) -> Result<(Self, u64)> {
        Self::opened(open::read(path, pack, gallery, resident_bytes)?, pack, wish)
    }

    /// Reads a snapshot from memory; `name` says in an error where it came from.
    pub fn from_bytes(
        bytes: &[u8],
        name: &Path,
        pack: &str,
        gallery: &str,
        wish: impl Into<Wish>,
    ) -> Result<(Self, u64)> {
        Self::opened(open::from_bytes(bytes, name, pack, gallery)?, pack, wish)
    }

    pub(super) fn opened(opened: Opened, pack: &str, wish: impl Into<Wish>) -> Result<(Self, u64)> {
        let wish = wish.into();
        let index = Self::from_rows(opened.rows, pack, wish);
        if wish.method == Method::Hnsw {
            let mut writer = index.inner.write()?;
            writer.feed_graph(index.inner.dimension)?;
            index.inner.publish(&writer);
        }
        index.schedule();
        index.measure_aside();
        Ok((index, opened.header.position))
    }

    #[cfg(test)]
    pub(super) fn view(&self) -> Arc<View> {
        self.inner.view()
    }

    /// Starts a thread that arranges rows, where that is due and none does so yet.
    fn schedule(&self) {
        let inner = &self.inner;
        if !inner.choice.is_due(&inner.view()) || inner.scheduled.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::clone(inner);
        let started = thread::Builder::new().name("facedex lists".to_owned()).spawn(move || {
            let _one = shared.arranging.lock().unwrap_or_else(PoisonError::into_inner);
            if shared.choice.is_due(&shared.view())
                && let Err(error) = shared.arrange()
            {
                shared.choice.note(error.to_string());
            }
            shared.scheduled.store(false, Ordering::Release);
        });
        if let Err(error) = started {
            inner.choice.note(format!("no thread to make lists: {error}"));
            inner.scheduled.store(false, Ordering::Release);
        }
    }

    /// Measures what was opened, in a thread: how good its lists are for these rows nobody has said.
    fn measure_aside(&self) {
        if Reader::approximate(&self.inner).method() == Method::Exact {
            return;
        }
        let shared = Arc::clone(&self.inner);
        let started = thread::Builder::new().name("facedex recall".to_owned()).spawn(move || {
            if let Err(error) = shared.sample_recall(OPENING_PROBES) {
                shared.choice.note(error.to_string());
            }
        });
        if let Err(error) = started {
            self.inner.choice.note(format!("no thread to measure the recall: {error}"));
        }
    }

    fn check_vectors(&self, vectors: ArrayView2<f32>) -> Result<()> {
        if vectors.ncols() != self.inner.dimension {
            let reason = format!("must have {} values, got {}", self.inner.dimension, vectors.ncols());
            return Err(Error::Embedding { reason });
        }
        vectors.outer_iter().enumerate().try_for_each(|(row, vector)| match vector.as_slice() {
            Some(vector) => check_unit(row, vector),
            None => check_unit(row, &vector.to_vec()),
        })
    }

    fn checked_probes(&self, probes: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<f32>>> {
        if k == 0 {
            return Err(Error::Argument { name: "k", accepted: "at least 1".to_owned(), found: "0".to_owned() });
        }
        self.check_vectors(probes)?;
        Ok(probes.outer_iter().map(|probe| probe.to_vec()).collect())
    }
}

impl Method {
    fn number(self) -> u32 {
        match self {
            Self::Exact => 0,
            Self::Hnsw => 1,
            Self::Auto => 2,
            Self::Ivf => 3,
        }
    }
}

fn check_name(name: &'static str, value: &str) -> Result<()> {
    if (1..=NAME_LIMIT).contains(&value.len()) {
        return Ok(());
    }
    let accepted = format!("text of 1 to {NAME_LIMIT} bytes");
    Err(Error::Argument { name, accepted, found: format!("{} bytes", value.len()) })
}
