//! Encoded bytes → upright RGB image.
//!
//! Goes in: a JPEG, PNG, WebP, BMP, GIF or TIFF file, from memory or from a path; the format is detected from the
//! bytes, never from the name. Comes out: an [`Image`] of 8 bits per channel, upright by its EXIF orientation,
//! transparency blended with white, the first frame of an animation. For storage, metadata are removed and thumbnails
//! made. Refused: files that are not images, are damaged or truncated, or whose header announces more pixels than the
//! limit, which is checked before memory is allocated. The only folder that names decoders.

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
pub use strip::{Stripped, without_metadata};
pub use warp::warp;
