//! JPEG → image.
//!
//! `markers` checks and cleans the file, `zune-jpeg` decodes it in strict mode, directly into the image's memory.
//! Refused beyond what the markers show: truncated or invalid data. Pixels differ from those of libjpeg-turbo by a few
//! levels.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::format::Format::Jpeg;
use super::markers::{MAX_SCANS, Target, walk};
use super::{DecodeOptions, Image, exif};
use crate::Result;

/// Decode a JPEG file.
pub(super) fn decode(data: &[u8], options: DecodeOptions) -> Result<Image> {
    let markers = walk(data, options, Target::Decoder)?;
    let orientation = markers.exif.map_or(exif::UPRIGHT, exif::orientation);
    let settings = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(markers.stream.as_slice()), settings);
    let pixels = decoder.decode().map_err(|error| match error {
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => Jpeg.truncated("it ends in the image data"),
        DecodeErrors::Format(reason) => Jpeg.damaged(format!("its data are invalid or end early ({reason})")),
        DecodeErrors::FormatStatic(reason) => Jpeg.damaged(format!("its data are invalid or end early ({reason})")),
        other => Jpeg.damaged(other.to_string()),
    })?;
    exif::apply(Image::from_rgb(markers.size, pixels)?, orientation)
}

/// Remove everything that decoding does not need: tables, frame, scans and the colour model stay, and the orientation
/// if it is not upright.
pub(super) fn strip(data: &[u8], options: DecodeOptions) -> Result<Vec<u8>> {
    const START: [u8; 2] = [0xff, 0xd8];
    const EXIF: [u8; 2] = [0xff, 0xe1];
    let markers = walk(data, options, Target::File)?;
    let orientation = markers.exif.map_or(exif::UPRIGHT, exif::orientation);
    if orientation == exif::UPRIGHT {
        return Ok(markers.stream);
    }
    let block = [b"Exif\0\0".as_slice(), &exif::block(orientation)].concat();
    let length = (block.len() as u16 + 2).to_be_bytes();
    let rest = markers.stream.strip_prefix(&START).unwrap_or(&markers.stream);
    Ok([START.as_slice(), &EXIF, &length, &block, rest].concat())
}
