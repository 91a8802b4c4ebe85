//! crops → unit embeddings.
//!
//! Goes in: crops of the pack's size. Comes out: vectors of length 1, whose cosine is the similarity of two faces.
//! Refused: a crop of another size, and an output that is not finite.

use crate::align;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::pack::{EmbedderSpec, PackFiles};
use crate::session::{Network, SessionOptions};
use crate::tensor;

/// A vector of unit length.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// Normalize a vector to unit length; none if its length is 0 or not finite.
    pub fn from_direction(mut values: Vec<f32>) -> Option<Self> {
        let length = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() || length < 1e-12 {
            return None;
        }
        for value in &mut values {
            *value = (f64::from(*value) / length) as f32;
        }
        Some(Self(values))
    }

    /// The values.
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// Cosine of the angle to another embedding, −1 to 1.
    pub fn similarity(&self, other: &Self) -> f32 {
        let dot: f64 = self.0.iter().zip(&other.0).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        dot.clamp(-1.0, 1.0) as f32
    }
}

/// The embedder of a pack.
pub struct Embedder {
    spec: EmbedderSpec,
    network: Network,
}

impl Embedder {
    /// Open and verify the network.
    pub fn open(files: &PackFiles, options: &SessionOptions) -> Result<Self> {
        let spec = files.pack.embedder.clone().ok_or_else(|| Error::RoleMissing {
            pack: files.pack.name.clone(),
            role: "embedder",
            remedy: "open a pack that has one".to_string(),
        })?;
        let network = Network::open(files, &spec.network, options)?;
        let batch = network.batch(spec.batch)?;
        if batch != spec.batch {
            return Err(network.shape_error("batch", &spec.batch.to_string(), &[batch]));
        }
        network.check_columns(&[spec.dimension])?;
        Ok(Self { spec, network })
    }

    /// The declaration that it was opened with.
    pub fn spec(&self) -> &EmbedderSpec {
        &self.spec
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Compute the embedding of each crop, in order.
    ///
    /// With `mirror` in the manifest, outputs of the crop and of its mirror image are added before normalization.
    pub fn embed(&self, crops: &[&Image]) -> Result<Vec<Embedding>> {
        crops.iter().try_for_each(|crop| crop.check_crop(self.spec.crop_size()))?;
        let mut sums = self.forward(crops)?;
        if self.spec.mirror {
            let mirror = crops.iter().map(|crop| align::mirror(crop)).collect::<Result<Vec<_>>>()?;
            let others = self.forward(&mirror.iter().collect::<Vec<_>>())?;
            for (sum, other) in sums.iter_mut().zip(others) {
                sum.iter_mut().zip(other).for_each(|(total, value)| *total += value);
            }
        }
        let unusable = || Error::NetworkRun {
            file: self.spec.network.file.clone(),
            reason: "the embedding is zero or not finite".to_string(),
        };
        sums.into_iter().map(|values| Embedding::from_direction(values).ok_or_else(unusable)).collect()
    }

    /// Run the network on each crop.
    fn forward(&self, crops: &[&Image]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(crops.len());
        for crops in crops.chunks(self.spec.batch) {
            let input = tensor::stack_crops(crops, &self.spec.network.input);
            let rows = self.network.run_rows(input.shape(), input.values(), self.spec.dimension)?;
            all.extend(rows.chunks_exact(self.spec.dimension).map(<[f32]>::to_vec));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_vector_without_length_has_no_direction() {
        assert!(Embedding::from_direction(vec![0.0; 4]).is_none());
        assert!(Embedding::from_direction(vec![f32::NAN, 1.0]).is_none());
    }

    proptest! {
        #[test]
        fn embeddings_have_unit_length_and_symmetric_similarity(
            a in proptest::collection::vec(-3.0f32..3.0, 16), b in proptest::collection::vec(-3.0f32..3.0, 16),
        ) {
            let (Some(a), Some(b)) = (Embedding::from_direction(a), Embedding::from_direction(b)) else { return Ok(()) };
            let length: f32 = a.values().iter().map(|v| v * v).sum::<f32>().sqrt();
            prop_assert!((length - 1.0).abs() < 1e-5);
            prop_assert!((a.similarity(&a) - 1.0).abs() < 1e-5);
            prop_assert_eq!(a.similarity(&b).to_bits(), b.similarity(&a).to_bits());
            prop_assert!((-1.0..=1.0).contains(&a.similarity(&b)));
        }
    }
}
