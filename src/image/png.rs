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

/// The size in the header chunk.
pub(super) fn size(data: &[u8], options: DecodeOptions) -> Result<Size> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(data), Limits { bytes: WORKING_BYTES });
    let header = decoder.read_header_info().map_err(refused)?;
    let size = Size::new(header.width, header.height);
    options.check_size(size)?;
    Ok(size)
}

/// Decodes a PNG file.
pub(super) fn decode(data: &[u8], options: DecodeOptions) -> Result<Image> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(data), Limits { bytes: WORKING_BYTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(refused)?;
    let size = Size::new(header.width, header.height);
    options.check_size(size)?;
    let orientation = walk(data)?.orientation();

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

/// The same picture as a file with nothing but what decoding needs: size, palette, transparency, data, and the
/// orientation where it is not upright.
pub(super) fn bare(data: &[u8]) -> Result<Vec<u8>> {
    let chunks = walk(data)?;
    let orientation = chunks.orientation();
    let mut file = data[..SIGNATURE_BYTES].to_vec();
    for (name, whole) in chunks.needed {
        file.extend_from_slice(whole);
        if name == b"IHDR" && orientation != exif::UPRIGHT {
            let block = exif::block(orientation);
            let named = [b"eXIf".as_slice(), &block].concat();
            file.extend((block.len() as u32).to_be_bytes());
            file.extend_from_slice(&named);
            file.extend(check_sum(&named).to_be_bytes());
        }
    }
    Ok(file)
}

/// CRC-32 as the PNG specification has it, 5.5; for short data.
fn check_sum(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

/// A file whose chunks are in order.
struct Chunks<'a> {
    /// The first EXIF block.
    exif: Option<&'a [u8]>,
    /// Name and bytes of each chunk without which the picture would be another.
    needed: Vec<(&'a [u8], &'a [u8])>,
}

impl Chunks<'_> {
    fn orientation(&self) -> u16 {
        self.exif.map_or(exif::UPRIGHT, exif::orientation)
    }
}

/// Goes from chunk to chunk to the last.
fn walk(data: &[u8]) -> Result<Chunks<'_>> {
    let mut position = SIGNATURE_BYTES;
    let mut chunks = Chunks { exif: None, needed: Vec::new() };
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
        let whole = &data[position..start + length + 4];
        position = start + length + 4;
        match name {
            b"eXIf" => chunks.exif = chunks.exif.or(Some(content)),
            b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" => chunks.needed.push((name, whole)),
            b"IEND" => {
                chunks.needed.push((name, whole));
                return Ok(chunks);
            }
            _ => {}
        }
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
