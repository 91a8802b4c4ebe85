//! models/<pack>.toml → [`Pack`]: what every file of a pack is, how its networks are fed, what their outputs mean.
//!
//! Goes in: the text of a manifest. Comes out: typed declarations, nothing guessed. Refused: an unknown key, a missing
//! field, a file that a role names and the manifest does not declare, numbers outside their range; each with its place.

mod detector;
mod embedder;
mod file;
mod manifest;
mod network;

pub use detector::{DetectorSpec, LandmarksSpec, MtcnnSpec};
pub use embedder::{EmbedderSpec, OperatingPoint, RecognitionSpec};
pub use file::{FileSpec, PackFiles};
pub use manifest::{Pack, hex};
pub use network::{Colour, InputSpec, NetworkSpec};

/// What is wrong with a manifest, in words.
type Refusal = std::result::Result<(), String>;
