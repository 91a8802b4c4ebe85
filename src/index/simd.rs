//! Products of codes with AVX2 or AVX-512 VNNI, several rows at a time.
//!
//! Multiplying a row of 128 codes takes a handful of instructions; a function call per row and the horizontal sum of
//! its lanes cost more than that. Here four rows share the loads of the probe and the horizontal sum. With AVX-512 VNNI
//! many probes are interleaved, one per lane, so that no horizontal sum is needed. All sums are integers, so every path
//! returns the same result. Processors without these instructions and dimensions that are not a multiple of 64 use
//! numkong.

#![allow(unsafe_code)] // SIMD: functions are called after their instructions were detected, and loads read whole arrays

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_add_epi32, _mm256_abs_epi8, _mm256_add_epi32, _mm256_castsi256_si128,
    _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_set1_epi16, _mm256_setzero_si256, _mm256_sign_epi8, _mm512_add_epi32, _mm512_castsi512_si256,
    _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_set1_epi8, _mm512_set1_epi32,
    _mm512_setzero_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    _mm512_xor_si512,
};

/// Codes per instruction; the dimension must be a multiple of it.
const WIDTH: usize = 64;

/// Rows multiplied together.
const ROWS: usize = 4;

/// Probes per interleaved group: one per lane.
const LANES: usize = 16;

/// Groups of interleaved probes multiplied together.
const GROUPS: usize = 4;

/// With few probes, longer rows than this use numkong: reading four at once is slower than reading one by one (measured
/// at 512 values: 11 GB/s instead of 28).
const MAX_ROW_BY_ROW: usize = 128;

/// Below this number the probes are multiplied one by one.
const MIN_INTERLEAVED: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instructions {
    Avx2,
    Avx512,
}

/// The codes of some probes, in the layout that the instructions of this processor need.
pub(super) struct SimdProducts {
    instructions: Instructions,
    dimension: usize,
    count: usize,
    /// Either one probe after the other, or for each group of `LANES` probes four codes of each, then the next four.
    codes: Vec<[i8; WIDTH]>,
    /// Initial value of each probe's product, padded to whole groups: it corrects for rows being read as unsigned.
    offsets: Vec<i32>,
    /// A tile of rows as unsigned codes, four per word.
    tile: Vec<i32>,
}

impl SimdProducts {
    /// `None` when the portable path is faster or the instructions are missing.
    pub(super) fn new(codes: &[i8], dimension: usize) -> Option<Self> {
        Self::with(detect_instructions()?, codes, dimension)
    }

    fn with(instructions: Instructions, codes: &[i8], dimension: usize) -> Option<Self> {
        let count = codes.len() / dimension;
        let interleaved = count >= MIN_INTERLEAVED;
        let supported = if interleaved { instructions == Instructions::Avx512 } else { dimension <= MAX_ROW_BY_ROW };
        if !dimension.is_multiple_of(WIDTH) || !supported {
            return None;
        }
        let probes = || codes.chunks_exact(dimension);
        let mut offsets: Vec<i32> =
            probes().map(|probe| -128 * probe.iter().map(|c| i32::from(*c)).sum::<i32>()).collect();
        offsets.resize(count.next_multiple_of(LANES), 0);
        let codes = if interleaved { interleave(codes, dimension) } else { codes.as_chunks().0.to_vec() };
        Some(Self { instructions, dimension, count, codes, offsets, tile: Vec::new() })
    }

    /// Multiplies a tile of rows with all probes and fills `out` with the products, (row, probe).
    pub(super) fn multiply(&mut self, tile: &[i8], out: &mut Vec<i32>) {
        let rows = tile.len() / self.dimension;
        out.resize(rows * self.count, 0);
        if self.count >= MIN_INTERLEAVED {
            let words = tile.as_chunks::<4>().0.iter();
            self.tile.clear();
            self.tile.extend(words.map(|word| i32::from_ne_bytes(word.map(|code| code as u8 ^ 0x80))));
            // SAFETY: `detect_instructions` found the instructions that the function is compiled for.
            unsafe { self.multiply_interleaved(out) };
            return;
        }
        for (number, probe) in self.codes.chunks_exact(self.dimension / WIDTH).enumerate() {
            let out = out.get_mut(number..).unwrap_or_default();
            // SAFETY: `detect_instructions` found the instructions that the functions are compiled for.
            match self.instructions {
                Instructions::Avx2 => unsafe { multiply_one_avx2(tile, probe, self.count, out) },
                Instructions::Avx512 => unsafe {
                    multiply_one_avx512(tile, probe, self.offsets[number], self.count, out);
                },
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn multiply_interleaved(&self, out: &mut [i32]) {
        let words = self.dimension / 4;
        let groups: Vec<&[[i8; WIDTH]]> = self.codes.chunks_exact(words).collect();
        let offsets = self.offsets.as_chunks::<LANES>().0;
        for (number, rows) in self.tile.chunks(ROWS * words).enumerate() {
            let out = &mut out[number * ROWS * self.count..];
            // An incomplete last chunk is padded with its own first row.
            let first = &rows[..words];
            let row = |row: usize| rows.get(row * words..(row + 1) * words).unwrap_or(first);
            let rows = [row(0), row(1), row(2), row(3)];
            let mut group = 0;
            while group + GROUPS <= groups.len() {
                let probes = [groups[group], groups[group + 1], groups[group + 2], groups[group + 3]];
                let offsets = [offsets[group], offsets[group + 1], offsets[group + 2], offsets[group + 3]];
                self.store(group, &multiply_groups(rows, probes, &offsets), out);
                group += GROUPS;
            }
            for group in group..groups.len() {
                self.store(group, &multiply_groups(rows, [groups[group]], &[offsets[group]]), out);
            }
        }
    }

    /// Copies products into `out`; those of padding rows and padding probes are dropped.
    fn store<const G: usize>(&self, group: usize, products: &[[[i32; LANES]; G]; ROWS], out: &mut [i32]) {
        for (out, products) in out.chunks_exact_mut(self.count).zip(products) {
            let mut out = &mut out[group * LANES..];
            for products in products {
                let (now, later) = out.split_at_mut(out.len().min(LANES));
                match <&mut [i32; LANES]>::try_from(&mut *now) {
                    Ok(now) => *now = *products,
                    Err(_) => now.copy_from_slice(&products[..now.len()]),
                }
                out = later;
            }
        }
    }
}

fn detect_instructions() -> Option<Instructions> {
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
    {
        Some(Instructions::Avx512)
    } else {
        is_x86_feature_detected!("avx2").then_some(Instructions::Avx2)
    }
}

/// Interleaves probes: for each group of `LANES` probes four codes of each, then the next four; missing probes are
/// zero.
fn interleave(codes: &[i8], dimension: usize) -> Vec<[i8; WIDTH]> {
    let mut mixed = Vec::with_capacity(codes.len().div_ceil(LANES * dimension) * dimension / 4);
    for group in codes.chunks(LANES * dimension) {
        for at in (0..dimension).step_by(4) {
            let mut part = [0; WIDTH];
            for (lane, probe) in part.chunks_exact_mut(4).zip(group.chunks_exact(dimension)) {
                lane.copy_from_slice(&probe[at..at + 4]);
            }
            mixed.push(part);
        }
    }
    mixed
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn multiply_groups<const G: usize>(
    rows: [&[i32]; ROWS],
    probes: [&[[i8; WIDTH]]; G],
    offsets: &[[i32; LANES]; G],
) -> [[[i32; LANES]; G]; ROWS] {
    let mut sums = [[_mm512_setzero_si512(); G]; ROWS];
    let words = rows[0].len();
    let rows = rows.map(|row| &row[..words]);
    let probes = probes.map(|probe| &probe[..words]);
    for word in 0..words {
        let mut parts = [_mm512_setzero_si512(); G];
        for group in 0..G {
            parts[group] = load_512(&probes[group][word]);
        }
        for row in 0..ROWS {
            let codes = _mm512_set1_epi32(rows[row][word]);
            for group in 0..G {
                sums[row][group] = _mm512_dpbusd_epi32(sums[row][group], codes, parts[group]);
            }
        }
    }
    let mut products = [[[0; LANES]; G]; ROWS];
    for row in 0..ROWS {
        for group in 0..G {
            let offset = bytemuck::cast_ref(&offsets[group]);
            products[row][group] = lanes_512(_mm512_add_epi32(sums[row][group], load_512(offset)));
        }
    }
    products
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn multiply_one_avx512(tile: &[i8], probe: &[[i8; WIDTH]], offset: i32, stride: usize, out: &mut [i32]) {
    let flip = _mm512_set1_epi8(-128);
    let parts = probe.len();
    let mut writer = StridedWriter { out, stride };
    for rows in tile.as_chunks::<WIDTH>().0.chunks(ROWS * parts) {
        let (a, b, c, d) = next_four(rows, parts);
        let mut sums = [_mm512_setzero_si512(); ROWS];
        for (at, part) in probe.iter().enumerate() {
            let part = load_512(part);
            for (sum, row) in sums.iter_mut().zip([a, b, c, d]) {
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_xor_si512(load_512(&row[at]), flip), part);
            }
        }
        let pair = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (ab, cd) = (pair(sums[0], sums[1]), pair(sums[2], sums[3]));
        let all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        let half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64::<1>(all));
        let sums = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
        writer.write(lanes_128(sums).map(|sum| sum + offset));
    }
}

#[target_feature(enable = "avx2")]
fn multiply_one_avx2(tile: &[i8], probe: &[[i8; WIDTH]], stride: usize, out: &mut [i32]) {
    let ones = _mm256_set1_epi16(1);
    let parts = probe.len() * 2;
    let mut writer = StridedWriter { out, stride };
    let probe = probe.as_flattened().as_chunks::<32>().0;
    for rows in tile.as_chunks::<32>().0.chunks(ROWS * parts) {
        let (a, b, c, d) = next_four(rows, parts);
        let mut sums = [_mm256_setzero_si256(); ROWS];
        for (at, part) in probe.iter().enumerate() {
            let part = load_256(part);
            for (sum, row) in sums.iter_mut().zip([a, b, c, d]) {
                let codes = load_256(&row[at]);
                // The sum of two products of codes within ±127 fits into 16 bits.
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(part, codes));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        let all = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
        let sums = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
        writer.write(lanes_128(sums));
    }
}

/// The next four rows; an incomplete last chunk is padded with its own first row.
#[inline]
fn next_four<T>(rows: &[T], parts: usize) -> (&[T], &[T], &[T], &[T]) {
    let row = |number: usize| rows.get(number * parts..(number + 1) * parts).unwrap_or(&rows[..parts]);
    (row(0), row(1), row(2), row(3))
}

/// Writes the products of one probe between those of the others, until `out` is full.
struct StridedWriter<'a> {
    out: &'a mut [i32],
    stride: usize,
}

impl StridedWriter<'_> {
    #[inline]
    fn write(&mut self, products: [i32; ROWS]) {
        let out = std::mem::take(&mut self.out);
        let (now, later) = out.split_at_mut(out.len().min(ROWS * self.stride));
        for (place, product) in now.iter_mut().step_by(self.stride).zip(products) {
            *place = product;
        }
        self.out = later;
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_512(codes: &[i8; WIDTH]) -> __m512i {
    // SAFETY: the array is as long as the load, which needs no alignment.
    unsafe { _mm512_loadu_si512(codes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_256(codes: &[i8; 32]) -> __m256i {
    // SAFETY: the array is as long as the load, which needs no alignment.
    unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn lanes_512(lanes: __m512i) -> [i32; LANES] {
    // SAFETY: both types have 64 bytes, and every bit pattern is a valid integer.
    unsafe { std::mem::transmute(lanes) }
}

#[inline]
fn lanes_128(lanes: __m128i) -> [i32; ROWS] {
    // SAFETY: both types have 16 bytes, and every bit pattern is a valid integer.
    unsafe { std::mem::transmute(lanes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::synthetic::random;

    #[test]
    fn products_equal_those_of_the_plain_loop_with_each_available_instruction_set() {
        let mut state = 2;
        let here = detect_instructions();
        let kinds = [Instructions::Avx2, Instructions::Avx512];
        for kind in kinds.into_iter().filter(|kind| here == Some(Instructions::Avx512) || here == Some(*kind)) {
            for (dimension, count) in [(64, 1), (128, 1), (512, 1), (128, 3), (64, 4), (128, 17), (128, 64), (192, 128)]
            {
                let mut codes = |rows: usize| -> Vec<i8> {
                    (0..rows * dimension).map(|_| ((random(&mut state) * 255.0) as i16 - 127) as i8).collect()
                };
                let probes = codes(count);
                let Some(mut simd) = SimdProducts::with(kind, &probes, dimension) else {
                    assert!(dimension > MAX_ROW_BY_ROW || (kind == Instructions::Avx2 && count >= MIN_INTERLEAVED));
                    continue;
                };
                for rows in [9, 1, 4, 6, 3] {
                    let tile = codes(rows);
                    let product = |row: &[i8], probe: &[i8]| {
                        row.iter().zip(probe).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>()
                    };
                    let rows = tile.chunks_exact(dimension);
                    let plain: Vec<i32> = rows
                        .flat_map(|row| probes.chunks_exact(dimension).map(move |probe| product(row, probe)))
                        .collect();
                    let mut out = Vec::new();
                    simd.multiply(&tile, &mut out);
                    assert_eq!(out, plain, "{kind:?} {dimension} {count}");
                }
            }
        }
    }
}
