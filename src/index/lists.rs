//! Inverted lists (IVF): each list has a centroid, and a probe is compared with the rows of the lists nearest to it.
//!
//! The lists are an order of the rows, not a copy of them: each block belongs to one list, and a scan of all blocks
//! stays exact at the same cost. Rows added after the lists were built belong to no list and are always scanned.

use std::sync::Arc;

use super::codes::{Codes, EncodedProbe};
use super::dot::{code_dot, dot};

/// Lists pay off if a search probes at most one of this many; otherwise the exact scan is as fast.
const MIN_LISTS_PER_PROBE: usize = 4;

/// The centroids of the lists, and the number of lists that a search probes.
pub(super) struct Lists {
    mean: Arc<[f32]>,
    centroids: Vec<f32>,
    codes: Codes,
    /// Inner product of the mean and each centroid.
    offsets: Vec<f32>,
    /// Number of rows when the centroids were trained.
    trained_rows: usize,
    n_probe: usize,
}

impl Lists {
    /// `centroids` holds unit vectors, one after the other.
    pub(super) fn new(mean: Arc<[f32]>, centroids: Vec<f32>, trained_rows: usize, n_probe: usize) -> Self {
        let dimension = mean.len();
        let mut codes = Codes::new(vec![0.0; dimension].into(), centroids.len() / dimension);
        let mut offsets = Vec::new();
        for centroid in centroids.chunks_exact(dimension) {
            codes.push(centroid);
            offsets.push(dot(centroid, &mean));
        }
        Self { mean, centroids, codes, offsets, trained_rows, n_probe }
    }

    /// The same lists with another `n_probe`.
    pub(super) fn with_n_probe(&self, n_probe: usize) -> Self {
        let n_probe = n_probe.clamp(1, self.len());
        Self::new(Arc::clone(&self.mean), self.centroids.clone(), self.trained_rows, n_probe)
    }

    /// Number of lists.
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// The mean that the codes of the centroids subtract.
    pub(super) fn mean(&self) -> &Arc<[f32]> {
        &self.mean
    }

    pub(super) fn centroids(&self) -> &[f32] {
        &self.centroids
    }

    /// The codes of the centroids.
    pub(super) fn codes(&self) -> &Codes {
        &self.codes
    }

    /// Number of rows when the centroids were trained.
    pub(super) fn trained_rows(&self) -> usize {
        self.trained_rows
    }

    /// Number of lists that a search probes.
    pub(super) fn n_probe(&self) -> usize {
        self.n_probe
    }

    /// Whether probing the lists is faster than an exact scan.
    pub(super) fn are_faster_than_scan(&self) -> bool {
        self.n_probe * MIN_LISTS_PER_PROBE <= self.len()
    }

    /// All lists, nearest first.
    pub(super) fn rank(&self, vector: &[f32]) -> Vec<u32> {
        let probe = EncodedProbe::new(vector);
        let score = |list: usize| {
            let product = code_dot(self.codes.row(list), &probe.codes);
            probe.step() * self.codes.scales()[list] * product as f32 - self.offsets[list]
        };
        let mut scored: Vec<(f32, u32)> = (0..self.len()).map(|list| (score(list), list as u32)).collect();
        scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.into_iter().map(|(_, list)| list).collect()
    }

    /// The `n_probe` nearest lists.
    pub(super) fn nearest(&self, vector: &[f32]) -> Vec<u32> {
        let mut lists = self.rank(vector);
        lists.truncate(self.n_probe);
        lists
    }
}
