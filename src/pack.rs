//! models/<pack>.toml → [`Pack`]: what every file of a pack is, how its networks are fed, what their outputs mean.
//!
//! Goes in: the text of a manifest. Comes out: typed declarations, nothing guessed. Refused: an unknown key, a missing
//! field, a file that a role names and the manifest does not declare, numbers outside their range; each with its place.

use crate::error::{Error, Result};
use crate::geometry::{Landmarks, Point, Size};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The manifest format that this version reads.
const FORMAT: u32 = 1;
/// Raised when the core changes how it turns pictures into embeddings, so that old templates are not compared with new.
const PIPELINE: u32 = 1;

/// A pack: networks that belong together, and what their similarities mean.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Version of the manifest's grammar; 1.
    pub format: u32,
    /// Name by which it is opened.
    pub name: String,
    /// One sentence for a list.
    pub summary: String,
    /// The files of the pack.
    #[serde(rename = "file")]
    pub files: Vec<FileSpec>,
    /// Pictures → boxes.
    pub detector: Option<DetectorSpec>,
    /// Boxes → five points, where the detector's own are missing or coarse.
    pub landmarks: Option<LandmarksSpec>,
    /// Crops → embeddings.
    pub embedder: Option<EmbedderSpec>,
    /// What similarities of these embeddings mean.
    pub recognition: Option<RecognitionSpec>,
}

/// One file of a pack.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// File name, without a folder.
    pub name: String,
    /// Size, bytes.
    pub size: u64,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// SPDX identifier or name of its licence.
    pub licence: String,
    /// Whether that licence allows commercial use.
    pub commercial: bool,
    /// Where the file and its licence are published, and who made it.
    pub source: String,
    /// What it was trained on, as its author states it.
    pub trained_on: String,
}

/// How a network's input is made of RGB pixels: value = (pixel − mean) / std, channels in `colour` order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Name of the input in the graph.
    pub name: String,
    /// Width, pixels; absent where the network takes any.
    pub width: Option<u32>,
    /// Height, pixels; absent where the network takes any.
    pub height: Option<u32>,
    /// Order of the channels.
    pub colour: Colour,
    /// Subtracted from each channel, in the network's channel order, 0–255 scale.
    pub mean: [f32; 3],
    /// Divisor of each channel, in the network's channel order.
    pub std: [f32; 3],
}

/// Order of the colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// One network: its file, its input, its outputs in the order that its family defines.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Name of its file.
    pub file: String,
    /// Its input.
    pub input: InputSpec,
    /// Names of its outputs, in the family's order.
    pub outputs: Vec<String>,
}

/// A detector by family.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase", deny_unknown_fields)]
pub enum DetectorSpec {
    /// The cascade of Zhang et al. (2016): proposals, refinement, output with five points.
    Mtcnn(MtcnnSpec),
}

/// The three networks of MTCNN and their cut-offs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MtcnnSpec {
    /// Proposals. Outputs: box regression, probability.
    pub pnet: NetworkSpec,
    /// Refinement. Outputs: box regression, probability.
    pub rnet: NetworkSpec,
    /// Output. Outputs: box regression, landmarks, probability.
    pub onet: NetworkSpec,
    /// Least probability after each network, exclusive.
    pub score_thresholds: [f32; 3],
    /// Ratio of one pyramid level to the one before, 0 to 1.
    pub scale_factor: f64,
    /// Default minimum face size as a fraction of the picture's short side.
    pub min_face_fraction: f32,
}

/// A network that finds five points in a box.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase", deny_unknown_fields)]
pub enum LandmarksSpec {
    /// MTCNN's third network on the square round the box.
    Onet(NetworkSpec),
}

/// The embedder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderSpec {
    /// The network. Outputs: one embedding a crop.
    pub network: NetworkSpec,
    /// Number of values of an embedding.
    pub dimension: usize,
    /// Where the five points lie in the crop, pixels.
    pub template: [[f32; 2]; 5],
    /// Whether the embedding is the mean of the crop's and its mirror image's.
    pub mirror: bool,
    /// Most crops in one run of the network; 1 where its batch is fixed or larger ones are slower.
    pub batch: usize,
}

impl EmbedderSpec {
    /// The template as landmarks.
    pub fn template(&self) -> Landmarks {
        Landmarks(self.template.map(|[x, y]| Point::new(x, y)))
    }

    /// Size of a crop, pixels.
    pub fn crop_size(&self) -> Size {
        // `check` has seen both.
        Size::new(self.network.input.width.unwrap_or(0), self.network.input.height.unwrap_or(0))
    }
}

/// What similarities of a pack's embeddings mean.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecognitionSpec {
    /// Default threshold on cosine similarity, inclusive.
    pub threshold: f32,
    /// False match rate at that threshold.
    pub fmr: f64,
    /// Mean cosine of different people.
    pub impostor_mean: f32,
    /// Standard deviation of the cosine of different people.
    pub impostor_std: f32,
    /// Number of comparisons behind these figures.
    pub impostor_pairs: u64,
    /// Cosine thresholds by false match rate, as measured.
    #[serde(default)]
    pub thresholds: Vec<OperatingPoint>,
    /// On what data they were measured, by which command.
    pub source: String,
}

/// A threshold and its error rates.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// False match rate.
    pub fmr: f64,
    /// Cosine, inclusive.
    pub threshold: f32,
    /// False non-match rate there.
    pub fnmr: f64,
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

    /// The declaration of a file.
    pub fn file(&self, name: &str) -> Option<&FileSpec> {
        self.files.iter().find(|file| file.name == name)
    }

    /// All networks that the roles name.
    pub fn networks(&self) -> Vec<&NetworkSpec> {
        let mut networks = Vec::new();
        if let Some(DetectorSpec::Mtcnn(mtcnn)) = &self.detector {
            networks.extend([&mtcnn.pnet, &mtcnn.rnet, &mtcnn.onet]);
        }
        if let Some(LandmarksSpec::Onet(network)) = &self.landmarks {
            networks.push(network);
        }
        networks.extend(self.embedder.iter().map(|embedder| &embedder.network));
        networks
    }

    /// Identifies what an embedding of this pack is: SHA-256, hexadecimal, over everything that shapes its values and
    /// nothing else. Two packs with one digest make comparable embeddings.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut line = |text: String| {
            hash.update(text.as_bytes());
            hash.update(b"\n");
        };
        line(format!("facedex pipeline {PIPELINE}"));
        for network in self.networks() {
            let digest = self.file(&network.file).map_or("", |file| file.sha256.as_str());
            let input = &network.input;
            line(format!("{digest} {:?} {:?} {:?}", input.colour, input.mean, input.std));
            line(format!("{:?} {:?} {:?}", input.width, input.height, network.outputs));
        }
        if let Some(embedder) = &self.embedder {
            line(format!("{:?} {} {}", embedder.template, embedder.dimension, embedder.mirror));
        }
        hex(&hash.finalize())
    }

    /// Whether every file may be used commercially.
    pub fn commercial(&self) -> bool {
        self.files.iter().all(|file| file.commercial)
    }

    /// The licences of its files, each once.
    pub fn licences(&self) -> Vec<&str> {
        let mut licences: Vec<&str> = self.files.iter().map(|file| file.licence.as_str()).collect();
        licences.sort_unstable();
        licences.dedup();
        licences
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format is {}, this version reads {FORMAT}", self.format));
        }
        if self.name.is_empty() || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
            return Err(format!("name {:?} may have letters, digits, '_', '-' and '.' only", self.name));
        }
        for (i, file) in self.files.iter().enumerate() {
            let plain = Path::new(&file.name).file_name().is_some_and(|name| name == file.name.as_str());
            if !plain || file.name.contains('\\') {
                return Err(format!("file name {:?} must be a plain name without a folder", file.name));
            }
            if self.files.iter().take(i).any(|other| other.name == file.name) {
                return Err(format!("file {:?} is declared twice", file.name));
            }
            if file.sha256.len() != 64 || !file.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(format!("sha256 of file {:?} must be 64 lower-case hexadecimal digits", file.name));
            }
        }
        for network in self.networks() {
            if self.file(&network.file).is_none() {
                return Err(format!("a role names file {:?}, which no [[file]] declares", network.file));
            }
            if network.input.std.iter().any(|&std| std == 0.0 || !std.is_finite()) {
                return Err(format!("std of {:?} must be finite and not 0", network.file));
            }
        }
        self.check_numbers()
    }

    fn check_numbers(&self) -> std::result::Result<(), String> {
        if let Some(DetectorSpec::Mtcnn(mtcnn)) = &self.detector {
            in_range("scale_factor", mtcnn.scale_factor, 0.1, 0.95)?;
            in_range("min_face_fraction", f64::from(mtcnn.min_face_fraction), 0.001, 1.0)?;
            for threshold in mtcnn.score_thresholds {
                in_range("score_thresholds", f64::from(threshold), 0.0, 1.0)?;
            }
        }
        if let Some(embedder) = &self.embedder {
            if embedder.dimension == 0 || embedder.dimension > 4096 {
                return Err(format!("dimension must be 1 to 4096, got {}", embedder.dimension));
            }
            if embedder.batch == 0 {
                return Err("batch must be at least 1".to_string());
            }
            if embedder.network.input.width.is_none() || embedder.network.input.height.is_none() {
                return Err("the embedder's input needs width and height".to_string());
            }
        }
        if let Some(recognition) = &self.recognition {
            in_range("threshold", f64::from(recognition.threshold), -1.0, 1.0)?;
            in_range("fmr", recognition.fmr, 0.0, 1.0)?;
        }
        Ok(())
    }
}

fn in_range(name: &str, value: f64, least: f64, most: f64) -> std::result::Result<(), String> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(format!("{name} must be {least} to {most}, got {value}")) }
}

/// Lower-case hexadecimal digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}

/// A pack's manifest and the folders in which its files lie.
#[derive(Debug, Clone)]
pub struct PackFiles {
    /// The declarations.
    pub pack: Pack,
    /// Folders searched for files, in order.
    pub folders: Vec<PathBuf>,
}

impl PackFiles {
    /// The path of a file of the pack.
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
