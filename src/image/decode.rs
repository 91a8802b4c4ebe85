//! Bytes or a path → [`Image`].
//!
//! Detects the format and calls its decoder. Refuses unsupported formats, by name if known, and files that are larger
//! than any image within the limit.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::panic::UnwindSafe;
use std::path::Path;
use std::sync::Once;

use super::format::{Format, unsupported_name};
use super::{DecodeOptions, Image, jpeg, markers, png, raster, tiff, webp};
use crate::geometry::Size;
use crate::{Error, Result};

/// Maximum bytes per uncompressed pixel in a file: four channels of 16 bits.
const BYTES_PER_PIXEL: u64 = 8;

/// Allowance for headers and metadata in a file, bytes.
const BYTES_OF_METADATA: u64 = 64 << 20;

/// Bytes of a file that identify its format.
const BYTES_OF_SIGNATURE: u64 = 32;

/// Decode the bytes of an image file: RGB, upright, transparency blended with white.
///
/// JPEG: grey, `YCbCr`, RGB, CMYK and YCCK in Adobe's encoding, baseline and progressive, 8 bits; not arithmetic
/// coding, nor baseline with one scan per component. PNG: every bit depth and colour type. WebP: lossy and lossless.
/// BMP, GIF, TIFF: what the `image` crate reads. 16 bits are scaled to 8. Of an animation or several pages, the first
/// is decoded. The EXIF orientation of JPEG, PNG, WebP and TIFF is applied; a value outside 1 to 8 counts as upright.
/// Colour profiles are not applied.
///
/// A truncated file is refused. One case cannot be detected: a progressive JPEG or a run-length BMP that was truncated
/// and given an end marker again.
pub fn decode(data: &[u8], options: &DecodeOptions) -> Result<Image> {
    let format = detect_format(data)?;
    catch_panic(format, || decode_as(format, data, *options))
}

/// Read the size in an image's header, before its orientation is applied; nothing is decoded.
///
/// Everything refused here is refused by [`decode`] too; a file accepted here may still be damaged.
pub fn probe(data: &[u8], options: &DecodeOptions) -> Result<Size> {
    let format = detect_format(data)?;
    catch_panic(format, || match format {
        Format::Jpeg => markers::size(data, *options),
        Format::Png => png::size(data, *options),
        Format::WebP => webp::size(data, *options),
        Format::Bmp => raster::size_of_bmp(data, *options),
        Format::Gif => raster::size_of_gif(data, *options),
        Format::Tiff => tiff::size(data, *options),
    })
}

/// Run a decoder and return a panic of it as an error.
pub(super) fn catch_panic<T>(format: Format, work: impl FnOnce() -> Result<T> + UnwindSafe) -> Result<T> {
    // The libraries index slices with numbers from the file: zune-jpeg 0.5 panicked on sampling factors that `markers`
    // refuses now, png 0.18 on palettes that `png` refuses. No other panic is known; one must not end a server's
    // process.
    let panicked = |_| Err(format.damaged("the decoder failed"));
    let _silence = SilencedPanics::begin();
    std::panic::catch_unwind(work).unwrap_or_else(panicked)
}

thread_local! {
    static SILENCED: Cell<usize> = const { Cell::new(0) };
}

/// Suppresses the message of a panic on this thread while it exists: the message would contain paths of the machine
/// that built the library, and clients could fill a log with it.
struct SilencedPanics;

impl SilencedPanics {
    fn begin() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if SILENCED.get() == 0 {
                    before(panic);
                }
            }));
        });
        SILENCED.set(SILENCED.get() + 1);
        Self
    }
}

impl Drop for SilencedPanics {
    fn drop(&mut self) {
        SILENCED.set(SILENCED.get() - 1);
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

/// Detect the format of a file; unsupported ones are refused.
pub(super) fn detect_format(data: &[u8]) -> Result<Format> {
    if let Some(format) = Format::of(data) {
        return Ok(format);
    }
    let reason = match unsupported_name(data) {
        Some(name) => format!("{name} is not supported"),
        None if data.is_empty() => "the file is empty".into(),
        None => {
            let start: Vec<String> = data.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("unknown format, it starts with {}", start.join(" "))
        }
    };
    Err(Error::NotAnImage { reason })
}

/// Read and decode an image file, see [`decode`]. A file that does not start like an image is not read further.
pub fn read(path: &Path, options: &DecodeOptions) -> Result<Image> {
    decode(&load(path, options)?, options)
}

/// Read an image file without decoding it; only its start is checked.
pub fn load(path: &Path, options: &DecodeOptions) -> Result<Vec<u8>> {
    let read_error = |reason: String| Error::ImageRead { path: path.to_path_buf(), reason };
    let limit = options.max_pixels.saturating_mul(BYTES_PER_PIXEL).saturating_add(BYTES_OF_METADATA);
    let mut file = File::open(path).map_err(|error| read_error(error.to_string()))?;
    let mut data = Vec::new();
    (&mut file).take(BYTES_OF_SIGNATURE).read_to_end(&mut data).map_err(|error| read_error(error.to_string()))?;
    detect_format(&data)?;
    let bytes = file.metadata().map_err(|error| read_error(error.to_string()))?.len();
    data.reserve_exact(bytes.min(limit) as usize);
    file.take(limit).read_to_end(&mut data).map_err(|error| read_error(error.to_string()))?;
    if data.len() as u64 > limit {
        let pixels = options.max_pixels;
        return Err(read_error(format!("the file is larger than {limit} bytes, the maximum for {pixels} pixels")));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_decoder_becomes_an_error_without_output() {
        for _ in 0..2 {
            let outcome = catch_panic(Format::Png, || {
                assert_eq!(SILENCED.get(), 1);
                panic!("message of a decoder")
            });
            let outcome: Result<()> = outcome;
            assert!(matches!(outcome, Err(Error::ImageDamaged { format: "PNG", .. })));
            assert_eq!(SILENCED.get(), 0);
        }
    }
}
