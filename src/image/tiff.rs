//! TIFF → image.
//!
//! Goes in: a file. Comes out: its first page; the link to further pages is removed, so that they cannot cause errors.
//! The `image` crate decodes it after its entries were checked against the file's length. Refused: entries that point
//! outside the file, sizes over the limit, samples that the crate does not read. The structure is that of TIFF 6.0,
//! section 2.

use std::io::Cursor;

use ::image::codecs::tiff::TiffDecoder;

use super::format::Format::Tiff;
use super::raster::{pixels, translate_error};
use super::{DecodeOptions, Image};
use crate::Result;
use crate::geometry::Size;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const SHORT: u16 = 3;

/// Decode the first page of a TIFF file.
pub(super) fn decode(data: &[u8], options: DecodeOptions) -> Result<Image> {
    let (link, _) = link_of_first_page(data, options)?;
    let mut page = data.to_vec();
    if let Some(link) = page.get_mut(link..link.saturating_add(4)) {
        link.fill(0);
    }
    let decoder = TiffDecoder::new(Cursor::new(page)).map_err(|error| translate_error(error, Tiff))?;
    pixels(decoder, Tiff, options)
}

/// Read the size of the first page.
pub(super) fn size(data: &[u8], options: DecodeOptions) -> Result<Size> {
    link_of_first_page(data, options).map(|(_, size)| size)
}

/// Check the first directory; returns the offset of the link to the second one, and the size of the page.
fn link_of_first_page(data: &[u8], options: DecodeOptions) -> Result<(usize, Size)> {
    let little = data.starts_with(b"II");
    let short = |offset: usize| {
        let bytes: [u8; 2] = data.get(offset..offset.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |offset: usize| {
        let bytes: [u8; 4] = data.get(offset..offset.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = long(4).ok_or_else(|| Tiff.truncated("it ends in its header"))? as usize;
    let entries = short(directory).ok_or_else(|| Tiff.truncated("it ends before its directory"))?;
    let link = directory + 2 + 12 * usize::from(entries);
    let (mut width, mut height) = (0, 0);
    for entry in (directory + 2..link).step_by(12) {
        let parts = short(entry).zip(short(entry + 2)).zip(long(entry + 4)).zip(long(entry + 8));
        let (((tag, kind), count), value) = parts.ok_or_else(|| Tiff.truncated("it ends in its directory"))?;
        let bytes = u64::from(count) * bytes_per_value(kind);
        if bytes > 4 && u64::from(value) + bytes > data.len() as u64 {
            return Err(Tiff.truncated(format!("tag {tag} has {bytes} bytes at {value}, the file has {}", data.len())));
        }
        let number = if kind == SHORT { short(entry + 8).map_or(value, u32::from) } else { value };
        match tag {
            WIDTH => width = number,
            HEIGHT => height = number,
            _ => {}
        }
    }
    let size = Size::new(width, height);
    options.check_size(size)?;
    Ok((link, size))
}

fn bytes_per_value(kind: u16) -> u64 {
    match kind {
        1 | 2 | 6 | 7 => 1,
        SHORT | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        _ => 8,
    }
}
