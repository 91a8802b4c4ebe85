//! WebP → image.
//!
//! Goes in: a file, lossy or lossless. Comes out: its image, or the first frame of an animation on its canvas. Chunks
//! are checked before the `image` crate decodes the file, because it trusts their lengths and sizes. Refused: truncated
//! files, bit streams and canvases over the limit. The chunks are those of RFC 9649.

use std::io::Cursor;

use ::image::codecs::webp::WebPDecoder;

use super::format::Format::WebP;
use super::raster::{little_endian, pixels, translate_error};
use super::{DecodeOptions, Image, exif};
use crate::Result;
use crate::geometry::Size;

/// Find the largest size in a chunk: a canvas may be larger than its bit streams, or smaller.
pub(super) fn size(data: &[u8], options: DecodeOptions) -> Result<Size> {
    let mut largest = Size::new(0, 0);
    let mut check = |chunk: &Chunk| -> Result<()> {
        if let Some((width, height)) = chunk.size() {
            options.check(width, height)?;
            let size = Size::new(width as u32, height as u32);
            if size.pixels() > largest.pixels() {
                largest = size;
            }
        }
        Ok(())
    };
    let mut rest = chunks(data)?;
    while let Some(chunk) = Chunk::first(rest)? {
        check(&chunk)?;
        if chunk.name == b"ANMF" {
            // 16 bytes of frame header, then the frame's own chunks.
            let mut frame = chunk.content.get(16..).unwrap_or_default();
            while let Some(inner) = Chunk::first(frame)? {
                check(&inner)?;
                frame = inner.rest;
            }
        }
        rest = chunk.rest;
    }
    Ok(largest)
}

/// Decode a WebP file; of an animation, the first frame.
pub(super) fn decode(data: &[u8], options: DecodeOptions) -> Result<Image> {
    size(data, options)?;
    let mut orientation = exif::UPRIGHT;
    let mut rest = chunks(data)?;
    while let Some(chunk) = Chunk::first(rest)? {
        if chunk.name == b"EXIF" {
            orientation = exif::orientation(chunk.content);
        }
        rest = chunk.rest;
    }
    let decoder = WebPDecoder::new(Cursor::new(data)).map_err(|error| translate_error(error, WebP))?;
    exif::apply(pixels(decoder, WebP, options)?, orientation)
}

/// Remove everything that decoding does not need; none for an animation, whose other frames would stay.
pub(super) fn strip(data: &[u8]) -> Result<Option<Vec<u8>>> {
    const HAS_ALPHA: u8 = 0x10;
    const HAS_EXIF: u8 = 0x08;
    let mut orientation = exif::UPRIGHT;
    let mut needed: Vec<(&[u8; 4], Vec<u8>)> = Vec::new();
    let mut rest = chunks(data)?;
    while let Some(chunk) = Chunk::first(rest)? {
        match chunk.name {
            b"EXIF" => orientation = exif::orientation(chunk.content),
            b"VP8X" | b"VP8 " | b"VP8L" | b"ALPH" => needed.push((chunk.name, chunk.content.to_vec())),
            b"ANIM" | b"ANMF" => return Ok(None),
            _ => {}
        }
        rest = chunk.rest;
    }
    let turned = orientation != exif::UPRIGHT;
    for (_, content) in needed.iter_mut().filter(|(name, _)| *name == b"VP8X") {
        if let Some(flags) = content.first_mut() {
            *flags = *flags & HAS_ALPHA | if turned { HAS_EXIF } else { 0 };
        }
    }
    if turned {
        needed.push((b"EXIF", exif::block(orientation)));
    }
    let mut body = b"WEBP".to_vec();
    for (name, content) in needed {
        body.extend_from_slice(name);
        body.extend((content.len() as u32).to_le_bytes());
        body.extend_from_slice(&content);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    Ok(Some([b"RIFF".as_slice(), &(body.len() as u32).to_le_bytes(), &body].concat()))
}

/// Return the content of the RIFF container, up to its declared length.
fn chunks(data: &[u8]) -> Result<&[u8]> {
    let riff = data.get(4..8).and_then(little_endian).unwrap_or_default();
    if riff + 8 > data.len() as u64 {
        return Err(WebP.truncated(format!("it declares {} bytes and has {}", riff + 8, data.len())));
    }
    Ok(&data[12..(riff + 8).max(12) as usize])
}

/// A RIFF chunk.
struct Chunk<'a> {
    name: &'a [u8; 4],
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Parse the first chunk; none at the end.
    fn first(data: &'a [u8]) -> Result<Option<Self>> {
        let Some((name, after)) = data.split_first_chunk::<4>() else { return Ok(None) };
        let chunk = after.split_first_chunk::<4>().and_then(|(length, after)| {
            let length = u32::from_le_bytes(*length) as usize;
            // An odd chunk has a byte of padding, which some encoders omit at the end.
            let rest = after.get(length + length % 2..).unwrap_or_default();
            after.get(..length).map(|content| Self { name, content, rest })
        });
        chunk.map(Some).ok_or_else(|| WebP.truncated(format!("it ends in chunk {}", name.escape_ascii())))
    }

    /// Width and height of a bit stream or a canvas (RFC 6386, 9.1; RFC 9649, 3.4 and 2.7).
    fn size(&self) -> Option<(u64, u64)> {
        match (self.name, self.content) {
            (b"VP8 ", [_, _, _, 0x9d, 0x01, 0x2a, x0, x1, y0, y1, ..]) => {
                let side = |low, high| u64::from(u16::from_le_bytes([low, high]) & 0x3fff);
                Some((side(*x0, *x1), side(*y0, *y1)))
            }
            (b"VP8L", [0x2f, sizes @ ..]) => {
                let bits = sizes.get(..4).and_then(little_endian).unwrap_or_default();
                Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
            }
            (b"VP8X", [_, _, _, _, x0, x1, x2, y0, y1, y2, ..]) => {
                let side = |bytes: [u8; 3]| u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])) + 1;
                Some((side([*x0, *x1, *x2]), side([*y0, *y1, *y2])))
            }
            _ => None,
        }
    }
}
