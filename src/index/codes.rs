//! Scalar quantization to 8 bits with an error bound, so that a scan over codes provably misses nothing.
//!
//! A row x is stored as scale · c with c in [-127, 127], after a mean m is subtracted. (The vectors of one network lie
//! in a cone; without the mean the codes would spend their range on what all rows share.) A probe q is encoded as
//! step · d, without the mean. Then
//!
//! ```text
//! x·q = m·q + scale · step · (c·d) + r,   |r| ≤ |scale · c| · |q − step · d| + |x − m − scale · c| · |q|
//! ```
//!
//! by the Cauchy-Schwarz inequality. Each row has its own scale and error, so a row can be added at any time and an
//! unusual row loosens only its own bound; of |scale · c| the maximum over all rows is kept.

use std::sync::Arc;

use super::dot::{dot, rounding_error};
use super::pages::Pages;

/// Largest absolute code.
const MAX_CODE: f32 = 127.0;

/// A vector whose largest absolute value is below this is encoded as zero; that is far below the rounding error of a
/// bound.
const MIN_PEAK: f32 = 1e-12;

/// Adding 1.5 · 2^23 to a much smaller number leaves the nearest integer in the lowest bits.
const ROUNDER: f32 = 12_582_912.0;

/// Factor on norms, so that rounding never makes a bound too tight.
const ROUND_UP: f32 = 1.0001;

/// Error of a deleted row: its upper bound lies below every similarity, so the scan skips it without a further check.
const DELETED: f32 = -8.0;

/// Parameters of one encoded row.
#[derive(Clone, Copy)]
struct Quantization {
    /// Value of one code step.
    scale: f32,
    /// Norm of the quantization error, x − m − scale · c.
    error: f32,
    /// Norm of the decoded row, scale · c.
    norm: f32,
}

/// The encoded rows of one block, in row order.
pub(super) struct Codes {
    mean: Arc<[f32]>,
    rows: Pages,
    scales: Vec<f32>,
    errors: Vec<f32>,
    /// Largest norm of a decoded row.
    max_norm: f32,
    /// Largest scale and largest error of a row.
    maxima: (f32, f32),
}

/// A probe and its codes, encoded once per search.
pub(super) struct EncodedProbe<'a> {
    pub(super) vector: &'a [f32],
    pub(super) codes: Vec<i8>,
    step: f32,
    error: f32,
    norm: f32,
}

/// Smallest and largest value that the similarity of a row to a probe can have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) lower: f32,
    pub(super) upper: f32,
}

/// The terms of the bounds that all rows of one block share for one probe.
#[derive(Clone, Copy)]
pub(super) struct BoundTerms {
    offset: f32,
    step: f32,
    norm: f32,
    shared_error: f32,
}

impl<'a> EncodedProbe<'a> {
    pub(super) fn new(vector: &'a [f32]) -> Self {
        let mut codes = Vec::with_capacity(vector.len());
        let quantization = encode(vector, &vec![0.0; vector.len()], &mut codes);
        Self { vector, codes, step: quantization.scale, error: quantization.error, norm: norm(vector) }
    }

    /// Value of one code step.
    pub(super) fn step(&self) -> f32 {
        self.step
    }
}

impl BoundTerms {
    /// The constant part of the upper bound.
    pub(super) fn base(&self) -> f32 {
        self.offset + self.shared_error
    }

    /// Value of one code step of the probe.
    pub(super) fn step(&self) -> f32 {
        self.step
    }

    /// Norm of the probe.
    pub(super) fn norm(&self) -> f32 {
        self.norm
    }

    /// Upper bound of the similarity of a row, not clamped to the range of similarities.
    #[inline]
    pub(super) fn upper(&self, scale: f32, error: f32, product: i32) -> f32 {
        self.offset + self.shared_error + scale * self.step * product as f32 + error * self.norm
    }

    /// A row whose product is below this cannot reach `floor` if its scale and error are at most those given. One
    /// integer comparison then skips nearly all rows, without reading their own scale and error.
    pub(super) fn min_product(&self, (scale, error): (f32, f32), floor: f32) -> i32 {
        const SLACK: f32 = 1e-4;
        let min = (floor - SLACK - self.upper(0.0, error, 0)) / (scale * self.step).max(f32::MIN_POSITIVE);
        // A negative product contributes more with a smaller scale, so the largest scale gives no bound.
        if min > 1.0 { min.min(2e9) as i32 - 1 } else { i32::MIN }
    }

    /// Bounds of the computed similarity of a row, rounding included.
    pub(super) fn bounds(&self, scale: f32, error: f32, product: i32) -> Bounds {
        let upper = self.upper(scale, error, product);
        let lower = upper - 2.0 * (self.shared_error + error * self.norm);
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
            max_norm: 0.0,
            maxima: (0.0, 0.0),
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

    /// Largest scale and largest error of a row.
    pub(super) fn maxima(&self) -> (f32, f32) {
        self.maxima
    }

    /// Bytes of codes, scales and errors.
    pub(super) fn bytes(&self) -> usize {
        self.rows.len() + 4 * (self.scales.len() + self.errors.len())
    }

    /// A copy with capacity for `spare` more rows.
    pub(super) fn copy_with_capacity(&self, spare: usize) -> Self {
        let mut copy = Self::new(Arc::clone(&self.mean), self.scales.len() + spare);
        copy.rows.push(self.rows());
        copy.scales.extend_from_slice(&self.scales);
        copy.errors.extend_from_slice(&self.errors);
        Self { max_norm: self.max_norm, maxima: self.maxima, ..copy }
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows * self.mean.len());
        self.scales.reserve_exact(rows);
        self.errors.reserve_exact(rows);
    }

    pub(super) fn push(&mut self, vector: &[f32]) {
        let mut codes = Vec::with_capacity(vector.len());
        let Quantization { scale, error, norm } = encode(vector, &self.mean, &mut codes);
        self.rows.push(&codes);
        self.scales.push(scale);
        self.errors.push(error);
        self.max_norm = self.max_norm.max(norm);
        self.maxima = (self.maxima.0.max(scale), self.maxima.1.max(error));
    }

    /// Appends a row of other codes with the same mean.
    pub(super) fn push_from(&mut self, other: &Self, row: usize) {
        self.rows.push(other.row(row));
        self.scales.push(other.scales[row]);
        self.errors.push(other.errors[row]);
        self.max_norm = self.max_norm.max(other.max_norm);
        self.maxima = (self.maxima.0.max(other.maxima.0), self.maxima.1.max(other.maxima.1));
    }

    pub(super) fn row(&self, row: usize) -> &[i8] {
        let dimension = self.mean.len();
        &self.rows()[row * dimension..(row + 1) * dimension]
    }

    /// The decoded row, without the mean.
    pub(super) fn decode(&self, row: usize) -> impl Iterator<Item = f32> {
        let scale = self.scales[row];
        self.row(row).iter().map(move |code| scale * f32::from(*code))
    }

    /// Overwrites the codes of a row with zeros, and its error so that no scan returns the row again.
    pub(super) fn erase(&mut self, row: usize) {
        let dimension = self.mean.len();
        self.rows.as_mut_slice()[row * dimension..(row + 1) * dimension].fill(0);
        self.scales[row] = 0.0;
        self.errors[row] = DELETED;
    }

    /// Overwrites all codes with zeros, before their memory is freed.
    pub(super) fn wipe(&mut self) {
        self.rows.wipe();
    }

    /// The terms of the bounds that all these rows share for a probe.
    pub(super) fn bound_terms(&self, probe: &EncodedProbe) -> BoundTerms {
        BoundTerms {
            offset: dot(&self.mean, probe.vector),
            step: probe.step,
            norm: probe.norm,
            shared_error: self.max_norm * probe.error + rounding_error(self.mean.len()),
        }
    }
}

/// Mean of some vectors.
pub(super) fn compute_mean<'a>(vectors: impl Iterator<Item = &'a [f32]>, dimension: usize) -> Arc<[f32]> {
    let (mut sums, mut count) = (vec![0.0_f64; dimension], 0.0);
    for vector in vectors {
        count += 1.0;
        for (sum, x) in sums.iter_mut().zip(vector) {
            *sum += f64::from(*x);
        }
    }
    sums.iter().map(|sum| (sum / f64::max(count, 1.0)) as f32).collect()
}

/// Encodes one vector and appends its codes.
fn encode(vector: &[f32], mean: &[f32], codes: &mut Vec<i8>) -> Quantization {
    let centered: Vec<f32> = vector.iter().zip(mean).map(|(x, m)| x - m).collect();
    let peak = peak(&centered);
    if peak < MIN_PEAK {
        codes.resize(codes.len() + centered.len(), 0);
        return Quantization { scale: 0.0, error: MIN_PEAK, norm: 0.0 };
    }
    let (scale, inverse) = (peak / MAX_CODE, MAX_CODE / peak);
    let (mut error_sums, mut code_sums) = ([0.0_f32; 16], [0.0_f32; 16]);
    let (blocks, rest) = centered.as_chunks::<16>();
    let mut padded = [0.0_f32; 16];
    padded[..rest.len()].copy_from_slice(rest);
    let start = codes.len();
    codes.reserve(centered.len() + 16);
    for block in blocks.iter().chain([&padded]) {
        let mut coded = [0_i8; 16];
        for lane in 0..16 {
            let shifted = block[lane] * inverse + ROUNDER;
            let code = shifted - ROUNDER;
            let error = block[lane] - scale * code;
            error_sums[lane] += error * error;
            code_sums[lane] += code * code;
            coded[lane] = shifted.to_bits() as i8;
        }
        codes.extend_from_slice(&coded);
    }
    codes.truncate(start + centered.len());
    let root = |sums: [f32; 16]| sums.iter().sum::<f32>().sqrt() * ROUND_UP;
    Quantization { scale, error: root(error_sums), norm: scale * root(code_sums) }
}

/// Largest absolute value.
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

/// Norm of a vector, rounded up.
fn norm(vector: &[f32]) -> f32 {
    dot(vector, vector).sqrt() * ROUND_UP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::dot::{code_dot, similarity};
    use crate::index::synthetic::Faces;

    fn encode_all(vectors: &[Vec<f32>], fit: bool) -> Codes {
        let dimension = vectors[0].len();
        let mean =
            if fit { compute_mean(vectors.iter().map(Vec::as_slice), dimension) } else { vec![0.0; dimension].into() };
        let mut codes = Codes::new(mean, vectors.len());
        for vector in vectors {
            codes.push(vector);
        }
        codes
    }

    /// Largest distance between the bounds of a row, after a check that all bounds hold.
    fn max_width(vectors: &[Vec<f32>], probes: &[Vec<f32>], fit: bool) -> f32 {
        let codes = encode_all(vectors, fit);
        let mut width = 0.0_f32;
        for vector in probes {
            let probe = EncodedProbe::new(vector);
            let terms = codes.bound_terms(&probe);
            for (row, stored) in vectors.iter().enumerate() {
                let product = code_dot(codes.row(row), &probe.codes);
                let bounds = terms.bounds(codes.scales()[row], codes.errors()[row], product);
                let truth = similarity(stored, vector);
                assert!(bounds.lower <= truth && truth <= bounds.upper, "{truth} outside {bounds:?}");
                width = width.max(bounds.upper - bounds.lower);
            }
        }
        width
    }

    #[test]
    fn bounds_hold_and_are_narrow() {
        for (dimension, seed) in [(512, 1), (128, 2)] {
            let vectors = Faces::new(dimension, seed).samples(200);
            assert!(max_width(&vectors, &vectors, true) < 0.06);
        }
    }

    #[test]
    fn the_mean_narrows_the_bounds_of_vectors_in_a_cone() {
        let vectors = Faces::new(128, 3).in_a_cone(0.83).samples(200);
        let (raw, centered) = (max_width(&vectors, &vectors, false), max_width(&vectors, &vectors, true));
        assert!(centered < 0.8 * raw, "{centered} {raw}");
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
        max_width(&vectors, &vectors[..4], false);
        max_width(&vectors, &vectors[..4], true);
    }

    #[test]
    fn an_erased_row_is_zero_and_its_bound_is_below_every_similarity() {
        let vectors = Faces::new(64, 4).in_a_cone(0.9).samples(20);
        let mut codes = encode_all(&vectors, true);
        codes.erase(3);
        assert!(codes.row(3).iter().all(|code| *code == 0));
        let probe = EncodedProbe::new(&vectors[3]);
        assert!(codes.bound_terms(&probe).upper(codes.scales()[3], codes.errors()[3], 0) < -2.0);
    }
}
