//! O-Net, MTCNN's third network: the square around a face → a refined box, five points, a probability.
//!
//! It is the last stage of the cascade, and by itself finds landmarks in the boxes of any detector. Method: Zhang et
//! al. (2016); the arithmetic is that of the mtcnn package (see `tests/parity/README.md`).

use crate::error::Result;
use crate::geometry::{BBox, Landmarks, Point, Similarity, Size};
use crate::image::{self, Image};
use crate::pack::{NetworkSpec, PackFiles};
use crate::session::{Network, SessionOptions};
use crate::tensor::{self, Tensor};
use ndarray::ArrayView1;

/// Side of the network's input, pixels.
const SIDE: u32 = 48;
/// Squares in one run, if the file's batch size is not fixed.
const BATCH: usize = 16;

/// The network's output for a square.
#[derive(Debug, Clone, Copy)]
pub struct Refined {
    /// The refined box.
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

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Run on upright squares of an image; returns a result for each, in order.
    pub fn refine(&self, image: &Image, squares: &[BBox]) -> Result<Vec<Refined>> {
        let mut refined = Vec::with_capacity(squares.len());
        for squares in squares.chunks(self.batch) {
            let input = tensor::sample_boxes(image, squares, SIDE, &self.network.spec().input);
            self.run(&input, |i, regression, points, score| {
                let square = squares[i];
                refined.push(Refined {
                    bbox: super::regress(square, regression),
                    landmarks: landmarks(square, |k| points[k]),
                    score,
                });
            })?;
        }
        Ok(refined)
    }

    /// Run on turned squares of an image; returns landmarks and score of each, in order.
    pub fn refine_turned(&self, image: &Image, squares: &[TurnedSquare]) -> Result<Vec<(Landmarks, f32)>> {
        let mut refined = Vec::with_capacity(squares.len());
        for squares in squares.chunks(self.batch) {
            let transforms: Vec<Similarity> = squares.iter().map(|square| square.image_from_crop(SIDE)).collect();
            let size = Size::new(SIDE, SIDE);
            let crops = transforms.iter().map(|&transform| image::warp(image, transform, size));
            let crops = crops.collect::<Result<Vec<_>>>()?;
            let input = tensor::stack_crops(&crops.iter().collect::<Vec<_>>(), &self.network.spec().input);
            self.run(&input, |i, _, points, score| {
                let steps = (SIDE - 1) as f32;
                let point = |k: usize| transforms[i].apply(Point::new(steps * points[k], steps * points[5 + k]));
                refined.push((Landmarks(std::array::from_fn(point)), score));
            })?;
        }
        Ok(refined)
    }

    /// Run on a batch; `read` receives index, regression, points and score of each row.
    fn run(
        &self,
        input: &Tensor,
        mut read: impl FnMut(usize, &ArrayView1<'_, f32>, &ArrayView1<'_, f32>, f32),
    ) -> Result<()> {
        let count = input.shape()[0];
        self.network.run(input.shape(), input.values(), |outputs| {
            let [regression, points, probability] = super::rows(&self.network, outputs, count, [4, 10, 2])?;
            for i in 0..count {
                read(i, &regression.row(i), &points.row(i), probability[[i, 1]]);
            }
            Ok(())
        })
    }
}

/// A square of an image, possibly rotated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurnedSquare {
    /// Its centre.
    pub centre: Point,
    /// Its side, pixels of the image.
    pub side: f32,
    /// The angle of its upper edge, radians, positive clockwise.
    pub angle: f32,
}

impl TurnedSquare {
    /// The transform from a crop of `side` pixels to the image; the crop's edge pixels lie on the square's edges.
    pub fn image_from_crop(self, side: u32) -> Similarity {
        let last = f64::from(side - 1);
        let scale = f64::from(self.side) / last;
        let (sin, cos) = f64::from(self.angle).sin_cos();
        let turned = Similarity { a: scale * cos, b: scale * sin, tx: 0.0, ty: 0.0 };
        let (x, y) = turned.apply_f64(last / 2.0, last / 2.0);
        Similarity { tx: f64::from(self.centre.x) - x, ty: f64::from(self.centre.y) - y, ..turned }
    }
}

/// Convert fractions of a square, five x and then five y, to landmarks.
fn landmarks(square: BBox, fraction: impl Fn(usize) -> f32) -> Landmarks {
    let (width, height) = (square.width() + 1.0, square.height() + 1.0);
    Landmarks(std::array::from_fn(|k| {
        Point::new(width * fraction(k) + square.x1 - 1.0, height * fraction(5 + k) + square.y1 - 1.0)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corners_of_a_crop_map_to_the_corners_of_its_turned_square() {
        let square = TurnedSquare { centre: Point::new(50.0, 40.0), side: 20.0, angle: std::f32::consts::FRAC_PI_2 };
        let image_from_crop = square.image_from_crop(48);
        for (crop, image) in [((0.0, 0.0), (60.0, 30.0)), ((47.0, 0.0), (60.0, 50.0)), ((23.5, 23.5), (50.0, 40.0))] {
            let found = image_from_crop.apply(Point::new(crop.0, crop.1));
            assert!(found.distance(Point::new(image.0, image.1)) < 1e-4, "{found:?}");
        }
    }
}
