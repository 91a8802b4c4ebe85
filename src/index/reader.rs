//! Searching one view of an index: by lists, by the graph, or by an exact scan wherever these fall short.

use std::sync::{Arc, RwLockReadGuard};
use std::time::Instant;

use super::block::RowState;
use super::dot::similarity;
use super::exact::{Scope, scan};
use super::hnsw::Graph;
use super::lists::Lists;
use super::planner::Method;
use super::ranking::{Hit, TopK};
use super::recall::sample_cases;
use super::rows::{Rows, View};
use super::shared::{Shared, Writer};
use crate::error::Result;

/// For more hits than this an exact scan is faster than lists or a graph.
const MAX_APPROXIMATE_K: usize = 256;

/// A search of an index at one moment.
pub(super) struct Reader<'a> {
    shared: &'a Shared,
    view: Arc<View>,
    strategy: Strategy<'a>,
}

/// How a reader searches.
enum Strategy<'a> {
    Exact,
    Lists(Arc<Lists>),
    /// The lock keeps the graph unchanged during the search and the view in step with it. A reader that cannot take the
    /// lock at once scans instead.
    Graph(RwLockReadGuard<'a, Writer>),
}

/// What an index holds and how it searches.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Number of vectors.
    pub faces: usize,
    /// The method in the options.
    pub method: Method,
    /// The method that searches use now; never `Auto`.
    pub in_use: Method,
    /// Number of inverted lists; 0 if there are none.
    pub n_lists: usize,
    /// Number of lists that a search probes.
    pub n_probe: usize,
    /// Number of rows that are in no list and not in the graph; each search scans them too.
    pub unindexed: usize,
    /// Last measured recall of the approximate search, in [0, 1].
    pub recall: Option<f32>,
    /// Recall below which the approximate search is not used.
    pub promised_recall: f32,
    /// Expected time of an exact search for one probe, milliseconds, from the searches measured so far.
    pub exact_ms: f32,
    /// Bytes of the codes, which are always in memory.
    pub code_bytes: usize,
    /// Bytes of the vectors in memory; those of a large snapshot stay in its file.
    pub vector_bytes: usize,
    /// The last error or remark of a background thread.
    pub note: Option<String>,
}

impl<'a> Reader<'a> {
    /// A reader with the strategy that the planner prefers.
    pub(super) fn new(shared: &'a Shared) -> Self {
        let reader = Self::approximate(shared);
        let accepted = match reader.strategy {
            Strategy::Exact => true,
            Strategy::Graph(_) => !shared.planner.recall_is_too_low(),
            Strategy::Lists(_) => !shared.planner.recall_is_too_low() && shared.planner.prefers_lists(&reader.view),
        };
        if accepted { reader } else { Self { strategy: Strategy::Exact, ..reader } }
    }

    /// A reader with the approximate strategy if there is one, whatever its recall.
    fn approximate(shared: &'a Shared) -> Self {
        let method = shared.planner.method();
        let graph = if method == Method::Hnsw { shared.try_read_graph() } else { None };
        let view = shared.view();
        let lists = match method {
            Method::Ivf | Method::Auto => view.lists().filter(|lists| lists.are_faster_than_scan()).cloned(),
            Method::Exact | Method::Hnsw => None,
        };
        let strategy = match (graph, lists) {
            (Some(graph), _) => Strategy::Graph(graph),
            (None, Some(lists)) => Strategy::Lists(lists),
            (None, None) => Strategy::Exact,
        };
        Self { shared, view, strategy }
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn method(&self) -> Method {
        match self.strategy {
            Strategy::Exact => Method::Exact,
            Strategy::Lists(_) => Method::Ivf,
            Strategy::Graph(_) => Method::Hnsw,
        }
    }

    /// The `k` nearest rows of each probe, best first.
    pub(super) fn nearest(&self, probes: &[&[f32]], k: usize) -> Result<Vec<Vec<Hit>>> {
        let k = k.min(self.view.len());
        if k == 0 {
            return Ok(vec![Vec::new(); probes.len()]);
        }
        match &self.strategy {
            Strategy::Lists(lists) if k <= MAX_APPROXIMATE_K => self.search_lists(lists, probes, k),
            Strategy::Graph(writer) if k <= MAX_APPROXIMATE_K => match &writer.graph {
                Some(graph) if graph.len() > 4 * k => {
                    probes.iter().map(|probe| self.search_graph(&writer.rows, graph, probe, k)).collect()
                }
                _ => self.exact(probes, k),
            },
            _ => self.exact(probes, k),
        }
    }

    /// The `k` nearest rows of each probe by a scan of all rows.
    pub(super) fn exact(&self, probes: &[&[f32]], k: usize) -> Result<Vec<Vec<Hit>>> {
        let start = Instant::now();
        let hits = scan(&self.view, probes, k.min(self.view.len()).max(1), Scope::All)?;
        if probes.len() == 1 {
            self.shared.planner.record_scan(self.view.code_bytes(), start.elapsed());
        }
        Ok(hits)
    }

    fn search_lists(&self, lists: &Lists, probes: &[&[f32]], k: usize) -> Result<Vec<Vec<Hit>>> {
        let nearest: Vec<Vec<u32>> = probes.iter().map(|probe| lists.nearest(probe)).collect();
        let mut results = scan(&self.view, probes, k, Scope::Lists(&nearest))?;
        for (hits, probe) in results.iter_mut().zip(probes).filter(|(hits, _)| hits.len() < k) {
            *hits = self.exact(&[probe], k)?.pop().unwrap_or_default();
        }
        Ok(results)
    }

    /// Scores the candidates of the graph and the rows outside it; scans all rows if the graph has too few candidates.
    fn search_graph(&self, rows: &Rows, graph: &Graph, probe: &[f32], k: usize) -> Result<Vec<Hit>> {
        let count = (2 * k).max(k + 64).min(graph.len());
        let mut best = TopK::new(k);
        let mut buffer = Vec::new();
        for key in graph.candidates(probe, count).unwrap_or_default() {
            if let Some((block, row)) = rows.find(key)
                && block.state(row) == RowState::InGraph
            {
                let similarity = similarity(block.vector(row, &mut buffer)?, probe);
                best.push(Hit { key, person: block.person(row), similarity });
            }
        }
        if best.len() < k {
            return Ok(self.exact(&[probe], k)?.pop().unwrap_or_default());
        }
        for hit in scan(&self.view, &[probe], k, Scope::NotInGraph)?.into_iter().flatten() {
            best.push(hit);
        }
        Ok(best.into_hits())
    }

    pub(super) fn status(&self) -> Status {
        let (view, planner) = (&self.view, &self.shared.planner);
        let lists = view.lists();
        let unindexed = if lists.is_some() {
            view.len_without_list()
        } else if self.method() == Method::Hnsw {
            view.blocks().iter().map(|block| block.len_not_in_graph()).sum()
        } else {
            view.len()
        };
        Status {
            faces: view.len(),
            method: planner.method(),
            in_use: self.method(),
            n_lists: lists.map_or(0, |lists| lists.len()),
            n_probe: lists.map_or(0, |lists| lists.n_probe()),
            unindexed,
            recall: planner.recall(),
            promised_recall: planner.promised_recall(),
            exact_ms: planner.exact_ms(view),
            code_bytes: view.code_bytes(),
            vector_bytes: view.vector_bytes(),
            note: planner.note(),
        }
    }
}

/// Whether there is an approximate search, whatever its recall.
pub(super) fn has_approximate_search(shared: &Shared) -> bool {
    Reader::approximate(shared).method() != Method::Exact
}

/// Measures the recall of the approximate search with `count` probes and records it. It is 1 if there is none.
pub(super) fn measure_recall(shared: &Shared, count: usize) -> Result<f32> {
    let reader = Reader::approximate(shared);
    if reader.method() == Method::Exact {
        return Ok(1.0);
    }
    let cases = sample_cases(reader.view(), count)?;
    if cases.is_empty() {
        return Ok(1.0);
    }
    let probes: Vec<&[f32]> = cases.iter().map(|case| case.probe.as_slice()).collect();
    let results = reader.nearest(&probes, 2)?;
    let correct = cases.iter().zip(&results).filter(|(case, hits)| case.is_correct(hits)).count();
    let recall = correct as f32 / cases.len() as f32;
    shared.planner.record_recall(recall);
    Ok(recall)
}
