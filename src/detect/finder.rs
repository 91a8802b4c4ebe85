//! A pack's detector with, where the manifest names one, a second network for the five points.
//!
//! Goes in: a picture. Comes out: faces with boxes inside the picture. Refused: a minimum face of 0 pixels.

use super::onet::ONet;
use super::{DetectOptions, Detector, Face, square};
use crate::error::{Error, Result};
use crate::geometry::{BBox, Size};
use crate::image::Image;
use crate::pack::{LandmarksSpec, PackFiles};
use crate::session::{Network, SessionOptions};

/// The detector and what refines its faces.
pub struct Finder {
    detector: Box<dyn Detector>,
    points: Option<Points>,
}

/// O-Net, and the least probability with which it accepts a box.
struct Points {
    onet: ONet,
    min_score: f32,
}

impl Finder {
    /// Add the landmarks network of a pack to its detector.
    pub fn open(files: &PackFiles, detector: Box<dyn Detector>, options: &SessionOptions) -> Result<Self> {
        let points = match &files.pack.landmarks {
            Some(LandmarksSpec::Onet(spec)) => Some(Points {
                onet: ONet::open(files, &spec.network, options)?,
                min_score: spec.min_score.unwrap_or(0.0),
            }),
            None => None,
        };
        Ok(Self { detector, points })
    }
}

impl Points {
    /// The faces with O-Net's points; boxes and scores stay the detector's.
    fn refine(&self, image: &Image, faces: &[Face]) -> Result<Vec<Face>> {
        let squares: Vec<BBox> = faces.iter().map(|face| square(face.bbox)).collect();
        let seen = faces.iter().zip(self.onet.refine(image, &squares)?);
        let accepted = seen.filter(|(_, refined)| refined.score >= self.min_score);
        Ok(accepted.map(|(face, refined)| Face { landmarks: Some(refined.landmarks), ..*face }).collect())
    }
}

impl Detector for Finder {
    fn detect(&self, image: &Image, options: &DetectOptions) -> Result<Vec<Face>> {
        if options.min_face == Some(0) {
            let accepted = "at least 1 pixel".to_string();
            return Err(Error::Argument { name: "min_face", accepted, found: "0".to_string() });
        }
        let mut faces = self.detector.detect(image, options)?;
        if let Some(points) = &self.points {
            faces = points.refine(image, &faces)?;
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
