//! What an index is inside: the rows that one writer changes at a time, the view that readers take, and their exchange.
//!
//! A change is made to the writer's rows and then published as a new view. An arrangement into lists is made from a view,
//! beside everybody; what was added and removed meanwhile is logged and done again in it, before it takes the rows' place.

#![allow(clippy::needless_pass_by_value)] // array views are references already

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwap;
use ndarray::ArrayView2;

use super::block::RowState;
use super::choice::Choice;
use super::concurrent::Method;
use super::hnsw::Graph;
use super::lists::{self, Lists};
use super::rows::Rows;
use super::sample;
use super::search::Reader;
use super::view::{View, vector_of};
use crate::error::{Error, Result};

/// What an index shares with the thread that arranges its rows.
pub(super) struct Inner {
    pub(super) dimension: usize,
    pub(super) pack: String,
    pub(super) choice: Choice,
    view: ArcSwap<View>,
    writer: RwLock<Writer>,
    pub(super) arranging: Mutex<()>,
    pub(super) scheduled: AtomicBool,
}

/// What only changes touch.
pub(super) struct Writer {
    pub(super) rows: Rows,
    pub(super) graph: Option<Graph>,
    /// Keys added and removed since an arrangement began.
    log: Option<(Vec<u64>, Vec<u64>)>,
}

impl Inner {
    pub(super) fn new(rows: Rows, pack: &str, choice: Choice) -> Self {
        let view = ArcSwap::from_pointee(rows.view());
        Self {
            dimension: rows.mean().len(),
            pack: pack.to_owned(),
            choice,
            view,
            writer: RwLock::new(Writer { rows, graph: None, log: None }),
            arranging: Mutex::new(()),
            scheduled: AtomicBool::new(false),
        }
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The graph and its rows, unless a change is being made to them.
    pub(super) fn try_graph(&self) -> Option<RwLockReadGuard<'_, Writer>> {
        self.writer.try_read().ok().filter(|writer| writer.graph.is_some())
    }

    pub(super) fn write(&self) -> Result<RwLockWriteGuard<'_, Writer>> {
        let broken = "a change broke off in the middle; build the index again";
        self.writer.write().map_err(|_| Error::Index { reason: broken.to_owned() })
    }

    /// Shows the rows as they are now to all searches that begin.
    pub(super) fn publish(&self, writer: &Writer) {
        self.view.store(Arc::new(writer.rows.view()));
    }

    pub(super) fn add(&self, keys: &[u64], people: &[u64], vectors: ArrayView2<f32>) -> Result<()> {
        let mut writer = self.write()?;
        let mut seen = HashSet::with_capacity(keys.len());
        if let Some(key) = keys.iter().find(|key| writer.rows.contains(**key) || !seen.insert(**key)) {
            let accepted = "one that is not in the index".to_owned();
            return Err(Error::Argument { name: "key", accepted, found: key.to_string() });
        }
        let mut room = true;
        for ((key, person), vector) in keys.iter().zip(people).zip(vectors.outer_iter()) {
            room &= match vector.as_slice() {
                Some(vector) => writer.rows.push(*key, *person, vector),
                None => writer.rows.push(*key, *person, &vector.to_vec()),
            };
        }
        if let Some((added, _)) = &mut writer.log {
            added.extend_from_slice(keys);
        }
        let full = || Err(Error::Index { reason: "it has no room for more rows".to_owned() });
        let fed = if room { writer.feed_graph_if(self) } else { full() };
        if let Err(error) = fed {
            self.remove_from(&mut writer, keys);
            return Err(error);
        }
        self.publish(&writer);
        Ok(())
    }

    pub(super) fn remove(&self, keys: &[u64]) -> usize {
        self.remove_from(&mut self.writer.write().unwrap_or_else(PoisonError::into_inner), keys)
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.writer.read().unwrap_or_else(PoisonError::into_inner).rows.contains(key)
    }

    /// Share of `count` probes that the approximate search answers as the exact one does; 1 where there is none.
    pub(super) fn sample_recall(&self, count: usize) -> Result<f32> {
        let reader = Reader::approximate(self);
        if reader.method() == Method::Exact {
            return Ok(1.0);
        }
        let cases = sample::cases(reader.view(), count)?;
        if cases.is_empty() {
            return Ok(1.0);
        }
        let probes: Vec<&[f32]> = cases.iter().map(|case| case.vector.as_slice()).collect();
        let found = reader.nearest(&probes, 2)?;
        let right = cases.iter().zip(&found).filter(|(case, hits)| case.is_answered(hits)).count();
        let recall = right as f32 / cases.len().max(1) as f32;
        self.choice.judge(recall);
        Ok(recall)
    }

    fn remove_from(&self, writer: &mut Writer, keys: &[u64]) -> usize {
        let mut removed = 0;
        for key in keys {
            if writer.rows.remove(*key) {
                removed += 1;
                if let Some(graph) = &mut writer.graph {
                    graph.remove(*key);
                }
            }
        }
        if let Some((_, gone)) = &mut writer.log {
            gone.extend_from_slice(keys);
        }
        if removed > 0 {
            writer.rows.compact();
            self.publish(writer);
        }
        removed
    }

    /// Puts all rows into lists. The order is made beside everybody; then what changed meanwhile is done again in it.
    pub(super) fn arrange(&self) -> Result<()> {
        let view = {
            let mut writer = self.write()?;
            writer.log = Some((Vec::new(), Vec::new()));
            self.view.load_full()
        };
        let arranged = arranged(&view);
        let mut writer = self.write()?;
        let (added, removed) = writer.log.take().unwrap_or_default();
        let (mut rows, recall) = arranged?;
        if !rows.are_worth_listing() {
            self.choice.decline(view.len());
            return Ok(());
        }
        for key in removed {
            rows.remove(key);
        }
        let mut room = Vec::new();
        for key in added {
            if let (false, Some((block, row))) = (rows.contains(key), writer.rows.find(key)) {
                rows.push(key, block.person(row), vector_of(block, row, &mut room)?);
            }
        }
        rows.compact();
        writer.rows = rows;
        self.publish(&writer);
        if let Some(recall) = recall {
            self.choice.judge(recall);
        }
        Ok(())
    }
}

/// The rows of a view in lists. Where the centres are new, also the recall of asking as many as searches will.
fn arranged(view: &View) -> Result<(Rows, Option<f32>)> {
    let old = view.lists().filter(|lists| view.len() <= 2 * lists.trained());
    let lists = old.map_or_else(|| Arc::new(Lists::train(view)), Arc::clone);
    let blocks = lists::arrange(view, &lists)?;
    let failed = |key| Error::Index { reason: format!("key {key} is in two rows") };
    let mut rows = Rows::from_blocks(blocks, Some(Arc::clone(&lists)), Arc::clone(view.mean())).map_err(failed)?;
    if old.is_some() {
        return Ok((rows, None));
    }
    let (asked, recall) = sample::lists_to_ask(&rows, &lists)?;
    rows.set_lists(lists.asking(asked));
    Ok((rows, Some(recall as f32)))
}

impl Writer {
    fn feed_graph_if(&mut self, inner: &Inner) -> Result<()> {
        if inner.choice.method() == Method::Hnsw { self.feed_graph(inner.dimension) } else { Ok(()) }
    }

    /// Gives the graph all rows that it has not tried yet.
    pub(super) fn feed_graph(&mut self, dimension: usize) -> Result<()> {
        let Self { rows, graph, .. } = self;
        let keys = rows.outside(usize::MAX);
        if keys.is_empty() {
            return Ok(());
        }
        let graph = match graph {
            Some(graph) => graph,
            None => graph.insert(Graph::new(dimension)?),
        };
        let mut entering: Vec<(u64, Vec<f32>)> = Vec::with_capacity(keys.len());
        let mut room = Vec::new();
        for key in &keys {
            if let Some((block, row)) = rows.find(*key) {
                entering.push((*key, vector_of(block, row, &mut room)?.to_vec()));
            }
        }
        let entering: Vec<(u64, &[f32])> = entering.iter().map(|(key, vector)| (*key, vector.as_slice())).collect();
        let unreachable: HashSet<u64> = graph.add(&entering)?.into_iter().collect();
        for key in keys {
            let reached = !unreachable.contains(&key);
            rows.set_state(key, if reached { RowState::Graphed } else { RowState::Unreachable });
        }
        Ok(())
    }
}
