//! MTCNN's third network: the square round a face → a finer box, five points, a probability.
//!
//! A stage of the cascade, and by itself a way to get five points from any detector's box. Method: Zhang et al. (2016);
//! the arithmetic is that of the mtcnn package (see `tests/parity/README.md`).

use crate::error::Result;
use crate::geometry::{BBox, Landmarks, Point, Similarity, Size};
use crate::image::{self, Image};
use crate::pack::{NetworkSpec, PackFiles};
use crate::session::{Network, SessionOptions};
use crate::tensor::{self, Tensor};
use ndarray::ArrayView1;

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

    /// Look at upright squares of a picture; one answer each, in order.
    pub fn refine(&self, image: &Image, squares: &[BBox]) -> Result<Vec<Refined>> {
        let mut refined = Vec::with_capacity(squares.len());
        for squares in squares.chunks(self.batch) {
            let input = tensor::boxes(image, squares, SIDE, &self.network.spec().input);
            self.run(&input, |i, regression, points, score| {
                let square = squares[i];
                refined.push(Refined {
                    bbox: super::regressed(square, regression),
                    landmarks: landmarks(square, |k| points[k]),
                    score,
                });
            })?;
        }
        Ok(refined)
    }

    /// Look at turned squares of a picture; points and score of each, in order.
    pub fn refine_turned(&self, image: &Image, squares: &[TurnedSquare]) -> Result<Vec<(Landmarks, f32)>> {
        let mut refined = Vec::with_capacity(squares.len());
        for squares in squares.chunks(self.batch) {
            let transforms: Vec<Similarity> = squares.iter().map(|square| square.image_from_cut(SIDE)).collect();
            let size = Size::new(SIDE, SIDE);
            let cuts = transforms.iter().map(|&transform| image::warped(image, transform, size));
            let cuts = cuts.collect::<Result<Vec<_>>>()?;
            let input = tensor::crops(&cuts.iter().collect::<Vec<_>>(), &self.network.spec().input);
            self.run(&input, |i, _, points, score| {
                let steps = (SIDE - 1) as f32;
                let point = |k: usize| transforms[i].apply(Point::new(steps * points[k], steps * points[5 + k]));
                refined.push((Landmarks(std::array::from_fn(point)), score));
            })?;
        }
        Ok(refined)
    }

    /// Run on a batch; `read` gets number, regression, points and score of each row.
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

/// A square of a picture that need not be upright.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurnedSquare {
    /// Its middle.
    pub centre: Point,
    /// Its side, pixels of the picture.
    pub side: f32,
    /// The angle of its upper edge, radians, positive where it is turned clockwise.
    pub angle: f32,
}

impl TurnedSquare {
    /// Where the pixels of a cut-out of `side` pixels lie in the picture; its edge pixels lie on the square's edges.
    pub fn image_from_cut(self, side: u32) -> Similarity {
        let last = f64::from(side - 1);
        let scale = f64::from(self.side) / last;
        let (sin, cos) = f64::from(self.angle).sin_cos();
        let turned = Similarity { a: scale * cos, b: scale * sin, tx: 0.0, ty: 0.0 };
        let (x, y) = turned.apply_f64(last / 2.0, last / 2.0);
        Similarity { tx: f64::from(self.centre.x) - x, ty: f64::from(self.centre.y) - y, ..turned }
    }
}

/// Five x, then five y, as fractions of the square.
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
    fn a_turned_square_has_its_corners_where_they_are_turned_to() {
        let square = TurnedSquare { centre: Point::new(50.0, 40.0), side: 20.0, angle: std::f32::consts::FRAC_PI_2 };
        let image_from_cut = square.image_from_cut(48);
        for (cut, image) in [((0.0, 0.0), (60.0, 30.0)), ((47.0, 0.0), (60.0, 50.0)), ((23.5, 23.5), (50.0, 40.0))] {
            let found = image_from_cut.apply(Point::new(cut.0, cut.1));
            assert!(found.distance(Point::new(image.0, image.1)) < 1e-4, "{found:?}");
        }
    }
}
