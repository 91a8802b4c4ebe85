//! Which way a search takes: what the method asks for, what the budget allows, and what the measured recall forbids.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::concurrent::Method;
use super::lists::LISTS_FROM;
use super::view::View;

/// Share of probes that an approximate search must answer as the exact one does; below it the exact one is used.
pub const PROMISED_RECALL: f32 = 0.99;

/// Milliseconds that one probe may take before `Method::Auto` makes lists.
pub const DEFAULT_BUDGET_MS: f32 = 50.0;

/// Bytes of codes a second, until searches have shown how many it is.
const ASSUMED_SPEED: f32 = 10e9;

/// Smaller scans say nothing about memory.
const TELLING_BYTES: usize = 16 << 20;

/// How an index is to be searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// The way to take.
    pub method: Method,
    /// Milliseconds that one probe may take before `Method::Auto` makes lists.
    pub budget_ms: f32,
    /// Recall in [0, 1] below which an approximate search is not used.
    pub promised_recall: f32,
}

impl From<Method> for Wish {
    fn from(method: Method) -> Self {
        Self { method, budget_ms: DEFAULT_BUDGET_MS, promised_recall: PROMISED_RECALL }
    }
}

/// The measurements and wishes behind the choice.
pub(super) struct Choice {
    wish: Wish,
    speed: AtomicU32,
    recall: AtomicU32,
    refused: AtomicBool,
    /// Rows there were when lists were found to be no faster.
    declined: AtomicUsize,
    note: Mutex<Option<String>>,
}

impl Choice {
    pub(super) fn new(wish: Wish) -> Self {
        Self {
            wish,
            speed: AtomicU32::new(ASSUMED_SPEED.to_bits()),
            recall: AtomicU32::new(f32::NAN.to_bits()),
            refused: AtomicBool::new(false),
            declined: AtomicUsize::new(0),
            note: Mutex::new(None),
        }
    }

    pub(super) fn method(&self) -> Method {
        self.wish.method
    }

    /// Recall below which the approximate search is not used.
    pub(super) fn promised_recall(&self) -> f32 {
        self.wish.promised_recall
    }

    /// What an exact search of one probe takes, milliseconds, from the scans seen so far.
    pub(super) fn exact_ms(&self, view: &View) -> f32 {
        view.code_bytes() as f32 / f32::from_bits(self.speed.load(Ordering::Relaxed)) * 1e3
    }

    /// Takes note of a scan by one probe.
    pub(super) fn scanned(&self, bytes: usize, took: Duration) {
        if bytes >= TELLING_BYTES && !took.is_zero() {
            let old = f32::from_bits(self.speed.load(Ordering::Relaxed));
            let speed = 0.9 * old + 0.1 * bytes as f32 / took.as_secs_f32();
            self.speed.store(speed.to_bits(), Ordering::Relaxed);
        }
    }

    /// Whether the method wants lists for these rows.
    pub(super) fn wants_lists(&self, view: &View) -> bool {
        match self.wish.method {
            Method::Exact | Method::Hnsw => false,
            Method::Ivf => view.len() >= LISTS_FROM,
            Method::Auto => view.len() >= LISTS_FROM && self.exact_ms(view) > self.wish.budget_ms,
        }
    }

    /// Whether so many rows have no list that they should get one.
    pub(super) fn is_due(&self, view: &View) -> bool {
        let wanted = matches!(self.wish.method, Method::Ivf | Method::Auto) && view.len() >= LISTS_FROM;
        let declined = self.declined.load(Ordering::Relaxed);
        wanted
            && view.len() > 2 * declined
            && view.unlisted() > (view.len() / 8).max(LISTS_FROM / 2)
            && self.wants_lists(view)
    }

    /// Whether the last measurement forbids the approximate search.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes note of a measured recall.
    pub(super) fn judge(&self, recall: f32) {
        self.recall.store(recall.to_bits(), Ordering::Relaxed);
        self.refused.store(recall < self.wish.promised_recall, Ordering::Relaxed);
    }

    /// The last measured recall of the approximate search.
    pub(super) fn recall(&self) -> Option<f32> {
        Some(f32::from_bits(self.recall.load(Ordering::Relaxed))).filter(|recall| !recall.is_nan())
    }

    /// Takes note that lists are no faster for so many rows: not to be tried again before there are twice as many.
    pub(super) fn decline(&self, rows: usize) {
        self.declined.store(rows, Ordering::Relaxed);
        self.note(format!("lists would be no faster for these {rows} faces"));
    }

    /// Keeps what went wrong where nobody waited for it.
    pub(super) fn note(&self, reason: String) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    pub(super) fn noted(&self) -> Option<String> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
