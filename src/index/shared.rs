//! The state that searches, changes and background threads of an index share.
//!
//! One writer at a time changes the rows, then publishes them as a new view; searches read the latest view without a
//! lock. Inverted lists are built from a view without blocking anyone. Additions and removals in the meantime are
//! logged and replayed before the new rows replace the old ones.

#![allow(clippy::needless_pass_by_value)] // array views are references already

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwap;
use ndarray::ArrayView2;

use super::block::RowState;
use super::clustering::{group_rows, train};
use super::hnsw::Graph;
use super::planner::{IndexPlanner, Method};
use super::recall::choose_n_probe;
use super::rows::{Rows, View};
use crate::error::{Error, Result};

/// The state of an index.
pub(super) struct Shared {
    pub(super) dimension: usize,
    pub(super) pack: String,
    pub(super) planner: IndexPlanner,
    view: ArcSwap<View>,
    writer: RwLock<Writer>,
    /// Held while lists are built.
    rebuild_lock: Mutex<()>,
    /// Whether a background thread is going to build lists.
    pub(super) rebuild_scheduled: AtomicBool,
}

/// The state that only changes touch.
pub(super) struct Writer {
    pub(super) rows: Rows,
    pub(super) graph: Option<Graph>,
    /// Changes since a rebuild of the lists began.
    log: Option<ChangeLog>,
}

#[derive(Default)]
struct ChangeLog {
    added: Vec<u64>,
    removed: Vec<u64>,
}

impl Shared {
    pub(super) fn new(rows: Rows, pack: &str, planner: IndexPlanner) -> Self {
        let view = ArcSwap::from_pointee(rows.view());
        Self {
            dimension: rows.mean().len(),
            pack: pack.to_owned(),
            planner,
            view,
            writer: RwLock::new(Writer { rows, graph: None, log: None }),
            rebuild_lock: Mutex::new(()),
            rebuild_scheduled: AtomicBool::new(false),
        }
    }

    /// The latest published view.
    pub(super) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Read access to the graph and its rows; `None` if there is no graph or a change is in progress.
    pub(super) fn try_read_graph(&self) -> Option<RwLockReadGuard<'_, Writer>> {
        self.writer.try_read().ok().filter(|writer| writer.graph.is_some())
    }

    /// Waits for the writer lock.
    fn write(&self) -> Result<RwLockWriteGuard<'_, Writer>> {
        let reason = "a change failed halfway; rebuild the index";
        self.writer.write().map_err(|_| Error::Index { reason: reason.to_owned() })
    }

    /// Makes the current rows visible to all searches that start from now on.
    fn publish(&self, writer: &Writer) {
        self.view.store(Arc::new(writer.rows.view()));
    }

    /// Removes keys and adds rows, whose keys are new or among the removed ones; a view has both changes or neither.
    pub(super) fn replace(
        &self,
        removed: &[u64],
        keys: &[u64],
        people: &[u64],
        vectors: ArrayView2<f32>,
    ) -> Result<()> {
        let mut writer = self.write()?;
        let gone: HashSet<u64> = removed.iter().copied().collect();
        let mut seen = HashSet::with_capacity(keys.len());
        let is_stored = |key: &u64| writer.rows.contains(*key) && !gone.contains(key);
        if let Some(key) = keys.iter().find(|key| is_stored(key) || !seen.insert(**key)) {
            let accepted = "one that is not in the index".to_owned();
            return Err(Error::Argument { name: "key", accepted, found: key.to_string() });
        }
        let changed = writer.remove(removed) > 0;
        if keys.is_empty() {
            if changed {
                self.publish(&writer);
            }
            return Ok(());
        }
        let mut complete = true;
        for ((key, person), vector) in keys.iter().zip(people).zip(vectors.outer_iter()) {
            complete &= match vector.as_slice() {
                Some(vector) => writer.rows.push(*key, *person, vector),
                None => writer.rows.push(*key, *person, &vector.to_vec()),
            };
        }
        if let Some(log) = &mut writer.log {
            log.added.extend_from_slice(keys);
        }
        let result = if !complete {
            Err(Error::Index { reason: "it is full".to_owned() })
        } else if self.planner.method() == Method::Hnsw {
            writer.update_graph(self.dimension)
        } else {
            Ok(())
        };
        if result.is_err() {
            writer.remove(keys);
        }
        self.publish(&writer);
        result
    }

    /// Removes keys and returns how many of them were in the index.
    pub(super) fn remove(&self, keys: &[u64]) -> usize {
        let mut writer = self.writer.write().unwrap_or_else(PoisonError::into_inner);
        let count = writer.remove(keys);
        if count > 0 {
            self.publish(&writer);
        }
        count
    }

    /// Whether the key is in the index. Waits for a change in progress.
    pub(super) fn contains(&self, key: u64) -> bool {
        self.writer.read().unwrap_or_else(PoisonError::into_inner).rows.contains(key)
    }

    /// Builds the graph of all rows.
    pub(super) fn build_graph(&self) -> Result<()> {
        let mut writer = self.write()?;
        writer.update_graph(self.dimension)?;
        self.publish(&writer);
        Ok(())
    }

    /// Builds lists if the planner wants them. Waits for a rebuild in progress; searches and changes go on meanwhile.
    pub(super) fn maintain(&self) -> Result<()> {
        let _guard = self.rebuild_lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.planner.needs_rebuild(&self.view()) { self.rebuild_lists() } else { Ok(()) }
    }

    /// Groups all rows into lists, then replays the changes made in the meantime.
    fn rebuild_lists(&self) -> Result<()> {
        let view = {
            let mut writer = self.write()?;
            writer.log = Some(ChangeLog::default());
            self.view.load_full()
        };
        let rebuilt = listed_rows(&view);
        let mut writer = self.write()?;
        let log = writer.log.take().unwrap_or_default();
        let ListedRows { mut rows, faster_than_scan, recall } = rebuilt?;
        if !faster_than_scan {
            self.planner.record_no_gain(view.len());
            return Ok(());
        }
        for key in log.removed {
            rows.remove(key);
        }
        let mut buffer = Vec::new();
        for key in log.added {
            if let (false, Some((block, row))) = (rows.contains(key), writer.rows.find(key)) {
                rows.push(key, block.person(row), block.vector(row, &mut buffer)?);
            }
        }
        rows.compact();
        writer.rows = rows;
        self.publish(&writer);
        if let Some(recall) = recall {
            self.planner.record_recall(recall);
        }
        Ok(())
    }
}

/// Rows grouped into lists.
struct ListedRows {
    rows: Rows,
    faster_than_scan: bool,
    /// Recall of a search of these lists, if they were trained now.
    recall: Option<f32>,
}

/// Groups the rows of a view into lists. Centroids are trained again if the number of rows has doubled.
fn listed_rows(view: &View) -> Result<ListedRows> {
    let old = view.lists().filter(|lists| view.len() <= 2 * lists.trained_rows());
    let lists = old.map_or_else(|| Arc::new(train(view)), Arc::clone);
    let blocks = group_rows(view, &lists)?;
    let duplicate = |key| Error::Index { reason: format!("key {key} is in two rows") };
    let mut rows = Rows::from_blocks(blocks, Some(Arc::clone(&lists)), Arc::clone(view.mean())).map_err(duplicate)?;
    if old.is_some() {
        return Ok(ListedRows { rows, faster_than_scan: lists.are_faster_than_scan(), recall: None });
    }
    let (n_probe, recall) = choose_n_probe(&rows, &lists)?;
    let lists = lists.with_n_probe(n_probe);
    let faster_than_scan = lists.are_faster_than_scan();
    rows.set_lists(lists);
    Ok(ListedRows { rows, faster_than_scan, recall: Some(recall as f32) })
}

impl Writer {
    /// Removes keys and returns how many of them were there.
    fn remove(&mut self, keys: &[u64]) -> usize {
        let mut count = 0;
        for key in keys {
            if self.rows.remove(*key) {
                count += 1;
                if let Some(graph) = &mut self.graph {
                    graph.remove(*key);
                }
            }
        }
        if let Some(log) = &mut self.log {
            log.removed.extend_from_slice(keys);
        }
        if count > 0 {
            self.rows.compact();
        }
        count
    }

    /// Adds all rows to the graph that were never added to it.
    fn update_graph(&mut self, dimension: usize) -> Result<()> {
        let Self { rows, graph, .. } = self;
        let keys = rows.keys_not_in_graph();
        if keys.is_empty() {
            return Ok(());
        }
        let graph = match graph {
            Some(graph) => graph,
            None => graph.insert(Graph::new(dimension)?),
        };
        let mut vectors: Vec<(u64, Vec<f32>)> = Vec::with_capacity(keys.len());
        let mut buffer = Vec::new();
        for key in &keys {
            if let Some((block, row)) = rows.find(*key) {
                vectors.push((*key, block.vector(row, &mut buffer)?.to_vec()));
            }
        }
        let vectors: Vec<(u64, &[f32])> = vectors.iter().map(|(key, vector)| (*key, vector.as_slice())).collect();
        let unreachable: HashSet<u64> = graph.add(&vectors)?.into_iter().collect();
        for key in keys {
            let state = if unreachable.contains(&key) { RowState::Unreachable } else { RowState::InGraph };
            rows.set_state(key, state);
        }
        Ok(())
    }
}
