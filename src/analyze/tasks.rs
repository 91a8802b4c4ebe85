//! Image + faces → the requested results for each: the networks of an engine other than its detector.
//!
//! Only requested tasks run. Crops run in batches if the manifest declares so, else one by one, because batches are no
//! faster for most networks; faces, tasks and liveness networks run in parallel. Refused: a task without a network, and
//! an aligned crop if no network finds the five points.

use super::{AnalyzeOptions, AnalyzedFace, LivenessPolicy};
use crate::align;
use crate::attributes::{Attributes, Estimator};
use crate::detect::Face;
use crate::embed::{Embedder, Embedding};
use crate::error::{Error, Result};
use crate::geometry::{BBox, Landmarks};
use crate::image::Image;
use crate::liveness::{Liveness, LivenessEnsemble, LivenessNetwork};
use crate::pack::PackFiles;
use crate::quality::{self, Quality};
use crate::session::{Network, SessionOptions};
use rayon::prelude::*;

/// The networks for all tasks but detection.
pub(super) struct Tasks {
    pack: String,
    embedder: Option<Embedder>,
    liveness: Option<LivenessEnsemble>,
    estimator: Option<Estimator>,
}

impl Tasks {
    /// Open the networks of a pack, and those that additions provide.
    pub fn open(files: &PackFiles, additions: &[PackFiles], sessions: &SessionOptions) -> Result<Self> {
        check_additions(files, additions)?;
        let embedder = files.pack.embedder.as_ref().map(|_| Embedder::open(files, sessions)).transpose()?;
        let packs = || std::iter::once(files).chain(additions);
        let liveness = packs().find_map(|files| Some((files, files.pack.liveness.as_ref()?)));
        let liveness = liveness.map(|(files, spec)| LivenessEnsemble::open(files, spec, sessions)).transpose()?;
        let estimator = packs().find_map(|files| Some((files, files.pack.attributes.as_ref()?)));
        let estimator = estimator.map(|(files, spec)| Estimator::open(files, spec, sessions)).transpose()?;
        Ok(Self { pack: files.pack.name.clone(), embedder, liveness, estimator })
    }

    /// The networks, for their figures.
    pub fn networks(&self) -> Vec<&Network> {
        let mut networks: Vec<&Network> = self.embedder.iter().map(Embedder::network).collect();
        networks.extend(self.liveness.iter().flat_map(LivenessEnsemble::networks).map(LivenessNetwork::network));
        networks.extend(self.estimator.iter().map(Estimator::network));
        networks
    }

    /// Refuse, before any work, tasks that lack a network.
    pub fn check(&self, options: &AnalyzeOptions, landmarks: bool) -> Result<()> {
        if options.embed {
            self.embedder()?;
        }
        let estimator = if options.attributes { Some(self.estimator()?) } else { None };
        let aligned = options.embed || options.quality || estimator.is_some_and(|e| e.spec().needs_landmarks());
        if aligned && !landmarks {
            return Err(self.without_landmarks());
        }
        match (options.liveness, &self.liveness) {
            (LivenessPolicy::Required, None) => {
                Err(Error::LivenessUnavailable { reason: self.no_liveness_network().to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Compute the requested results for each face, in order.
    pub fn run(&self, image: &Image, faces: Vec<Face>, options: &AnalyzeOptions) -> Result<Vec<AnalyzedFace>> {
        let ((embeddings, liveness), (attributes, qualities)) = rayon::join(
            || {
                rayon::join(
                    || if options.embed { self.embeddings(image, &faces) } else { Ok(none(&faces)) },
                    || {
                        each(options.liveness != LivenessPolicy::Off, &faces, |face| {
                            self.liveness(image, face, options)
                        })
                    },
                )
            },
            || {
                rayon::join(
                    || each(options.attributes, &faces, |face| self.attributes(image, face)),
                    || each(options.quality, &faces, |face| self.quality(image, face)),
                )
            },
        );
        let results = embeddings?.into_iter().zip(liveness?).zip(attributes?).zip(qualities?);
        let analyzed = |(face, (((embedding, liveness), attributes), quality))| AnalyzedFace {
            face,
            embedding,
            liveness,
            attributes,
            quality,
        };
        Ok(faces.into_iter().zip(results).map(analyzed).collect())
    }

    /// Compute the embeddings of crops.
    pub fn embed(&self, crops: &[Image]) -> Result<Vec<Embedding>> {
        let embedder = self.embedder()?;
        let batches: Vec<&[Image]> = crops.chunks(embedder.spec().batch).collect();
        let embedded: Vec<Vec<Embedding>> =
            batches.par_iter().map(|batch| embedder.embed(&batch.iter().collect::<Vec<_>>())).collect::<Result<_>>()?;
        Ok(embedded.into_iter().flatten().collect())
    }

    /// Cut the crop for the embedder.
    pub fn crop(&self, image: &Image, landmarks: &Landmarks) -> Result<Image> {
        let spec = self.embedder()?.spec();
        align::crop(image, landmarks, &spec.template(), spec.crop_size())
    }

    /// Cut the crop for each liveness network.
    pub fn liveness_crops(&self, image: &Image, bbox: BBox) -> Result<Vec<Image>> {
        let ensemble = self.liveness.as_ref().ok_or_else(|| self.no_liveness_network())?;
        ensemble.networks().iter().map(|network| network.crop(image, bbox)).collect()
    }

    /// Cut the crop for the attributes network.
    pub fn attributes_crop(&self, image: &Image, bbox: BBox, landmarks: Option<&Landmarks>) -> Result<Image> {
        let estimator = self.estimator()?;
        align::cut(image, estimator.crop_from_image(bbox, landmarks)?, estimator.spec().crop_size())
    }

    fn embeddings(&self, image: &Image, faces: &[Face]) -> Result<Vec<Option<Embedding>>> {
        let crops = faces.par_iter().map(|face| self.crop(image, &self.landmarks(face)?));
        Ok(self.embed(&crops.collect::<Result<Vec<_>>>()?)?.into_iter().map(Some).collect())
    }

    fn liveness(&self, image: &Image, face: &Face, options: &AnalyzeOptions) -> Result<Liveness> {
        let Some(ensemble) = &self.liveness else {
            return Ok(Liveness::Unavailable { reason: self.no_liveness_network().to_string() });
        };
        if let Some(reason) = ensemble.obstacle(image.size(), face.bbox, face.landmarks.as_ref()) {
            if options.liveness == LivenessPolicy::Required {
                return Err(Error::LivenessUnavailable { reason });
            }
            return Ok(Liveness::Unavailable { reason });
        }
        let scores = ensemble.networks().par_iter().map(|network| network.score(&network.crop(image, face.bbox)?));
        Ok(ensemble.average(&scores.collect::<Result<Vec<_>>>()?))
    }

    fn attributes(&self, image: &Image, face: &Face) -> Result<Attributes> {
        self.estimator()?.estimate(&self.attributes_crop(image, face.bbox, face.landmarks.as_ref())?)
    }

    fn quality(&self, image: &Image, face: &Face) -> Result<Quality> {
        let landmarks = self.landmarks(face)?;
        let crop = align::cut(image, quality::crop_from_image(&landmarks)?, quality::CROP_SIZE)?;
        quality::measure(&crop, face.bbox, &landmarks, image.size())
    }

    fn landmarks(&self, face: &Face) -> Result<Landmarks> {
        face.landmarks.ok_or_else(|| self.without_landmarks())
    }

    fn embedder(&self) -> Result<&Embedder> {
        let remedy = "open a pack that has one, or request boxes only";
        self.embedder.as_ref().ok_or_else(|| self.missing("embedder", remedy))
    }

    fn estimator(&self) -> Result<&Estimator> {
        let remedy = "open a pack that has one, or add one";
        self.estimator.as_ref().ok_or_else(|| self.missing("attributes network", remedy))
    }

    fn no_liveness_network(&self) -> Error {
        self.missing("liveness network", "open a pack that has one, or add one")
    }

    fn without_landmarks(&self) -> Error {
        let role = "landmarks network, and its detector finds boxes only";
        self.missing(role, "name one under [landmarks] in the manifest, or request boxes only")
    }

    fn missing(&self, role: &'static str, remedy: &str) -> Error {
        Error::RoleMissing { pack: self.pack.clone(), role, remedy: remedy.to_string() }
    }
}

/// Refuse an addition that provides nothing new.
fn check_additions(files: &PackFiles, additions: &[PackFiles]) -> Result<()> {
    let (mut liveness, mut attributes) = (files.pack.liveness.is_some(), files.pack.attributes.is_some());
    for PackFiles { pack, .. } in additions {
        let useful = (pack.liveness.is_some() && !liveness) || (pack.attributes.is_some() && !attributes);
        if !useful {
            return Err(Error::Argument {
                name: "add",
                accepted: "packs with a liveness or attributes network that the pack lacks".to_string(),
                found: format!("{:?} with {}", pack.name, pack.roles().join(", ")),
            });
        }
        (liveness, attributes) = (liveness || pack.liveness.is_some(), attributes || pack.attributes.is_some());
    }
    Ok(())
}

/// Run a task on each face, in parallel, if it is wanted.
fn each<T: Send>(
    wanted: bool,
    faces: &[Face],
    task: impl Fn(&Face) -> Result<T> + Sync + Send,
) -> Result<Vec<Option<T>>> {
    if !wanted {
        return Ok(none(faces));
    }
    faces.par_iter().map(|face| task(face).map(Some)).collect()
}

fn none<T>(faces: &[Face]) -> Vec<Option<T>> {
    faces.iter().map(|_| None).collect()
}
