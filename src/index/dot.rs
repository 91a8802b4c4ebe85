//! Inner products: of `f32` vectors in one fixed order of additions, and of 8-bit codes.
//!
//! The `f32` product has sixteen independent sums and no fused operation, so that every processor and every number of
//! threads gives the same bits; it only scores the few candidates of a scan, so the baseline instruction set is fast
//! enough. The product of codes is the scan itself: numkong picks the kernel for the processor at run time, and integer
//! sums are the same whatever the kernel.

use numkong::Dot;

use crate::error::{Error, Result};

const LANES: usize = 16;

/// How far the length of a vector may be from 1.
const UNIT_TOLERANCE: f64 = 1e-3;

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

/// Cosine of two unit vectors, in [-1, 1]; rounding beyond the ends is cut off and a negative zero is zero.
pub(super) fn similarity(left: &[f32], right: &[f32]) -> f32 {
    dot(left, right).clamp(-1.0, 1.0) + 0.0
}

/// Refuses a vector that is not finite or not of unit length; `row` names it.
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

/// How far `dot` and the arithmetic on top of it may be from the true value for vectors of this length, about unit long.
///
/// A sum of n products has a relative error of at most n half-units in the last place; this allows more than twice that.
pub(super) fn rounding(dimension: usize) -> f32 {
    (dimension as f32 + 64.0) * f32::EPSILON
}

/// Inner product of two rows of codes of one length, exact; at least one code, because numkong 7.8.7 answers -1048576 for
/// none where the processor has AVX-512 VNNI.
pub(super) fn code_dot(left: &[i8], right: &[i8]) -> i32 {
    i8::dot(left, right).unwrap_or_else(|| portable_code_dot(left, right))
}

fn portable_code_dot(left: &[i8], right: &[i8]) -> i32 {
    left.iter().zip(right).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn code_products_are_exact(codes in prop::collection::vec((-127_i8..=127, -127_i8..=127), 1..700)) {
            let (left, right): (Vec<i8>, Vec<i8>) = codes.into_iter().unzip();
            prop_assert_eq!(code_dot(&left, &right), portable_code_dot(&left, &right));
        }

        #[test]
        fn products_stay_within_the_stated_rounding(values in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 1..700)) {
            let unit = |values: Vec<f32>| -> Vec<f32> {
                let length = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-3);
                values.iter().map(|x| (f64::from(*x) / length) as f32).collect()
            };
            let (left, right): (Vec<f32>, Vec<f32>) = values.into_iter().unzip();
            let (left, right) = (unit(left), unit(right));
            let truth: f64 = left.iter().zip(&right).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            prop_assert!((f64::from(dot(&left, &right)) - truth).abs() <= f64::from(rounding(left.len())) / 2.0);
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
    fn similarity_is_cut_to_its_range() {
        assert!((similarity(&[1.0005], &[1.0005]) - 1.0).abs() < f32::EPSILON);
        assert!(similarity(&[0.0], &[-1.0]).is_sign_positive());
    }
}
