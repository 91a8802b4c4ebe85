//! A pack's detector with, where the manifest names one, a second network for the five points.
//!
//! Goes in: a picture. Comes out: faces with boxes inside the picture, at any angle where the manifest has squares turned.
//! Refused: a minimum face of 0 pixels.

use super::nms::{self, Overlap};
use super::onet::{ONet, TurnedSquare};
use super::{DetectOptions, Detector, Face, square};
use crate::error::{Error, Result};
use crate::geometry::{BBox, Landmarks, Similarity, Size};
use crate::image::{self, Image};
use crate::pack::{LandmarksSpec, PackFiles, TurnedSpec};
use crate::session::{Network, SessionOptions};
use std::f32::consts::FRAC_PI_2;

/// Most faces of a picture that are looked at again; the detector gives the best first.
const MOST_LOOKS: usize = 100;
/// Of two faces that share more of their union, one is left.
const MOST_SHARED: f32 = 0.3;
/// Of two faces, one of which lies in the other by more than this part of its area, one is left.
const MOST_INSIDE: f32 = 0.6;

/// The detector and what refines its faces.
pub struct Finder {
    detector: Box<dyn Detector>,
    points: Option<Points>,
}

/// O-Net, and what it takes for a face.
struct Points {
    onet: ONet,
    min_score: f32,
    turned: Option<TurnedSpec>,
}

impl Finder {
    /// Add the landmarks network of a pack to its detector.
    pub fn open(files: &PackFiles, detector: Box<dyn Detector>, options: &SessionOptions) -> Result<Self> {
        let points = match &files.pack.landmarks {
            Some(LandmarksSpec::Onet(spec)) => Some(Points {
                onet: ONet::open(files, &spec.network, options)?,
                min_score: spec.min_score.unwrap_or(0.0),
                turned: spec.turned,
            }),
            None => None,
        };
        Ok(Self { detector, points })
    }
}

/// A face whose square O-Net has seen.
#[derive(Clone, Copy)]
struct Seen {
    face: Face,
    /// O-Net's probability.
    score: f32,
    /// How the square was turned, radians; 0 where it was upright.
    angle: f32,
}

impl Seen {
    /// The detector's score times O-Net's.
    fn product(&self) -> f32 {
        self.face.det_score * self.score
    }
}

impl Points {
    /// The faces with O-Net's points; boxes and scores stay the detector's.
    fn refine(&self, detector: &dyn Detector, image: &Image, faces: &[Face]) -> Result<Vec<Face>> {
        let Some(turned) = self.turned else {
            let squares: Vec<BBox> = faces.iter().map(|face| square(face.bbox)).collect();
            let seen = faces.iter().zip(self.onet.refine(image, &squares)?);
            let accepted = seen.filter(|(_, refined)| refined.score >= self.min_score);
            return Ok(accepted.map(|(face, refined)| Face { landmarks: Some(refined.landmarks), ..*face }).collect());
        };
        let mut found = Vec::with_capacity(faces.len());
        let mut looks = 0;
        for (seen, face) in self.look(image, faces, turned)?.into_iter().zip(faces) {
            let mut best = seen;
            if seen.score < turned.sure_score && seen.product() < turned.sure_product && looks < MOST_LOOKS {
                looks += 1;
                for other in self.look_again(detector, image, face.bbox, turned)? {
                    // Scores of both networks: O-Net alone takes some faces upside down for upright ones.
                    if other.product() > best.product() {
                        best = other;
                    }
                }
            }
            best.face.det_score = best.face.det_score.max(face.det_score);
            found.push(best);
        }
        found.retain(|seen| seen.score >= self.required(seen, turned));
        Ok(distinct(&found))
    }

    /// O-Net's answer to the square of each face, turned by the face's own eye line.
    fn look(&self, image: &Image, faces: &[Face], spec: TurnedSpec) -> Result<Vec<Seen>> {
        let angle = |face: &Face| {
            let roll = face.landmarks.map_or(0.0, Landmarks::roll);
            if roll.abs() >= spec.from_degrees.to_radians() { roll } else { 0.0 }
        };
        let upright: Vec<&Face> = faces.iter().filter(|face| angle(face) == 0.0).collect();
        let tilted: Vec<&Face> = faces.iter().filter(|face| angle(face) != 0.0).collect();
        let grown = |face: &&Face| grown(square(face.bbox), spec.scale);
        let mut straight = self.onet.refine(image, &upright.iter().map(grown).collect::<Vec<_>>())?.into_iter();
        let squares = tilted.iter().map(|face| {
            let square = grown(face);
            TurnedSquare { centre: square.centre(), side: square.width(), angle: angle(face) }
        });
        let mut turned = self.onet.refine_turned(image, &squares.collect::<Vec<_>>())?.into_iter();
        let answer = |face: &Face| {
            let (landmarks, score) = if angle(face) == 0.0 {
                straight.next().map(|refined| (refined.landmarks, refined.score))?
            } else {
                turned.next()?
            };
            Some(Seen { face: Face { landmarks: Some(landmarks), ..*face }, score, angle: angle(face) })
        };
        Ok(faces.iter().filter_map(answer).collect())
    }

    /// The best face in the middle of a square round a box, in each of four quarter turns: the detector looks at the
    /// turned square, O-Net at what it finds there.
    fn look_again(&self, detector: &dyn Detector, image: &Image, bbox: BBox, spec: TurnedSpec) -> Result<Vec<Seen>> {
        let side = bbox.width().max(bbox.height()) * spec.look.scale;
        let mut faces = Vec::with_capacity(4);
        for quarter in 0..4u8 {
            let angle = f32::from(quarter) * FRAC_PI_2;
            let image_from_cut = TurnedSquare { centre: bbox.centre(), side, angle }.image_from_cut(spec.look.side);
            let cut = image::warped(image, image_from_cut, Size::new(spec.look.side, spec.look.side))?;
            let middle = spec.look.side as f32 / 2.0;
            let seen = detector.look_once(&cut)?.into_iter().filter(|face| {
                (face.bbox.x1..face.bbox.x2).contains(&middle) && (face.bbox.y1..face.bbox.y2).contains(&middle)
            });
            let best = seen.max_by(|a, b| a.det_score.total_cmp(&b.det_score));
            faces.extend(best.map(|face| moved(&face, image_from_cut)));
        }
        self.look(image, &faces, spec)
    }

    /// The least probability with which a face is accepted.
    fn required(&self, seen: &Seen, spec: TurnedSpec) -> f32 {
        let by_angle = if seen.angle == 0.0 { self.min_score } else { spec.min_score };
        if seen.face.det_score < spec.doubtful_det_score { by_angle.max(spec.doubtful_min_score) } else { by_angle }
    }
}

/// A face of a cut-out in the picture: the box keeps its longer side and stays upright.
fn moved(face: &Face, image_from_cut: Similarity) -> Face {
    let centre = image_from_cut.apply(face.bbox.centre());
    let half = face.bbox.width().max(face.bbox.height()) * image_from_cut.scale() as f32 / 2.0;
    Face {
        bbox: BBox::new(centre.x - half, centre.y - half, centre.x + half, centre.y + half),
        landmarks: face.landmarks.map(|landmarks| Landmarks(landmarks.0.map(|point| image_from_cut.apply(point)))),
        det_score: face.det_score,
    }
}

/// A box with its sides times a factor.
fn grown(bbox: BBox, factor: f32) -> BBox {
    let centre = bbox.centre();
    let (half_width, half_height) = (bbox.width() * factor / 2.0, bbox.height() * factor / 2.0);
    BBox::new(centre.x - half_width, centre.y - half_height, centre.x + half_width, centre.y + half_height)
}

/// The faces without those that a better one overlaps or contains: a second look may find a neighbour again.
fn distinct(seen: &[Seen]) -> Vec<Face> {
    let scores: Vec<f32> = seen.iter().map(|seen| seen.face.det_score).collect();
    let mut kept: Vec<Face> = Vec::with_capacity(seen.len());
    for i in nms::best_first(&scores) {
        let face = seen[i].face;
        let same = |other: &Face| {
            Overlap::Union.of(other.bbox, face.bbox) > MOST_SHARED
                || Overlap::Smaller.of(other.bbox, face.bbox) > MOST_INSIDE
        };
        if !kept.iter().any(same) {
            kept.push(face);
        }
    }
    kept
}

impl Detector for Finder {
    fn detect(&self, image: &Image, options: &DetectOptions) -> Result<Vec<Face>> {
        if options.min_face == Some(0) {
            let accepted = "at least 1 pixel".to_string();
            return Err(Error::Argument { name: "min_face", accepted, found: "0".to_string() });
        }
        let mut faces = self.detector.detect(image, options)?;
        if let Some(points) = &self.points {
            faces = points.refine(self.detector.as_ref(), image, &faces)?;
        }
        let least = options.min_face.unwrap_or(0) as f32;
        if self.points.as_ref().is_some_and(|points| points.turned.is_some()) {
            faces.retain(|face| face.bbox.height() >= least); // seen again, a face may have another size
        }
        let inside = Size::new(image.width() - 1, image.height() - 1);
        for face in &mut faces {
            face.bbox = face.bbox.clipped(inside);
        }
        faces.retain(|face| face.bbox.area() > 0.0);
        Ok(faces)
    }

    fn gives_landmarks(&self) -> bool {
        self.points.is_some() || self.detector.gives_landmarks()
    }

    fn networks(&self) -> Vec<&Network> {
        let mut networks = self.detector.networks();
        networks.extend(self.points.iter().map(|points| points.onet.network()));
        networks
    }
}
