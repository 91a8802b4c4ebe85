//! PNG → picture.
//!
//! In goes a file, out its default image; of an APNG that is the first frame in all but rare files. Refused: files that
//! do not reach their last chunk, wrong check sums of critical chunks, sizes over the limit. Text and colour profiles
//! are passed over without being inflated. The chunks are those of the PNG specification (third edition).

use std::io::{Cursor, ErrorKind};

use ::png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};

use super::flatten::{Channels, narrow, to_rgb};
use super::{DecodeOptions, Image, exif};
use crate::geometry::Size;
use crate::{Error, Result};

const SIGNATURE_BYTES: usize = 8;

/// What the decoder may take besides the picture: a few rows and an EXIF block.
const WORKING_BYTES: usize = 64 << 20;

/// Decodes a PNG file.
pub(super) fn decode(data: &[u8], options: DecodeOptions) -> Result<Image> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(data), Limits { bytes: WORKING_BYTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(refused)?;
    let size = Size::new(header.width, header.height);
    options.check_size(size)?;
    let orientation = walk(data)?.map_or(exif::UPRIGHT, exif::orientation);

    let mut reader = decoder.read_info().map_err(refused)?;
    let (color, depth) = reader.output_color_type();
    let bytes = reader.output_buffer_size().ok_or_else(|| damaged("its rows have no length"))?;
    let mut samples = vec![0; bytes];
    let frame = reader.next_frame(&mut samples).map_err(refused)?;
    if (frame.width, frame.height) != (size.width, size.height) {
        return Err(damaged("its first frame is smaller than the picture"));
    }
    if depth == BitDepth::Sixteen {
        samples = narrow(samples, u16::from_be_bytes);
    }
    let channels = match color {
        ColorType::Grayscale => Channels::Grey,
        ColorType::GrayscaleAlpha => Channels::GreyAlpha,
        ColorType::Rgb => Channels::Rgb,
        ColorType::Rgba => Channels::RgbAlpha,
        ColorType::Indexed => return Err(damaged("its palette is missing")),
    };
    exif::upright(Image::from_rgb(size, to_rgb(samples, channels))?, orientation)
}

/// Goes from chunk to chunk to the last; the EXIF block on the way.
fn walk(data: &[u8]) -> Result<Option<&[u8]>> {
    let mut position = SIGNATURE_BYTES;
    let mut block = None;
    loop {
        let header = data.get(position..position + 8).and_then(|header| header.split_first_chunk::<4>());
        let Some((length, name)) = header else {
            return Err(truncated("it has no end chunk"));
        };
        let length = u32::from_be_bytes(*length) as usize;
        let start = position + 8;
        let content = start.checked_add(length).and_then(|end| data.get(start..end));
        let Some(content) = content.filter(|_| data.len() - start >= length + 4) else {
            let name = name.escape_ascii();
            return Err(truncated(&format!("it ends in chunk {name} of {length} bytes")));
        };
        match name {
            b"IEND" => return Ok(block),
            b"eXIf" => block = block.or(Some(content)),
            _ => {}
        }
        position = start + length + 4;
    }
}

fn refused(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            truncated("it ends in the picture data")
        }
        other => damaged(&other.to_string()),
    }
}

fn damaged(reason: &str) -> Error {
    Error::ImageDamaged { format: "PNG", reason: reason.into() }
}

fn truncated(reason: &str) -> Error {
    Error::ImageTruncated { format: "PNG", reason: reason.into() }
}
