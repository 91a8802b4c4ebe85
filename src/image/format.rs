//! First bytes → format.
//!
//! Knows the six supported formats, and the names of others that a user may send, so that an error can say what the
//! file is. The signatures are those of the formats' specifications.

use crate::Error;

/// A supported format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
    WebP,
    Bmp,
    Gif,
    Tiff,
}

impl Format {
    /// Detect the format of a file from its first bytes; none if it is not supported.
    pub(super) fn of(data: &[u8]) -> Option<Self> {
        match data {
            [0xff, 0xd8, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => Some(Self::Tiff),
            [b'B', b'M', ..] => Some(Self::Bmp),
            _ => None,
        }
    }

    /// The error for damaged data.
    pub(super) fn damaged(self, reason: impl Into<String>) -> Error {
        Error::ImageDamaged { format: self.name(), reason: reason.into() }
    }

    /// The error for a truncated file.
    pub(super) fn truncated(self, reason: impl Into<String>) -> Error {
        Error::ImageTruncated { format: self.name(), reason: reason.into() }
    }

    /// The error for an unsupported variant.
    pub(super) fn unsupported(self, reason: impl Into<String>) -> Error {
        Error::ImageUnsupported { format: self.name(), reason: reason.into() }
    }

    /// Its name in messages.
    fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Tiff => "TIFF",
        }
    }
}

/// The name of an unsupported format, if known.
pub(super) fn unsupported_name(data: &[u8]) -> Option<&'static str> {
    let starts = |signatures: &[&[u8]]| signatures.iter().any(|signature| data.starts_with(signature));
    let brand = data.get(4..12).and_then(|kind| kind.strip_prefix(b"ftyp"));
    Some(match brand {
        Some(b"avif" | b"avis") => "AVIF",
        Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => "HEIC",
        Some(_) => "a video (ISO media file)",
        None if starts(&[b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"]) => "JPEG 2000",
        None if starts(&[b"\xff\x0a", b"\0\0\0\x0cJXL "]) => "JPEG XL",
        None if starts(&[b"II+\0", b"MM\0+"]) => "BigTIFF",
        None if starts(&[b"qoif"]) => "QOI",
        None if starts(&[b"8BPS"]) => "Photoshop (PSD)",
        None if starts(&[b"\0\0\x01\0"]) => "ICO",
        None if starts(&[b"%PDF"]) => "PDF",
        None if starts(&[b"PK\x03\x04"]) => "a ZIP archive",
        None if starts(&[b"\x93NUMPY"]) => "a NumPy file",
        None if starts(&[b"<svg"]) => "SVG",
        None if starts(&[b"<?xml"]) => "XML or SVG",
        None if starts(&[b"<!DOCTYPE html", b"<!doctype html", b"<html"]) => "HTML",
        None if matches!(data, [b'P', b'1'..=b'7', b'\n' | b' ' | b'\r' | b'\t', ..]) => "PNM",
        None => return None,
    })
}
