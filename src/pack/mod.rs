//! models/<pack>.toml → [`Pack`]: what every file of a pack is, how its networks are fed, what their outputs mean.
//!
//! Goes in: the text of a manifest. Comes out: typed declarations, nothing guessed. Refused: an unknown key, a missing
//! field, a file that a role names and the manifest does not declare, numbers outside their range; each with its place.

mod attributes;
mod blazeface;
mod detector;
mod embedder;
mod file;
mod liveness;
mod manifest;
mod network;
mod scores;
mod single_shot;

pub use attributes::AttributesSpec;
pub use blazeface::BlazefaceSpec;
pub use detector::{DetectorSpec, LandmarksSpec, LookSpec, MtcnnSpec, OnetSpec, SecondLookSpec, TurnedSpec};
pub use embedder::{EmbedderSpec, OperatingPoint, RecognitionSpec};
pub use file::{ArchiveSpec, FileSpec, UNVERIFIED, is_plain_name};
pub use liveness::{JudgeSpec, LivenessSpec, SurroundingCrop};
pub use manifest::{Pack, PackFiles, hex};
pub use network::{Colour, InputSpec, Layout, NetworkSpec};
pub use scores::ScoresSpec;
pub use single_shot::{Activation, RetinafaceSpec, ScrfdSpec, SizeSpec, Thresholds, UltrafaceSpec, YunetSpec};

/// What is wrong with a manifest, in words.
type Refusal = std::result::Result<(), String>;
