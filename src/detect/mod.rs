//! Image → faces: one file per family of networks.

mod blazeface;
mod mtcnn;
mod nms;
mod onet;
mod refine;
mod resize;
mod retinaface;
mod scrfd;
mod single_shot;
mod ultraface;
mod yunet;

#[cfg(test)]
#[path = "../../tests/parity/npz.rs"]
mod npz;

use crate::error::{Error, Result};
use crate::geometry::{BBox, Landmarks};
use crate::image::Image;
use crate::pack::{DetectorSpec, PackFiles};
use crate::session::{Network, SessionOptions};
use ndarray::{ArrayView1, ArrayView2, ArrayViewD, Ix2};

/// A face in an image, pixels of the upright image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// Its box.
    pub bbox: BBox,
    /// Its five points; none if no network of the pack finds them.
    pub landmarks: Option<Landmarks>,
    /// The detector's certainty, 0 to 1.
    pub det_score: f32,
}

/// Which faces to detect.
#[derive(Debug, Clone, Copy, Default)]
pub struct DetectOptions {
    /// Minimum height of a face, pixels; by default the pack decides. A detector has a lower limit of its own: MTCNN
    /// finds faces from 12 pixels, in images above four megapixels from more.
    pub min_face: Option<u32>,
}

/// One or more networks that find faces.
pub trait Detector: Send + Sync {
    /// Find the faces in an image, in any order; an image without faces is not an error.
    fn detect(&self, image: &Image, options: &DetectOptions) -> Result<Vec<Face>>;

    /// Find the faces in a small crop, in one run at its own size.
    fn detect_once(&self, image: &Image) -> Result<Vec<Face>> {
        self.detect(image, &DetectOptions::default())
    }

    /// Whether its faces have landmarks.
    fn gives_landmarks(&self) -> bool;

    /// Its networks.
    fn networks(&self) -> Vec<&Network>;
}

/// Open the detector of a pack, with its landmarks network if it has one.
pub fn open(files: &PackFiles, options: &SessionOptions) -> Result<Box<dyn Detector>> {
    let detector: Box<dyn Detector> = match &files.pack.detector {
        Some(DetectorSpec::Mtcnn(spec)) => Box::new(mtcnn::Mtcnn::open(files, spec, options)?),
        Some(DetectorSpec::Scrfd(spec)) => Box::new(scrfd::open(files, spec, options)?),
        Some(DetectorSpec::Yunet(spec)) => Box::new(yunet::open(files, spec, options)?),
        Some(DetectorSpec::Retinaface(spec)) => Box::new(retinaface::open(files, spec, options)?),
        Some(DetectorSpec::Ultraface(spec)) => Box::new(ultraface::open(files, spec, options)?),
        Some(DetectorSpec::Blazeface(spec)) => Box::new(blazeface::BlazeFace::open(files, spec, options)?),
        None => {
            return Err(Error::RoleMissing {
                pack: files.pack.name.clone(),
                role: "detector",
                remedy: "open a pack that has one".to_string(),
            });
        }
    };
    Ok(Box::new(refine::RefinedDetector::open(files, detector, options)?))
}

/// View the outputs of R-Net or O-Net as matrices: a row for each of `count` boxes, with these numbers of columns.
fn rows<'a, const COUNT: usize>(
    network: &Network,
    outputs: &'a [ArrayViewD<'_, f32>],
    count: usize,
    columns: [usize; COUNT],
) -> Result<[ArrayView2<'a, f32>; COUNT]> {
    let mut views = Vec::with_capacity(COUNT);
    for (output, &columns) in outputs.iter().zip(&columns) {
        let wrong = || network.shape_error("output shape", &format!("[{count}, {columns}]"), output.shape());
        let view = output.view().into_dimensionality::<Ix2>().map_err(|_| wrong())?;
        if view.dim() != (count, columns) {
            return Err(wrong());
        }
        views.push(view);
    }
    views.try_into().map_err(|_| network.shape_error("outputs", &COUNT.to_string(), &[outputs.len()]))
}

/// Move the corners of a box by fractions of its size. As in the training of MTCNN, sizes count both edge pixels.
fn regress(bbox: BBox, by: &ArrayView1<'_, f32>) -> BBox {
    let (width, height) = (bbox.width() + 1.0, bbox.height() + 1.0);
    BBox::new(bbox.x1 + by[0] * width, bbox.y1 + by[1] * height, bbox.x2 + by[2] * width, bbox.y2 + by[3] * height)
}
