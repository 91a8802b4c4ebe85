//! `BlazeFace`: two grids of anchors, a box and six points per anchor.
//!
//! Method: Bazarevsky et al., "`BlazeFace`: Sub-millisecond Neural Face Detection on Mobile GPUs" (2019), the network
//! for the back camera. Overlapping boxes are averaged by score, as in the paper. The network runs on the full image;
//! on a small copy with a margin if a face may fill the frame, because it misses those; and on a larger copy if small
//! faces are likely. Its points are the two eyes, the nose, the middle of the mouth and the ears. The corners of the
//! mouth are estimated from an average face, so a landmarks network should follow.

use super::nms::{self, Overlap};
use super::{DetectOptions, Detector, Face};
use crate::error::{Error, Result};
use crate::geometry::{BBox, Landmarks, Point, Size};
use crate::image::Image;
use crate::pack::{BlazefaceSpec, PackFiles};
use crate::session::{Network, SessionOptions};
use crate::tensor::{self, Letterbox, Tensor};
use ndarray::ArrayViewD;

/// Values per anchor: centre, size, six points.
const VALUES: usize = 16;
/// A box closer to the image's edge than this fraction of the long side may be truncated by it.
const EDGE: f32 = 0.02;
/// Half the width of a mouth as a fraction of the distance between the eyes.
const HALF_MOUTH: f32 = 0.44;

/// The network and its declaration.
pub struct BlazeFace {
    spec: BlazefaceSpec,
    network: Network,
}

impl BlazeFace {
    /// Open and verify the network.
    pub fn open(files: &PackFiles, spec: &BlazefaceSpec, options: &SessionOptions) -> Result<Self> {
        let network = Network::open(files, &spec.network, options)?;
        network.batch(1)?;
        Ok(Self { spec: spec.clone(), network })
    }

    /// Run on an input; returns faces in its pixels.
    fn run(&self, input: &Tensor) -> Result<Vec<Face>> {
        let [_, _, height, width] = input.shape();
        let faces = self.network.run(input.shape(), input.values(), |outputs| {
            let mut faces = Vec::new();
            for ((output, &stride), &anchors) in outputs.iter().zip(&self.spec.strides).zip(&self.spec.anchors) {
                let grid = Size::new(width as u32 / stride, height as u32 / stride);
                self.decode(output, grid, stride, anchors as usize, &mut faces)?;
            }
            Ok(faces)
        })?;
        Ok(blend(&faces, self.spec.thresholds.nms))
    }

    /// Decode the output of one grid into `faces`.
    fn decode(
        &self,
        output: &ArrayViewD<'_, f32>,
        grid: Size,
        stride: u32,
        anchors: usize,
        faces: &mut Vec<Face>,
    ) -> Result<()> {
        let (columns, rows) = (grid.width as usize, grid.height as usize);
        let shape = [1, anchors * (1 + VALUES), rows, columns];
        let values = if output.shape() == shape { output.as_slice() } else { None };
        let values =
            values.ok_or_else(|| self.network.shape_error("output shape", &format!("{shape:?}"), output.shape()))?;
        let plane = columns * rows;
        let min_score = logit(self.spec.thresholds.score);
        for anchor in 0..anchors {
            let scores = &values[anchor * plane..][..plane];
            for (cell, _) in scores.iter().enumerate().filter(|&(_, &score)| score >= min_score || score.is_nan()) {
                let value = |k: usize| values[(anchors + anchor * VALUES + k) * plane + cell];
                let centre = |at: usize| (at as f32 + 0.5) * stride as f32;
                let (x, y) = (centre(cell % columns), centre(cell / columns));
                let face = decode_anchor(scores[cell], x, y, value);
                let points = face.landmarks.iter().flat_map(|landmarks| landmarks.0);
                let total: f32 = points.map(|point| point.x + point.y).sum();
                if !(face.det_score + face.bbox.area() + total).is_finite() {
                    let reason = "a score, box or point is not finite".to_string();
                    return Err(Error::NetworkRun { file: self.network.spec().file.clone(), reason });
                }
                faces.push(face);
            }
        }
        Ok(())
    }

    /// Run on an input; returns faces in pixels of the image in the letterbox.
    fn run_letterboxed(&self, image: Size, letterbox: Letterbox, input: &Tensor) -> Result<Vec<Face>> {
        let mut faces = self.run(input)?;
        for face in &mut faces {
            face.bbox = letterbox.original_box(image, face.bbox);
            face.landmarks = face.landmarks.map(|landmarks| letterbox.original_landmarks(image, landmarks));
        }
        Ok(faces)
    }

    /// Whether a face is certain enough that no further run is needed to find one.
    fn any_certain(&self, faces: &[Face]) -> bool {
        faces.iter().any(|face| face.det_score >= self.spec.closer.doubtful_score)
    }

    /// The long side of the run for small faces; none if the earlier runs, of which the first found `first` and all
    /// found
    /// `faces`, suffice.
    fn closer_side(&self, image: Size, min_face: Option<u32>, first: &[Face], faces: &[Face]) -> Option<u32> {
        let closer = self.spec.closer;
        let longest = image.width.max(image.height);
        let min_height = coarse_min_height(min_face);
        let smallest = closer.smallest_face as f32 * longest as f32 / self.spec.long_side as f32;
        let wanted: Vec<&Face> = first.iter().filter(|face| face.bbox.height() >= min_height).collect();
        let small = wanted.iter().any(|face| face.bbox.longer_side() < smallest);
        let doubtful =
            |face: &&&Face| face.det_score < closer.doubtful_score && face.bbox.longer_side() < 2.0 * smallest;
        let uncertain = !self.any_certain(faces) || small || wanted.iter().filter(doubtful).count() > 1;
        let by_doubt = if uncertain { closer.long_side } else { 0 };
        let by_size = min_face.map_or(0, |face| {
            let needed = u64::from(longest) * u64::from(closer.smallest_face) / u64::from(face.max(1));
            u32::try_from(needed).unwrap_or(u32::MAX).min(closer.max_long_side)
        });
        Some(by_doubt.max(by_size)).filter(|&side| side > self.spec.long_side)
    }
}

impl Detector for BlazeFace {
    fn detect(&self, image: &Image, options: &DetectOptions) -> Result<Vec<Face>> {
        let (size, multiple) = (image.size(), self.spec.multiple());
        let close_up = self.spec.close_up;
        let letterboxes = [
            Letterbox::with_margin(size, self.spec.long_side, 0.0, multiple),
            Letterbox::with_margin(size, close_up.long_side, close_up.margin, multiple),
        ];
        let inputs = tensor::fill_letterboxes(image, &letterboxes, &self.network.spec().input);
        let first = self.run_letterboxed(size, letterboxes[0], &inputs[0])?;
        let longest = size.width.max(size.height) as f32;
        let fills = |bbox: BBox| {
            let edge = EDGE * longest;
            let (right, low) = (size.width as f32 - edge, size.height as f32 - edge);
            let inside = bbox.x1 >= edge && bbox.y1 >= edge && bbox.x2 <= right && bbox.y2 <= low;
            bbox.longer_side() > close_up.from_fraction * size.short_side() as f32 || !inside
        };
        let mut faces: Vec<Face> = first.iter().copied().filter(|face| !fills(face.bbox)).collect();
        if faces.len() < first.len() || !self.any_certain(&faces) {
            let mut more = self.run_letterboxed(size, letterboxes[1], &inputs[1])?;
            more.retain(|face| {
                let known = |other: &Face| other.bbox.iou(face.bbox) > self.spec.thresholds.nms;
                fills(face.bbox) || !faces.iter().any(known)
            });
            faces.extend(more);
            // Keep faces at the edge that are too small for the run with a margin.
            let lost = |face: &&Face| faces.iter().all(|other| other.bbox.iou(face.bbox) <= self.spec.thresholds.nms);
            let lost: Vec<Face> = first.iter().filter(lost).copied().collect();
            faces.extend(lost);
        }

        if let Some(long_side) = self.closer_side(size, options.min_face, &first, &faces) {
            let letterbox = Letterbox::with_margin(size, long_side, 0.0, multiple);
            let input = tensor::fill_letterboxes(image, &[letterbox], &self.network.spec().input);
            let smallest = self.spec.closer.smallest_face as f32 * longest / self.spec.long_side as f32;
            let found =
                input.iter().map(|input| self.run_letterboxed(size, letterbox, input)).collect::<Result<Vec<_>>>()?;
            faces.retain(|face| face.bbox.longer_side() >= 2.0 * smallest);
            faces.extend(found.into_iter().flatten().filter(|face| face.bbox.longer_side() <= 8.0 * smallest));
        }
        let min_height = coarse_min_height(options.min_face);
        faces.retain(|face| face.bbox.height() >= min_height);
        let (boxes, scores): (Vec<_>, Vec<_>) = faces.iter().map(|face| (face.bbox, face.det_score)).unzip();
        let kept = nms::suppress(&boxes, &nms::best_first(&scores), 0.0, self.spec.thresholds.nms);
        Ok(kept.into_iter().map(|i| faces[i]).collect())
    }

    fn detect_once(&self, image: &Image) -> Result<Vec<Face>> {
        let letterbox =
            Letterbox::with_margin(image.size(), image.width().max(image.height()), 0.0, self.spec.multiple());
        let input = tensor::fill_letterboxes(image, &[letterbox], &self.network.spec().input);
        let found = input
            .iter()
            .map(|input| self.run_letterboxed(image.size(), letterbox, input))
            .collect::<Result<Vec<_>>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    fn gives_landmarks(&self) -> bool {
        true
    }

    fn networks(&self) -> Vec<&Network> {
        vec![&self.network]
    }
}

/// Half the minimum height, pixels: the box of a turned face may grow in a second look, after which
/// [`RefinedDetector`](super::refine::RefinedDetector) applies the exact minimum.
fn coarse_min_height(min_face: Option<u32>) -> f32 {
    min_face.unwrap_or(0) as f32 / 2.0
}

/// The inverse of the logistic function.
fn logit(probability: f32) -> f32 {
    let probability = probability.clamp(1e-6, 1.0 - 1e-6);
    (probability / (1.0 - probability)).ln()
}

/// Decode the face of an anchor with the centre (x, y), in pixels of the input.
fn decode_anchor(score: f32, x: f32, y: f32, value: impl Fn(usize) -> f32) -> Face {
    let (centre_x, centre_y) = (x + value(0), y + value(1));
    let (half_width, half_height) = (value(2) / 2.0, value(3) / 2.0);
    let point = |k: usize| Point::new(x + value(4 + 2 * k), y + value(5 + 2 * k));
    let [right_eye, left_eye, nose, mouth] = [0, 1, 2, 3].map(point);
    let (across, down) = (HALF_MOUTH * (left_eye.x - right_eye.x), HALF_MOUTH * (left_eye.y - right_eye.y));
    let corner = |sign: f32| Point::new(mouth.x + sign * across, mouth.y + sign * down);
    Face {
        bbox: BBox::new(centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height),
        landmarks: Some(Landmarks([right_eye, left_eye, nose, corner(-1.0), corner(1.0)])),
        det_score: 1.0 / (1.0 + (-score).exp()),
    }
}

/// Average each face, weighted by score, with all worse ones that overlap it by more than `threshold`; best first.
fn blend(faces: &[Face], threshold: f32) -> Vec<Face> {
    let scores: Vec<f32> = faces.iter().map(|face| face.det_score).collect();
    let mut left = nms::best_first(&scores);
    let mut merged = Vec::new();
    while let Some(&best) = left.first() {
        let (same, others): (Vec<usize>, Vec<usize>) = left
            .into_iter()
            .partition(|&i| i == best || Overlap::Union.of(faces[i].bbox, faces[best].bbox) > threshold);
        merged.push(mean(faces, &same, scores[best]));
        left = others;
    }
    merged
}

/// The mean of some faces, weighted by score.
fn mean(faces: &[Face], which: &[usize], det_score: f32) -> Face {
    let total: f32 = which.iter().map(|&i| faces[i].det_score).sum();
    let weighted = |value: &dyn Fn(&Face) -> f32| {
        which.iter().map(|&i| faces[i].det_score / total * value(&faces[i])).sum::<f32>()
    };
    let point = |k: usize, axis: fn(Point) -> f32| {
        weighted(&|face| face.landmarks.map_or(0.0, |landmarks| axis(landmarks.0[k])))
    };
    Face {
        bbox: BBox::new(
            weighted(&|face| face.bbox.x1),
            weighted(&|face| face.bbox.y1),
            weighted(&|face| face.bbox.x2),
            weighted(&|face| face.bbox.y2),
        ),
        landmarks: Some(Landmarks(std::array::from_fn(|k| Point::new(point(k, |p| p.x), point(k, |p| p.y))))),
        det_score,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_decodes_to_a_face_in_pixels_of_the_input() {
        let values: [f32; 16] = [2.0, -4.0, 20.0, 30.0, -5.0, -6.0, 5.0, -6.0, 0.0, 1.0, 0.5, 7.0, -9.0, 0.0, 9.0, 0.0];
        let found = decode_anchor(0.0, 40.0, 24.0, |k| values[k]);
        assert_eq!(found.bbox, BBox::new(32.0, 5.0, 52.0, 35.0));
        assert!((found.det_score - 0.5).abs() < 1e-6);
        let Some(Landmarks(points)) = found.landmarks else { panic!("no points") };
        assert_eq!(
            [points[0], points[1], points[2]],
            [(35.0, 18.0), (45.0, 18.0), (40.0, 25.0)].map(|(x, y)| Point::new(x, y))
        );
        assert!(points[3].distance(Point::new(36.1, 31.0)) < 1e-3 && points[4].distance(Point::new(44.9, 31.0)) < 1e-3);
    }

    #[test]
    fn overlapping_faces_are_averaged_by_score() {
        let at = |x: f32, det_score: f32| Face {
            bbox: BBox::new(x, 0.0, x + 10.0, 10.0),
            landmarks: Some(Landmarks([Point::new(x, x); 5])),
            det_score,
        };
        let found = blend(&[at(1.0, 0.25), at(0.0, 0.75), at(50.0, 0.5)], 0.3);
        assert_eq!(found.len(), 2);
        assert!((found[0].bbox.x1 - 0.25).abs() < 1e-6 && (found[0].det_score - 0.75).abs() < 1e-6);
        assert!(found[0].landmarks.is_some_and(|landmarks| (landmarks.0[4].y - 0.25).abs() < 1e-6));
        assert_eq!(found[1], at(50.0, 0.5));
        assert!(blend(&[], 0.3).is_empty());
    }

    #[test]
    fn logit_inverts_the_logistic_function() {
        for probability in [0.1f32, 0.3, 0.5, 0.9] {
            assert!((1.0 / (1.0 + (-logit(probability)).exp()) - probability).abs() < 1e-6);
        }
    }
}
