//! 8-bit codes of vectors, with a bound on what they leave out, so that a scan over codes can prove that it missed nothing.
//!
//! A row x is stored as scale · c with c in [-127, 127], after the mean m of its segment is subtracted (the vectors of one
//! network lie in a cone; without the mean the codes would spend their range on what all rows share). A probe q becomes
//! step · d likewise, without the mean. Then x·q = m·q + scale · step · (c·d) + r, and by the Cauchy-Schwarz inequality
//! |r| ≤ |scale · c| · |q − step · d| + |x − m − scale · c| · |q|. Scale and error are each row's own, so that a row can be
//! added at any time and an unusual row costs only itself.

use super::dot::{code_dot, dot, rounding};

const LEVELS: f32 = 127.0;

/// A vector whose greatest value is below this is coded as zero: far below the rounding that `bounds` allows for.
const SMALLEST_PEAK: f32 = 1e-12;

/// Factor on lengths, so that rounding never makes a bound too small.
const ROUND_UP: f32 = 1.0001;

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

/// The codes of the rows of one segment, in row order.
pub(super) struct Codes {
    mean: Vec<f32>,
    rows: Vec<i8>,
    marks: Vec<Mark>,
}

/// A probe and its codes, made once a search.
pub(super) struct Probe<'a> {
    pub(super) vector: &'a [f32],
    codes: Vec<i8>,
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

impl<'a> Probe<'a> {
    pub(super) fn new(vector: &'a [f32]) -> Self {
        let mut codes = Vec::with_capacity(vector.len());
        let mark = encode(vector.to_vec(), &mut codes);
        Self { vector, codes, step: mark.scale, error: mark.error, length: length(vector) }
    }
}

impl Codes {
    pub(super) fn new(dimension: usize) -> Self {
        Self { mean: vec![0.0; dimension], rows: Vec::new(), marks: Vec::new() }
    }

    pub(super) fn dimension(&self) -> usize {
        self.mean.len()
    }

    pub(super) fn push(&mut self, vector: &[f32]) {
        let centred = vector.iter().zip(&self.mean).map(|(x, m)| x - m).collect();
        self.marks.push(encode(centred, &mut self.rows));
    }

    /// Takes the mean of these rows and encodes them anew. `vectors` are all rows, one after the other.
    pub(super) fn refit(&mut self, vectors: &[f32]) {
        let dimension = self.mean.len();
        let mut sums = vec![0.0_f64; dimension];
        for row in vectors.chunks_exact(dimension) {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += f64::from(*x);
            }
        }
        let count = (vectors.len() / dimension).max(1) as f64;
        self.mean = sums.iter().map(|sum| (sum / count) as f32).collect();
        self.rows.clear();
        self.marks.clear();
        for row in vectors.chunks_exact(dimension) {
            self.push(row);
        }
    }

    /// Overwrites a row's codes with zeros.
    pub(super) fn erase(&mut self, row: usize) {
        let dimension = self.mean.len();
        self.rows[row * dimension..(row + 1) * dimension].fill(0);
        self.marks[row] = Mark { scale: 0.0, error: 0.0, reach: 0.0 };
    }

    /// Moves row `from` onto row `to`.
    pub(super) fn move_row(&mut self, from: usize, to: usize) {
        let dimension = self.mean.len();
        self.rows.copy_within(from * dimension..(from + 1) * dimension, to * dimension);
        self.marks[to] = self.marks[from];
    }

    /// Forgets the rows from `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows * self.mean.len());
        self.marks.truncate(rows);
    }

    /// The part of a probe's products that all rows of this segment share.
    pub(super) fn offset(&self, probe: &Probe) -> f32 {
        dot(&self.mean, probe.vector)
    }

    /// Bounds of the computed similarity of one row, rounding included; `offset` is what `offset` gave for this probe.
    pub(super) fn bounds(&self, row: usize, probe: &Probe, offset: f32) -> Bounds {
        let dimension = self.mean.len();
        let mark = self.marks[row];
        let product = code_dot(&self.rows[row * dimension..(row + 1) * dimension], &probe.codes);
        let centre = offset + mark.scale * probe.step * product as f32;
        let margin = mark.reach * probe.error + mark.error * probe.length + rounding(dimension);
        Bounds { lower: (centre - margin).clamp(-1.0, 1.0), upper: (centre + margin).clamp(-1.0, 1.0) }
    }
}

/// Appends the codes of one vector and says what they stand for.
fn encode(mut values: Vec<f32>, codes: &mut Vec<i8>) -> Mark {
    let peak = peak(&values);
    if peak < SMALLEST_PEAK {
        codes.resize(codes.len() + values.len(), 0);
        return Mark { scale: 0.0, error: SMALLEST_PEAK, reach: 0.0 };
    }
    let (scale, inverse) = (peak / LEVELS, LEVELS / peak);
    let start = codes.len();
    codes.extend(values.iter().map(|x| (x * inverse + 0.5_f32.copysign(*x)).clamp(-LEVELS, LEVELS) as i8));
    let fresh = &codes[start..];
    for (value, code) in values.iter_mut().zip(fresh) {
        *value -= scale * f32::from(*code);
    }
    let reach = scale * (code_dot(fresh, fresh) as f32).sqrt() * ROUND_UP;
    Mark { scale, error: length(&values), reach }
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
    use crate::index::dot::similarity;
    use crate::index::synthetic::Faces;

    fn holds(faces: &Faces, count: usize, fit: bool) -> f32 {
        let vectors = faces.samples(count);
        let mut codes = Codes::new(faces.dimension());
        for vector in &vectors {
            codes.push(vector);
        }
        if fit {
            codes.refit(&vectors.concat());
        }
        let mut widest = 0.0_f32;
        for probe_vector in &vectors {
            let probe = Probe::new(probe_vector);
            let offset = codes.offset(&probe);
            for (row, vector) in vectors.iter().enumerate() {
                let (bounds, truth) = (codes.bounds(row, &probe, offset), similarity(vector, probe_vector));
                assert!(bounds.lower <= truth && truth <= bounds.upper, "{truth} outside {bounds:?}");
                widest = widest.max(bounds.upper - bounds.lower);
            }
        }
        widest
    }

    #[test]
    fn bounds_hold_and_are_narrow() {
        assert!(holds(&Faces::new(512, 1), 200, true) < 0.06);
        assert!(holds(&Faces::new(128, 2), 200, true) < 0.06);
    }

    #[test]
    fn the_mean_narrows_the_bounds_of_vectors_in_a_cone() {
        let faces = Faces::new(128, 3).in_a_cone(0.83);
        let (raw, centred) = (holds(&faces, 200, false), holds(&faces, 200, true));
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
        let mut codes = Codes::new(33);
        for vector in &vectors {
            codes.push(vector);
        }
        for refit in [false, true] {
            if refit {
                codes.refit(&vectors.concat());
            }
            for probe_vector in &vectors[..4] {
                let probe = Probe::new(probe_vector);
                for (row, vector) in vectors.iter().enumerate() {
                    let bounds = codes.bounds(row, &probe, codes.offset(&probe));
                    let truth = similarity(vector, probe_vector);
                    assert!(bounds.lower <= truth && truth <= bounds.upper, "{truth} outside {bounds:?}");
                }
            }
        }
    }
}
