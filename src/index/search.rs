//! One search: the view it reads, the way it takes, and the exact scan wherever that way falls short.

use std::sync::{Arc, RwLockReadGuard};
use std::time::Instant;

use super::block::RowState;
use super::concurrent::Method;
use super::dot::similarity;
use super::exact::{Scope, scan};
use super::hnsw::Graph;
use super::inner::{Inner, Writer};
use super::lists::Lists;
use super::ranking::{Best, Hit};
use super::rows::Rows;
use super::view::{View, vector_of};
use crate::error::Result;

/// Beyond this many answers the exact scan is the faster way.
const APPROXIMATE_K_LIMIT: usize = 256;

/// A reader of an index at one moment.
pub(super) struct Reader<'a> {
    inner: &'a Inner,
    view: Arc<View>,
    way: Way<'a>,
}

enum Way<'a> {
    Exact,
    Lists(Arc<Lists>),
    /// The lock keeps changes away from the graph while it is read, and the view is the one of its rows. A reader that
    /// does not get it at once scans instead.
    Graph(RwLockReadGuard<'a, Writer>),
}

impl<'a> Reader<'a> {
    /// The way that is chosen for searches.
    pub(super) fn new(inner: &'a Inner) -> Self {
        let reader = Self::approximate(inner);
        let wanted = match reader.way {
            Way::Exact => true,
            Way::Graph(_) => !inner.choice.is_refused(),
            Way::Lists(_) => !inner.choice.is_refused() && inner.choice.wants_lists(&reader.view),
        };
        if wanted { reader } else { Self { way: Way::Exact, ..reader } }
    }

    /// The approximate way where there is one, whatever its recall.
    pub(super) fn approximate(inner: &'a Inner) -> Self {
        let graph = if inner.choice.method() == Method::Hnsw { inner.try_graph() } else { None };
        let view = inner.view();
        let lists = match inner.choice.method() {
            Method::Ivf | Method::Auto => view.lists().filter(|lists| lists.are_worth_asking()).cloned(),
            Method::Exact | Method::Hnsw => None,
        };
        let way = match (graph, lists) {
            (Some(graph), _) => Way::Graph(graph),
            (None, Some(lists)) => Way::Lists(lists),
            (None, None) => Way::Exact,
        };
        Self { inner, view, way }
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn method(&self) -> Method {
        match self.way {
            Way::Exact => Method::Exact,
            Way::Lists(_) => Method::Ivf,
            Way::Graph(_) => Method::Hnsw,
        }
    }

    /// The `k` nearest rows of each probe, best first.
    pub(super) fn nearest(&self, probes: &[&[f32]], k: usize) -> Result<Vec<Vec<Hit>>> {
        let k = k.min(self.view.len());
        if k == 0 {
            return Ok(vec![Vec::new(); probes.len()]);
        }
        match &self.way {
            Way::Lists(lists) if k <= APPROXIMATE_K_LIMIT => self.through_lists(lists, probes, k),
            Way::Graph(writer) if k <= APPROXIMATE_K_LIMIT => match &writer.graph {
                Some(graph) if graph.len() > 4 * k => {
                    probes.iter().map(|probe| self.through_graph(&writer.rows, graph, probe, k)).collect()
                }
                _ => self.exact(probes, k),
            },
            _ => self.exact(probes, k),
        }
    }

    /// The same by the scan of all rows.
    pub(super) fn exact(&self, probes: &[&[f32]], k: usize) -> Result<Vec<Vec<Hit>>> {
        let start = Instant::now();
        let found = scan(&self.view, probes, k.min(self.view.len()).max(1), Scope::All)?;
        if probes.len() == 1 {
            self.inner.choice.scanned(self.view.code_bytes(), start.elapsed());
        }
        Ok(found)
    }

    fn through_lists(&self, lists: &Lists, probes: &[&[f32]], k: usize) -> Result<Vec<Vec<Hit>>> {
        let asked: Vec<Vec<u32>> = probes.iter().map(|probe| lists.asked(probe)).collect();
        let mut found = scan(&self.view, probes, k, Scope::Lists(&asked))?;
        for (hits, probe) in found.iter_mut().zip(probes).filter(|(hits, _)| hits.len() < k) {
            *hits = self.exact(&[probe], k)?.pop().unwrap_or_default();
        }
        Ok(found)
    }

    /// The graph's candidates and the rows outside it, all scored from the vectors; the scan where the graph falls short.
    fn through_graph(&self, rows: &Rows, graph: &Graph, probe: &[f32], k: usize) -> Result<Vec<Hit>> {
        let wanted = (2 * k).max(k + 64).min(graph.len());
        let mut best = Best::new(k);
        let mut room = Vec::new();
        for key in graph.candidates(probe, wanted).unwrap_or_default() {
            if let Some((block, row)) = rows.find(key)
                && block.state(row) == RowState::Graphed
            {
                let similarity = similarity(vector_of(block, row, &mut room)?, probe);
                best.push(Hit { key, person: block.person(row), similarity });
            }
        }
        if best.len() < k {
            return Ok(self.exact(&[probe], k)?.pop().unwrap_or_default());
        }
        for hit in scan(&self.view, &[probe], k, Scope::Outside)?.into_iter().flatten() {
            best.push(hit);
        }
        Ok(best.into_hits())
    }
}
