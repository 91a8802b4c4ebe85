//! models/<pack>.toml → [`Pack`]: the files of a pack, the inputs of its networks, and the meaning of their outputs.
//!
//! Goes in: the text of a manifest. Comes out: typed declarations, nothing guessed. Refused: an unknown key, a missing
//! field, a role whose file is not declared, a number out of range; the error names the place.

mod attributes;
mod blazeface;
mod detector;
mod embedder;
mod file;
mod liveness;
mod manifest;
mod network;
mod prior;
mod scores;
mod single_shot;

pub use attributes::AttributesSpec;
pub use blazeface::BlazefaceSpec;
pub use detector::{DetectorSpec, LandmarksSpec, LookSpec, MtcnnSpec, OnetSpec, SecondLookSpec, TurnedSpec};
pub use embedder::{EmbedderSpec, OperatingPoint, RecognitionSpec};
pub use file::{ArchiveSpec, FileSpec, UNVERIFIED, is_plain_name};
pub use liveness::{LivenessNetworkSpec, LivenessSpec, SurroundingCrop};
pub use manifest::{Pack, PackFiles, hex};
pub use network::{Colour, InputSpec, Layout, NetworkSpec};
pub use prior::{PriorSpec, TailSpec};
pub use scores::ScoresSpec;
pub use single_shot::{Activation, RetinafaceSpec, ScrfdSpec, SizeSpec, Thresholds, UltrafaceSpec, YunetSpec};

/// The result of a check; the error says what is wrong.
type Checked = std::result::Result<(), String>;
