//! Encoded bytes → upright RGB picture.
//!
//! In goes a JPEG, PNG, WebP, BMP, GIF or TIFF file, from memory or from a path; its format is recognised from its
//! bytes, never from its name. Out comes an [`Image`]: 8 bits a channel, turned upright as EXIF says, transparency laid
//! over white, of an animation the first frame. For keeping, there are a file without metadata and a small picture of a
//! face. Refused: what is no picture, is damaged, ends early, or announces more
//! pixels than the limit; that is read before memory is taken. This folder is the only place that names decoders.

mod decode;
mod exif;
mod flatten;
mod format;
mod jpeg;
mod markers;
mod picture;
mod png;
mod raster;
mod strip;
#[cfg(test)]
mod tests;
mod thumbnail;
mod tiff;
mod warp;
mod webp;

pub use decode::{decode, load, probe, read};
pub use picture::{DecodeOptions, Image};
pub use strip::{Bare, without_metadata};
pub use warp::warp;
