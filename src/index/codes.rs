//! 8-bit codes of vectors, with a bound on what they leave out, so that a scan over codes can prove that it missed nothing.
//!
//! A row x is stored as scale · c with c in [-127, 127], after a mean m is subtracted (the vectors of one network lie in a
//! cone; without the mean the codes would spend their range on what all rows share). A probe q becomes step · d likewise,
//! without the mean. Then x·q = m·q + scale · step · (c·d) + r, and by the Cauchy-Schwarz inequality
//! |r| ≤ |scale · c| · |q − step · d| + |x − m − scale · c| · |q|. Scale and error are each row's own, so that a row can be
//! added at any time and an unusual row costs only itself; of |scale · c| the greatest of all rows is kept.

use std::sync::Arc;

use super::dot::{dot, rounding};
use super::pages::Pages;

const LEVELS: f32 = 127.0;

/// A vector whose greatest value is below this is coded as zero: far below the rounding that a bound allows for.
const SMALLEST_PEAK: f32 = 1e-12;

/// Added to a number far below it, this leaves the nearest whole number in the last bits: 1.5 · 2^23.
const ROUNDER: f32 = 12_582_912.0;

/// Factor on lengths, so that rounding never makes a bound too small.
const ROUND_UP: f32 = 1.0001;

/// Error of a dead row: its upper bound lies below every similarity, so that no scan has to ask whether it is alive.
const DEAD: f32 = -8.0;

/// What one row of codes stands for.
#[derive(Clone, Copy)]
struct Mark {
    /// Value of one code step.
    scale: f32,
    /// Length of what the codes leave out.
    error: f32,
    /// Length of what the codes say.
    reach: f32,
}

/// The codes of the rows of one block, in row order.
pub(super) struct Codes {
    mean: Arc<[f32]>,
    rows: Pages,
    scales: Vec<f32>,
    errors: Vec<f32>,
    reach: f32,
    /// Greatest scale and error of a row.
    greatest: (f32, f32),
}

/// A probe and its codes, made once a search.
pub(super) struct Probe<'a> {
    pub(super) vector: &'a [f32],
    pub(super) codes: Vec<i8>,
    step: f32,
    error: f32,
    length: f32,
}

/// Smallest and greatest value that a row's similarity to a probe can have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) lower: f32,
    pub(super) upper: f32,
}

/// What the rows of one block have in common for one probe.
#[derive(Clone, Copy)]
pub(super) struct Lens {
    offset: f32,
    step: f32,
    length: f32,
    common: f32,
}

impl<'a> Probe<'a> {
    pub(super) fn new(vector: &'a [f32]) -> Self {
        let mut codes = Vec::with_capacity(vector.len());
        let mark = encode(vector, &vec![0.0; vector.len()], &mut codes);
        Self { vector, codes, step: mark.scale, error: mark.error, length: length(vector) }
    }

    /// Value of one code step.
    pub(super) fn step(&self) -> f32 {
        self.step
    }
}

impl Lens {
    /// The part of an upper bound that all rows share.
    pub(super) fn base(&self) -> f32 {
        self.offset + self.common
    }

    /// Value of one code step of the probe.
    pub(super) fn step(&self) -> f32 {
        self.step
    }

    /// Length of the probe.
    pub(super) fn length(&self) -> f32 {
        self.length
    }

    /// Upper bound of a row's similarity, not yet cut to the range of similarities.
    #[inline]
    pub(super) fn upper(&self, scale: f32, error: f32, product: i32) -> f32 {
        self.offset + self.common + scale * self.step * product as f32 + error * self.length
    }

    /// A product below this cannot reach `floor` in a row whose scale and error are at most these: one comparison of whole
    /// numbers passes over nearly all rows, without a look at what is their own.
    pub(super) fn least_product(&self, (scale, error): (f32, f32), floor: f32) -> i32 {
        const SLACK: f32 = 1e-4;
        let least = (floor - SLACK - self.upper(0.0, error, 0)) / (scale * self.step).max(f32::MIN_POSITIVE);
        // Of a negative product the smaller scales make more, so it is no bound.
        if least > 1.0 { least.min(2e9) as i32 - 1 } else { i32::MIN }
    }

    /// Both bounds of the computed similarity of a row, rounding included.
    pub(super) fn bounds(&self, scale: f32, error: f32, product: i32) -> Bounds {
        let upper = self.upper(scale, error, product);
        let lower = upper - 2.0 * (self.common + error * self.length);
        Bounds { lower: lower.clamp(-1.0, 1.0), upper: upper.clamp(-1.0, 1.0) }
    }
}

impl Codes {
    pub(super) fn new(mean: Arc<[f32]>, capacity: usize) -> Self {
        let rows = Pages::with_capacity(capacity * mean.len());
        Self {
            mean,
            rows,
            scales: Vec::with_capacity(capacity),
            errors: Vec::with_capacity(capacity),
            reach: 0.0,
            greatest: (0.0, 0.0),
        }
    }

    pub(super) fn mean(&self) -> &Arc<[f32]> {
        &self.mean
    }

    pub(super) fn rows(&self) -> &[i8] {
        self.rows.as_slice()
    }

    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }

    pub(super) fn errors(&self) -> &[f32] {
        &self.errors
    }

    /// Greatest scale and error of a row.
    pub(super) fn greatest(&self) -> (f32, f32) {
        self.greatest
    }

    /// Bytes that the rows take.
    pub(super) fn bytes(&self) -> usize {
        self.rows.len() + 4 * (self.scales.len() + self.errors.len())
    }

    /// A copy with room for `spare` more rows.
    pub(super) fn copy(&self, spare: usize) -> Self {
        let mut copy = Self::new(Arc::clone(&self.mean), self.scales.len() + spare);
        copy.rows.push(self.rows());
        copy.scales.extend_from_slice(&self.scales);
        copy.errors.extend_from_slice(&self.errors);
        Self { reach: self.reach, greatest: self.greatest, ..copy }
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows * self.mean.len());
        self.scales.reserve_exact(rows);
        self.errors.reserve_exact(rows);
    }

    pub(super) fn push(&mut self, vector: &[f32]) {
        let mut codes = Vec::with_capacity(vector.len());
        let mark = encode(vector, &self.mean, &mut codes);
        self.rows.push(&codes);
        self.scales.push(mark.scale);
        self.errors.push(mark.error);
        self.reach = self.reach.max(mark.reach);
        self.greatest = (self.greatest.0.max(mark.scale), self.greatest.1.max(mark.error));
    }

    /// Appends a row of other codes that have the same mean.
    pub(super) fn push_row_of(&mut self, other: &Self, row: usize) {
        self.rows.push(other.row(row));
        self.scales.push(other.scales[row]);
        self.errors.push(other.errors[row]);
        self.reach = self.reach.max(other.reach);
        self.greatest = (self.greatest.0.max(other.greatest.0), self.greatest.1.max(other.greatest.1));
    }

    pub(super) fn row(&self, row: usize) -> &[i8] {
        let dimension = self.mean.len();
        &self.rows()[row * dimension..(row + 1) * dimension]
    }

    /// What the codes of a row say, without the mean.
    pub(super) fn approximate(&self, row: usize) -> impl Iterator<Item = f32> {
        let scale = self.scales[row];
        self.row(row).iter().map(move |code| scale * f32::from(*code))
    }

    /// Overwrites a row's codes with zeros; no bound of it reaches any similarity from here on.
    pub(super) fn erase(&mut self, row: usize) {
        let dimension = self.mean.len();
        self.rows.as_mut_slice()[row * dimension..(row + 1) * dimension].fill(0);
        self.scales[row] = 0.0;
        self.errors[row] = DEAD;
    }

    /// Overwrites everything, before the memory is given back.
    pub(super) fn wipe(&mut self) {
        self.rows.wipe();
    }

    /// What the rows of this block have in common for a probe.
    pub(super) fn lens(&self, probe: &Probe) -> Lens {
        Lens {
            offset: dot(&self.mean, probe.vector),
            step: probe.step,
            length: probe.length,
            common: self.reach * probe.error + rounding(self.mean.len()),
        }
    }
}

/// The mean of some vectors.
pub(super) fn mean_of<'a>(vectors: impl Iterator<Item = &'a [f32]>, dimension: usize) -> Arc<[f32]> {
    let (mut sums, mut count) = (vec![0.0_f64; dimension], 0.0);
    for vector in vectors {
        count += 1.0;
        for (sum, x) in sums.iter_mut().zip(vector) {
            *sum += f64::from(*x);
        }
    }
    sums.iter().map(|sum| (sum / f64::max(count, 1.0)) as f32).collect()
}

/// Appends the codes of one vector and says what they stand for.
fn encode(vector: &[f32], mean: &[f32], codes: &mut Vec<i8>) -> Mark {
    let centred: Vec<f32> = vector.iter().zip(mean).map(|(x, m)| x - m).collect();
    let peak = peak(&centred);
    if peak < SMALLEST_PEAK {
        codes.resize(codes.len() + centred.len(), 0);
        return Mark { scale: 0.0, error: SMALLEST_PEAK, reach: 0.0 };
    }
    let (scale, inverse) = (peak / LEVELS, LEVELS / peak);
    let (mut left_out, mut said) = ([0.0_f32; 16], [0.0_f32; 16]);
    let (blocks, rest) = centred.as_chunks::<16>();
    let mut padded = [0.0_f32; 16];
    padded[..rest.len()].copy_from_slice(rest);
    let start = codes.len();
    codes.reserve(centred.len() + 16);
    for block in blocks.iter().chain([&padded]) {
        let mut coded = [0_i8; 16];
        for lane in 0..16 {
            let shifted = block[lane] * inverse + ROUNDER;
            let code = shifted - ROUNDER;
            let rest = block[lane] - scale * code;
            left_out[lane] += rest * rest;
            said[lane] += code * code;
            coded[lane] = shifted.to_bits() as i8;
        }
        codes.extend_from_slice(&coded);
    }
    codes.truncate(start + centred.len());
    let root = |sums: [f32; 16]| sums.iter().sum::<f32>().sqrt() * ROUND_UP;
    Mark { scale, error: root(left_out), reach: scale * root(said) }
}

/// Greatest absolute value.
fn peak(values: &[f32]) -> f32 {
    let (blocks, rest) = values.as_chunks::<16>();
    let mut peaks = [0.0_f32; 16];
    for block in blocks {
        for (peak, x) in peaks.iter_mut().zip(block) {
            *peak = peak.max(x.abs());
        }
    }
    peaks.iter().chain(rest).fold(0.0, |peak, x| peak.max(x.abs()))
}

/// Length of a vector, never less than it is.
fn length(vector: &[f32]) -> f32 {
    dot(vector, vector).sqrt() * ROUND_UP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::dot::{code_dot, similarity};
    use crate::index::synthetic::Faces;

    fn coded(vectors: &[Vec<f32>], fit: bool) -> Codes {
        let dimension = vectors[0].len();
        let mean =
            if fit { mean_of(vectors.iter().map(Vec::as_slice), dimension) } else { vec![0.0; dimension].into() };
        let mut codes = Codes::new(mean, vectors.len());
        for vector in vectors {
            codes.push(vector);
        }
        codes
    }

    /// The greatest distance between two bounds, once all were seen to hold.
    fn widest(vectors: &[Vec<f32>], probes: &[Vec<f32>], fit: bool) -> f32 {
        let codes = coded(vectors, fit);
        let mut widest = 0.0_f32;
        for vector in probes {
            let probe = Probe::new(vector);
            let lens = codes.lens(&probe);
            for (row, stored) in vectors.iter().enumerate() {
                let product = code_dot(codes.row(row), &probe.codes);
                let bounds = lens.bounds(codes.scales()[row], codes.errors()[row], product);
                let truth = similarity(stored, vector);
                assert!(bounds.lower <= truth && truth <= bounds.upper, "{truth} outside {bounds:?}");
                widest = widest.max(bounds.upper - bounds.lower);
            }
        }
        widest
    }

    #[test]
    fn bounds_hold_and_are_narrow() {
        for (dimension, seed) in [(512, 1), (128, 2)] {
            let vectors = Faces::new(dimension, seed).samples(200);
            assert!(widest(&vectors, &vectors, true) < 0.06);
        }
    }

    #[test]
    fn the_mean_narrows_the_bounds_of_vectors_in_a_cone() {
        let vectors = Faces::new(128, 3).in_a_cone(0.83).samples(200);
        let (raw, centred) = (widest(&vectors, &vectors, false), widest(&vectors, &vectors, true));
        assert!(centred < 0.8 * raw, "{centred} {raw}");
    }

    #[test]
    fn unusual_vectors_keep_their_bounds() {
        let one_hot = |at: usize, sign: f32| (0..33).map(|i| if i == at { sign } else { 0.0 }).collect::<Vec<f32>>();
        let mut steep: Vec<f32> = (0..33).map(|i| 0.3_f32.powi(i)).collect();
        let length = dot(&steep, &steep).sqrt();
        for x in &mut steep {
            *x /= length;
        }
        let vectors = [one_hot(0, 1.0), one_hot(32, -1.0), steep, vec![33.0_f32.sqrt().recip(); 33], vec![0.0; 33]];
        widest(&vectors, &vectors[..4], false);
        widest(&vectors, &vectors[..4], true);
    }

    #[test]
    fn an_erased_row_is_zero_and_below_every_similarity() {
        let vectors = Faces::new(64, 4).in_a_cone(0.9).samples(20);
        let mut codes = coded(&vectors, true);
        codes.erase(3);
        assert!(codes.row(3).iter().all(|code| *code == 0));
        let probe = Probe::new(&vectors[3]);
        assert!(codes.lens(&probe).upper(codes.scales()[3], codes.errors()[3], 0) < -2.0);
    }
}
