//! What an index says about itself, for whoever runs a gallery.

use super::concurrent::Method;
use super::inner::Inner;
use super::search::Reader;

/// What an index holds and how it searches.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Rows.
    pub faces: usize,
    /// The method that was asked for.
    pub method: Method,
    /// The method that answers now.
    pub in_use: Method,
    /// Lists of the approximate search, 0 where there are none.
    pub lists: usize,
    /// Lists that a probe is compared with.
    pub lists_probed: usize,
    /// Rows that no list or graph holds; a search scans them besides.
    pub outside: usize,
    /// Last measured recall of the approximate search, in [0, 1].
    pub recall: Option<f32>,
    /// Recall below which the approximate search is not used.
    pub promised_recall: f32,
    /// What an exact search of one probe takes, milliseconds, from the searches seen so far.
    pub exact_ms: f32,
    /// Bytes of the codes, which are always in memory.
    pub code_bytes: usize,
    /// Bytes of vectors in memory; those of a large gallery stay in the snapshot that was opened.
    pub vector_bytes: usize,
    /// What went wrong while lists were made.
    pub note: Option<String>,
}

impl Status {
    pub(super) fn of(inner: &Inner) -> Self {
        let reader = Reader::new(inner);
        let view = reader.view();
        let lists = view.lists();
        let graphed = |rows: usize| if reader.method() == Method::Hnsw { rows } else { 0 };
        let outside = if lists.is_some() {
            view.unlisted()
        } else {
            let inside = view.blocks().iter().map(|block| block.live() - block.outside()).sum();
            view.len() - graphed(inside)
        };
        Self {
            faces: view.len(),
            method: inner.choice.method(),
            in_use: reader.method(),
            lists: lists.map_or(0, |lists| lists.len()),
            lists_probed: lists.map_or(0, |lists| lists.probed()),
            outside,
            recall: inner.choice.recall(),
            promised_recall: inner.choice.promised_recall(),
            exact_ms: inner.choice.exact_ms(view),
            code_bytes: view.code_bytes(),
            vector_bytes: view.vector_bytes(),
            note: inner.choice.noted(),
        }
    }
}
