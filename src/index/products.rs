//! Products of many rows of codes with one or many probes: the inner loop of every scan.
//!
//! One probe goes row by row at the speed of memory. Several are packed once, and then every tile of rows is multiplied
//! with all of them in numkong's register-blocked kernel, so that a row is read once for all probes. Integer sums are the
//! same either way and on every processor.

use numkong::{PackedMatrix, Tensor};

use super::dot::code_dot;
#[cfg(target_arch = "x86_64")]
use super::wide::Wide;

/// Codes of a tile: small enough for the second cache level beside the products.
const TILE_CODES: usize = 64 * 1024;

/// Fewer probes than this go one by one: packing them does not pay.
const PACKED_FROM: usize = 4;

/// Probes that are packed together, so that the products of a tile stay in the cache too.
pub(super) const BATCH: usize = 128;

/// The codes of up to `BATCH` probes, and room for their products with a tile.
pub(super) struct Products {
    dimension: usize,
    count: usize,
    codes: Vec<i8>,
    #[cfg(target_arch = "x86_64")]
    wide: Option<Wide>,
    batch: Option<Batch>,
    out: Vec<i32>,
}

struct Batch {
    packed: PackedMatrix<i8>,
    tile: Tensor<i8>,
    out: Tensor<i32>,
}

impl Products {
    /// `codes` are those of all probes, one after the other.
    pub(super) fn new(codes: Vec<i8>, dimension: usize) -> Self {
        let count = codes.len() / dimension;
        #[cfg(target_arch = "x86_64")]
        if let wide @ Some(_) = Wide::new(&codes, dimension) {
            return Self { dimension, count, codes, wide, batch: None, out: Vec::new() };
        }
        let batch = if count < PACKED_FROM { None } else { Batch::new(&codes, count, dimension) };
        Self {
            dimension,
            count,
            codes,
            #[cfg(target_arch = "x86_64")]
            wide: None,
            batch,
            out: Vec::new(),
        }
    }

    /// Rows that one call takes at most.
    pub(super) fn tile_rows(dimension: usize) -> usize {
        (TILE_CODES / dimension).clamp(1, 512)
    }

    /// Products of a tile's rows, (row, probe).
    pub(super) fn of(&mut self, tile: &[i8]) -> &[i32] {
        #[cfg(target_arch = "x86_64")]
        if let Some(wide) = &mut self.wide {
            wide.multiply(tile, &mut self.out);
            return &self.out;
        }
        let rows = tile.len() / self.dimension;
        if let Some(batch) = &mut self.batch
            && batch.multiply(tile)
        {
            return &batch.out.as_slice()[..rows * self.count];
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

impl Batch {
    /// None where there is no memory for it: the rows are then taken one by one.
    fn new(codes: &[i8], count: usize, dimension: usize) -> Option<Self> {
        let rows = Products::tile_rows(dimension);
        let probes: Tensor<i8> = Tensor::try_from_slice(codes, &[count, dimension]).ok()?;
        let packed = PackedMatrix::try_pack(&probes).ok()?;
        let (tile, out) = (Tensor::try_full(&[rows, dimension], 0).ok()?, Tensor::try_full(&[rows, count], 0).ok()?);
        Some(Self { packed, tile, out })
    }

    /// Fills `out`; the rows behind a short tile are those of an earlier one and nobody reads their products.
    fn multiply(&mut self, tile: &[i8]) -> bool {
        let Some(target) = self.tile.as_mut_slice().get_mut(..tile.len()) else { return false };
        target.copy_from_slice(tile);
        self.tile.try_dots_packed_into(&self.packed, &mut self.out).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::synthetic::random;

    #[test]
    fn packed_products_are_those_of_the_plain_loop() {
        let mut state = 1;
        for dimension in [1, 3, 17, 64, 65, 127, 128, 512, 700] {
            for count in [1, 2, 3, 4, 5, 8, 15, 16, 17, 33, BATCH] {
                let mut codes = |rows: usize| -> Vec<i8> {
                    (0..rows * dimension).map(|_| (random(&mut state) * 255.0) as i16 - 127).map(|x| x as i8).collect()
                };
                let probes = codes(count);
                let mut products = Products::new(probes.clone(), dimension);
                for rows in [Products::tile_rows(dimension), 5, 1, 2] {
                    let tile = codes(rows.min(Products::tile_rows(dimension)));
                    let plain: Vec<i32> = tile
                        .chunks_exact(dimension)
                        .flat_map(|row| {
                            probes.chunks_exact(dimension).map(move |probe| {
                                row.iter().zip(probe).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>()
                            })
                        })
                        .collect();
                    assert_eq!(products.of(&tile), plain, "{dimension} {count} {rows}");
                }
            }
        }
    }

    #[test]
    fn extreme_codes_do_not_saturate_in_a_batch() {
        for dimension in [64, 512, 4096] {
            let mut products =
                Products::new([vec![127_i8; dimension * 2], vec![-127_i8; dimension * 2]].concat(), dimension);
            let product = 127 * 127 * i32::try_from(dimension).unwrap();
            let expected = [-product, -product, product, product];
            assert_eq!(products.of(&vec![-127_i8; dimension]), expected);
        }
    }
}
