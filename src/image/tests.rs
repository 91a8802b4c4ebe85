//! Files of the `image` crate's encoders: complete, rotated, truncated, corrupt and with false headers.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Cursor;

use ::image::codecs::gif::GifEncoder;
use ::image::codecs::jpeg::JpegEncoder;
use ::image::codecs::png::PngEncoder;
use ::image::codecs::webp::WebPEncoder;
use ::image::metadata::Orientation;
use ::image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};
use proptest::prelude::*;

use super::{DecodeOptions, Image, decode, probe, read};
use crate::geometry::Size;
use crate::{Error, Result};

pub(super) const FORMATS: [ImageFormat; 6] =
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff];

pub(super) fn open(data: &[u8]) -> Result<Image> {
    decode(data, &DecodeOptions::default())
}

/// A smooth image, which JPEG hardly changes, that differs from all its rotations and channel orders.
pub(super) fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| [(40 + 3 * x) as u8, (200 - 2 * y) as u8, (20 + x + y) as u8].into())
}

pub(super) fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Vec::new();
    match format {
        ImageFormat::Jpeg => JpegEncoder::new_with_quality(&mut file, 95).encode_image(picture).unwrap(),
        ImageFormat::Gif => GifEncoder::new(&mut file)
            .encode(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
            .unwrap(),
        other => picture.write_to(&mut Cursor::new(&mut file), other).unwrap(),
    }
    file
}

fn greatest_difference(image: &Image, expected: &RgbImage) -> u8 {
    assert_eq!((image.width(), image.height()), expected.dimensions());
    image.data().iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// An EXIF block whose only entry is the orientation.
pub(super) fn exif(orientation: u32, big_endian: bool, long: bool) -> Vec<u8> {
    let short = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut block = if big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    block.extend(word(8));
    block.extend(short(1));
    block.extend(short(0x0112));
    block.extend(short(if long { 4 } else { 3 }));
    block.extend(word(1));
    if long {
        block.extend(word(orientation));
    } else {
        block.extend(short(orientation as u16));
        block.extend([0, 0]);
    }
    block.extend(word(0));
    block
}

pub(super) fn encoded_with_exif(picture: &RgbImage, format: ImageFormat, block: Vec<u8>) -> Vec<u8> {
    fn write(mut encoder: impl ImageEncoder, picture: &RgbImage, block: Vec<u8>) {
        encoder.set_exif_metadata(block).unwrap();
        encoder.write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8).unwrap();
    }
    let mut file = Vec::new();
    match format {
        ImageFormat::Jpeg => write(JpegEncoder::new_with_quality(&mut file, 95), picture, block),
        ImageFormat::Png => write(PngEncoder::new(&mut file), picture, block),
        ImageFormat::WebP => write(WebPEncoder::new_lossless(&mut file), picture, block),
        other => panic!("no EXIF in {other:?}"),
    }
    file
}

/// An uncompressed RGB TIFF with an orientation, whose directory links to itself as the second one.
pub(super) fn tiff(picture: &RgbImage, orientation: u16) -> Vec<u8> {
    let data_at = 8 + 2 + 12 * 10 + 4 + 6;
    let entries: [(u16, u16, u32, u32); 10] = [
        (256, 4, 1, picture.width()),
        (257, 4, 1, picture.height()),
        (258, 3, 3, data_at - 6),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, data_at),
        (274, 3, 1, orientation.into()),
        (277, 3, 1, 3),
        (278, 4, 1, picture.height()),
        (279, 4, 1, picture.as_raw().len() as u32),
    ];
    let mut file = b"II*\0\x08\0\0\0\x0a\0".to_vec();
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([8, 0, 0, 0, 8, 0, 8, 0, 8, 0]);
    file.extend_from_slice(picture.as_raw());
    file
}

/// The checksum of PNG chunks (PNG specification, annex D).
pub(super) fn crc(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 })
    })
}

fn is_of_images(error: &Error) -> bool {
    error.code().starts_with("image_") || error.code() == "not_an_image"
}

#[test]
fn an_image_needs_as_many_bytes_as_its_size() {
    let image = Image::from_rgb(Size::new(2, 1), vec![1, 2, 3, 4, 5, 6]).unwrap();
    assert_eq!(image.pixel(1, 0), [4, 5, 6]);
    for (size, bytes) in [(Size::new(2, 1), 5), (Size::new(0, 4), 0), (Size::new(u32::MAX, u32::MAX), 3)] {
        assert!(matches!(Image::from_rgb(size, vec![0; bytes]), Err(Error::ImageArray { .. })), "{size}");
    }
    assert_eq!(open(&image.encode_png().unwrap()).unwrap(), image);
}

#[test]
fn each_format_preserves_its_pixels() {
    let picture = picture(37, 29);
    for format in FORMATS {
        let image = open(&encoded(&picture, format)).unwrap();
        let limit = match format {
            ImageFormat::Jpeg => 12,
            ImageFormat::Gif => 40, // 256 colours
            _ => 0,
        };
        let greatest = greatest_difference(&image, &picture);
        assert!(greatest <= limit, "{format:?}: {greatest}");
    }
}

#[test]
fn the_size_is_read_from_the_header_alone() {
    for format in FORMATS {
        let file = encoded(&picture(24, 17), format);
        assert_eq!(probe(&file, &DecodeOptions::default()).unwrap(), Size::new(24, 17), "{format:?}");
        assert!(probe(&file, &DecodeOptions { max_pixels: 400 }).is_err(), "{format:?}");
        if format == ImageFormat::Jpeg || format == ImageFormat::Png {
            let cut = &file[..file.len() / 2];
            assert!(open(cut).is_err());
            assert_eq!(probe(cut, &DecodeOptions::default()).unwrap(), Size::new(24, 17), "{format:?}");
        }
    }
    assert!(probe(b"", &DecodeOptions::default()).is_err());
    assert!(probe(&[0xff, 0xd8, 0xff, 0xd9], &DecodeOptions::default()).is_err());
}

#[test]
fn depth_grey_and_transparency_become_rgb_on_white() {
    let color = DynamicImage::ImageRgb8(picture(16, 12));
    let faded = {
        let mut faded = color.to_rgba16();
        faded.pixels_mut().zip(0_u16..).for_each(|(pixel, index)| pixel.0[3] = index * 341);
        DynamicImage::ImageRgba16(faded)
    };
    let variants = [
        color.to_luma8().into(),
        color.to_luma16().into(),
        color.to_rgb16().into(),
        faded.to_luma_alpha8().into(),
        faded.to_luma_alpha16().into(),
        faded.to_rgba8().into(),
        faded,
    ];
    for variant in variants {
        let mut file = Vec::new();
        variant.write_to(&mut Cursor::new(&mut file), ImageFormat::Png).unwrap();
        let on_white: RgbImage = RgbImage::from_fn(16, 12, |x, y| {
            let [r, g, b, alpha] = variant.to_rgba32f().get_pixel(x, y).0;
            [r, g, b].map(|value| ((value * alpha + 1.0 - alpha) * 255.0).round() as u8).into()
        });
        let greatest = greatest_difference(&open(&file).unwrap(), &on_white);
        assert!(greatest <= 1, "{:?}: {greatest}", variant.color());
    }
}

#[test]
fn eight_orientations_in_four_formats_become_upright() {
    let stored = picture(24, 17);
    for value in 1..=8 {
        let mut expected = DynamicImage::ImageRgb8(stored.clone());
        expected.apply_orientation(Orientation::from_exif(value as u8).unwrap());
        let expected = expected.to_rgb8();
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            for (big_endian, long) in [(false, false), (true, false), (false, true), (true, true)] {
                let file = encoded_with_exif(&stored, format, exif(value, big_endian, long));
                let greatest = greatest_difference(&open(&file).unwrap(), &expected);
                let limit = if format == ImageFormat::Jpeg { 12 } else { 0 };
                assert!(greatest <= limit, "{format:?}, orientation {value}: {greatest}");
            }
        }
        assert_eq!(greatest_difference(&open(&tiff(&stored, value as u16)).unwrap(), &expected), 0);
    }
}

#[test]
fn an_invalid_orientation_counts_as_upright() {
    let stored = picture(24, 17);
    for value in [0, 9, 65_535] {
        let file = encoded_with_exif(&stored, ImageFormat::Png, exif(value, false, false));
        assert_eq!(greatest_difference(&open(&file).unwrap(), &stored), 0, "orientation {value}");
        assert_eq!(greatest_difference(&open(&tiff(&stored, value as u16)).unwrap(), &stored), 0);
    }
    let block = exif(6, false, false);
    for length in 0..18 {
        assert_eq!(super::exif::orientation(&block[..length]), 1, "cut to {length}");
    }
}

#[test]
fn a_file_truncated_anywhere_is_refused() {
    let picture = picture(21, 18);
    for format in FORMATS {
        let file = encoded(&picture, format);
        // The end markers of GIF are not part of the frame.
        let end = file.len() - usize::from(format == ImageFormat::Gif);
        for length in 0..end {
            let outcome = open(&file[..length]);
            assert!(outcome.as_ref().is_err_and(is_of_images), "{format:?} cut to {length} of {end}: {outcome:?}");
        }
        let outcome = open(&file[..file.len() * 2 / 3]);
        assert!(matches!(outcome, Err(Error::ImageTruncated { .. })), "{format:?}: {outcome:?}");
    }
}

#[test]
fn a_jpeg_truncated_in_its_scan_is_refused() {
    let file = encoded(&picture(64, 64), ImageFormat::Jpeg);
    let scan = file.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 14;
    for length in (scan + 4..file.len() - 6).filter(|&length| file[length - 1] != 0xff) {
        let mut early = file[..length].to_vec();
        early.extend([0xff, 0xd9]);
        assert!(open(&early).is_err_and(|error| is_of_images(&error)), "cut to {length} of {}", file.len());
    }
}

#[test]
fn jpeg_variants_that_decode_incorrectly_are_refused() {
    let file = encoded(&picture(40, 24), ImageFormat::Jpeg);
    let frame = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let scan = file.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let unsupported = |file: &[u8]| matches!(open(file), Err(Error::ImageUnsupported { format: "JPEG", .. }));

    let mut coarse = file.clone();
    coarse[frame + 14] = 0x22;
    coarse[frame + 11] = 0x11;
    assert!(unsupported(&coarse), "chroma has a higher resolution than luma");

    let header = [0xff, 0xda, 0, 8, 1, file[scan + 5], 0, 0, 63, 0];
    let separate = [&file[..scan], &header, &file[scan + 14..]].concat();
    assert!(unsupported(&separate), "one scan per component");

    let mut bomb = file[..scan].to_vec();
    bomb[frame + 1] = 0xc2;
    for _ in 0..101 {
        bomb.extend([0xff, 0xda, 0, 8, 1, file[scan + 5], 0, 0, 0, 0, 0x55]);
    }
    bomb.extend([0xff, 0xd9]);
    assert!(open(&bomb).unwrap_err().to_string().contains("100 scans"));
}

#[test]
fn the_limit_is_read_from_the_header() {
    let picture = picture(20, 10);
    for format in FORMATS {
        let file = encoded(&picture, format);
        assert!(decode(&file, &DecodeOptions { max_pixels: 200 }).is_ok(), "{format:?}");
        let outcome = decode(&file, &DecodeOptions { max_pixels: 199 });
        assert!(
            matches!(outcome, Err(Error::ImageTooLarge { pixels: 200, limit: 199, .. })),
            "{format:?}: {outcome:?}"
        );
    }
}

#[test]
fn a_header_with_gigapixels_is_refused() {
    let picture = picture(20, 10);
    let patched = |format: ImageFormat, offset: usize, bytes: &[u8]| {
        let mut file = encoded(&picture, format);
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
        file
    };
    let jpeg = encoded(&picture, ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let mut png = patched(ImageFormat::Png, 16, &[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let sum = crc(&png[12..29]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    let mut tiff = tiff(&picture, 1);
    tiff[18..22].copy_from_slice(&60_000_u32.to_le_bytes());
    tiff[30..34].copy_from_slice(&60_000_u32.to_le_bytes());
    let bombs = [
        patched(ImageFormat::Jpeg, frame + 5, &[0xff; 4]),
        png,
        patched(ImageFormat::WebP, 21, &[0xff, 0xff, 0xff, 0x0f]),
        patched(ImageFormat::Bmp, 18, &[0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0xff, 0xff]),
        patched(ImageFormat::Gif, 6, &[0xff; 4]),
        tiff,
    ];
    for bomb in bombs {
        let outcome = open(&bomb);
        assert!(matches!(outcome, Err(Error::ImageTooLarge { .. })), "{:?}: {outcome:?}", &bomb[..4]);
    }
}

#[test]
fn a_tag_that_points_outside_the_file_allocates_no_memory() {
    let mut file = tiff(&picture(20, 10), 1);
    file[14..18].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(open(&file), Err(Error::ImageTruncated { format: "TIFF", .. })));
}

#[test]
fn other_formats_are_refused_by_name() {
    for (start, name) in [(&b"\0\0\0\x1cftypavif"[..], "AVIF"), (b"%PDF-1.7", "PDF"), (b"P6\n2 2\n255\n", "PNM")] {
        assert!(open(start).unwrap_err().to_string().contains(name));
    }
    assert!(open(b"").unwrap_err().to_string().contains("empty"));
}

#[test]
fn an_unreadable_path_is_an_error_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let options = DecodeOptions { max_pixels: 1000 };
    let path = folder.path().join("a.txt");
    let outcome = read(&path, &options);
    assert!(matches!(&outcome, Err(Error::ImageRead { path: reported, .. }) if *reported == path), "{outcome:?}");
    assert!(matches!(read(folder.path(), &options), Err(Error::ImageRead { .. })));

    std::fs::write(&path, encoded(&picture(20, 10), ImageFormat::Png)).unwrap();
    assert_eq!(read(&path, &options).unwrap().size(), Size::new(20, 10));

    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(80 << 20).unwrap();
    let outcome = read(&path, &options);
    assert!(matches!(outcome, Err(Error::ImageRead { .. })), "{outcome:?}");

    std::fs::write(&path, "not an image").unwrap();
    assert!(matches!(read(&path, &options), Err(Error::NotAnImage { .. })));
}

/// A change to a file: position, as a share of its length; new byte; number of bytes removed there.
pub(super) type Change = (f64, u8, usize);

pub(super) fn changed(mut file: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for &(share, byte, left_out) in changes {
        let index = (share * file.len() as f64) as usize;
        if let Some(place) = file.get_mut(index) {
            *place = byte;
        }
        file.drain(index..(index + left_out).min(file.len()));
    }
    file
}

proptest! {
    #[test]
    fn arbitrary_bytes_give_only_image_errors(
        start in 0_usize..7, rest in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let starts: [&[u8]; 7] = [
            b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8 ", b"BM", b"GIF89a", b"II*\0\x08\0\0\0",
        ];
        let outcome = open(&[starts[start], &rest].concat());
        prop_assert!(outcome.is_ok() || outcome.as_ref().is_err_and(is_of_images), "{outcome:?}");
    }

    #[test]
    fn no_image_has_more_pixels_than_its_header(
        format in 0_usize..6,
        changes in proptest::collection::vec((0.0..1.0, any::<u8>(), 0_usize..3), 0..6),
    ) {
        let changes: Vec<Change> = changes;
        let options = DecodeOptions { max_pixels: 1_000_000 };
        let file = changed(encoded(&picture(24, 17), FORMATS[format]), &changes);
        if let Ok(image) = decode(&file, &options) {
            prop_assert!(probe(&file, &options).unwrap().pixels() >= image.size().pixels());
        }
    }

    #[test]
    fn changed_files_give_only_image_errors(
        format in 0_usize..6,
        changes in proptest::collection::vec((0.0..1.0, any::<u8>(), 0_usize..3), 1..6),
    ) {
        let file = changed(encoded(&picture(23, 19), FORMATS[format]), &changes);
        let outcome = decode(&file, &DecodeOptions { max_pixels: 1_000_000 });
        prop_assert!(outcome.is_ok() || outcome.as_ref().is_err_and(is_of_images), "{outcome:?}");
    }
}
