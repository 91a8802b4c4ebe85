//! MTCNN's third network: the square round a face → a finer box, five points, a probability.
//!
//! A stage of the cascade, and by itself a way to get five points from any detector's box. Method: Zhang et al. (2016);
//! the arithmetic is that of the mtcnn package (see `tests/parity/README.md`).

use crate::error::Result;
use crate::geometry::{BBox, Landmarks, Point};
use crate::image::Image;
use crate::pack::{NetworkSpec, PackFiles};
use crate::session::{Network, SessionOptions};
use crate::tensor;

/// Side of the network's input, pixels.
const SIDE: u32 = 48;
/// Squares in one run, where the file takes any number.
const BATCH: usize = 16;

/// What the network says of a square.
#[derive(Debug, Clone, Copy)]
pub struct Refined {
    /// The finer box.
    pub bbox: BBox,
    /// Five points.
    pub landmarks: Landmarks,
    /// Probability of a face.
    pub score: f32,
}

/// The network. Outputs: box regression, landmarks, probability.
pub struct ONet {
    network: Network,
    batch: usize,
}

impl ONet {
    /// Open and verify the network.
    pub fn open(files: &PackFiles, spec: &NetworkSpec, options: &SessionOptions) -> Result<Self> {
        let network = Network::open(files, spec, options)?;
        network.check_columns(&[4, 10, 2])?;
        let batch = network.batch(BATCH)?;
        Ok(Self { network, batch })
    }

    /// The network, for its figures.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Look at squares of a picture; one answer each, in order.
    pub fn refine(&self, image: &Image, squares: &[BBox]) -> Result<Vec<Refined>> {
        let mut refined = Vec::with_capacity(squares.len());
        for squares in squares.chunks(self.batch) {
            let input = tensor::boxes(image, squares, SIDE, &self.network.spec().input);
            self.network.run(input.shape(), input.values(), |outputs| {
                let [regression, points, probability] = super::rows(&self.network, outputs, squares.len(), [4, 10, 2])?;
                for (i, &square) in squares.iter().enumerate() {
                    let points = points.row(i);
                    refined.push(Refined {
                        bbox: super::regressed(square, &regression.row(i)),
                        landmarks: landmarks(square, |k| points[k]),
                        score: probability[[i, 1]],
                    });
                }
                Ok(())
            })?;
        }
        Ok(refined)
    }
}

/// Five x, then five y, as fractions of the square.
fn landmarks(square: BBox, fraction: impl Fn(usize) -> f32) -> Landmarks {
    let (width, height) = (square.width() + 1.0, square.height() + 1.0);
    Landmarks(std::array::from_fn(|k| {
        Point::new(width * fraction(k) + square.x1 - 1.0, height * fraction(5 + k) + square.y1 - 1.0)
    }))
}
