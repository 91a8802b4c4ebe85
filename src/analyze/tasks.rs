//! Picture + faces → what is asked about each: the networks of an engine beside its detector.
//!
//! Only what is asked is run. Crops go through a network in batches where its manifest says so, else one by one, because
//! batches are no faster for most of them; faces, tasks and liveness networks run side by side. Refused: a task for
//! which no network is there, an aligned crop where no network finds five points.

use super::{AnalyzeOptions, AnalyzedFace, LivenessPolicy};
use crate::align;
use crate::attributes::{Attributes, Estimator};
use crate::detect::Face;
use crate::embed::{Embedder, Embedding};
use crate::error::{Error, Result};
use crate::geometry::{BBox, Landmarks};
use crate::image::Image;
use crate::liveness::{Judge, Judges, Liveness};
use crate::pack::PackFiles;
use crate::quality::{self, Quality};
use crate::session::{Network, SessionOptions};
use rayon::prelude::*;

/// The networks for all tasks but detection.
pub(super) struct Tasks {
    pack: String,
    embedder: Option<Embedder>,
    judges: Option<Judges>,
    estimator: Option<Estimator>,
}

impl Tasks {
    /// Open the networks of a pack, and those of the first addition that has what the pack lacks.
    pub fn open(files: &PackFiles, additions: &[PackFiles], sessions: &SessionOptions) -> Result<Self> {
        check_additions(files, additions)?;
        let embedder = files.pack.embedder.as_ref().map(|_| Embedder::open(files, sessions)).transpose()?;
        let packs = || std::iter::once(files).chain(additions);
        let judges = packs().find_map(|files| Some((files, files.pack.liveness.as_ref()?)));
        let judges = judges.map(|(files, spec)| Judges::open(files, spec, sessions)).transpose()?;
        let estimator = packs().find_map(|files| Some((files, files.pack.attributes.as_ref()?)));
        let estimator = estimator.map(|(files, spec)| Estimator::open(files, spec, sessions)).transpose()?;
        Ok(Self { pack: files.pack.name.clone(), embedder, judges, estimator })
    }

    /// The networks, for their figures.
    pub fn networks(&self) -> Vec<&Network> {
        let mut networks: Vec<&Network> = self.embedder.iter().map(Embedder::network).collect();
        networks.extend(self.judges.iter().flat_map(Judges::judges).map(Judge::network));
        networks.extend(self.estimator.iter().map(Estimator::network));
        networks
    }

    /// Refuse, before any work, what no face can be told.
    pub fn check(&self, options: &AnalyzeOptions, landmarks: bool) -> Result<()> {
        if options.embed {
            self.embedder()?;
        }
        let estimator = if options.attributes { Some(self.estimator()?) } else { None };
        let aligned = options.embed || options.quality || estimator.is_some_and(|e| e.spec().needs_landmarks());
        if aligned && !landmarks {
            return Err(self.without_landmarks());
        }
        match (options.liveness, &self.judges) {
            (LivenessPolicy::Required, None) => {
                Err(Error::LivenessUnavailable { reason: self.no_judges().to_string() })
            }
            _ => Ok(()),
        }
    }

    /// What is asked about each face, in order.
    pub fn run(&self, image: &Image, faces: Vec<Face>, options: &AnalyzeOptions) -> Result<Vec<AnalyzedFace>> {
        let ((embeddings, liveness), (attributes, qualities)) = rayon::join(
            || {
                rayon::join(
                    || if options.embed { self.embeddings(image, &faces) } else { Ok(nothing(&faces)) },
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
        let answers = embeddings?.into_iter().zip(liveness?).zip(attributes?).zip(qualities?);
        let whole = |(face, (((embedding, liveness), attributes), quality))| AnalyzedFace {
            face,
            embedding,
            liveness,
            attributes,
            quality,
        };
        Ok(faces.into_iter().zip(answers).map(whole).collect())
    }

    /// The embeddings of crops.
    pub fn embed(&self, crops: &[Image]) -> Result<Vec<Embedding>> {
        let embedder = self.embedder()?;
        let batches: Vec<&[Image]> = crops.chunks(embedder.spec().batch).collect();
        let embedded: Vec<Vec<Embedding>> =
            batches.par_iter().map(|batch| embedder.embed(&batch.iter().collect::<Vec<_>>())).collect::<Result<_>>()?;
        Ok(embedded.into_iter().flatten().collect())
    }

    /// A face as the embedder sees it.
    pub fn crop(&self, image: &Image, landmarks: &Landmarks) -> Result<Image> {
        let spec = self.embedder()?.spec();
        align::crop(image, landmarks, &spec.template(), spec.crop_size())
    }

    /// A face as each liveness network sees it.
    pub fn liveness_crops(&self, image: &Image, bbox: BBox) -> Result<Vec<Image>> {
        let judges = self.judges.as_ref().ok_or_else(|| self.no_judges())?;
        judges.judges().iter().map(|judge| judge.crop(image, bbox)).collect()
    }

    /// A face as the attributes network sees it.
    pub fn attributes_crop(&self, image: &Image, bbox: BBox, landmarks: Option<&Landmarks>) -> Result<Image> {
        let estimator = self.estimator()?;
        align::cut(image, estimator.crop_from_image(bbox, landmarks)?, estimator.spec().crop_size())
    }

    fn embeddings(&self, image: &Image, faces: &[Face]) -> Result<Vec<Option<Embedding>>> {
        let crops = faces.par_iter().map(|face| self.crop(image, &self.landmarks(face)?));
        Ok(self.embed(&crops.collect::<Result<Vec<_>>>()?)?.into_iter().map(Some).collect())
    }

    fn liveness(&self, image: &Image, face: &Face, options: &AnalyzeOptions) -> Result<Liveness> {
        let Some(judges) = &self.judges else {
            return Ok(Liveness::Unavailable { reason: self.no_judges().to_string() });
        };
        if let Some(reason) = judges.obstacle(image.size(), face.bbox, face.landmarks.as_ref()) {
            if options.liveness == LivenessPolicy::Required {
                return Err(Error::LivenessUnavailable { reason });
            }
            return Ok(Liveness::Unavailable { reason });
        }
        let scores = judges.judges().par_iter().map(|judge| judge.score(&judge.crop(image, face.bbox)?));
        Ok(judges.judged(&scores.collect::<Result<Vec<_>>>()?))
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
        let remedy = "open a pack that has one, or ask for boxes only";
        self.embedder.as_ref().ok_or_else(|| self.missing("embedder", remedy))
    }

    fn estimator(&self) -> Result<&Estimator> {
        let remedy = "open a pack that has one, or add one";
        self.estimator.as_ref().ok_or_else(|| self.missing("attributes network", remedy))
    }

    fn no_judges(&self) -> Error {
        self.missing("liveness network", "open a pack that has one, or add one")
    }

    fn without_landmarks(&self) -> Error {
        let role = "landmarks network, and its detector finds boxes only";
        self.missing(role, "name one under [landmarks] in the manifest, or ask for boxes only")
    }

    fn missing(&self, role: &'static str, remedy: &str) -> Error {
        Error::RoleMissing { pack: self.pack.clone(), role, remedy: remedy.to_string() }
    }
}

/// Refuse an addition that brings nothing which those before it lack.
fn check_additions(files: &PackFiles, additions: &[PackFiles]) -> Result<()> {
    let (mut liveness, mut attributes) = (files.pack.liveness.is_some(), files.pack.attributes.is_some());
    for PackFiles { pack, .. } in additions {
        let brings = (pack.liveness.is_some() && !liveness) || (pack.attributes.is_some() && !attributes);
        if !brings {
            return Err(Error::Argument {
                name: "add",
                accepted: "packs with a liveness or attributes network that is not there yet".to_string(),
                found: format!("{:?} with {}", pack.name, pack.roles().join(", ")),
            });
        }
        (liveness, attributes) = (liveness || pack.liveness.is_some(), attributes || pack.attributes.is_some());
    }
    Ok(())
}

/// What a task says of each face, the faces side by side; nothing where it is not wanted.
fn each<T: Send>(
    wanted: bool,
    faces: &[Face],
    task: impl Fn(&Face) -> Result<T> + Sync + Send,
) -> Result<Vec<Option<T>>> {
    if !wanted {
        return Ok(nothing(faces));
    }
    faces.par_iter().map(|face| task(face).map(Some)).collect()
}

fn nothing<T>(faces: &[Face]) -> Vec<Option<T>> {
    faces.iter().map(|_| None).collect()
}
