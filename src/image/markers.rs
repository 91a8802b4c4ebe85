//! JPEG bytes → segments, checked up to the end marker.
//!
//! Goes in: a file. Comes out: its size, its EXIF block and a clean stream with only what decoding needs: metadata,
//! fill bytes and trailing bytes are left out, the colour model is explicit. Refused: files without the end marker,
//! frames that the decoder does not support or decodes incorrectly, sizes over the limit, too many scans. Segments as
//! in ITU-T T.81; the colour model is chosen like in libjpeg (`jdapimin.c`), so that other libraries agree.

use super::DecodeOptions;
use super::format::Format::Jpeg;
use crate::Result;
use crate::geometry::Size;

/// Each scan may cost a pass over the full image. Encoders write about ten; 100 of 50 megapixels take 1.3 s.
pub(super) const MAX_SCANS: usize = 100;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DHT: u8 = 0xc4;
const DQT: u8 = 0xdb;
const DRI: u8 = 0xdd;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP14: u8 = 0xee;

/// Follows the data of a baseline image, as stuffed ones: no Huffman code has only ones (T.81, C.2), so a decoder that
/// runs out of data fails here instead of filling with grey.
const GUARD: [u8; 32] = {
    let mut guard = [0; 32];
    let mut index = 0;
    while index < guard.len() {
        guard[index] = 0xff;
        index += 2;
    }
    guard
};

/// The colour model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Color {
    Grey,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

/// The frame header.
#[derive(Debug, Clone)]
struct Frame {
    size: Size,
    progressive: bool,
    components: Vec<u8>,
}

/// A valid file.
#[derive(Debug)]
pub(super) struct Markers<'a> {
    /// Size as stored, before the orientation is applied.
    pub(super) size: Size,
    /// The first EXIF block, without the "Exif" before it.
    pub(super) exif: Option<&'a [u8]>,
    /// The clean stream.
    pub(super) stream: Vec<u8>,
}

/// Read the size in the frame header; nothing after it is checked.
pub(super) fn size(data: &[u8], options: DecodeOptions) -> Result<Size> {
    let mut walk = Walk::new(data, Target::File);
    loop {
        match walk.marker()? {
            SOI | 0x01 | 0xd0..=0xd7 => {}
            EOI | SOS => return Err(Jpeg.damaged("it has no frame header")),
            code => walk.segment(code, options)?,
        }
        if let Some(frame) = &walk.frame {
            return Ok(frame.size);
        }
    }
}

/// Check all segments up to the end of the image; the stream is for our decoder or for a file.
pub(super) fn walk(data: &[u8], options: DecodeOptions, target: Target) -> Result<Markers<'_>> {
    let mut walk = Walk::new(data, target);
    loop {
        match walk.marker()? {
            EOI => break,
            SOI | 0x01 | 0xd0..=0xd7 => {}
            code => walk.segment(code, options)?,
        }
    }
    let frame = walk.frame.ok_or_else(|| Jpeg.damaged("it has no frame header"))?;
    if walk.scans == 0 {
        return Err(Jpeg.truncated("it ends before the first scan"));
    }
    walk.stream.extend([0xff, EOI]);
    Ok(Markers { size: frame.size, exif: walk.exif, stream: walk.stream })
}

/// The purpose of the clean stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Our decoder: `GUARD` follows baseline data.
    Decoder,
    /// A file for any decoder.
    File,
}

struct Walk<'a> {
    data: &'a [u8],
    target: Target,
    position: usize,
    stream: Vec<u8>,
    frame: Option<Frame>,
    scans: usize,
    exif: Option<&'a [u8]>,
    jfif: bool,
    adobe: Option<u8>,
    has_huffman_tables: bool,
}

impl<'a> Walk<'a> {
    fn new(data: &'a [u8], target: Target) -> Self {
        Self {
            data,
            target,
            position: 2,
            stream: Vec::new(),
            frame: None,
            scans: 0,
            exif: None,
            jfif: false,
            adobe: None,
            has_huffman_tables: false,
        }
    }

    /// Read the code of the next marker; stray and fill bytes before it are skipped, like in libjpeg.
    fn marker(&mut self) -> Result<u8> {
        loop {
            let skipped = find_ff(&self.data[self.position..]).ok_or_else(|| Jpeg.truncated("it has no end marker"))?;
            self.position += skipped;
            while self.data.get(self.position) == Some(&0xff) {
                self.position += 1;
            }
            let code = *self.data.get(self.position).ok_or_else(|| Jpeg.truncated("it has no end marker"))?;
            self.position += 1;
            if code != 0 {
                return Ok(code);
            }
        }
    }

    /// Read a segment with a length and, after a scan header, the scan's data.
    fn segment(&mut self, code: u8, options: DecodeOptions) -> Result<()> {
        let length = match self.data.get(self.position..self.position + 2) {
            Some(&[high, low]) => usize::from(high) << 8 | usize::from(low),
            _ => return Err(Jpeg.truncated("it ends in a segment header")),
        };
        if length < 2 {
            return Err(Jpeg.damaged(format!("segment {code:#04x} has the length {length}")));
        }
        let data = self.data;
        let content = data
            .get(self.position + 2..self.position + length)
            .ok_or_else(|| Jpeg.truncated(format!("it ends in segment {code:#04x} of {length} bytes")))?;
        self.position += length;
        match code {
            DQT | DRI => self.keep(code, content),
            DHT => {
                self.has_huffman_tables = true;
                self.keep(code, content);
            }
            0xc0..=0xcf | 0xf7 => {
                let start = self.stream.len();
                let frame = frame(code, content, options)?;
                if self.frame.is_some() {
                    return Err(Jpeg.damaged("it has two frame headers"));
                }
                self.keep(code, content);
                if frame.components.len() == 1 {
                    // One component is never subsampled, whatever its factors say (T.81, A.2.2).
                    self.stream[start + 11] = 0x11;
                }
                self.frame = Some(frame);
            }
            SOS => self.scan(content)?,
            APP0 => self.jfif |= content.starts_with(b"JFIF\0"),
            APP1 if self.exif.is_none() => self.exif = content.strip_prefix(b"Exif\0\0"),
            APP14 if content.starts_with(b"Adobe") => self.adobe = content.get(11).copied().or(self.adobe),
            0xdc | 0xde | 0xdf => return Err(Jpeg.unsupported(format!("it uses marker {code:#04x}"))),
            _ => {}
        }
        Ok(())
    }

    /// Read the data of a scan with this header.
    fn scan(&mut self, header: &[u8]) -> Result<()> {
        let frame = self.frame.clone().ok_or_else(|| Jpeg.damaged("a scan comes before the frame header"))?;
        let components = frame.components.len();
        let scanned = usize::from(header.first().copied().unwrap_or_default());
        if self.scans == 0 {
            self.before_first_scan(&frame)?;
        }
        self.scans += 1;
        if !frame.progressive && scanned != components {
            // zune-jpeg 0.5.15 decodes these to wrong colours if they are subsampled, without an error.
            return Err(Jpeg.unsupported("baseline coding with one scan per component"));
        }
        let limit = if frame.progressive { MAX_SCANS } else { 1 };
        if self.scans > limit {
            return Err(Jpeg.damaged(format!("it has more than {limit} scans")));
        }
        self.keep(SOS, header);
        let start = self.position;
        loop {
            let rest = &self.data[self.position..];
            let skipped = find_ff(rest).ok_or_else(|| Jpeg.truncated("it ends in the image data"))?;
            match rest.get(skipped + 1) {
                None => return Err(Jpeg.truncated("it ends in the image data")),
                Some(0x00 | 0xd0..=0xd7) => self.position += skipped + 2,
                Some(0xff) => self.position += skipped + 1,
                Some(_) => {
                    self.position += skipped;
                    break;
                }
            }
        }
        self.stream.extend_from_slice(&self.data[start..self.position]);
        if self.target == Target::Decoder && !frame.progressive {
            self.stream.extend_from_slice(&GUARD);
        }
        Ok(())
    }

    /// Write what a decoder would otherwise have to guess.
    fn before_first_scan(&mut self, frame: &Frame) -> Result<()> {
        if !self.has_huffman_tables {
            // Motion JPEG leaves out the tables of T.81, annex K; this name makes the decoder use them.
            self.keep(APP0, b"AVI1\0");
        }
        let transform = match self.color(frame)? {
            Color::Grey => return Ok(()),
            Color::Rgb | Color::Cmyk => 0,
            Color::YCbCr => 1,
            Color::Ycck => 2,
        };
        self.keep(APP14, &[b'A', b'd', b'o', b'b', b'e', 0, 100, 0, 0, 0, 0, transform]);
        Ok(())
    }

    fn color(&self, frame: &Frame) -> Result<Color> {
        Ok(match (frame.components.as_slice(), self.adobe) {
            ([_], _) => Color::Grey,
            ([_, _, _], _) if self.jfif => Color::YCbCr,
            ([_, _, _], Some(0)) | ([b'R', b'G', b'B'], None) => Color::Rgb,
            ([_, _, _], _) => Color::YCbCr,
            (_, Some(0)) => Color::Cmyk,
            (_, Some(_)) => Color::Ycck,
            (_, None) => {
                return Err(Jpeg.unsupported("four components without Adobe's marker, so the colour model is unknown"));
            }
        })
    }

    fn keep(&mut self, code: u8, content: &[u8]) {
        if self.stream.is_empty() {
            self.stream.reserve_exact(self.data.len() + 128);
            self.stream.extend([0xff, SOI]);
        }
        self.stream.extend([0xff, code]);
        self.stream.extend((content.len() as u16 + 2).to_be_bytes());
        self.stream.extend_from_slice(content);
    }
}

/// Parse a frame header that can be decoded within the limit.
fn frame(code: u8, content: &[u8], options: DecodeOptions) -> Result<Frame> {
    let coding = match code {
        0xc0..=0xc2 => None,
        0xc3 | 0xc7 | 0xcb | 0xcf => Some("lossless coding"),
        0xc5 | 0xc6 | 0xcd | 0xce => Some("hierarchical coding"),
        0xc9 | 0xca | 0xcc => Some("arithmetic coding"),
        0xf7 => Some("JPEG-LS coding"),
        _ => Some("an unknown coding"),
    };
    if let Some(coding) = coding {
        return Err(Jpeg.unsupported(format!("{coding} (frame marker {code:#04x})")));
    }
    let &[bits, high_y, low_y, high_x, low_x, count, ref specifications @ ..] = content else {
        return Err(Jpeg.damaged("its frame header is too short"));
    };
    let size = Size::new(u16::from_be_bytes([high_x, low_x]).into(), u16::from_be_bytes([high_y, low_y]).into());
    options.check_size(size)?;
    if size.pixels() == 0 {
        return Err(Jpeg.damaged(format!("its frame header has a size of {size} pixels")));
    }
    if bits != 8 {
        return Err(Jpeg.unsupported(format!("{bits} bits per channel")));
    }
    if !matches!(count, 1 | 3 | 4) || specifications.len() != 3 * usize::from(count) {
        let bytes = specifications.len();
        return Err(Jpeg.damaged(format!("its frame header has {count} components in {bytes} bytes")));
    }
    // zune-jpeg 0.5.15 assumes that the first component has the highest resolution; otherwise it gives wrong colours or
    // panics.
    let factors: Vec<(u8, u8)> = specifications.chunks_exact(3).map(|one| (one[1] >> 4, one[1] & 15)).collect();
    if factors.iter().any(|&(x, y)| x > factors[0].0 || y > factors[0].1) {
        return Err(Jpeg.unsupported("its first component has a lower resolution than another one"));
    }
    let components = specifications.chunks_exact(3).map(|component| component[0]).collect();
    Ok(Frame { size, progressive: code == 0xc2, components })
}

/// Find the next 0xFF. In blocks, because `contains` is vectorized.
fn find_ff(data: &[u8]) -> Option<usize> {
    let mut start = 0;
    for block in data.chunks(64) {
        if block.contains(&0xff) {
            return block.iter().position(|&byte| byte == 0xff).map(|index| start + index);
        }
        start += block.len();
    }
    None
}
