//! EXIF orientation: reads it from the metadata, and rotates or flips an image by it.
//!
//! Goes in: the TIFF structure of an EXIF block, or an image with its orientation. Comes out: a value from 1 (upright)
//! to 8, or the upright image. Nothing is refused: an unreadable block counts as upright. The values are those of the
//! Exif standard (CIPA DC-008, tag 0x0112), which took them from TIFF 6.0.

use super::Image;
use crate::Result;
use crate::geometry::Size;

/// The orientation of an image that is stored upright.
pub(super) const UPRIGHT: u16 = 1;

const TAG: u16 = 0x0112;
const TYPE_SHORT: u16 = 3;
const TYPE_LONG: u16 = 4;

/// Side of the blocks in which an image is transposed, pixels; two of them fit into the L1 cache.
const BLOCK: usize = 32;

/// Read the orientation of an EXIF block, with or without the "Exif" before it.
pub(super) fn orientation(block: &[u8]) -> u16 {
    let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    find(block).filter(|value| (1..=8).contains(value)).unwrap_or(UPRIGHT)
}

/// Read the tag's value in the first directory. Later directories belong to thumbnails.
fn find(block: &[u8]) -> Option<u16> {
    let little = match block.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |offset: usize| {
        let bytes: [u8; 2] = block.get(offset..offset.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |offset: usize| {
        let (first, second) = (u32::from(short(offset)?), u32::from(short(offset.checked_add(2)?)?));
        Some(if little { second << 16 | first } else { first << 16 | second })
    };
    let directory = long(4)? as usize;
    let entries = usize::from(short(directory)?);
    for entry in 0..entries {
        let start = directory.checked_add(2 + 12 * entry)?;
        if short(start)? == TAG {
            return match (short(start + 2)?, long(start + 4)?) {
                (TYPE_SHORT, 1) => short(start + 8),
                (TYPE_LONG, 1) => u16::try_from(long(start + 8)?).ok(),
                _ => None,
            };
        }
    }
    None
}

/// Create an EXIF block with only the orientation.
pub(super) fn block(orientation: u16) -> Vec<u8> {
    let entry = [TAG.to_le_bytes(), TYPE_SHORT.to_le_bytes(), [1, 0], [0, 0], orientation.to_le_bytes(), [0, 0]];
    // Signature, offset of the first directory, its one entry, and no second directory.
    [b"II*\0\x08\0\0\0\x01\0".as_slice(), entry.as_flattened(), &[0; 4]].concat()
}

/// Rotate and flip an image upright.
pub(super) fn apply(image: Image, orientation: u16) -> Result<Image> {
    let size = image.size();
    let (width, height) = (size.width as usize, size.height as usize);
    match orientation {
        2..=4 => {
            let mut data = image.into_data();
            let pixels = data.as_chunks_mut::<3>().0;
            match orientation {
                2 => pixels.chunks_exact_mut(width).for_each(<[[u8; 3]]>::reverse),
                3 => pixels.reverse(),
                _ => {
                    let (upper, lower) = pixels.split_at_mut(height / 2 * width);
                    let rows = upper.chunks_exact_mut(width).zip(lower.chunks_exact_mut(width).rev());
                    rows.for_each(|(above, below)| above.swap_with_slice(below));
                }
            }
            Image::from_rgb(size, data)
        }
        5..=8 => Image::from_rgb(Size::new(size.height, size.width), transpose(&image, orientation)),
        _ => Ok(image),
    }
}

/// Exchange rows and columns, for orientations 5 to 8.
fn transpose(image: &Image, orientation: u16) -> Vec<u8> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (from_right, from_bottom) = (matches!(orientation, 7 | 8), matches!(orientation, 6 | 7));
    let mut data = vec![0; image.data().len()];
    let (source, target) = (image.data().as_chunks::<3>().0, data.as_chunks_mut::<3>().0);
    for top in (0..width).step_by(BLOCK) {
        for left in (0..height).step_by(BLOCK) {
            for y in top..(top + BLOCK).min(width) {
                let column = if from_right { width - 1 - y } else { y };
                for x in left..(left + BLOCK).min(height) {
                    let row = if from_bottom { height - 1 - x } else { x };
                    target[y * height + x] = source[row * width + column];
                }
            }
        }
    }
    data
}
