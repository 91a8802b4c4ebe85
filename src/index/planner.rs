//! Choosing the search method from the caller's options, the measured speed and the measured recall.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::rows::View;

/// Default of [`SearchOptions::promised_recall`].
pub const PROMISED_RECALL: f32 = 0.99;

/// Default of [`SearchOptions::budget_ms`].
pub const DEFAULT_BUDGET_MS: f32 = 50.0;

/// Below this number of rows no lists are built: an exact scan takes a fraction of a millisecond.
const MIN_ROWS_FOR_LISTS: usize = if cfg!(test) { 2_000 } else { 20_000 };

/// Speed of a scan, bytes of codes per second, until searches have been measured.
const INITIAL_SPEED: f32 = 10e9;

/// Smaller scans are not measured: they run in the cache.
const MIN_MEASURED_BYTES: usize = 16 << 20;

/// How the nearest vectors are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// A scan of all vectors: recall 1.
    Exact,
    /// A graph of usearch proposes candidates, which are scored exactly. It may miss a few neighbors.
    Hnsw,
    /// A scan of the inverted lists nearest to the probe. It may miss a few neighbors.
    Ivf,
    /// `Exact` while a search stays within the budget, then `Ivf`.
    Auto,
}

impl Method {
    /// The number of this method in a snapshot.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Exact => 0,
            Self::Hnsw => 1,
            Self::Auto => 2,
            Self::Ivf => 3,
        }
    }
}

/// How to search an index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchOptions {
    /// The method to use.
    pub method: Method,
    /// Time limit for a search of one probe, milliseconds. Above it `Method::Auto` builds lists.
    pub budget_ms: f32,
    /// An approximate search is used only if its measured recall, in [0, 1], is at least this.
    pub promised_recall: f32,
}

impl From<Method> for SearchOptions {
    fn from(method: Method) -> Self {
        Self { method, budget_ms: DEFAULT_BUDGET_MS, promised_recall: PROMISED_RECALL }
    }
}

/// Chooses the search method from the options and from what was measured so far.
pub(super) struct IndexPlanner {
    options: SearchOptions,
    /// Bytes of codes per second, as the bits of an `f32`.
    speed: AtomicU32,
    /// Last measured recall, as the bits of an `f32`; NaN before the first measurement.
    recall: AtomicU32,
    recall_too_low: AtomicBool,
    /// Number of rows when lists were last found to be no faster than a scan.
    rows_without_gain: AtomicUsize,
    note: Mutex<Option<String>>,
}

impl IndexPlanner {
    pub(super) fn new(options: SearchOptions) -> Self {
        Self {
            options,
            speed: AtomicU32::new(INITIAL_SPEED.to_bits()),
            recall: AtomicU32::new(f32::NAN.to_bits()),
            recall_too_low: AtomicBool::new(false),
            rows_without_gain: AtomicUsize::new(0),
            note: Mutex::new(None),
        }
    }

    pub(super) fn method(&self) -> Method {
        self.options.method
    }

    pub(super) fn promised_recall(&self) -> f32 {
        self.options.promised_recall
    }

    /// Expected time of an exact search for one probe, milliseconds, from the scans measured so far.
    pub(super) fn exact_ms(&self, view: &View) -> f32 {
        view.code_bytes() as f32 / f32::from_bits(self.speed.load(Ordering::Relaxed)) * 1e3
    }

    /// Updates the speed from one scan for one probe.
    pub(super) fn record_scan(&self, bytes: usize, duration: Duration) {
        if bytes >= MIN_MEASURED_BYTES && !duration.is_zero() {
            let old = f32::from_bits(self.speed.load(Ordering::Relaxed));
            let speed = 0.9 * old + 0.1 * bytes as f32 / duration.as_secs_f32();
            self.speed.store(speed.to_bits(), Ordering::Relaxed);
        }
    }

    /// Whether the rows of this view should be searched through lists.
    pub(super) fn prefers_lists(&self, view: &View) -> bool {
        match self.options.method {
            Method::Exact | Method::Hnsw => false,
            Method::Ivf => view.len() >= MIN_ROWS_FOR_LISTS,
            Method::Auto => view.len() >= MIN_ROWS_FOR_LISTS && self.exact_ms(view) > self.options.budget_ms,
        }
    }

    /// Whether enough rows lack a list to warrant a rebuild.
    pub(super) fn needs_rebuild(&self, view: &View) -> bool {
        let rows_without_gain = self.rows_without_gain.load(Ordering::Relaxed);
        matches!(self.options.method, Method::Ivf | Method::Auto)
            && view.len() >= MIN_ROWS_FOR_LISTS
            && view.len() > 2 * rows_without_gain
            && view.len_without_list() > (view.len() / 8).max(MIN_ROWS_FOR_LISTS / 2)
            && self.prefers_lists(view)
    }

    /// Whether the measured recall rules out the approximate search.
    pub(super) fn recall_is_too_low(&self) -> bool {
        self.recall_too_low.load(Ordering::Relaxed)
    }

    /// Records a measured recall of the approximate search.
    pub(super) fn record_recall(&self, recall: f32) {
        self.recall.store(recall.to_bits(), Ordering::Relaxed);
        self.recall_too_low.store(recall < self.options.promised_recall, Ordering::Relaxed);
    }

    /// The last measured recall of the approximate search.
    pub(super) fn recall(&self) -> Option<f32> {
        Some(f32::from_bits(self.recall.load(Ordering::Relaxed))).filter(|recall| !recall.is_nan())
    }

    /// Records that lists are no faster for this number of rows. They are tried again when it has doubled.
    pub(super) fn record_no_gain(&self, rows: usize) {
        self.rows_without_gain.store(rows, Ordering::Relaxed);
        self.set_note(format!("lists would be no faster for these {rows} faces"));
    }

    /// Keeps a message, usually an error of a background thread, for the status.
    pub(super) fn set_note(&self, note: String) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = Some(note);
    }

    pub(super) fn note(&self) -> Option<String> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
