//! The door: bytes or a path → [`Image`].
//!
//! Recognises the format and hands the bytes to the file that owns it. Refuses formats that are not decoded, by name
//! where it is known, and files that are larger than any picture within the limit could be.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::panic::UnwindSafe;
use std::path::Path;
use std::sync::Once;

use super::format::{Format, foreign};
use super::{DecodeOptions, Image, jpeg, markers, png, raster, tiff, webp};
use crate::geometry::Size;
use crate::{Error, Result};

/// The most bytes that an uncompressed pixel takes in a file: four channels of 16 bits.
const BYTES_A_PIXEL: u64 = 8;

/// Room for headers and metadata in a file, bytes.
const BYTES_OF_METADATA: u64 = 64 << 20;

/// Enough of a file to recognise its format.
const BYTES_OF_SIGNATURE: u64 = 32;

/// Decodes a picture from the bytes of its file: RGB, upright, transparency laid over white.
///
/// JPEG: grey, `YCbCr`, RGB, CMYK and YCCK as Adobe writes them, baseline and progressive, 8 bits; not arithmetic
/// coding, nor baseline with a scan for each colour. PNG: every bit depth and colour type. WebP: lossy and lossless.
/// BMP, GIF, TIFF: what the `image` crate reads. 16 bits become 8 by scaling. Of an animation it is the first frame,
/// of several pages the first. The EXIF orientation of JPEG, PNG, WebP and TIFF is applied; a value outside 1 to 8
/// counts as upright. Colour profiles are not applied.
///
/// A file that ends early is refused. One case cannot be seen: a progressive JPEG or a run-length BMP whose end mark
/// was put behind data that had been cut.
pub fn decode(data: &[u8], options: &DecodeOptions) -> Result<Image> {
    let format = recognised(data)?;
    guarded(format, || decode_as(format, data, *options))
}

/// The size that a picture's header announces, before it is turned upright; nothing is decoded.
///
/// What is refused here is refused by [`decode`] too; a size that is told here is no proof that the rest is whole.
pub fn probe(data: &[u8], options: &DecodeOptions) -> Result<Size> {
    let format = recognised(data)?;
    guarded(format, || match format {
        Format::Jpeg => markers::size(data, *options),
        Format::Png => png::size(data, *options),
        Format::WebP => webp::size(data, *options),
        Format::Bmp => raster::size_of_bmp(data, *options),
        Format::Gif => raster::size_of_gif(data, *options),
        Format::Tiff => tiff::size(data, *options),
    })
}

/// Runs what hands bytes to the libraries.
pub(super) fn guarded<T>(format: Format, work: impl FnOnce() -> Result<T> + UnwindSafe) -> Result<T> {
    // The libraries below index slices with numbers from the file: zune-jpeg 0.5 panicked on sampling factors that are
    // refused in `markers` now, png 0.18 on palettes that are refused in `png`. No other way to a panic is known; one
    // must not end the process of a server.
    let broken = |_| Err(Error::ImageDamaged { format: format.name(), reason: "the decoder broke off".into() });
    let _quiet = Quiet::begin();
    std::panic::catch_unwind(work).unwrap_or_else(broken)
}

thread_local! {
    static QUIET: Cell<usize> = const { Cell::new(0) };
}

/// While it lives, a panic of this thread writes nothing: the message would name paths of the machine that built it, and
/// anybody who sends pictures could fill a log with it.
struct Quiet;

impl Quiet {
    fn begin() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if QUIET.get() == 0 {
                    before(panic);
                }
            }));
        });
        QUIET.set(QUIET.get() + 1);
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(QUIET.get() - 1);
    }
}

fn decode_as(format: Format, data: &[u8], options: DecodeOptions) -> Result<Image> {
    match format {
        Format::Jpeg => jpeg::decode(data, options),
        Format::Png => png::decode(data, options),
        Format::WebP => webp::decode(data, options),
        Format::Bmp => raster::decode_bmp(data, options),
        Format::Gif => raster::decode_gif(data, options),
        Format::Tiff => tiff::decode(data, options),
    }
}

/// The format, refused where it is not one of ours.
pub(super) fn recognised(data: &[u8]) -> Result<Format> {
    if let Some(format) = Format::of(data) {
        return Ok(format);
    }
    let reason = match foreign(data) {
        Some(name) => format!("{name} is not decoded"),
        None if data.is_empty() => "the file is empty".into(),
        None => {
            let start: Vec<String> = data.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("unknown format, it starts with {}", start.join(" "))
        }
    };
    Err(Error::NotAnImage { reason })
}

/// Reads and decodes a picture file, see [`decode`]. What does not start like a picture is not read further.
pub fn read(path: &Path, options: &DecodeOptions) -> Result<Image> {
    decode(&load(path, options)?, options)
}

/// Reads a picture file, of which no more than the start is known to be one.
pub fn load(path: &Path, options: &DecodeOptions) -> Result<Vec<u8>> {
    let refused = |reason: String| Error::ImageRead { path: path.to_path_buf(), reason };
    let limit = options.max_pixels.saturating_mul(BYTES_A_PIXEL).saturating_add(BYTES_OF_METADATA);
    let mut file = File::open(path).map_err(|error| refused(error.to_string()))?;
    let mut data = Vec::new();
    (&mut file).take(BYTES_OF_SIGNATURE).read_to_end(&mut data).map_err(|error| refused(error.to_string()))?;
    recognised(&data)?;
    let bytes = file.metadata().map_err(|error| refused(error.to_string()))?.len();
    data.reserve_exact(bytes.min(limit) as usize);
    file.take(limit).read_to_end(&mut data).map_err(|error| refused(error.to_string()))?;
    if data.len() as u64 > limit {
        let pixels = options.max_pixels;
        return Err(refused(format!("the file has more than the {limit} bytes that {pixels} pixels can need")));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_decoder_is_an_error_and_writes_nothing() {
        for _ in 0..2 {
            let outcome = guarded(Format::Png, || {
                assert_eq!(QUIET.get(), 1);
                panic!("a decoder's own words")
            });
            let outcome: Result<()> = outcome;
            assert!(matches!(outcome, Err(Error::ImageDamaged { format: "PNG", .. })));
            assert_eq!(QUIET.get(), 0);
        }
    }
}
