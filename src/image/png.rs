//! PNG → image.
//!
//! Goes in: a file. Comes out: its default image, which is the first frame of almost all APNG files. Refused: files
//! without their last chunk, wrong checksums of critical chunks, sizes over the limit. Text and colour profiles are
//! skipped without inflating them. The chunks are those of the PNG specification (third edition).

use std::io::{Cursor, ErrorKind};

use ::png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};

use super::flatten::{Channels, narrow, to_rgb};
use super::format::Format::Png;
use super::{DecodeOptions, Image, exif};
use crate::geometry::Size;
use crate::{Error, Result};

const SIGNATURE_BYTES: usize = 8;

/// Colour type of an image whose samples are indices into a palette; the specification, 11.2.1.
const INDEXED: u8 = 3;

/// Maximum number of colours in a palette; the specification, 11.2.2.
const MAX_COLOURS: usize = 256;

/// Memory limit of the decoder besides the image: a few rows and an EXIF block, bytes.
const WORKING_BYTES: usize = 64 << 20;

/// Read the size in the header chunk.
pub(super) fn size(data: &[u8], options: DecodeOptions) -> Result<Size> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(data), Limits { bytes: WORKING_BYTES });
    let header = decoder.read_header_info().map_err(translate_error)?;
    let size = Size::new(header.width, header.height);
    options.check_size(size)?;
    Ok(size)
}

/// Decode a PNG file.
pub(super) fn decode(data: &[u8], options: DecodeOptions) -> Result<Image> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(data), Limits { bytes: WORKING_BYTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(translate_error)?;
    let size = Size::new(header.width, header.height);
    options.check_size(size)?;
    let orientation = walk(data)?.orientation();

    let mut reader = decoder.read_info().map_err(translate_error)?;
    let (color, depth) = reader.output_color_type();
    let bytes = reader.output_buffer_size().ok_or_else(|| Png.damaged("its rows have no length"))?;
    let mut samples = vec![0; bytes];
    let frame = reader.next_frame(&mut samples).map_err(translate_error)?;
    if (frame.width, frame.height) != (size.width, size.height) {
        return Err(Png.damaged("its first frame is smaller than the image"));
    }
    if depth == BitDepth::Sixteen {
        samples = narrow(samples, u16::from_be_bytes);
    }
    let channels = match color {
        ColorType::Grayscale => Channels::Grey,
        ColorType::GrayscaleAlpha => Channels::GreyAlpha,
        ColorType::Rgb => Channels::Rgb,
        ColorType::Rgba => Channels::RgbAlpha,
        ColorType::Indexed => return Err(Png.damaged("its palette is missing")),
    };
    exif::apply(Image::from_rgb(size, to_rgb(samples, channels))?, orientation)
}

/// Remove everything that decoding does not need: size, palette, transparency and data stay, and the orientation if it
/// is not upright.
pub(super) fn strip(data: &[u8]) -> Result<Vec<u8>> {
    let chunks = walk(data)?;
    let orientation = chunks.orientation();
    let mut file = data[..SIGNATURE_BYTES].to_vec();
    for (name, chunk) in chunks.needed {
        file.extend_from_slice(chunk);
        if name == b"IHDR" && orientation != exif::UPRIGHT {
            let block = exif::block(orientation);
            let named = [b"eXIf".as_slice(), &block].concat();
            file.extend((block.len() as u32).to_be_bytes());
            file.extend_from_slice(&named);
            file.extend(checksum(&named).to_be_bytes());
        }
    }
    Ok(file)
}

/// Compute the CRC-32 of the PNG specification, 5.5; for short data.
fn checksum(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

/// The chunks of a valid file.
struct Chunks<'a> {
    /// The first EXIF block.
    exif: Option<&'a [u8]>,
    /// Name and bytes of each chunk that affects the image.
    needed: Vec<(&'a [u8], &'a [u8])>,
}

impl Chunks<'_> {
    fn orientation(&self) -> u16 {
        self.exif.map_or(exif::UPRIGHT, exif::orientation)
    }
}

/// Check all chunks up to the last.
fn walk(data: &[u8]) -> Result<Chunks<'_>> {
    let mut position = SIGNATURE_BYTES;
    let mut chunks = Chunks { exif: None, needed: Vec::new() };
    let mut indexed = false;
    loop {
        let header = data.get(position..position + 8).and_then(|header| header.split_first_chunk::<4>());
        let Some((length, name)) = header else {
            return Err(Png.truncated("it has no end chunk"));
        };
        let length = u32::from_be_bytes(*length) as usize;
        let start = position + 8;
        let content = start.checked_add(length).and_then(|end| data.get(start..end));
        let Some(content) = content.filter(|_| data.len() - start >= length + 4) else {
            let name = name.escape_ascii();
            return Err(Png.truncated(format!("it ends in chunk {name} of {length} bytes")));
        };
        let chunk = &data[position..start + length + 4];
        position = start + length + 4;
        match name {
            b"IHDR" => indexed = content.get(9) == Some(&INDEXED),
            b"PLTE" if indexed => check_palette(length)?,
            _ => {}
        }
        match name {
            b"eXIf" => chunks.exif = chunks.exif.or(Some(content)),
            b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" => chunks.needed.push((name, chunk)),
            b"IEND" => {
                chunks.needed.push((name, chunk));
                return Ok(chunks);
            }
            _ => {}
        }
    }
}

/// Refuse a palette with an incomplete colour, without colours or with too many: png 0.18.1 panics on it if a sample
/// has less than 8 bits, because it always copies three bytes.
fn check_palette(bytes: usize) -> Result<()> {
    if bytes.is_multiple_of(3) && (1..=MAX_COLOURS).contains(&(bytes / 3)) {
        return Ok(());
    }
    Err(Png.damaged(format!("its palette has {bytes} bytes, not 1 to {MAX_COLOURS} colours of three bytes")))
}

fn translate_error(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Png.truncated("it ends in the image data")
        }
        other => Png.damaged(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
        let named = [name, content].concat();
        [&(content.len() as u32).to_be_bytes()[..], &named, &checksum(&named).to_be_bytes()].concat()
    }

    /// A file with one row of eight samples of this depth and colour type, and a palette of this many bytes.
    fn file(depth: u8, color: u8, palette: usize) -> Vec<u8> {
        let header = [0, 0, 0, 8, 0, 0, 0, 1, depth, color, 0, 0, 0];
        let samples = if color == INDEXED { usize::from(depth) } else { 24 };
        let row = vec![0; 1 + samples];
        let mut adler = (1_u32, 0_u32);
        for byte in &row {
            adler = (adler.0 + u32::from(*byte), adler.1 + adler.0 + u32::from(*byte));
        }
        let length = row.len() as u16;
        let sum = ((adler.1 % 65_521) << 16) | (adler.0 % 65_521);
        let data = [&[0x78, 1, 1], &length.to_le_bytes()[..], &(!length).to_le_bytes(), &row, &sum.to_be_bytes()];
        [
            b"\x89PNG\r\n\x1a\n".to_vec(),
            chunk(b"IHDR", &header),
            chunk(b"PLTE", &vec![9; palette]),
            chunk(b"IDAT", &data.concat()),
            chunk(b"IEND", b""),
        ]
        .concat()
    }

    #[test]
    fn an_invalid_palette_is_refused_before_it_is_used() {
        for depth in [1, 2, 4, 8] {
            for bytes in (0..12).chain(760..780) {
                let valid = bytes % 3 == 0 && (3..=768).contains(&bytes);
                let outcome = decode(&file(depth, INDEXED, bytes), DecodeOptions::default());
                match outcome {
                    Ok(image) => assert!(valid && image.size() == Size::new(8, 1)),
                    Err(Error::ImageDamaged { reason, .. }) => {
                        assert!(!valid && reason.contains("palette"), "{reason}");
                    }
                    Err(other) => panic!("{depth} bits, {bytes} bytes: {other}"),
                }
                assert_eq!(strip(&file(depth, INDEXED, bytes)).is_ok(), valid);
            }
        }
    }

    #[test]
    fn a_suggested_palette_is_ignored() {
        assert!(decode(&file(8, 2, 6), DecodeOptions::default()).is_ok());
        assert!(decode(&file(8, 2, 7), DecodeOptions::default()).is_ok());
    }
}
