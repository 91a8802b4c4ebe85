//! Encoded bytes → the same image in a file without metadata.
//!
//! Goes in: a file that [`decode`](super::decode()) accepts. Comes out: a file that decodes to the same pixels and
//! contains nothing else: no EXIF but the orientation, no place, time, camera, text, colour profile or thumbnail, no
//! further frames or pages, nothing after the end. JPEG, PNG and WebP keep their compressed data; the others become
//! PNG. Refused: files that cannot be decoded.

use super::decode::{catch_panic, detect_format};
use super::format::Format;
use super::{DecodeOptions, Image, decode, jpeg, png, webp};
use crate::Result;
use crate::geometry::Size;

/// An image file without metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripped {
    /// The file.
    pub data: Vec<u8>,
    /// Its media type: `image/jpeg`, `image/png` or `image/webp`.
    pub media_type: &'static str,
    /// Size of the upright image.
    pub size: Size,
}

impl Stripped {
    /// Encode pixels as a PNG file.
    pub fn from_image(image: &Image) -> Result<Self> {
        Ok(Self { data: image.encode_png()?, media_type: "image/png", size: image.size() })
    }
}

/// Remove the metadata from an image file.
pub fn without_metadata(data: &[u8], options: &DecodeOptions) -> Result<Stripped> {
    let format = detect_format(data)?;
    let (file, media_type) = match format {
        Format::Jpeg => (catch_panic(format, || jpeg::strip(data, *options))?, "image/jpeg"),
        Format::Png => (catch_panic(format, || png::strip(data))?, "image/png"),
        Format::WebP => match catch_panic(format, || webp::strip(data))? {
            Some(file) => (file, "image/webp"),
            None => return Stripped::from_image(&decode(data, options)?),
        },
        Format::Bmp | Format::Gif | Format::Tiff => return Stripped::from_image(&decode(data, options)?),
    };
    // The file will be stored, so it must decode; decoding also gives the upright size.
    let size = decode(&file, options)?.size();
    Ok(Stripped { data: file, media_type, size })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ::image::ImageFormat;
    use proptest::prelude::*;

    use super::super::tests::{Change, FORMATS, changed, crc, encoded, encoded_with_exif, exif, open, picture, tiff};
    use super::*;

    const SECRET: &[u8] = b"LAT 51.4778 LON -0.0015";

    fn strip(file: &[u8]) -> Stripped {
        without_metadata(file, &DecodeOptions::default()).unwrap()
    }

    fn segment(code: u8, content: &[u8]) -> Vec<u8> {
        [&[0xff, code], (content.len() as u16 + 2).to_be_bytes().as_slice(), content].concat()
    }

    fn png_chunk(name: [u8; 4], content: &[u8]) -> Vec<u8> {
        let named = [name.as_slice(), content].concat();
        [&(content.len() as u32).to_be_bytes(), named.as_slice(), &crc(&named).to_be_bytes()].concat()
    }

    fn riff_chunk(name: [u8; 4], content: &[u8]) -> Vec<u8> {
        let mut chunk = [name.as_slice(), &(content.len() as u32).to_le_bytes(), content].concat();
        chunk.resize(chunk.len().next_multiple_of(2), 0);
        chunk
    }

    /// A file with an orientation, and with the secret in every place that its format has for metadata.
    fn secretive(format: ImageFormat, orientation: u16) -> Vec<u8> {
        let block = [exif(orientation.into(), true, true), SECRET.to_vec()].concat();
        let stored = picture(24, 17);
        match format {
            ImageFormat::Jpeg => {
                let file = encoded_with_exif(&stored, format, block);
                let mut more = vec![0xff, 0xd8];
                more.extend(segment(0xe0, &[b"JFXX\0\x10", SECRET].concat()));
                more.extend(segment(0xed, SECRET));
                more.extend(segment(0xee, &[b"Adobe\0\x64\0\0\0\0\x01", SECRET].concat()));
                more.extend(segment(0xfe, SECRET));
                more.extend_from_slice(SECRET); // between the segments
                [&more, &file[2..], SECRET].concat()
            }
            ImageFormat::Png => {
                let file = encoded_with_exif(&stored, format, block);
                let (start, rest) = file.split_at(8 + 25);
                [start, &png_chunk(*b"tEXt", SECRET), &png_chunk(*b"iTXt", SECRET), rest, SECRET].concat()
            }
            ImageFormat::WebP => {
                let mut file = encoded_with_exif(&stored, format, block);
                file.extend(riff_chunk(*b"XMP ", SECRET));
                file.extend(riff_chunk(*b"SECR", SECRET));
                let length = file.len() as u32 - 8;
                file[4..8].copy_from_slice(&length.to_le_bytes());
                [&file, SECRET].concat()
            }
            ImageFormat::Tiff => [&tiff(&stored, orientation), SECRET].concat(),
            other => [&encoded(&stored, other), SECRET].concat(),
        }
    }

    #[test]
    fn only_the_pixels_remain() {
        for format in FORMATS {
            for orientation in 1..=8 {
                let file = secretive(format, orientation);
                let left = strip(&file);
                let image = open(&left.data).unwrap();
                assert_eq!(image, open(&file).unwrap(), "{format:?}, orientation {orientation}");
                assert_eq!(image.size(), left.size);
                assert!(
                    !left.data.windows(8).any(|window| SECRET.windows(8).any(|piece| piece == window)),
                    "{format:?}"
                );
                assert_eq!(strip(&left.data), left, "{format:?}: not idempotent");
            }
        }
    }

    #[test]
    fn jpeg_png_and_webp_keep_their_format() {
        let types: Vec<_> = FORMATS.map(|format| strip(&secretive(format, 1)).media_type).to_vec();
        assert_eq!(types, ["image/jpeg", "image/png", "image/webp", "image/png", "image/png", "image/png"]);
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let plain = encoded(&picture(24, 17), format);
            let (turned, upright) = (strip(&secretive(format, 6)), strip(&secretive(format, 1)));
            assert!(upright.data.len() <= plain.len() + 32, "{format:?}");
            assert!((20..=48).contains(&(turned.data.len() - upright.data.len())), "{format:?}: one tag");
        }
    }

    proptest! {
        #[test]
        fn stripping_a_corrupt_file_never_changes_its_image(
            format in 0_usize..6, orientation in 1_u16..9,
            changes in proptest::collection::vec((0.0..1.0, any::<u8>(), 0_usize..3), 1..6),
        ) {
            let changes: Vec<Change> = changes;
            let options = DecodeOptions { max_pixels: 1_000_000 };
            let file = changed(secretive(FORMATS[format], orientation), &changes);
            if let (Ok(left), Ok(image)) = (without_metadata(&file, &options), decode(&file, &options)) {
                prop_assert_eq!(decode(&left.data, &options).unwrap(), image);
            }
        }
    }
}
