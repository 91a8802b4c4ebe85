//! A pack's detector and, if the manifest names one, a second network for the five points.
//!
//! Goes in: an image. Comes out: faces with boxes inside the image, at any angle if the manifest declares how squares
//! are turned. Refused: a minimum face of 0 pixels.

use super::nms::{self, Overlap};
use super::onet::{ONet, TurnedSquare};
use super::{DetectOptions, Detector, Face};
use crate::error::{Error, Result};
use crate::geometry::{BBox, Landmarks, Similarity, Size};
use crate::image::{self, Image};
use crate::pack::{LandmarksSpec, PackFiles, TurnedSpec};
use crate::session::{Network, SessionOptions};
use std::f32::consts::FRAC_PI_2;

/// Maximum number of second looks per image; each runs both networks four times. The detector returns the best first.
const MAX_LOOKS: usize = 100;
/// Maximum intersection over union of two faces; the worse one is dropped.
const MAX_IOU: f32 = 0.3;
/// Maximum share of a face's area inside another face; the worse one is dropped.
const MAX_INSIDE: f32 = 0.6;

/// A detector and the network that refines its faces.
pub struct RefinedDetector {
    detector: Box<dyn Detector>,
    refiner: Option<Refiner>,
}

/// O-Net and its thresholds.
struct Refiner {
    onet: ONet,
    min_score: f32,
    turned: Option<TurnedSpec>,
}

impl RefinedDetector {
    /// Add the landmarks network of a pack to its detector.
    pub fn open(files: &PackFiles, detector: Box<dyn Detector>, options: &SessionOptions) -> Result<Self> {
        let refiner = match &files.pack.landmarks {
            Some(LandmarksSpec::Onet(spec)) => Some(Refiner {
                onet: ONet::open(files, &spec.network, options)?,
                min_score: spec.min_score.unwrap_or(0.0),
                turned: spec.turned,
            }),
            None => None,
        };
        Ok(Self { detector, refiner })
    }
}

/// A face and O-Net's score for its square.
#[derive(Debug, Clone, Copy)]
struct ScoredFace {
    face: Face,
    /// O-Net's probability.
    score: f32,
    /// Angle of the square, radians; 0 if it was upright.
    angle: f32,
}

impl ScoredFace {
    /// The detector's score times O-Net's.
    fn product(&self) -> f32 {
        self.face.det_score * self.score
    }
}

impl Refiner {
    /// Replace the landmarks of faces by O-Net's; boxes and scores stay the detector's.
    fn refine(&self, detector: &dyn Detector, image: &Image, faces: &[Face]) -> Result<Vec<Face>> {
        let Some(turned) = self.turned else {
            let squares: Vec<BBox> = faces.iter().map(|face| face.bbox.square()).collect();
            let refined = faces.iter().zip(self.onet.refine(image, &squares)?);
            let accepted = refined.filter(|(_, refined)| refined.score >= self.min_score);
            return Ok(accepted.map(|(face, refined)| Face { landmarks: Some(refined.landmarks), ..*face }).collect());
        };
        let mut found = self.score(image, faces, turned)?;
        for i in doubtful(&found, turned) {
            let first = found[i].face;
            for other in self.look_again(detector, image, first.bbox, turned)? {
                // Scores of both networks: O-Net alone takes some upside-down faces for upright ones.
                if other.product() > found[i].product() {
                    found[i] = other;
                }
            }
            found[i].face.det_score = found[i].face.det_score.max(first.det_score);
        }
        found.retain(|found| found.score >= self.required(found, turned));
        Ok(distinct(&found))
    }

    /// Score the square of each face with O-Net, turned by the face's own eye line.
    fn score(&self, image: &Image, faces: &[Face], spec: TurnedSpec) -> Result<Vec<ScoredFace>> {
        let angle = |face: &Face| {
            let roll = face.landmarks.map_or(0.0, Landmarks::roll);
            if roll.abs() >= spec.from_degrees.to_radians() { roll } else { 0.0 }
        };
        let square = |face: &Face| face.bbox.square().enlarge(spec.scale);
        let upright = faces.iter().filter(|face| angle(face) == 0.0).map(square).collect::<Vec<_>>();
        let mut upright = self.onet.refine(image, &upright)?.into_iter();
        let turned = faces.iter().filter(|face| angle(face) != 0.0).map(|face| {
            let square = square(face);
            TurnedSquare { centre: square.centre(), side: square.width(), angle: angle(face) }
        });
        let mut turned = self.onet.refine_turned(image, &turned.collect::<Vec<_>>())?.into_iter();
        let scored = |face: &Face| {
            let (landmarks, score) = if angle(face) == 0.0 {
                upright.next().map(|refined| (refined.landmarks, refined.score))?
            } else {
                turned.next()?
            };
            Some(ScoredFace { face: Face { landmarks: Some(landmarks), ..*face }, score, angle: angle(face) })
        };
        Ok(faces.iter().filter_map(scored).collect())
    }

    /// Find the best face in the middle of a square around a box, in each of four quarter turns: the detector runs on
    /// the turned square, O-Net on the faces found there.
    fn look_again(
        &self,
        detector: &dyn Detector,
        image: &Image,
        bbox: BBox,
        spec: TurnedSpec,
    ) -> Result<Vec<ScoredFace>> {
        let side = bbox.longer_side() * spec.look.scale;
        let mut faces = Vec::with_capacity(4);
        for quarter in 0..4u8 {
            let angle = f32::from(quarter) * FRAC_PI_2;
            let image_from_crop = TurnedSquare { centre: bbox.centre(), side, angle }.image_from_crop(spec.look.side);
            let crop = image::warp(image, image_from_crop, Size::new(spec.look.side, spec.look.side))?;
            let middle = spec.look.side as f32 / 2.0;
            let central = detector.detect_once(&crop)?.into_iter().filter(|face| {
                (face.bbox.x1..face.bbox.x2).contains(&middle) && (face.bbox.y1..face.bbox.y2).contains(&middle)
            });
            let best = central.max_by(|a, b| a.det_score.total_cmp(&b.det_score));
            faces.extend(best.map(|face| transform(&face, image_from_crop)));
        }
        self.score(image, &faces, spec)
    }

    /// The minimum probability with which a face is accepted.
    fn required(&self, found: &ScoredFace, spec: TurnedSpec) -> f32 {
        let by_angle = if found.angle == 0.0 { self.min_score } else { spec.min_score };
        if found.face.det_score < spec.doubtful_det_score { by_angle.max(spec.doubtful_min_score) } else { by_angle }
    }
}

/// Indices of the faces that need a second look: those with low scores, at most [`MAX_LOOKS`].
fn doubtful(found: &[ScoredFace], spec: TurnedSpec) -> Vec<usize> {
    let low = |face: &ScoredFace| face.score < spec.sure_score && face.product() < spec.sure_product;
    (0..found.len()).filter(|&i| low(&found[i])).take(MAX_LOOKS).collect()
}

/// Map a face of a crop to the image: the box becomes an upright square over its longer side.
fn transform(face: &Face, image_from_crop: Similarity) -> Face {
    let centre = image_from_crop.apply(face.bbox.centre());
    Face {
        bbox: BBox::square_at(centre, face.bbox.longer_side() * image_from_crop.scale() as f32),
        landmarks: face.landmarks.map(|landmarks| Landmarks(landmarks.0.map(|point| image_from_crop.apply(point)))),
        det_score: face.det_score,
    }
}

/// Drop faces that overlap a better one or lie in it: a second look may find a neighbour again.
fn distinct(found: &[ScoredFace]) -> Vec<Face> {
    let scores: Vec<f32> = found.iter().map(|found| found.face.det_score).collect();
    let mut kept: Vec<Face> = Vec::with_capacity(found.len());
    for i in nms::best_first(&scores) {
        let face = found[i].face;
        let same = |other: &Face| {
            Overlap::Union.of(other.bbox, face.bbox) > MAX_IOU
                || Overlap::Smaller.of(other.bbox, face.bbox) > MAX_INSIDE
        };
        if !kept.iter().any(same) {
            kept.push(face);
        }
    }
    kept
}

impl Detector for RefinedDetector {
    fn detect(&self, image: &Image, options: &DetectOptions) -> Result<Vec<Face>> {
        if options.min_face == Some(0) {
            let accepted = "at least 1 pixel".to_string();
            return Err(Error::Argument { name: "min_face", accepted, found: "0".to_string() });
        }
        let mut faces = self.detector.detect(image, options)?;
        if let Some(refiner) = &self.refiner {
            faces = refiner.refine(self.detector.as_ref(), image, &faces)?;
        }
        let min_height = options.min_face.unwrap_or(0) as f32;
        if self.refiner.as_ref().is_some_and(|refiner| refiner.turned.is_some()) {
            faces.retain(|face| face.bbox.height() >= min_height); // a second look may change the size of a face
        }
        let inside = Size::new(image.width() - 1, image.height() - 1);
        for face in &mut faces {
            face.bbox = face.bbox.clip(inside);
        }
        faces.retain(|face| face.bbox.area() > 0.0);
        Ok(faces)
    }

    fn gives_landmarks(&self) -> bool {
        self.refiner.is_some() || self.detector.gives_landmarks()
    }

    fn networks(&self) -> Vec<&Network> {
        let mut networks = self.detector.networks();
        networks.extend(self.refiner.iter().map(|refiner| refiner.onet.network()));
        networks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Point;
    use crate::pack::LookSpec;

    const SPEC: TurnedSpec = TurnedSpec {
        from_degrees: 20.0,
        scale: 1.1,
        sure_score: 0.9,
        sure_product: 0.8,
        look: LookSpec { scale: 2.0, side: 96 },
        min_score: 0.9,
        doubtful_det_score: 0.5,
        doubtful_min_score: 0.95,
    };

    fn scored(bbox: BBox, det_score: f32, score: f32) -> ScoredFace {
        ScoredFace { face: Face { bbox, landmarks: None, det_score }, score, angle: 0.0 }
    }

    #[test]
    fn only_the_first_hundred_doubtful_faces_get_a_second_look() {
        // Every third face is certain: by O-Net alone, or by the product of both scores.
        let certain = |i: usize| i.is_multiple_of(3);
        let scores = |i: usize| match (certain(i), i.is_multiple_of(2)) {
            (true, true) => (0.1, 0.9),
            (true, false) => (1.0, 0.85),
            (false, _) => (0.9, 0.85),
        };
        let found: Vec<ScoredFace> =
            (0..400).map(scores).map(|(det_score, score)| scored(BBox::default(), det_score, score)).collect();
        let chosen = doubtful(&found, SPEC);
        let expected: Vec<usize> = (0..400).filter(|&i| !certain(i)).take(100).collect();
        assert_eq!(chosen, expected);
        assert_eq!(doubtful(&found[..30], SPEC).len(), 20);
    }

    #[test]
    fn of_faces_that_overlap_or_contain_each_other_the_best_stays() {
        let at = |x: f32, side: f32, det_score: f32| scored(BBox::new(x, 0.0, x + side, side), det_score, 1.0);
        let kept = distinct(&[at(0.0, 10.0, 0.5), at(4.0, 10.0, 0.9), at(6.0, 4.0, 0.7), at(20.0, 10.0, 0.6)]);
        assert_eq!(kept.iter().map(|face| face.det_score).collect::<Vec<_>>(), [0.9, 0.6]);
    }

    #[test]
    fn a_face_of_a_turned_crop_becomes_an_upright_square_of_the_image() {
        // A quarter turn, twice the size.
        let image_from_crop = Similarity { a: 0.0, b: 2.0, tx: 100.0, ty: 50.0 };
        let landmarks = Some(Landmarks([Point::new(10.0, 0.0); 5]));
        let face = Face { bbox: BBox::new(0.0, 0.0, 10.0, 20.0), landmarks, det_score: 0.5 };
        let found = transform(&face, image_from_crop);
        assert_eq!(found.bbox, BBox::new(60.0, 40.0, 100.0, 80.0));
        assert_eq!(found.landmarks, Some(Landmarks([Point::new(100.0, 70.0); 5])));
    }
}
