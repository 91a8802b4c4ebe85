//! bytes → analysed faces, one picture or many.
//!
//! Goes in: pictures as paths, bytes or pixels. Comes out: faces, largest first, with embeddings. Faces of a picture
//! and pictures of a batch run side by side on the engine's own threads; every answer is bit for bit that of one
//! thread. Refused: use in another process than the one that opened it. The only file naming `rayon`.

use crate::align;
use crate::detect::{self, DetectOptions, Detector, Face};
use crate::embed::{Embedder, Embedding};
use crate::error::{Error, Result};
use crate::geometry::{Landmarks, Size};
use crate::image::{self, DecodeOptions, Image};
use crate::pack::{Pack, PackFiles};
use crate::session::{self, SessionOptions};
use rayon::ThreadPool;
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How an engine works.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The ONNX Runtime library.
    pub runtime: PathBuf,
    /// Threads; 0 means as many as this process may use (affinity and control groups counted).
    pub threads: usize,
    /// ONNX Runtime execution providers by name; empty means the CPU.
    pub providers: Vec<String>,
    /// Limits on pictures.
    pub decode: DecodeOptions,
}

/// A picture as it comes.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// An encoded picture.
    Bytes(Vec<u8>),
    /// Pixels.
    Image(Image),
}

/// What is asked about a picture.
#[derive(Debug, Clone, Copy)]
pub struct AnalyzeOptions {
    /// What to look for.
    pub detect: DetectOptions,
    /// At most so many faces, the largest; all where absent.
    pub max_faces: Option<usize>,
    /// Whether embeddings are wanted.
    pub embed: bool,
}

impl Default for AnalyzeOptions {
    fn default() -> Self {
        Self { detect: DetectOptions::default(), max_faces: None, embed: true }
    }
}

/// A face and what was asked about it.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyzedFace {
    /// Box, points and score.
    pub face: Face,
    /// Its embedding, where asked for.
    pub embedding: Option<Embedding>,
}

/// The faces of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Largest first.
    pub faces: Vec<AnalyzedFace>,
    /// Size of the upright picture.
    pub size: Size,
}

/// What an engine has done so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    /// Pictures analysed.
    pub images: u64,
    /// Time spent on them, summed over threads, seconds.
    pub total_s: f64,
    /// Time spent inside ONNX Runtime, summed over threads, seconds.
    pub network_s: f64,
}

/// The networks of a pack and the threads that run them.
pub struct Engine {
    files: PackFiles,
    digest: String,
    detector: Box<dyn Detector>,
    embedder: Option<Embedder>,
    threads: ThreadPool,
    options: EngineOptions,
    process: u32,
    images: AtomicU64,
    total_ns: AtomicU64,
}

impl Engine {
    /// Load the runtime, verify and open the networks of a pack.
    pub fn open(files: PackFiles, options: EngineOptions) -> Result<Self> {
        session::load_runtime(&options.runtime)?;
        let count = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let sessions = SessionOptions { sessions: count, intra_threads: 1, providers: options.providers.clone() };
        let detector = detect::open(&files, &sessions)?;
        let embedder = match files.pack.embedder {
            Some(_) => Some(Embedder::open(&files, &sessions)?),
            None => None,
        };
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("facedex-{i}"))
            .build()
            .map_err(|error| Error::Runtime {
                reason: error.to_string(),
                remedy: "allow this process more threads, or ask for fewer".to_string(),
            })?;
        Ok(Self {
            digest: files.pack.digest(),
            files,
            detector,
            embedder,
            threads,
            options,
            process: std::process::id(),
            images: AtomicU64::new(0),
            total_ns: AtomicU64::new(0),
        })
    }

    /// The pack's declarations.
    pub fn pack(&self) -> &Pack {
        &self.files.pack
    }

    /// Identifies what this engine's embeddings are; see [`Pack::digest`].
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// What it was opened with.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        let embedder = self.embedder.as_ref().map_or(0, |embedder| embedder.network().busy_ns());
        let busy: u64 = self.detector.networks().iter().map(|network| network.busy_ns()).sum::<u64>() + embedder;
        Stats {
            images: self.images.load(Ordering::Relaxed),
            total_s: self.total_ns.load(Ordering::Relaxed) as f64 / 1e9,
            network_s: busy as f64 / 1e9,
        }
    }

    /// The faces of a picture.
    pub fn analyze(&self, source: &Source, options: &AnalyzeOptions) -> Result<Analysis> {
        self.check_process()?;
        self.threads.install(|| self.analyze_one(source, options))
    }

    /// The faces of many pictures: one answer or error each, in order.
    pub fn analyze_many(&self, sources: &[Source], options: &AnalyzeOptions) -> Result<Vec<Result<Analysis>>> {
        self.check_process()?;
        Ok(self.threads.install(|| sources.par_iter().map(|source| self.analyze_one(source, options)).collect()))
    }

    /// The crop of a face, as the embedder sees it.
    pub fn crop(&self, source: &Source, landmarks: &Landmarks) -> Result<Image> {
        let embedder = self.embedder()?;
        align::crop(&self.decode(source)?, landmarks, &embedder.spec().template(), embedder.spec().crop_size())
    }

    /// The embeddings of crops that were cut before.
    pub fn embed(&self, crops: &[Image]) -> Result<Vec<Embedding>> {
        self.check_process()?;
        self.threads.install(|| self.embed_crops(crops))
    }

    /// A picture decoded within this engine's limits.
    pub fn decode(&self, source: &Source) -> Result<Image> {
        match source {
            Source::Path(path) => image::read(path, &self.options.decode),
            Source::Bytes(data) => image::decode(data, &self.options.decode),
            Source::Image(image) => Ok(image.clone()),
        }
    }

    fn analyze_one(&self, source: &Source, options: &AnalyzeOptions) -> Result<Analysis> {
        let started = Instant::now();
        let analysis = match source {
            Source::Image(image) => self.analyze_image(image, options),
            Source::Path(_) | Source::Bytes(_) => self.analyze_image(&self.decode(source)?, options),
        };
        self.images.fetch_add(1, Ordering::Relaxed);
        let elapsed = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.total_ns.fetch_add(elapsed, Ordering::Relaxed);
        analysis
    }

    fn analyze_image(&self, image: &Image, options: &AnalyzeOptions) -> Result<Analysis> {
        if options.embed && !self.detector.gives_landmarks() {
            return Err(self.without_landmarks());
        }
        let mut faces = self.detector.detect(image, &options.detect)?;
        faces.sort_by(|a, b| b.bbox.area().total_cmp(&a.bbox.area()));
        faces.truncate(options.max_faces.unwrap_or(usize::MAX));
        let embeddings = if options.embed {
            let embedder = self.embedder()?;
            let (template, size) = (embedder.spec().template(), embedder.spec().crop_size());
            let crops = faces.par_iter().map(|face| {
                let landmarks = face.landmarks.ok_or_else(|| self.without_landmarks())?;
                align::crop(image, &landmarks, &template, size)
            });
            self.embed_crops(&crops.collect::<Result<Vec<_>>>()?)?.into_iter().map(Some).collect()
        } else {
            vec![None; faces.len()]
        };
        let faces = faces.into_iter().zip(embeddings).map(|(face, embedding)| AnalyzedFace { face, embedding });
        Ok(Analysis { faces: faces.collect(), size: image.size() })
    }

    fn embed_crops(&self, crops: &[Image]) -> Result<Vec<Embedding>> {
        let embedder = self.embedder()?;
        let batches: Vec<&[Image]> = crops.chunks(embedder.spec().batch).collect();
        let embedded: Vec<Vec<Embedding>> =
            batches.par_iter().map(|batch| embedder.embed(&batch.iter().collect::<Vec<_>>())).collect::<Result<_>>()?;
        Ok(embedded.into_iter().flatten().collect())
    }

    fn embedder(&self) -> Result<&Embedder> {
        self.embedder.as_ref().ok_or_else(|| Error::RoleMissing {
            pack: self.files.pack.name.clone(),
            role: "embedder",
            remedy: "open a pack that has one, or ask for boxes only".to_string(),
        })
    }

    fn without_landmarks(&self) -> Error {
        Error::RoleMissing {
            pack: self.files.pack.name.clone(),
            role: "landmarks network, and its detector finds boxes only",
            remedy: "name one under [landmarks] in the manifest, or ask for boxes only".to_string(),
        }
    }

    fn check_process(&self) -> Result<()> {
        let used = std::process::id();
        if used == self.process { Ok(()) } else { Err(Error::Forked { opened: self.process, used }) }
    }
}
