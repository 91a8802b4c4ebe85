//! BMP and GIF → image, and the last step for WebP and TIFF, by the decoders of the `image` crate.
//!
//! Checks what those decoders do not check before they allocate memory: that the file is complete, and that its size is
//! within the limit. Refused: truncated files, sizes over the limit, variants that the crate does not read. Headers as
//! in the Windows SDK (`BITMAPINFOHEADER`) and in the GIF specification of 1989.

use std::error::Error as _;
use std::io::{Cursor, ErrorKind};

use ::image::codecs::bmp::BmpDecoder;
use ::image::codecs::gif::GifDecoder;
use ::image::{ImageDecoder, ImageError, ImageResult, Limits};

use super::flatten::flatten;
use super::format::Format;
use super::{DecodeOptions, Image, exif};
use crate::geometry::Size;
use crate::{Error, Result};

/// Memory limit of a decoder besides the image and a copy of it, bytes.
const WORKING_BYTES: u64 = 64 << 20;

/// Read the size in the header of a BMP file.
pub(super) fn size_of_bmp(data: &[u8], options: DecodeOptions) -> Result<Size> {
    let long = |offset: usize| data.get(offset..offset + 4).and_then(little_endian);
    let short = |offset: usize| long(offset).map(|value| value & 0xffff);
    // The oldest header has sizes of 16 bits, later ones of 32 with a sign: a negative height means rows from the top.
    let size = match long(14) {
        Some(12) => short(18).zip(short(20)),
        _ => long(18).zip(long(22)).map(|(width, height)| (width, u64::from((height as i32).unsigned_abs()))),
    };
    let (width, height) = size.ok_or_else(|| Format::Bmp.truncated("it ends in its header"))?;
    if width == 0 || height == 0 || width > i32::MAX as u64 {
        return Err(Format::Bmp.damaged(format!("its header has a size of {} x {height} pixels", width as i32)));
    }
    options.check(width, height)?;
    Ok(Size::new(width as u32, height as u32))
}

/// Decode a BMP file.
pub(super) fn decode_bmp(data: &[u8], options: DecodeOptions) -> Result<Image> {
    size_of_bmp(data, options)?;
    let decoder = BmpDecoder::new(Cursor::new(data)).map_err(|error| translate_error(error, Format::Bmp))?;
    pixels(decoder, Format::Bmp, options)
}

/// Read the screen size of a GIF file.
pub(super) fn size_of_gif(data: &[u8], options: DecodeOptions) -> Result<Size> {
    let decoder = GifDecoder::new(Cursor::new(data)).map_err(|error| translate_error(error, Format::Gif))?;
    let (width, height) = decoder.dimensions();
    let size = Size::new(width, height);
    options.check_size(size)?;
    Ok(size)
}

/// Decode the first frame of a GIF file, on its screen.
pub(super) fn decode_gif(data: &[u8], options: DecodeOptions) -> Result<Image> {
    size_of_gif(data, options)?;
    let decoder = GifDecoder::new(Cursor::new(data)).map_err(|error| translate_error(error, Format::Gif))?;
    if first_gif_frame_end(data).is_none() {
        return Err(Format::Gif.truncated("it ends in its first frame"));
    }
    pixels(decoder, Format::Gif, options)
}

/// Find the end of the first frame's data; none if the file is truncated (sections 15 to 26 of the specification).
fn first_gif_frame_end(data: &[u8]) -> Option<usize> {
    // A table of 2^(n + 1) colours follows a descriptor whose flags have the highest bit set.
    let colors = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let past_blocks = |mut position: usize| loop {
        match usize::from(*data.get(position)?) {
            0 => return Some(position + 1),
            length => position += 1 + length,
        }
    };
    let mut position = 13 + colors(*data.get(10)?);
    loop {
        match *data.get(position)? {
            b'!' => position = past_blocks(position + 2)?,
            b',' => return past_blocks(position + 11 + colors(*data.get(position + 9)?)),
            _ => return Some(position), // The trailer or an invalid block: left to the decoder.
        }
    }
}

/// Run a decoder within the limit.
pub(super) fn pixels(mut decoder: impl ImageDecoder, format: Format, options: DecodeOptions) -> Result<Image> {
    let (width, height) = decoder.dimensions();
    let size = Size::new(width, height);
    options.check_size(size)?;
    if size.pixels() == 0 {
        return Err(format.damaged(format!("its header has a size of {size} pixels")));
    }
    let run = || -> ImageResult<(Vec<u8>, ::image::ColorType, u16)> {
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(decoder.total_bytes().saturating_mul(2).saturating_add(WORKING_BYTES));
        decoder.set_limits(limits)?;
        let orientation =
            if format == Format::Tiff { u16::from(decoder.orientation()?.to_exif()) } else { exif::UPRIGHT };
        let color = decoder.color_type();
        let mut samples = vec![0; decoder.total_bytes() as usize];
        decoder.read_image(&mut samples)?;
        Ok((samples, color, orientation))
    };
    let (samples, color, orientation) = run().map_err(|error| translate_error(error, format))?;
    exif::apply(Image::from_rgb(size, flatten(samples, color, format)?)?, orientation)
}

pub(super) fn little_endian(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(|bytes| u64::from(u32::from_le_bytes(bytes)))
}

/// Convert an error of the `image` crate.
pub(super) fn translate_error(error: ImageError, format: Format) -> Error {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            format.truncated("it ends in the image data")
        }
        ImageError::Unsupported(error) => format.unsupported(error.to_string()),
        other => format.damaged(other.source().map_or_else(|| other.to_string(), ToString::to_string)),
    }
}
