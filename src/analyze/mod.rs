//! bytes → analysed faces, one picture or many.
//!
//! Goes in: pictures as paths, bytes or pixels, and what is asked about them. Comes out: faces, largest first, with what
//! was asked: embedding, liveness, attributes, quality. Tasks, faces of a picture and pictures of a batch run side by
//! side on the engine's own threads; every answer is bit for bit that of one thread. Refused: use in another process
//! than the one that opened it, a face whose liveness is required and cannot be judged. The only folder naming `rayon`.

mod answer;
mod engine;
mod question;
mod tasks;

pub use answer::{Analysis, AnalyzedFace, Stats};
pub use engine::{Engine, EngineOptions};
pub use question::{AnalyzeOptions, LivenessPolicy, Source};
