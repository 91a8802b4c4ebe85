//! bytes → analysed faces, of one image or many.
//!
//! Goes in: images as paths, bytes or pixels, and options. Comes out: faces, largest first, with the requested results:
//! embedding, liveness, attributes, quality. Tasks, faces of an image and images of a batch run in parallel on the
//! engine's own threads; results are bit for bit those of one thread. Refused: use in another process than the one that
//! opened the engine, and a face whose liveness is required and cannot be judged. The only folder that names `rayon`.

mod analysis;
mod engine;
mod options;
mod tasks;

pub use analysis::{Analysis, AnalyzedFace, Stats};
pub use engine::{Engine, EngineOptions};
pub use options::{AnalyzeOptions, LivenessPolicy, Source};
