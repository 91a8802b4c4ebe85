//! First bytes → format.
//!
//! Every file format that a user may take for a picture is recognised, so that a refusal can name it. The signatures
//! are those of the formats' own specifications.

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
    WebP,
    Bmp,
    Gif,
    Tiff,
    /// One that is not decoded, by its name.
    Other(&'static str),
}

impl Format {
    /// The format of a file, none where its first bytes are unknown.
    pub(super) fn of(data: &[u8]) -> Option<Self> {
        let starts = |signature: &[u8]| data.starts_with(signature);
        let at = |offset: usize, signature: &[u8]| data.get(offset..).is_some_and(|rest| rest.starts_with(signature));
        Some(match () {
            () if starts(b"\xff\xd8") => Self::Jpeg,
            () if starts(b"\x89PNG\r\n\x1a\n") => Self::Png,
            () if starts(b"RIFF") && at(8, b"WEBP") => Self::WebP,
            () if starts(b"GIF87a") || starts(b"GIF89a") => Self::Gif,
            () if starts(b"II*\0") || starts(b"MM\0*") => Self::Tiff,
            () if starts(b"II+\0") || starts(b"MM\0+") => Self::Other("BigTIFF"),
            () if at(4, b"ftypavif") || at(4, b"ftypavis") => Self::Other("AVIF"),
            () if at(4, b"ftyphei") || at(4, b"ftyphev") || at(4, b"ftypmif1") || at(4, b"ftypmsf1") => {
                Self::Other("HEIC")
            }
            () if at(4, b"ftyp") => Self::Other("a video (ISO media file)"),
            () if starts(b"\0\0\0\x0cjP  ") || starts(b"\xff\x4f\xff\x51") => Self::Other("JPEG 2000"),
            () if starts(b"\xff\x0a") || starts(b"\0\0\0\x0cJXL ") => Self::Other("JPEG XL"),
            () if starts(b"qoif") => Self::Other("QOI"),
            () if starts(b"8BPS") => Self::Other("Photoshop (PSD)"),
            () if starts(b"%PDF") => Self::Other("PDF"),
            () if starts(b"PK\x03\x04") => Self::Other("a ZIP archive"),
            () if starts(b"\x93NUMPY") => Self::Other("a NumPy file"),
            () if starts(b"\0\0\x01\0") => Self::Other("ICO"),
            () if starts(b"<svg") => Self::Other("SVG"),
            () if starts(b"<?xml") => Self::Other("XML or SVG"),
            () if starts(b"<!DOCTYPE html") || starts(b"<!doctype html") || starts(b"<html") => Self::Other("HTML"),
            () if matches!(data, [b'P', b'1'..=b'7', b'\n' | b' ' | b'\r' | b'\t', ..]) => Self::Other("PNM"),
            () if starts(b"BM") => Self::Bmp,
            () => return None,
        })
    }
}
