//! An open pack: its detector, the networks of the other tasks, and the threads that run them.

use super::tasks::Tasks;
use super::{Analysis, AnalyzeOptions, Source, Stats};
use crate::detect::{self, Detector};
use crate::embed::Embedding;
use crate::error::{Error, Result};
use crate::geometry::{BBox, Landmarks};
use crate::image::{self, DecodeOptions, Image};
use crate::pack::{Pack, PackFiles};
use crate::session::{self, SessionOptions};
use rayon::ThreadPool;
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Options of an engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The ONNX Runtime library.
    pub runtime: PathBuf,
    /// Number of threads; 0 means as many as this process may use by affinity and control groups.
    pub threads: usize,
    /// ONNX Runtime execution providers by name; empty means the CPU.
    pub providers: Vec<String>,
    /// Limits on images.
    pub decode: DecodeOptions,
}

/// The networks of a pack and the threads that run them.
pub struct Engine {
    files: PackFiles,
    additions: Vec<PackFiles>,
    digest: String,
    detector: Box<dyn Detector>,
    tasks: Tasks,
    threads: ThreadPool,
    options: EngineOptions,
    process: u32,
    images: AtomicU64,
    total_ns: AtomicU64,
}

impl Engine {
    /// Load the runtime, verify and open the networks of a pack.
    ///
    /// Additions provide liveness and attributes if the pack has no network for them; the first addition that has one
    /// is used. Nothing else of an addition is used, so embeddings do not change. An addition without any use is
    /// refused.
    pub fn open(files: PackFiles, additions: Vec<PackFiles>, options: EngineOptions) -> Result<Self> {
        session::load_runtime(&options.runtime)?;
        let count = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let sessions = SessionOptions { sessions: count, intra_threads: 1, providers: options.providers.clone() };
        let detector = detect::open(&files, &sessions)?;
        let tasks = Tasks::open(&files, &additions, &sessions)?;
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
            additions,
            detector,
            tasks,
            threads,
            options,
            process: std::process::id(),
            images: AtomicU64::new(0),
            total_ns: AtomicU64::new(0),
        })
    }

    /// The pack's manifest.
    pub fn pack(&self) -> &Pack {
        &self.files.pack
    }

    /// The manifests of the added packs.
    pub fn additions(&self) -> impl Iterator<Item = &Pack> {
        self.additions.iter().map(|files| &files.pack)
    }

    /// The digest that identifies this engine's embeddings; see [`Pack::digest`].
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// The options that it was opened with.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Statistics since it was opened.
    pub fn stats(&self) -> Stats {
        let networks = self.detector.networks().into_iter().chain(self.tasks.networks());
        let busy: u64 = networks.map(session::Network::busy_ns).sum();
        Stats {
            images: self.images.load(Ordering::Relaxed),
            total_s: self.total_ns.load(Ordering::Relaxed) as f64 / 1e9,
            network_s: busy as f64 / 1e9,
        }
    }

    /// Analyse one image.
    pub fn analyze(&self, source: &Source, options: &AnalyzeOptions) -> Result<Analysis> {
        self.check_process()?;
        self.threads.install(|| self.analyze_one(source, options))
    }

    /// Analyse many images: a result or an error for each, in order.
    pub fn analyze_many(&self, sources: &[Source], options: &AnalyzeOptions) -> Result<Vec<Result<Analysis>>> {
        self.check_process()?;
        Ok(self.threads.install(|| sources.par_iter().map(|source| self.analyze_one(source, options)).collect()))
    }

    /// Cut the crop of a face that the embedder receives.
    pub fn crop(&self, source: &Source, landmarks: &Landmarks) -> Result<Image> {
        self.tasks.crop(&self.decode(source)?, landmarks)
    }

    /// Cut the crop of a face that each liveness network receives.
    pub fn liveness_crops(&self, source: &Source, bbox: BBox) -> Result<Vec<Image>> {
        self.tasks.liveness_crops(&self.decode(source)?, bbox)
    }

    /// Cut the crop of a face that the attributes network receives.
    pub fn attributes_crop(&self, source: &Source, bbox: BBox, landmarks: Option<&Landmarks>) -> Result<Image> {
        self.tasks.attributes_crop(&self.decode(source)?, bbox, landmarks)
    }

    /// Compute the embeddings of crops.
    pub fn embed(&self, crops: &[Image]) -> Result<Vec<Embedding>> {
        self.check_process()?;
        self.threads.install(|| self.tasks.embed(crops))
    }

    /// Decode an image within this engine's limits.
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
        self.tasks.check(options, self.detector.gives_landmarks())?;
        let mut faces = self.detector.detect(image, &options.detect)?;
        faces.sort_by(|a, b| b.bbox.area().total_cmp(&a.bbox.area()));
        faces.truncate(options.max_faces.unwrap_or(usize::MAX));
        Ok(Analysis { faces: self.tasks.run(image, faces, options)?, size: image.size() })
    }

    fn check_process(&self) -> Result<()> {
        let used = std::process::id();
        if used == self.process { Ok(()) } else { Err(Error::Forked { opened: self.process, used }) }
    }
}
