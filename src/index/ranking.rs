//! Hits of a search and their order: by similarity, then by key, so that ties have a defined order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// One result of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// The key under which the vector was added.
    pub key: u64,
    /// The person whose vector it is; the key itself if none was given.
    pub person: u64,
    /// Cosine of probe and vector, in [-1, 1]; higher is closer. It is their plain inner product: both have length 1
    /// within 0.001, and that rest is not divided out.
    pub similarity: f32,
}

/// A hit in ranking order: the largest is the worst.
struct Ranked(Hit);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.similarity.total_cmp(&self.0.similarity).then(self.0.key.cmp(&other.0.key))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

/// The best hits seen so far, at most `limit` of them.
pub(super) struct TopK {
    limit: usize,
    hits: BinaryHeap<Ranked>,
}

impl TopK {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, hits: BinaryHeap::with_capacity(limit.saturating_add(1).min(1024)) }
    }

    pub(super) fn len(&self) -> usize {
        self.hits.len()
    }

    pub(super) fn push(&mut self, hit: Hit) {
        self.hits.push(Ranked(hit));
        if self.hits.len() > self.limit {
            self.hits.pop();
        }
    }

    /// The similarity below which no further hit is kept; `None` while there are fewer than `limit` hits.
    pub(super) fn floor(&self) -> Option<f32> {
        if self.hits.len() < self.limit { None } else { self.hits.peek().map(|worst| worst.0.similarity) }
    }

    /// The hits, best first.
    pub(super) fn into_hits(self) -> Vec<Hit> {
        self.hits.into_sorted_vec().into_iter().map(|ranked| ranked.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_are_ordered_by_key_and_the_worst_is_dropped() {
        let mut best = TopK::new(3);
        for (key, similarity) in [(9, 0.5), (2, 0.5), (7, 0.9), (4, 0.5), (1, 0.1)] {
            best.push(Hit { key, person: key, similarity });
        }
        assert_eq!(best.floor(), Some(0.5));
        let keys: Vec<u64> = best.into_hits().iter().map(|hit| hit.key).collect();
        assert_eq!(keys, [7, 2, 4]);
    }
}
