//! MTCNN: proposals over an image pyramid (P-Net), refinement (R-Net), final decision and five points (O-Net).
//!
//! Method: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks" (2016).
//! The arithmetic is that of the mtcnn package 1.0.0, whose weights the pack `classic` contains; intended differences
//! are listed in `tests/parity/README.md`. The pyramid ends when its short side is below 12 pixels, so that a face as
//! large as the image is found whatever the minimum size. O-Net's score depends on the exact position of the square: a
//! clear face may score low in one square and high in the next, while hair or a collar scores high in few. A pack may
//! therefore declare a second look at doubtful faces, which takes the mean score of several squares.

use super::nms::{self, Overlap};
use super::onet::{ONet, Refined};
use super::{DetectOptions, Detector, Face, regress, rows};
use crate::error::Result;
use crate::geometry::{BBox, Point, Size};
use crate::image::Image;
use crate::pack::{MtcnnSpec, PackFiles, SecondLookSpec};
use crate::session::{Network, SessionOptions};
use crate::tensor::{self, Tensor};
use ndarray::{ArrayViewD, Axis};

/// Side of P-Net's window, pixels.
const CELL: f64 = 12.0;
/// Distance between windows, pixels.
const STRIDE: usize = 2;
/// Side of R-Net's input, pixels.
const REFINE_SIDE: u32 = 24;
/// Maximum pixels of the pyramid's first level; memory and time of P-Net are proportional to them.
const LEVEL_PIXELS: f64 = 4e6;
/// Boxes in one run of R-Net.
const BATCH: usize = 64;
/// Squares of a second look: scale of the side, and shifts right and down as fractions of the side. Chosen among scales
/// of 0.85 to 1.3 and shifts of 0.06 and 0.08 because their mean score separates faces from other objects best, over
/// 100 people of the test subset at 24 scales.
const SECOND_LOOK: [(f32, f32, f32); 5] =
    [(0.93, 0.0, 0.0), (1.0, 0.08, 0.0), (1.0, -0.08, 0.0), (1.0, 0.0, 0.08), (1.0, 0.0, -0.08)];

/// The cascade.
pub struct Mtcnn {
    spec: MtcnnSpec,
    pnet: Network,
    rnet: Network,
    onet: ONet,
}

/// Boxes and their scores, by index.
#[derive(Default)]
struct Candidates {
    boxes: Vec<BBox>,
    scores: Vec<f32>,
}

impl Candidates {
    fn push(&mut self, bbox: BBox, score: f32) {
        self.boxes.push(bbox);
        self.scores.push(score);
    }

    fn suppress(&self, overlap: Overlap, threshold: f32) -> Self {
        let kept = nms::suppress_by_all(&self.boxes, &nms::best_first_later(&self.scores), overlap, threshold);
        Self {
            boxes: kept.iter().map(|&i| self.boxes[i]).collect(),
            scores: kept.iter().map(|&i| self.scores[i]).collect(),
        }
    }

    fn squares(&self) -> Vec<BBox> {
        self.boxes.iter().copied().map(BBox::square).collect()
    }
}

impl Mtcnn {
    /// Open and verify the three networks.
    pub fn open(files: &PackFiles, spec: &MtcnnSpec, options: &SessionOptions) -> Result<Self> {
        Ok(Self {
            spec: spec.clone(),
            pnet: Network::open(files, &spec.pnet, options)?,
            rnet: Network::open(files, &spec.rnet, options)?,
            onet: ONet::open(files, &spec.onet, options)?,
        })
    }

    /// Propose boxes on all levels of the pyramid.
    fn propose(&self, image: &Image, min_face: f64) -> Result<Candidates> {
        let mut all = Candidates::default();
        let (scales, sizes): (Vec<_>, Vec<_>) =
            pyramid(image.size(), min_face, self.spec.scale_factor).into_iter().unzip();
        let inputs = tensor::resize_area(image, &sizes, &self.pnet.spec().input);
        for (scale, input) in scales.into_iter().zip(inputs) {
            let level = self.propose_level(&input, scale)?.suppress(Overlap::Union, 0.5);
            all.boxes.extend(level.boxes);
            all.scores.extend(level.scores);
        }
        Ok(all.suppress(Overlap::Union, 0.7))
    }

    fn propose_level(&self, input: &Tensor, scale: f64) -> Result<Candidates> {
        self.pnet.run(input.shape(), input.values(), |outputs| {
            let wrong = |found: &[usize]| self.pnet.shape_error("output shape", "[1, 4, h, w] and [1, 2, h, w]", found);
            let [regression, probability] = outputs else { return Err(wrong(&[outputs.len()])) };
            let &[1, 2, height, width] = probability.shape() else { return Err(wrong(probability.shape())) };
            if regression.shape() != [1, 4, height, width] {
                return Err(wrong(regression.shape()));
            }
            Ok(proposals(regression, probability, self.spec.score_thresholds[0], scale))
        })
    }

    fn refine(&self, image: &Image, squares: &[BBox]) -> Result<Candidates> {
        let mut found = Candidates::default();
        for squares in squares.chunks(BATCH) {
            let input = tensor::sample_boxes(image, squares, REFINE_SIDE, &self.rnet.spec().input);
            self.rnet.run(input.shape(), input.values(), |outputs| {
                let [regression, probability] = rows(&self.rnet, outputs, squares.len(), [4, 2])?;
                for (i, &square) in squares.iter().enumerate() {
                    let score = probability[[i, 1]];
                    if score > self.spec.score_thresholds[1] {
                        found.push(regress(square, &regression.row(i)), score);
                    }
                }
                Ok(())
            })?;
        }
        Ok(found.suppress(Overlap::Union, 0.7))
    }

    /// Keep the faces with a certain score, and those of the others that pass a second look.
    fn confirm(&self, image: &Image, faces: Vec<Refined>, look: SecondLookSpec) -> Result<Vec<Refined>> {
        let doubtful = |face: &Refined| face.score <= look.sure_score;
        let squares: Vec<BBox> =
            faces.iter().filter(|face| doubtful(face)).flat_map(|face| second_look(face.bbox)).collect();
        let refined = self.onet.refine(image, &squares)?;
        let mut means = refined.chunks(SECOND_LOOK.len()).map(|squares| {
            let sum: f32 = squares.iter().map(|square| square.score).sum();
            sum / SECOND_LOOK.len() as f32
        });
        let passes = |face: &Refined| !doubtful(face) || means.next().is_some_and(|mean| mean > look.score_threshold);
        Ok(faces.into_iter().filter(passes).collect())
    }
}

impl Detector for Mtcnn {
    fn detect(&self, image: &Image, options: &DetectOptions) -> Result<Vec<Face>> {
        let min_face = if let Some(pixels) = options.min_face {
            f64::from(pixels)
        } else {
            let [low, high] = self.spec.min_face_limits.map(f64::from);
            (f64::from(self.spec.min_face_fraction) * f64::from(image.size().short_side())).clamp(low, high)
        };
        let proposed = self.propose(image, min_face.max(min_reachable_face(image.size())))?.squares();
        let refined = self.refine(image, &proposed)?.squares();
        let mut faces = self.onet.refine(image, &refined)?;
        faces.retain(|face| face.score > self.spec.score_thresholds[2]);
        let (boxes, scores): (Vec<_>, Vec<_>) = faces.iter().map(|face| (face.bbox, face.score)).unzip();
        let kept = nms::suppress_by_all(&boxes, &nms::best_first_later(&scores), Overlap::Smaller, 0.7);
        let mut faces: Vec<_> = kept.into_iter().map(|i| faces[i]).collect();
        if let Some(look) = self.spec.second_look {
            faces = self.confirm(image, faces, look)?;
        }
        let inside = Size::new(image.width() - 1, image.height() - 1);
        let faces = faces.into_iter().map(|face| Face {
            bbox: face.bbox.clip(inside),
            landmarks: Some(face.landmarks),
            det_score: face.score,
        });
        Ok(faces.filter(|face| face.bbox.area() > 0.0).collect())
    }

    fn gives_landmarks(&self) -> bool {
        true
    }

    fn networks(&self) -> Vec<&Network> {
        vec![&self.pnet, &self.rnet, self.onet.network()]
    }
}

/// Decode P-Net's outputs for one level, [1, 4, h, w] and [1, 2, h, w]: boxes in the image with scores above
/// `min_score`.
fn proposals(
    regression: &ArrayViewD<'_, f32>,
    probability: &ArrayViewD<'_, f32>,
    min_score: f32,
    scale: f64,
) -> Candidates {
    let (height, width) = (probability.len_of(Axis(2)), probability.len_of(Axis(3)));
    let mut found = Candidates::default();
    let scores = probability.iter().skip(height * width);
    for (cell, &score) in scores.enumerate().filter(|&(_, &score)| score > min_score) {
        let (x, y) = (cell % width, cell / width);
        // The window is 12 pixels, but in the package's arithmetic its corners are 11 apart.
        let corner = |at: usize, channel: usize, end: f32| {
            let position = (STRIDE * at) as f32 + end + regression[&[0, channel, y, x][..]] * 11.0;
            (f64::from(position) / scale) as f32
        };
        found.push(BBox::new(corner(x, 0, 1.0), corner(y, 1, 1.0), corner(x, 2, 12.0), corner(y, 3, 12.0)), score);
    }
    found
}

/// The squares of a second look at a face.
fn second_look(bbox: BBox) -> [BBox; SECOND_LOOK.len()] {
    let (centre, side) = (bbox.centre(), bbox.longer_side());
    SECOND_LOOK.map(|(scale, right, down)| {
        BBox::square_at(Point::new(centre.x + right * side, centre.y + down * side), scale * side)
    })
}

/// The smallest face that can be found in an image of a size, pixels: P-Net's window in a first level that is not
/// enlarged and has at most [`LEVEL_PIXELS`].
fn min_reachable_face(size: Size) -> f64 {
    CELL * (f64::from(size.width) * f64::from(size.height) / LEVEL_PIXELS).sqrt().max(1.0)
}

/// Compute scales and sizes of the pyramid's levels, largest first.
fn pyramid(size: Size, min_face: f64, factor: f64) -> Vec<(f64, Size)> {
    let scales = std::iter::successors(Some(CELL / min_face), |scale| Some(scale * factor));
    scales
        .take_while(|scale| f64::from(size.short_side()) * scale >= CELL)
        .map(|scale| {
            let side = |length: u32| (f64::from(length) * scale) as u32;
            (scale, Size::new(side(size.width), side(size.height)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::npz::Npz;

    #[test]
    fn the_pyramid_is_the_recorded_one() {
        let recorded = Npz::recorded("mtcnn_cascade.npz");
        let scales = recorded.array::<f64>("pyramid_scales");
        let sizes = recorded.array::<i64>("pyramid_sizes");
        let levels = pyramid(Size::new(320, 240), 20.0, 0.709);
        assert_eq!(levels.len(), scales.len());
        for (i, (scale, size)) in levels.into_iter().enumerate() {
            assert!((scale - scales[i]).abs() < 1e-12);
            assert_eq!([i64::from(size.height), i64::from(size.width)], [sizes[[i, 0]], sizes[[i, 1]]]);
        }
    }

    #[test]
    fn the_recorded_outputs_of_a_level_decode_to_the_recorded_boxes() {
        let recorded = Npz::recorded("mtcnn_cascade.npz");
        let scales = recorded.array::<f64>("pyramid_scales");
        for level in [4, 6] {
            let head = |name: &str| {
                let maps = recorded.array::<f32>(&format!("pyramid_level{level}_{name}"));
                maps.permuted_axes(&[2, 0, 1][..]).insert_axis(Axis(0))
            };
            let found = proposals(&head("reg").view(), &head("prob").view(), 0.6, scales[level]);
            let order = nms::best_first_later(&found.scores);
            let sorted = Candidates {
                boxes: order.iter().map(|&i| found.boxes[i]).collect(),
                scores: order.iter().map(|&i| found.scores[i]).collect(),
            };
            for (name, candidates) in [("boxes", sorted), ("kept", found.suppress(Overlap::Union, 0.5))] {
                let expected = recorded.array::<f64>(&format!("pyramid_level{level}_{name}"));
                assert_eq!(candidates.boxes.len(), expected.len_of(Axis(0)), "level {level}, {name}");
                assert!(expected.len_of(Axis(0)) > 0);
                let rows = expected.outer_iter();
                for ((bbox, &score), row) in candidates.boxes.iter().zip(&candidates.scores).zip(rows) {
                    let values = [bbox.x1, bbox.y1, bbox.x2, bbox.y2, score];
                    assert!(values.iter().zip(&row).all(|(&a, &b)| (f64::from(a) - b).abs() < 1e-3), "{bbox:?}: {row}");
                }
            }
        }
    }

    #[test]
    fn no_level_is_enlarged_or_larger_than_four_megapixels() {
        for (width, height) in [(300, 300), (2000, 2000), (4000, 3000), (8000, 8000), (60000, 1000)] {
            let size = Size::new(width, height);
            let first = pyramid(size, min_reachable_face(size), 0.709)[0].1;
            assert!(first.width <= width && first.height <= height);
            assert!(f64::from(first.width) * f64::from(first.height) <= LEVEL_PIXELS);
        }
        assert!((min_reachable_face(Size::new(640, 480)) - 12.0).abs() < 1e-12);
        assert!((min_reachable_face(Size::new(8000, 8000)) - 48.0).abs() < 1e-12);
    }

    #[test]
    fn the_pyramid_begins_at_the_minimum_face_and_ends_at_twelve_pixels() {
        let levels = pyramid(Size::new(640, 480), 20.0, 0.709);
        assert_eq!(levels.len(), 10);
        assert_eq!(levels[0].1, Size::new(384, 288));
        assert!(levels.iter().all(|(_, size)| size.short_side() >= 12));
        assert!(pyramid(Size::new(11, 11), 20.0, 0.709).is_empty());
        let close_up = pyramid(Size::new(480, 480), 400.0, 0.709);
        assert_eq!(close_up.first().map(|level| level.1), Some(Size::new(14, 14)));
    }

    #[test]
    fn a_second_look_takes_a_smaller_square_and_four_shifted_ones() {
        let squares = second_look(BBox::new(10.0, 0.0, 90.0, 100.0));
        assert_eq!(squares[0], BBox::new(3.5, 3.5, 96.5, 96.5));
        let corners = squares[1..].iter().map(|square| (square.x1, square.y1)).collect::<Vec<_>>();
        assert_eq!(corners, vec![(8.0, 0.0), (-8.0, 0.0), (0.0, 8.0), (0.0, -8.0)]);
        assert!(squares[1..].iter().all(|square| (square.width(), square.height()) == (100.0, 100.0)));
    }
}
