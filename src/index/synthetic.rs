//! Synthetic face embeddings for tests: identities with a decaying spectrum and shared directions, and samples around
//! them whose cosines are distributed like those of photographs; optionally in a cone, like the embeddings of one
//! network.

use super::dot::similarity;
use super::ranking::Hit;
use super::recall::normal;
pub(super) use super::recall::random;
use super::rows::View;

const SHARED_DIRECTIONS: usize = 24;

/// A generator of face-like vectors; the same seed gives the same vectors.
pub(super) struct Faces {
    dimension: usize,
    seed: u64,
    cone: f32,
}

impl Faces {
    pub(super) fn new(dimension: usize, seed: u64) -> Self {
        Self { dimension, seed, cone: 0.0 }
    }

    /// Any two different people have about this cosine.
    pub(super) fn in_a_cone(mut self, cosine: f32) -> Self {
        self.cone = cosine;
        self
    }

    /// `count` samples: one to five per identity, one identity after the other.
    pub(super) fn samples(&self, count: usize) -> Vec<Vec<f32>> {
        let mut state = self.seed;
        let mut gauss = |scale: f32| (0..self.dimension).map(|_| scale * normal(&mut state)).collect::<Vec<f32>>();
        let shared: Vec<Vec<f32>> = (0..SHARED_DIRECTIONS).map(|_| gauss(0.02)).collect();
        let axis = unit(gauss(1.0));
        let mut choices = self.seed ^ 0x5eed;
        let mut samples = Vec::with_capacity(count);
        while samples.len() < count {
            let mut centre = gauss(1.0);
            centre.iter_mut().enumerate().for_each(|(i, x)| *x *= (i as f32 + 20.0).powf(-0.5));
            for direction in &shared {
                let weight = normal(&mut choices);
                centre.iter_mut().zip(direction).for_each(|(x, d)| *x += weight * d);
            }
            let centre = unit(centre);
            let closeness = 0.70 + 0.15 * random(&mut choices);
            let spread = (1.0 - closeness * closeness).sqrt();
            for _ in 0..=(5.0 * random(&mut choices)) as usize {
                let noise = unit(gauss(1.0));
                let face = unit(centre.iter().zip(noise).map(|(c, n)| closeness * c + spread * n).collect());
                let (along, across) = (self.cone.sqrt(), (1.0 - self.cone).sqrt());
                samples.push(unit(face.iter().zip(&axis).map(|(f, a)| across * f + along * a).collect()));
            }
        }
        samples.truncate(count);
        samples
    }
}

/// The reference for every search: score all rows and sort them.
pub(super) fn plain_scan(view: &View, probe: &[f32], k: usize) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (block, row) in view.live_rows() {
        let similarity = similarity(block.vector(row, &mut Vec::new()).unwrap(), probe);
        hits.push(Hit { key: block.key(row), person: block.person(row), similarity });
    }
    hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.key.cmp(&b.key)));
    hits.truncate(k);
    hits
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
    for x in &mut vector {
        *x /= length;
    }
    vector
}
