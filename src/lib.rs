//! facedex: face recognition from bytes to names.
//!
//! ```text
//! bytes → Image → Face[] → crop[] → Embedding[] → Index → Match[]
//!         image   detect   align    embed         index
//! ```
//!
//! Every word of the lower row is a module. A module uses lower levels only; `tests/test_layers.py` defines the levels.
//!
//! ```
//! use facedex::geometry::{BBox, Point, Similarity};
//!
//! let eyes = [Point::new(40.0, 50.0), Point::new(80.0, 50.0)];
//! let template = [Point::new(38.0, 52.0), Point::new(74.0, 52.0)];
//! let crop_from_image = Similarity::fit(&eyes, &template).ok_or("the eyes coincide")?;
//! assert!((crop_from_image.scale() - 0.9).abs() < 1e-9);
//! # Ok::<(), &str>(())
//! ```

pub mod align;
pub mod analyze;
pub mod attributes;
pub mod detect;
pub mod embed;
pub mod error;
pub mod geometry;
pub mod image;
pub mod index;
pub mod liveness;
pub mod pack;
pub mod quality;
pub mod session;
pub mod tensor;

#[cfg(feature = "python")]
mod py;

pub use error::{Error, Result};
