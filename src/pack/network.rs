//! How a network of a pack is fed and what it gives: its file, its input, the names of its outputs.

use super::Refusal;
use crate::geometry::Size;
use serde::Deserialize;

/// How a network's input is made of RGB pixels: value = (pixel − mean) / std, channels in `colour` order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Name of the input in the graph.
    pub name: String,
    /// Width, pixels; absent where the network takes any.
    pub width: Option<u32>,
    /// Height, pixels; absent where the network takes any.
    pub height: Option<u32>,
    /// Order of the channels.
    pub colour: Colour,
    /// Subtracted from each channel, in the network's channel order, 0–255 scale.
    pub mean: [f32; 3],
    /// Divisor of each channel, in the network's channel order.
    pub std: [f32; 3],
    /// Order of the axes; `nchw` where absent.
    #[serde(default)]
    pub layout: Layout,
    /// Whether each crop is brought to mean 0 and standard deviation 1 over all its values after that; for embedders
    /// and other networks that take crops.
    #[serde(default)]
    pub standardise: bool,
}

impl InputSpec {
    /// The declared size; none where the network takes any.
    pub fn size(&self) -> Option<Size> {
        Some(Size::new(self.width?, self.height?))
    }
}

/// Order of the axes of a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channels, rows, columns.
    #[default]
    Nchw,
    /// Batch, rows, columns, channels.
    Nhwc,
}

/// Order of the colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// One network: its file, its input, its outputs in the order that its family defines.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Name of its file.
    pub file: String,
    /// Its input.
    pub input: InputSpec,
    /// Names of its outputs, in the family's order.
    pub outputs: Vec<String>,
}

impl NetworkSpec {
    /// What is wrong with the numbers of this declaration.
    pub(super) fn check(&self, outputs: usize) -> Refusal {
        if self.outputs.len() != outputs {
            return Err(format!("network {:?} needs {outputs} outputs, got {}", self.file, self.outputs.len()));
        }
        if self.input.std.iter().any(|&std| std == 0.0 || !std.is_finite()) {
            return Err(format!("std of {:?} must be finite and not 0", self.file));
        }
        if [self.input.width, self.input.height].contains(&Some(0)) {
            return Err(format!("width and height of {:?} must be at least 1", self.file));
        }
        if [self.input.width, self.input.height].into_iter().flatten().any(|side| side > 4096) {
            return Err(format!("width and height of {:?} must be at most 4096", self.file));
        }
        Ok(())
    }

    /// The same for a network that sees pictures or parts of them, not crops.
    pub(super) fn check_pictures(&self, outputs: usize) -> Refusal {
        self.check(outputs)?;
        if self.input.layout != Layout::Nchw || self.input.standardise {
            return Err(format!("the input of {:?} must have layout nchw and no standardise", self.file));
        }
        Ok(())
    }
}

/// Refuse a number outside its range, both ends included.
pub(super) fn in_range(name: &str, value: f64, least: f64, most: f64) -> Refusal {
    if (least..=most).contains(&value) { Ok(()) } else { Err(format!("{name} must be {least} to {most}, got {value}")) }
}
