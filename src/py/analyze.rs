//! The engine for Python.

use super::attributes::Attributes;
use super::liveness::{self, Liveness};
use super::pack::PackInfo;
use super::quality::Quality;
use super::{array, enter, number};
use crate::analyze::{self, AnalyzeOptions, AnalyzedFace, EngineOptions, Source};
use crate::detect::{self, DetectOptions};
use crate::embed::Embedding;
use crate::error::Error;
use crate::geometry::BBox;
use crate::image::DecodeOptions;
use crate::pack::{Pack, PackFiles};
use numpy::{PyArray1, PyArray2, PyArray3, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::collections::HashMap;
use std::path::PathBuf;

/// A face in an image.
///
/// Parameters
/// ----------
/// bbox : sequence of 4 float
///     x1, y1, x2, y2, pixels of the upright image.
/// landmarks : sequence of 5 (x, y) or None
///     Right eye, left eye, nose, right and left corner of the mouth of the subject, pixels of the upright image.
/// det_score : float
///     The detector's certainty, 0 to 1, higher is more certain.
/// embedding : sequence of float, optional
///     Its embedding; normalized to unit length.
/// liveness : Liveness, optional
///     Whether it is live.
/// attributes : Attributes, optional
///     Estimated age and gender.
/// quality : Quality, optional
///     How well it serves recognition.
#[pyclass(frozen, eq, module = "facedex")]
#[derive(PartialEq)]
pub struct Face {
    face: AnalyzedFace,
}

#[pymethods]
impl Face {
    #[new]
    #[pyo3(signature = (bbox, landmarks, det_score, embedding = None, liveness = None, attributes = None,
                        quality = None))]
    fn new(
        bbox: (f32, f32, f32, f32),
        landmarks: Option<&Bound<'_, PyAny>>,
        det_score: f32,
        embedding: Option<Vec<f32>>,
        liveness: Option<&Bound<'_, Liveness>>,
        attributes: Option<&Bound<'_, Attributes>>,
        quality: Option<&Bound<'_, Quality>>,
    ) -> PyResult<Self> {
        let (x1, y1, x2, y2) = bbox;
        let unusable = || Error::Embedding { reason: "must be finite and not zero".to_string() };
        let embedding = match embedding {
            Some(values) => Some(Embedding::from_direction(values).ok_or_else(unusable)?),
            None => None,
        };
        let landmarks = landmarks.map(array::landmarks).transpose()?;
        let face = detect::Face { bbox: BBox::new(x1, y1, x2, y2), landmarks, det_score };
        let liveness = liveness.map(|liveness| liveness.get().inner().clone());
        let attributes = attributes.map(|attributes| attributes.get().inner());
        let quality = quality.map(|quality| quality.get().into());
        Ok(Self { face: AnalyzedFace { face, embedding, liveness, attributes, quality } })
    }

    /// numpy.ndarray: x1, y1, x2, y2, float32 (4,), pixels of the upright image.
    #[getter]
    fn bbox<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        array::bbox_to_py(py, self.face.face.bbox)
    }

    /// numpy.ndarray or None: five points (x, y), float32 (5, 2), pixels of the upright image: right eye, left eye,
    /// nose, right and left corner of the mouth of the subject; None if no network of the pack finds them.
    #[getter]
    fn landmarks<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
        self.face.face.landmarks.as_ref().map(|landmarks| array::landmarks_to_py(py, landmarks)).transpose()
    }

    /// float or None: the angle of the eye line, degrees, −180 to 180: 0 in an upright face, positive clockwise; None
    /// if no network of the pack finds the eyes.
    #[getter]
    fn roll(&self) -> Option<f32> {
        self.face.face.landmarks.map(|landmarks| landmarks.roll().to_degrees())
    }

    /// float: the detector's certainty, 0 to 1, higher is more certain.
    #[getter]
    fn det_score(&self) -> f32 {
        self.face.face.det_score
    }

    /// numpy.ndarray or None: unit vector, float32 (dimension,); None if it was not requested.
    #[getter]
    fn embedding<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyArray1<f32>>>> {
        self.face.embedding.as_ref().map(|embedding| array::vector_to_py(py, embedding.values())).transpose()
    }

    /// Liveness or None: whether it is live; None if it was not requested.
    #[getter]
    fn liveness(&self) -> Option<Liveness> {
        self.face.liveness.clone().map(Liveness::from)
    }

    /// Attributes or None: estimated age and gender; None if they were not requested.
    #[getter]
    fn attributes(&self) -> Option<Attributes> {
        self.face.attributes.map(Attributes::from)
    }

    /// Quality or None: how well it serves recognition; None if it was not requested.
    #[getter]
    fn quality(&self) -> Option<Quality> {
        self.face.quality.map(Quality::from)
    }

    /// Return the face as plain values that JSON can write.
    ///
    /// Parameters
    /// ----------
    /// embeddings : bool, default False
    ///     Whether to include the embedding.
    ///
    /// Returns
    /// -------
    /// dict
    ///     What was not requested of liveness, attributes and quality is left out.
    #[pyo3(signature = (*, embeddings = false))]
    fn to_dict<'py>(&self, py: Python<'py>, embeddings: bool) -> PyResult<Bound<'py, PyDict>> {
        let AnalyzedFace { face, embedding, .. } = &self.face;
        let points = face.landmarks.map(|landmarks| landmarks.0.map(|point| [point.x, point.y]).to_vec());
        let values = PyDict::new(py);
        values.set_item("bbox", [face.bbox.x1, face.bbox.y1, face.bbox.x2, face.bbox.y2])?;
        values.set_item("landmarks", points)?;
        values.set_item("roll", self.roll())?;
        values.set_item("det_score", face.det_score)?;
        if embeddings {
            values.set_item("embedding", embedding.as_ref().map(|embedding| embedding.values().to_vec()))?;
        }
        if let Some(liveness) = self.liveness() {
            values.set_item("liveness", liveness.to_dict(py)?)?;
        }
        if let Some(attributes) = self.attributes() {
            values.set_item("attributes", attributes.to_dict(py)?)?;
        }
        if let Some(quality) = self.quality() {
            values.set_item("quality", quality.to_dict(py)?)?;
        }
        Ok(values)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, this) = (slf.py(), slf.get());
        let AnalyzedFace { face, embedding, .. } = &this.face;
        let bbox = (face.bbox.x1, face.bbox.y1, face.bbox.x2, face.bbox.y2);
        let points = face.landmarks.map(|landmarks| landmarks.0.map(|point| (point.x, point.y)).to_vec());
        let values = embedding.as_ref().map(|embedding| embedding.values().to_vec());
        let more = (this.liveness(), this.attributes(), this.quality());
        let parts = (bbox, points, face.det_score, values, more.0, more.1, more.2);
        Ok((slf.get_type().into_any(), parts.into_pyobject(py)?))
    }

    fn __hash__(&self) -> u64 {
        let BBox { x1, y1, x2, y2 } = self.face.face.bbox;
        [x1, y1, x2, y2].iter().fold(0, |hash: u64, side| hash.rotate_left(16) ^ u64::from(side.to_bits()))
    }

    fn __repr__(&self) -> String {
        let BBox { x1, y1, x2, y2 } = self.face.face.bbox;
        let score = self.face.face.det_score;
        format!("Face(bbox=({x1:.1}, {y1:.1}, {x2:.1}, {y2:.1}), det_score={score:.3})")
    }
}

/// The networks of a pack and the threads that run them.
///
/// Parameters
/// ----------
/// manifest : path
///     The pack's manifest.
/// folders : list of path
///     Folders that are searched for its files, in order.
/// runtime : path
///     The ONNX Runtime library.
/// threads : int, optional
///     Number of threads; by default as many as this process may use.
/// providers : list of str, optional
///     ONNX Runtime execution providers by name; an unavailable one is an error.
/// max_pixels : int, optional
///     Larger images are refused; 50 million by default.
/// mirror : bool, optional
///     Average the embeddings of each crop and of its mirror image; by default as in the manifest. Changes the pack's
///     digest.
/// pins : dict of str to str, optional
///     SHA-256 of the files that the manifest declares as unverified, as recorded when they were accepted.
/// add : list of (path, list of path, dict of str to str), optional
///     Manifests, folders and pins of packs that provide liveness or attributes if the pack lacks them.
#[pyclass(frozen, module = "facedex._core")]
pub struct Engine {
    engine: analyze::Engine,
}

/// Manifest, folders and pins of an added pack.
type Addition = (PathBuf, Vec<PathBuf>, HashMap<String, String>);

/// The faces in an image, largest first, and its (width, height).
type Found = (Vec<Face>, (u32, u32));

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (manifest, folders, *, runtime, threads = None, providers = None,
                        max_pixels = None, mirror = None, pins = None, add = None))]
    #[allow(clippy::too_many_arguments)] // keyword-only options of one constructor
    fn new(
        py: Python<'_>,
        manifest: PathBuf,
        folders: Vec<PathBuf>,
        runtime: PathBuf,
        threads: Option<&Bound<'_, PyAny>>,
        providers: Option<Vec<String>>,
        max_pixels: Option<&Bound<'_, PyAny>>,
        mirror: Option<bool>,
        pins: Option<HashMap<String, String>>,
        add: Option<Vec<Addition>>,
    ) -> PyResult<Self> {
        let threads = number::optional(threads, "threads", 1)?;
        let max_pixels = number::optional(max_pixels, "max_pixels", 0)?;
        let engine = py.detach(|| {
            let mut pack = Pack::read(&manifest)?;
            pack.pin(&pins.unwrap_or_default());
            if let (Some(mirror), Some(embedder)) = (mirror, pack.embedder.as_mut()) {
                embedder.mirror = mirror;
            }
            let options = EngineOptions {
                runtime,
                threads: threads.unwrap_or(0),
                providers: providers.unwrap_or_default(),
                decode: max_pixels.map_or_else(DecodeOptions::default, |max_pixels| DecodeOptions { max_pixels }),
            };
            let added = add.unwrap_or_default().into_iter().map(|(manifest, folders, pins)| {
                let mut pack = Pack::read(&manifest)?;
                pack.pin(&pins);
                Ok(PackFiles { pack, folders })
            });
            analyze::Engine::open(PackFiles { pack, folders }, added.collect::<crate::Result<_>>()?, options)
        })?;
        Ok(Self { engine })
    }

    /// PackInfo: the pack.
    #[getter]
    fn pack(&self) -> PackInfo {
        self.engine.pack().into()
    }

    /// list of PackInfo: the added packs.
    #[getter]
    fn added(&self) -> Vec<PackInfo> {
        self.engine.additions().map(PackInfo::from).collect()
    }

    /// int: number of threads.
    #[getter]
    fn threads(&self) -> usize {
        self.engine.threads()
    }

    /// list of str: the execution providers that were requested; empty means the CPU.
    #[getter]
    fn providers(&self) -> Vec<String> {
        self.engine.options().providers.clone()
    }

    /// Find the faces in an image; returns them, largest first, and its (width, height).
    #[pyo3(signature = (image, *, min_face = None, max_faces = None, embed = true, attributes = false,
                        liveness = None, quality = false))]
    #[allow(clippy::too_many_arguments)] // keyword-only options
    fn analyze(
        &self,
        py: Python<'_>,
        image: &Bound<'_, PyAny>,
        min_face: Option<&Bound<'_, PyAny>>,
        max_faces: Option<&Bound<'_, PyAny>>,
        embed: bool,
        attributes: bool,
        liveness: Option<&Bound<'_, PyAny>>,
        quality: bool,
    ) -> PyResult<Found> {
        let source = enter::source(image)?;
        let options = options(min_face, max_faces, embed, attributes, liveness, quality)?;
        Ok(to_py(py.detach(|| self.engine.analyze(&source, &options))?))
    }

    /// Find the faces in many images; returns for each, in order, what `analyze` returns, or the exception.
    ///
    /// `progress` is called with the number of images done so far; an exception that it raises ends the analysis.
    #[pyo3(signature = (images, *, min_face = None, max_faces = None, embed = true, attributes = false,
                        liveness = None, quality = false, progress = None))]
    #[allow(clippy::too_many_arguments)] // keyword-only options
    fn analyze_many<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, PyAny>,
        min_face: Option<&Bound<'py, PyAny>>,
        max_faces: Option<&Bound<'py, PyAny>>,
        embed: bool,
        attributes: bool,
        liveness: Option<&Bound<'py, PyAny>>,
        quality: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let options = options(min_face, max_faces, embed, attributes, liveness, quality)?;
        let results = PyList::empty(py);
        let images = images.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        // Chunks bound the memory, and signals are checked between them, so that Ctrl-C works.
        for chunk in images.chunks(self.engine.threads() * 8) {
            let (mut sources, mut refused): (Vec<Source>, Vec<Option<PyErr>>) = (Vec::new(), Vec::new());
            for image in chunk {
                match enter::source(image) {
                    Ok(source) => {
                        sources.push(source);
                        refused.push(None);
                    }
                    Err(error) => refused.push(Some(error)),
                }
            }
            let mut analyses = py.detach(|| self.engine.analyze_many(&sources, &options))?.into_iter();
            for error in refused {
                let result = match error {
                    Some(error) => Err(error),
                    None => analyses.next().map_or_else(|| Ok((Vec::new(), (0, 0))), |analysis| Ok(to_py(analysis?))),
                };
                match result {
                    Ok(faces) => results.append(faces)?,
                    Err(error) => results.append(error.into_value(py))?,
                }
            }
            py.check_signals()?;
            if let Some(progress) = progress {
                progress.call1((results.len(),))?;
            }
        }
        Ok(results)
    }

    /// Cut the crop of a face for the embedder: uint8 (height, width, 3), RGB.
    fn crop<'py>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyAny>,
        landmarks: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let (source, landmarks) = (enter::source(image)?, array::landmarks(landmarks)?);
        let crop = py.detach(|| self.engine.crop(&source, &landmarks))?;
        array::image_to_py(py, crop)
    }

    /// Cut the crop of a face for each liveness network: list of uint8 (height, width, 3), RGB.
    fn liveness_crops<'py>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyAny>,
        bbox: (f32, f32, f32, f32),
    ) -> PyResult<Vec<Bound<'py, PyArray3<u8>>>> {
        let (source, (x1, y1, x2, y2)) = (enter::source(image)?, bbox);
        let crops = py.detach(|| self.engine.liveness_crops(&source, BBox::new(x1, y1, x2, y2)))?;
        crops.into_iter().map(|crop| array::image_to_py(py, crop)).collect()
    }

    /// Cut the crop of a face for the attributes network: uint8 (height, width, 3), RGB.
    fn attributes_crop<'py>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyAny>,
        bbox: (f32, f32, f32, f32),
        landmarks: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let landmarks = landmarks.map(array::landmarks).transpose()?;
        let (source, (x1, y1, x2, y2)) = (enter::source(image)?, bbox);
        let crop = py.detach(|| self.engine.attributes_crop(&source, BBox::new(x1, y1, x2, y2), landmarks.as_ref()))?;
        array::image_to_py(py, crop)
    }

    /// Compute the embeddings of crops (n, height, width, 3), uint8, RGB: float32 (n, dimension), unit length.
    fn embed<'py>(&self, py: Python<'py>, crops: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let crops = array::crops(crops)?;
        let embeddings = py.detach(|| self.engine.embed(&crops))?;
        let dimension = embeddings.first().map_or(0, |embedding| embedding.values().len());
        let values: Vec<f32> = embeddings.iter().flat_map(Embedding::values).copied().collect();
        PyArray1::from_vec(py, values).reshape([embeddings.len(), dimension])
    }

    /// Return statistics since the engine was opened: `images`, and `total_s` and `network_s` (inside ONNX Runtime),
    /// summed over threads.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.engine.stats();
        let figures = PyDict::new(py);
        figures.set_item("images", stats.images)?;
        figures.set_item("total_s", stats.total_s)?;
        figures.set_item("network_s", stats.network_s)?;
        Ok(figures)
    }

    fn __repr__(&self) -> String {
        format!("Engine(pack={:?}, threads={})", self.engine.pack().name, self.engine.threads())
    }
}

fn to_py(analysis: analyze::Analysis) -> Found {
    let faces = analysis.faces.into_iter().map(|face| Face { face }).collect();
    (faces, (analysis.size.width, analysis.size.height))
}

fn options(
    min_face: Option<&Bound<'_, PyAny>>,
    max_faces: Option<&Bound<'_, PyAny>>,
    embed: bool,
    attributes: bool,
    liveness: Option<&Bound<'_, PyAny>>,
    quality: bool,
) -> PyResult<AnalyzeOptions> {
    let detect = DetectOptions { min_face: number::optional(min_face, "min_face", 1)? };
    let (max_faces, liveness) = (number::optional(max_faces, "max_faces", 0)?, liveness::policy(liveness)?);
    Ok(AnalyzeOptions { detect, max_faces, embed, attributes, liveness, quality })
}
