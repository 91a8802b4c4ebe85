//! Inner products of `f32` vectors and of 8-bit codes.
//!
//! The `f32` product keeps sixteen partial sums and uses no fused multiply-add, so every processor and every number of
//! threads returns the same bits. It scores only the few candidates of a scan, so the baseline instruction set is fast
//! enough. The product of codes is the inner loop of the scan: numkong selects the kernel for the processor at run
//! time, and integer sums are the same in every kernel.
//!
//! [`DotProducts`] multiplies many rows of codes with one or many probes. A single probe is multiplied row by row at
//! the speed of memory. Several probes are packed once, then each tile of rows is multiplied with all of them in a
//! register-blocked kernel, so that a row is read once for all probes.

use numkong::{Dot, PackedMatrix, Tensor};

#[cfg(target_arch = "x86_64")]
use super::simd::SimdProducts;
use crate::error::{Error, Result};

/// Partial sums of the `f32` product.
const LANES: usize = 16;

/// Largest accepted difference between the length of a vector and 1.
const UNIT_TOLERANCE: f64 = 1e-3;

/// Codes in a tile: small enough for the L2 cache together with the products.
const TILE_CODES: usize = 64 * 1024;

/// Below this number of probes packing does not pay, and the probes are multiplied one by one.
const MIN_PACKED: usize = 4;

/// Probes that are packed together, so that the products of a tile fit the cache too.
pub(super) const BATCH_SIZE: usize = 128;

/// Inner product of two vectors of one length.
pub(super) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let (left_blocks, left_rest) = left.as_chunks::<LANES>();
    let (right_blocks, right_rest) = right.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in left_blocks.iter().zip(right_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(a, b)| a * b).sum();
    sums[0] + rest
}

/// Cosine of two unit vectors, clamped to [-1, 1]; a negative zero becomes zero.
pub(super) fn similarity(left: &[f32], right: &[f32]) -> f32 {
    dot(left, right).clamp(-1.0, 1.0) + 0.0
}

/// Rejects a vector that is not finite or not of unit length; `row` is named in the error.
pub(super) fn check_unit(row: usize, vector: &[f32]) -> Result<()> {
    let (blocks, rest) = vector.as_chunks::<8>();
    let mut sums = [0.0_f64; 8];
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += f64::from(*x) * f64::from(*x);
        }
    }
    let squares = sums.iter().sum::<f64>() + rest.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    if !squares.is_finite() {
        return Err(Error::Embedding { reason: format!("must be finite, row {row} is not") });
    }
    let length = squares.sqrt();
    if (length - 1.0).abs() > UNIT_TOLERANCE {
        let reason = format!("must have length 1 within {UNIT_TOLERANCE}, row {row} has length {length:.6}");
        return Err(Error::Embedding { reason });
    }
    Ok(())
}

/// Bound on the rounding error of `dot`, and of the arithmetic on top of it, for unit vectors of this dimension.
///
/// A sum of n products has a relative error of at most n half-units in the last place; this allows more than twice
/// that.
pub(super) fn rounding_error(dimension: usize) -> f32 {
    (dimension as f32 + 64.0) * f32::EPSILON
}

/// Exact inner product of two rows of codes of equal length. They must not be empty: numkong 7.8.7 returns -1048576 for
/// empty rows on processors with AVX-512 VNNI.
pub(super) fn code_dot(left: &[i8], right: &[i8]) -> i32 {
    i8::dot(left, right).unwrap_or_else(|| portable_code_dot(left, right))
}

fn portable_code_dot(left: &[i8], right: &[i8]) -> i32 {
    left.iter().zip(right).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// The codes of up to `BATCH_SIZE` probes, with a buffer for their products with one tile of rows.
pub(super) struct DotProducts {
    dimension: usize,
    count: usize,
    codes: Vec<i8>,
    #[cfg(target_arch = "x86_64")]
    simd: Option<SimdProducts>,
    packed: Option<PackedProbes>,
    out: Vec<i32>,
}

/// Probes packed for numkong's matrix kernel.
struct PackedProbes {
    probes: PackedMatrix<i8>,
    tile: Tensor<i8>,
    out: Tensor<i32>,
}

impl DotProducts {
    /// `codes` holds the codes of all probes, one after the other.
    pub(super) fn new(codes: Vec<i8>, dimension: usize) -> Self {
        let count = codes.len() / dimension;
        #[cfg(target_arch = "x86_64")]
        if let simd @ Some(_) = SimdProducts::new(&codes, dimension) {
            return Self { dimension, count, codes, simd, packed: None, out: Vec::new() };
        }
        let packed = if count < MIN_PACKED { None } else { PackedProbes::new(&codes, count, dimension) };
        Self {
            dimension,
            count,
            codes,
            #[cfg(target_arch = "x86_64")]
            simd: None,
            packed,
            out: Vec::new(),
        }
    }

    /// Largest number of rows that `multiply` accepts.
    pub(super) fn tile_rows(dimension: usize) -> usize {
        (TILE_CODES / dimension).clamp(1, 512)
    }

    /// Multiplies a tile of rows with all probes: products (row, probe).
    pub(super) fn multiply(&mut self, tile: &[i8]) -> &[i32] {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = &mut self.simd {
            simd.multiply(tile, &mut self.out);
            return &self.out;
        }
        let rows = tile.len() / self.dimension;
        if let Some(packed) = &mut self.packed
            && packed.multiply(tile)
        {
            return &packed.out.as_slice()[..rows * self.count];
        }
        self.out.clear();
        let rows = tile.chunks_exact(self.dimension);
        if self.count == 1 {
            self.out.extend(rows.map(|row| code_dot(row, &self.codes)));
        } else {
            let probes = || self.codes.chunks_exact(self.dimension);
            self.out.extend(rows.flat_map(|row| probes().map(move |probe| code_dot(row, probe))));
        }
        &self.out
    }
}

impl PackedProbes {
    /// `None` when there is not enough memory; rows are then multiplied one by one.
    fn new(codes: &[i8], count: usize, dimension: usize) -> Option<Self> {
        let rows = DotProducts::tile_rows(dimension);
        let probes: Tensor<i8> = Tensor::try_from_slice(codes, &[count, dimension]).ok()?;
        let probes = PackedMatrix::try_pack(&probes).ok()?;
        let (tile, out) = (Tensor::try_full(&[rows, dimension], 0).ok()?, Tensor::try_full(&[rows, count], 0).ok()?);
        Some(Self { probes, tile, out })
    }

    /// Fills `out`; false on failure. A short tile leaves rows of an earlier tile behind it, whose products are not
    /// read.
    fn multiply(&mut self, tile: &[i8]) -> bool {
        let Some(target) = self.tile.as_mut_slice().get_mut(..tile.len()) else { return false };
        target.copy_from_slice(tile);
        self.tile.try_dots_packed_into(&self.probes, &mut self.out).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::synthetic::random;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn code_products_are_exact(codes in prop::collection::vec((-127_i8..=127, -127_i8..=127), 1..700)) {
            let (left, right): (Vec<i8>, Vec<i8>) = codes.into_iter().unzip();
            prop_assert_eq!(code_dot(&left, &right), portable_code_dot(&left, &right));
        }

        #[test]
        fn products_stay_within_the_stated_rounding_error(values in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 1..700)) {
            let unit = |values: Vec<f32>| -> Vec<f32> {
                let length = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-3);
                values.iter().map(|x| (f64::from(*x) / length) as f32).collect()
            };
            let (left, right): (Vec<f32>, Vec<f32>) = values.into_iter().unzip();
            let (left, right) = (unit(left), unit(right));
            let truth: f64 = left.iter().zip(&right).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            prop_assert!((f64::from(dot(&left, &right)) - truth).abs() <= f64::from(rounding_error(left.len())) / 2.0);
        }
    }

    #[test]
    fn extreme_codes_do_not_saturate() {
        for length in [1, 31, 64, 128, 511, 4096] {
            let (low, high) = (vec![-127_i8; length], vec![127_i8; length]);
            let product = 127 * 127 * i32::try_from(length).unwrap();
            assert_eq!(code_dot(&low, &high), -product);
            assert_eq!(code_dot(&low, &low), product);
        }
    }

    #[test]
    fn similarity_is_clamped() {
        assert!((similarity(&[1.0005], &[1.0005]) - 1.0).abs() < f32::EPSILON);
        assert!(similarity(&[0.0], &[-1.0]).is_sign_positive());
    }

    #[test]
    fn packed_products_are_those_of_the_plain_loop() {
        let mut state = 1;
        for dimension in [1, 3, 17, 64, 65, 127, 128, 512, 700] {
            for count in [1, 2, 3, 4, 5, 8, 15, 16, 17, 33, BATCH_SIZE] {
                let mut codes = |rows: usize| -> Vec<i8> {
                    (0..rows * dimension).map(|_| (random(&mut state) * 255.0) as i16 - 127).map(|x| x as i8).collect()
                };
                let probes = codes(count);
                let mut products = DotProducts::new(probes.clone(), dimension);
                for rows in [DotProducts::tile_rows(dimension), 5, 1, 2] {
                    let tile = codes(rows.min(DotProducts::tile_rows(dimension)));
                    let plain: Vec<i32> = tile
                        .chunks_exact(dimension)
                        .flat_map(|row| {
                            probes.chunks_exact(dimension).map(move |probe| {
                                row.iter().zip(probe).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>()
                            })
                        })
                        .collect();
                    assert_eq!(products.multiply(&tile), plain, "{dimension} {count} {rows}");
                }
            }
        }
    }

    #[test]
    fn extreme_codes_do_not_saturate_in_a_batch() {
        for dimension in [64, 512, 4096] {
            let mut products =
                DotProducts::new([vec![127_i8; dimension * 2], vec![-127_i8; dimension * 2]].concat(), dimension);
            let product = 127 * 127 * i32::try_from(dimension).unwrap();
            let expected = [-product, -product, product, product];
            assert_eq!(products.multiply(&vec![-127_i8; dimension]), expected);
        }
    }
}
