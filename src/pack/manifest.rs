//! [`Pack`]: a manifest, parsed and checked, and the digest that identifies its embeddings.

use super::file::check_name;
use super::{ArchiveSpec, AttributesSpec, DetectorSpec, EmbedderSpec, FileSpec, LandmarksSpec, LivenessSpec};
use super::{Checked, NetworkSpec, PriorSpec, RecognitionSpec, ScoresSpec};
use crate::error::{Error, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The supported manifest format.
const FORMAT: u32 = 1;
/// Version of the computation of embeddings. It is raised with every change, so that old and new ones are not compared.
const PIPELINE: u32 = 1;

/// A pack: networks that belong together, and the meaning of their similarities.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Version of the manifest format; 1.
    pub format: u32,
    /// Name by which it is opened.
    pub name: String,
    /// Summary in one sentence.
    pub summary: String,
    /// The files of the pack.
    #[serde(rename = "file")]
    pub files: Vec<FileSpec>,
    /// The archives that hold some of the files.
    #[serde(rename = "archive", default)]
    pub archives: Vec<ArchiveSpec>,
    /// Images → boxes.
    pub detector: Option<DetectorSpec>,
    /// Boxes → five points, if the detector's own are missing or coarse.
    pub landmarks: Option<LandmarksSpec>,
    /// Crops → embeddings.
    pub embedder: Option<EmbedderSpec>,
    /// The meaning of similarities between these embeddings.
    pub recognition: Option<RecognitionSpec>,
    /// Measured distributions of similarities, for conversion to other scales.
    pub scores: Option<ScoresSpec>,
    /// Measured tails of the similarities of different people, for thresholds.
    pub prior: Option<PriorSpec>,
    /// Boxes → whether the face is live.
    pub liveness: Option<LivenessSpec>,
    /// Faces → estimated age and gender.
    pub attributes: Option<AttributesSpec>,
}

impl Pack {
    /// Read and check the manifest in a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::Manifest { path: path.to_path_buf(), reason: error.to_string() })?;
        Self::parse(&text, path)
    }

    /// Parse and check a manifest; `path` is named in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let manifest = |reason: String| Error::Manifest { path: path.to_path_buf(), reason };
        let pack: Self = toml::from_str(text).map_err(|error| manifest(error.to_string().trim_end().to_string()))?;
        pack.check().map_err(manifest)?;
        Ok(pack)
    }

    /// Set the digests of unverified files that were pinned on this machine: file name → SHA-256.
    pub fn pin(&mut self, pins: &HashMap<String, String>) {
        for file in self.files.iter_mut().filter(|file| file.unverified()) {
            if let Some(pinned) = pins.get(&file.name) {
                file.sha256.clone_from(pinned);
            }
        }
    }

    /// The declaration of a file, by name.
    pub fn file(&self, name: &str) -> Option<&FileSpec> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The networks of all roles.
    pub fn networks(&self) -> Vec<&NetworkSpec> {
        let mut networks = self.embedding_networks();
        networks.extend(self.liveness.iter().flat_map(|liveness| &liveness.networks).map(|spec| &spec.network));
        networks.extend(self.attributes.iter().map(AttributesSpec::network));
        networks
    }

    /// The networks that affect an embedding.
    fn embedding_networks(&self) -> Vec<&NetworkSpec> {
        let mut networks = self.detector.as_ref().map_or_else(Vec::new, DetectorSpec::networks);
        networks.extend(self.landmarks.iter().map(LandmarksSpec::network));
        networks.extend(self.embedder.iter().map(|embedder| &embedder.network));
        networks
    }

    /// Compute the SHA-256, hexadecimal, of everything that affects an embedding of this pack, and of nothing else.
    /// Embeddings of packs with the same digest are comparable.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut line = |text: String| {
            hash.update(text.as_bytes());
            hash.update(b"\n");
        };
        line(format!("facedex pipeline {PIPELINE}"));
        for network in self.embedding_networks() {
            let digest = self.file(&network.file).map_or("", |file| file.sha256.as_str());
            let input = &network.input;
            line(format!("{digest} {:?} {:?} {:?}", input.colour, input.mean, input.std));
            line(format!("{:?} {:?} {:?}", input.width, input.height, network.outputs));
            line(format!("{:?} {}", input.layout, input.standardise));
        }
        if let Some(embedder) = &self.embedder {
            line(format!("{:?} {} {}", embedder.template, embedder.dimension, embedder.mirror));
        }
        hex(&hash.finalize())
    }

    /// Names of the roles that the pack has a network for.
    pub fn roles(&self) -> Vec<&'static str> {
        let roles = [
            ("detector", self.detector.is_some()),
            ("landmarks", self.landmarks.is_some()),
            ("embedder", self.embedder.is_some()),
            ("liveness", self.liveness.is_some()),
            ("attributes", self.attributes.is_some()),
        ];
        roles.into_iter().filter_map(|(role, present)| present.then_some(role)).collect()
    }

    /// Whether the licences of all files allow commercial use.
    pub fn commercial(&self) -> bool {
        self.files.iter().all(|file| file.commercial)
    }

    /// Licences of the files, without duplicates.
    pub fn licences(&self) -> Vec<&str> {
        let mut licences: Vec<&str> = self.files.iter().map(|file| file.licence.as_str()).collect();
        licences.sort_unstable();
        licences.dedup();
        licences
    }

    fn check(&self) -> Checked {
        if self.format != FORMAT {
            return Err(format!("format is {}, this version reads {FORMAT}", self.format));
        }
        check_name("pack name", &self.name)?;
        self.archives.iter().try_for_each(ArchiveSpec::check)?;
        for (i, file) in self.files.iter().enumerate() {
            file.check(&self.archives)?;
            if self.files.iter().take(i).any(|other| other.name == file.name) {
                return Err(format!("file {:?} is declared twice", file.name));
            }
        }
        if let Some(network) = self.networks().into_iter().find(|network| self.file(&network.file).is_none()) {
            return Err(format!("a role names file {:?}, which no [[file]] declares", network.file));
        }
        self.detector.as_ref().map_or(Ok(()), DetectorSpec::check)?;
        self.landmarks.as_ref().map_or(Ok(()), LandmarksSpec::check)?;
        self.embedder.as_ref().map_or(Ok(()), EmbedderSpec::check)?;
        self.recognition.as_ref().map_or(Ok(()), RecognitionSpec::check)?;
        self.scores.as_ref().map_or(Ok(()), ScoresSpec::check)?;
        self.prior.as_ref().map_or(Ok(()), PriorSpec::check)?;
        self.liveness.as_ref().map_or(Ok(()), LivenessSpec::check)?;
        self.attributes.as_ref().map_or(Ok(()), AttributesSpec::check)
    }
}

/// Parse a manifest with these roles, whose networks are all in the file a.onnx.
#[cfg(test)]
pub(super) fn parse_roles(roles: &str) -> std::result::Result<Pack, String> {
    let text = format!(
        "format = 1\nname = \"p\"\nsummary = \"s\"\n{roles}\n[[file]]\nname = \"a.onnx\"\nsize = 1\nsha256 = \"{}\"\n\
         licence = \"MIT\"\ncommercial = true\nlicence_source = \"x\"\nsource = \"x\"\ntrained_on = \"x\"\n",
        "0".repeat(64)
    );
    Pack::parse(&text, Path::new("p.toml")).map_err(|error| error.to_string())
}

/// A pack and the folders that hold its files.
#[derive(Debug, Clone)]
pub struct PackFiles {
    /// The manifest.
    pub pack: Pack,
    /// Folders that are searched for files, in order.
    pub folders: Vec<PathBuf>,
}

impl PackFiles {
    /// Find a file of the pack.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
            Error::WeightsMissing {
                pack: self.pack.name.clone(),
                file: name.to_string(),
                folder: self.folders.last().cloned().unwrap_or_default(),
            }
        })
    }
}

/// Format bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}
