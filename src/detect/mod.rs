//! Image → faces: a file for each family of networks.

mod blazeface;
mod finder;
mod input;
mod mtcnn;
mod nms;
mod onet;
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

/// A face in a picture, in the picture's upright pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// Where it is.
    pub bbox: BBox,
    /// Its five points; none where no network of the pack finds them.
    pub landmarks: Option<Landmarks>,
    /// The detector's certainty, 0 to 1.
    pub det_score: f32,
}

/// What to look for.
#[derive(Debug, Clone, Copy, Default)]
pub struct DetectOptions {
    /// Least height of a face, pixels; where absent, what the pack finds by itself. A detector looks for no smaller
    /// ones than it reaches: MTCNN for 12 pixels, for more in pictures beyond four megapixels.
    pub min_face: Option<u32>,
}

/// A network, or several in a row, that finds faces.
pub trait Detector: Send + Sync {
    /// The faces of a picture, in no particular order; none is no error.
    fn detect(&self, image: &Image, options: &DetectOptions) -> Result<Vec<Face>>;

    /// The faces of a small picture, seen once at its own size: a cut-out round a face, turned.
    fn look_once(&self, image: &Image) -> Result<Vec<Face>> {
        self.detect(image, &DetectOptions::default())
    }

    /// Whether its faces have five points.
    fn gives_landmarks(&self) -> bool;

    /// The networks it runs.
    fn networks(&self) -> Vec<&Network>;
}

/// Open the detector of a pack, with its landmarks network where it has one.
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
    Ok(Box::new(finder::Finder::open(files, detector, options)?))
}

/// The outputs of R-Net or O-Net as matrices: a row for each of `count` boxes, with as many columns as its family has.
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

/// A box moved by fractions of its size, as MTCNN's R-Net and O-Net were trained: sizes count both edge pixels.
fn regressed(bbox: BBox, by: &ArrayView1<'_, f32>) -> BBox {
    let (width, height) = (bbox.width() + 1.0, bbox.height() + 1.0);
    BBox::new(bbox.x1 + by[0] * width, bbox.y1 + by[1] * height, bbox.x2 + by[2] * width, bbox.y2 + by[3] * height)
}

/// The square with the box's middle and its longer side.
fn square(bbox: BBox) -> BBox {
    let half = bbox.width().max(bbox.height()) / 2.0;
    let centre = bbox.centre();
    BBox::new(centre.x - half, centre.y - half, centre.x + half, centre.y + half)
}
