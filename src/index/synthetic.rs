//! Unit vectors shaped like faces, for tests: identities with a decaying spectrum and shared directions, and samples round
//! them whose cosines spread as those of photographs do; optionally in a cone, as one network's embeddings lie.

use super::dot::similarity;
use super::ranking::Hit;
use super::sample::normal;
pub(super) use super::sample::random;
use super::view::View;

const SHARED_DIRECTIONS: usize = 24;

/// A source of face-like vectors, the same for the same seed.
pub(super) struct Faces {
    dimension: usize,
    seed: u64,
    cone: f32,
}

impl Faces {
    pub(super) fn new(dimension: usize, seed: u64) -> Self {
        Self { dimension, seed, cone: 0.0 }
    }

    /// Gives any two strangers about this cosine.
    pub(super) fn in_a_cone(mut self, cosine: f32) -> Self {
        self.cone = cosine;
        self
    }

    /// One to five samples of each identity, one identity after the other.
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

/// What a search must return: every row scored, all of it sorted.
pub(super) fn plain_scan(view: &View, probe: &[f32], k: usize) -> Vec<Hit> {
    let mut hits = Vec::new();
    for block in view.blocks() {
        for row in block.live_rows() {
            let similarity = similarity(block.vector(row, &mut Vec::new()).unwrap(), probe);
            hits.push(Hit { key: block.key(row), person: block.person(row), similarity });
        }
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
