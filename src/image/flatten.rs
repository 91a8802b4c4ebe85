//! Samples of a decoder → R, G, B of 8 bits.
//!
//! Goes in: grey, grey and alpha, RGB or RGBA samples of 8 or 16 bits or floats. Comes out: RGB. 16 bits are scaled by
//! 255 / 65535 and rounded, floats from [0, 1]; transparency is blended with white. No colour profile and no gamma is
//! applied. Refused: any other kind of sample.

use ::image::ColorType;

use super::format::Format;
use crate::Result;

/// The channels of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channels {
    Grey,
    GreyAlpha,
    Rgb,
    RgbAlpha,
}

/// Convert samples of the `image` crate, in native byte order.
pub(super) fn flatten(samples: Vec<u8>, color: ColorType, format: Format) -> Result<Vec<u8>> {
    let (channels, samples) = match color {
        ColorType::L8 => (Channels::Grey, samples),
        ColorType::La8 => (Channels::GreyAlpha, samples),
        ColorType::Rgb8 => (Channels::Rgb, samples),
        ColorType::Rgba8 => (Channels::RgbAlpha, samples),
        ColorType::L16 => (Channels::Grey, narrow(samples, u16::from_ne_bytes)),
        ColorType::La16 => (Channels::GreyAlpha, narrow(samples, u16::from_ne_bytes)),
        ColorType::Rgb16 => (Channels::Rgb, narrow(samples, u16::from_ne_bytes)),
        ColorType::Rgba16 => (Channels::RgbAlpha, narrow(samples, u16::from_ne_bytes)),
        ColorType::Rgb32F => (Channels::Rgb, from_floats(&samples)),
        ColorType::Rgba32F => (Channels::RgbAlpha, from_floats(&samples)),
        other => return Err(format.unsupported(format!("samples of type {other:?}"))),
    };
    Ok(to_rgb(samples, channels))
}

/// Convert 16 bits to 8 bits, in place.
pub(super) fn narrow(mut samples: Vec<u8>, from_bytes: fn([u8; 2]) -> u16) -> Vec<u8> {
    let count = samples.len() / 2;
    for index in 0..count {
        let value = u32::from(from_bytes([samples[2 * index], samples[2 * index + 1]]));
        samples[index] = ((value * 255 + 32_767) / 65_535) as u8;
    }
    samples.truncate(count);
    samples.shrink_to_fit();
    samples
}

fn from_floats(samples: &[u8]) -> Vec<u8> {
    let floats = samples.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes));
    floats.map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect()
}

/// Convert 8-bit samples to RGB.
pub(super) fn to_rgb(mut samples: Vec<u8>, channels: Channels) -> Vec<u8> {
    match channels {
        Channels::Rgb => samples,
        Channels::Grey => samples.iter().flat_map(|&grey| [grey; 3]).collect(),
        Channels::GreyAlpha => {
            let pixels = samples.as_chunks::<2>().0.iter();
            pixels.flat_map(|&[grey, alpha]| [blend_with_white(grey, alpha); 3]).collect()
        }
        Channels::RgbAlpha => {
            let count = samples.len() / 4;
            for index in 0..count {
                let alpha = samples[4 * index + 3];
                for channel in 0..3 {
                    samples[3 * index + channel] = blend_with_white(samples[4 * index + channel], alpha);
                }
            }
            samples.truncate(3 * count);
            samples.shrink_to_fit();
            samples
        }
    }
}

fn blend_with_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}
