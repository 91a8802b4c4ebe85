//! Declaration of a network: its file, its input, the names of its outputs.

use super::Checked;
use crate::geometry::Size;
use serde::Deserialize;

/// How a network's input is computed from RGB pixels: value = (pixel − mean) / std, channels in `colour` order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Name of the input in the graph.
    pub name: String,
    /// Width, pixels; absent if the network accepts any.
    pub width: Option<u32>,
    /// Height, pixels; absent if the network accepts any.
    pub height: Option<u32>,
    /// Order of the channels.
    pub colour: Colour,
    /// Mean of each channel, subtracted, in the network's channel order, on the 0–255 scale.
    pub mean: [f32; 3],
    /// Divisor of each channel, in the network's channel order.
    pub std: [f32; 3],
    /// Order of the axes; `nchw` by default.
    #[serde(default)]
    pub layout: Layout,
    /// Whether each crop is then standardised to mean 0 and standard deviation 1 over all its values; only for networks
    /// whose input is a crop.
    #[serde(default)]
    pub standardise: bool,
}

impl InputSpec {
    /// An input of any size in the layout NCHW.
    pub fn new(name: &str, colour: Colour, mean: [f32; 3], std: [f32; 3]) -> Self {
        let (layout, standardise) = (Layout::Nchw, false);
        Self { name: name.to_string(), width: None, height: None, colour, mean, std, layout, standardise }
    }

    /// The declared size; none if the network accepts any.
    pub fn size(&self) -> Option<Size> {
        Some(Size::new(self.width?, self.height?))
    }

    /// The size of a crop, which `check_crops` ensures.
    pub fn crop_size(&self) -> Size {
        self.size().unwrap_or(Size::new(0, 0))
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

/// One network: its file, its input, and its outputs in the order that its family defines.
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
    /// Check the numbers of this declaration.
    pub(super) fn check(&self, outputs: usize) -> Checked {
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

    /// Like `check`, for a network with one output whose input is a crop.
    pub(super) fn check_crops(&self) -> Checked {
        self.check(1)?;
        if self.input.size().is_none() {
            return Err(format!("the input of {:?} needs width and height", self.file));
        }
        Ok(())
    }

    /// Like `check`, for a network whose input is an image or a box of it, not a crop.
    pub(super) fn check_pictures(&self, outputs: usize) -> Checked {
        self.check(outputs)?;
        if self.input.layout != Layout::Nchw || self.input.standardise {
            return Err(format!("the input of {:?} must have layout nchw and no standardise", self.file));
        }
        Ok(())
    }
}

/// Refuse a number out of range; both ends are included.
pub(super) fn in_range(name: &str, value: f64, min: f64, max: f64) -> Checked {
    if (min..=max).contains(&value) { Ok(()) } else { Err(format!("{name} must be {min} to {max}, got {value}")) }
}
