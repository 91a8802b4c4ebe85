//! The decoded image of all later stages, and the limit on its size.

use ::image::codecs::png::{CompressionType, FilterType, PngEncoder};
use ::image::{ExtendedColorType, ImageEncoder};

use crate::geometry::Size;
use crate::{Error, Result};

/// The limit on what decoding may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Maximum number of pixels in an image, 50 million by default. Memory grows with the pixels: 3 bytes each for the
    /// result, up to 12 while decoding, up to 36 for a TIFF of 16 bits or floats.
    pub max_pixels: u64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { max_pixels: 50_000_000 }
    }
}

impl DecodeOptions {
    /// Check the size in a file's header against the limit.
    pub(super) fn check(self, width: u64, height: u64) -> Result<()> {
        let pixels = width.saturating_mul(height);
        if pixels > self.max_pixels {
            return Err(Error::ImageTooLarge { width, height, pixels, limit: self.max_pixels });
        }
        Ok(())
    }

    /// Like `check`, for a size that a decoder read.
    pub(super) fn check_size(self, size: Size) -> Result<()> {
        self.check(size.width.into(), size.height.into())
    }
}

/// An upright RGB image, 8 bits per channel, rows from the top, no padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    size: Size,
    data: Vec<u8>,
}

impl Image {
    /// Create an image from its bytes: `height` rows of `width` pixels of R, G, B.
    ///
    /// Refused: an empty size, and data of another length than `width × height × 3`.
    pub fn from_rgb(size: Size, data: Vec<u8>) -> Result<Self> {
        if size.pixels() == 0 {
            return Err(Error::ImageArray { found: format!("uint8 ({}, {}, 3)", size.height, size.width) });
        }
        if size.pixels().checked_mul(3) != Some(data.len() as u64) {
            let found = format!("{} values for {size} pixels of 3", data.len());
            return Err(Error::ImageArray { found });
        }
        Ok(Self { size, data })
    }

    /// Width and height, pixels; neither is 0.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Columns, at least 1.
    pub fn width(&self) -> u32 {
        self.size.width
    }

    /// Rows, at least 1.
    pub fn height(&self) -> u32 {
        self.size.height
    }

    /// The bytes: `height` rows of `width` pixels of R, G, B.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Return the bytes without a copy.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// R, G, B at a column and a row; outside the image, those of the nearest pixel.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let (x, y) = (x.min(self.size.width - 1) as usize, y.min(self.size.height - 1) as usize);
        let start = (y * self.size.width as usize + x) * 3;
        [self.data[start], self.data[start + 1], self.data[start + 2]]
    }

    /// Refuse a crop of another size.
    pub fn check_crop(&self, expected: Size) -> Result<()> {
        if self.size == expected {
            return Ok(());
        }
        let (accepted, found) = (format!("{expected} pixels"), self.size.to_string());
        Err(Error::Argument { name: "crop", accepted, found })
    }

    /// Encode as a PNG file, compressed for speed.
    pub fn encode_png(&self) -> Result<Vec<u8>> {
        let mut file = Vec::with_capacity(self.data.len() / 2);
        PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
            .write_image(&self.data, self.size.width, self.size.height, ExtendedColorType::Rgb8)
            .map_err(|error| Error::ImageUnsupported { format: "PNG", reason: error.to_string() })?;
        Ok(file)
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({})", self.size)
    }
}
