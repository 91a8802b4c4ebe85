//! Image + face → age and gender, estimated by a network.
//!
//! Goes in: a crop as the network's family defines it. Comes out: an age in years, and the network's label "female" or
//! "male" with its score. Both are guesses from appearance, wrong for many people; neither states what a person is. The
//! layouts are those of github.com/deepinsight/insightface: `python-package/insightface/model_zoo/attribute.py`
//! (an upright square round the box, three values) and `gender-age/` of 2019 (the aligned crop, 202 values).

use crate::error::{Error, Result};
use crate::geometry::{BBox, Landmarks, Point, Similarity};
use crate::image::Image;
use crate::pack::{AttributesSpec, PackFiles};
use crate::session::{Network, SessionOptions};
use crate::tensor;

/// The network's label, from appearance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gender {
    /// Its first class.
    Female,
    /// Its second class.
    Male,
}

/// A network's estimate for a face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attributes {
    /// Years.
    pub age: f32,
    /// Its label.
    pub gender: Gender,
    /// The network's probability of that label against the other, 0.5 to 1; not calibrated.
    pub gender_score: f32,
}

/// The attributes network of a pack.
pub struct Estimator {
    spec: AttributesSpec,
    network: Network,
}

impl Estimator {
    /// Open and verify the network.
    pub fn open(files: &PackFiles, spec: &AttributesSpec, options: &SessionOptions) -> Result<Self> {
        let network = Network::open(files, spec.network(), options)?;
        network.check_columns(&[spec.values()])?;
        Ok(Self { spec: spec.clone(), network })
    }

    /// The declaration that it was opened with.
    pub fn spec(&self) -> &AttributesSpec {
        &self.spec
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Compute the transform from the image to the crop.
    ///
    /// Refused: an empty box, points that coincide or are not finite, and missing points if the crop is aligned by
    /// them.
    pub fn crop_from_image(&self, bbox: BBox, landmarks: Option<&Landmarks>) -> Result<Similarity> {
        let refused = |reason: &str| Error::Landmarks { reason: reason.to_string() };
        match &self.spec {
            AttributesSpec::Genderage { scale, .. } => {
                square_crop(bbox, f64::from(*scale), f64::from(self.spec.crop_size().width))
                    .ok_or_else(|| refused("the box is empty or not finite"))
            }
            AttributesSpec::GenderageV1 { template, .. } => {
                let landmarks = landmarks.ok_or_else(|| refused("the crop of the attributes network needs them"))?;
                Similarity::fit(&landmarks.0, &template.map(|[x, y]| Point::new(x, y)))
                    .ok_or_else(|| refused("the five points coincide or are not finite"))
            }
        }
    }

    /// Estimate age and gender from a crop. One crop per run: batches of 2 to 16 were slower.
    pub fn estimate(&self, crop: &Image) -> Result<Attributes> {
        crop.check_crop(self.spec.crop_size())?;
        let input = tensor::stack_crops(&[crop], &self.spec.network().input);
        let values = self.network.run_rows(input.shape(), input.values(), self.spec.values())?;
        if values.iter().all(|value| value.is_finite()) {
            return Ok(decode(&self.spec, &values));
        }
        let reason = "its output is not finite".to_string();
        Err(Error::NetworkRun { file: self.spec.network().file.clone(), reason })
    }
}

/// The transform from the upright square over `scale` times the box's longer side to a crop of `side` pixels.
fn square_crop(bbox: BBox, scale: f64, side: f64) -> Option<Similarity> {
    let longer = f64::from(bbox.longer_side());
    let centre = bbox.centre();
    let zoom = side / (longer * scale);
    let shift = |centre: f32| side / 2.0 - f64::from(centre) * zoom;
    let crop_from_image = Similarity { a: zoom, b: 0.0, tx: shift(centre.x), ty: shift(centre.y) };
    (longer > 0.0 && zoom > 0.0 && crop_from_image.tx.is_finite() && crop_from_image.ty.is_finite())
        .then_some(crop_from_image)
}

/// Decode the output values of a family.
fn decode(spec: &AttributesSpec, values: &[f32]) -> Attributes {
    let (female, male) = (values[0], values[1]);
    let age = match spec {
        AttributesSpec::Genderage { .. } => (values[2] * 100.0).max(0.0),
        AttributesSpec::GenderageV1 { .. } => {
            values[2..].chunks_exact(2).filter(|year| year[1] > year[0]).count() as f32
        }
    };
    // The first of equals, like argmax.
    let gender = if male > female { Gender::Male } else { Gender::Female };
    Attributes { age, gender, gender_score: 1.0 / (1.0 + (-(male - female).abs()).exp()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::{Colour, InputSpec, NetworkSpec};

    fn network() -> NetworkSpec {
        let input = InputSpec::new("data", Colour::Rgb, [0.0; 3], [1.0; 3]);
        NetworkSpec { file: "genderage.onnx".to_string(), input, outputs: vec!["fc1".to_string()] }
    }

    #[test]
    fn three_values_are_female_male_and_age_over_100() {
        let spec = AttributesSpec::Genderage { network: network(), scale: 1.5 };
        let found = decode(&spec, &[-1.0, 1.0, 0.345]);
        assert_eq!(found.gender, Gender::Male);
        assert!((found.age - 34.5).abs() < 1e-4);
        assert!((found.gender_score - 0.880_797).abs() < 1e-5);
    }

    #[test]
    fn of_202_values_each_pair_counts_one_year() {
        let spec = AttributesSpec::GenderageV1 { network: network(), template: [[0.0; 2]; 5] };
        let mut values = vec![2.0, 2.0];
        values.extend((0..100).flat_map(|year| if year < 41 { [0.1, 0.9] } else { [0.9, 0.1] }));
        let found = decode(&spec, &values);
        assert_eq!((found.gender, found.gender_score), (Gender::Female, 0.5));
        assert!((found.age - 41.0).abs() < 1e-6);
    }

    #[test]
    fn the_square_around_a_box_fills_the_crop() {
        // 40 x 60 about (120, 230): the square has 90 pixels a side.
        let crop_from_image = square_crop(BBox::new(100.0, 200.0, 140.0, 260.0), 1.5, 96.0).unwrap();
        for (point, expected) in
            [((120.0, 230.0), (48.0, 48.0)), ((75.0, 185.0), (0.0, 0.0)), ((165.0, 275.0), (96.0, 96.0))]
        {
            let (x, y) = crop_from_image.apply_f64(point.0, point.1);
            assert!((x - expected.0).abs() < 1e-9 && (y - expected.1).abs() < 1e-9);
        }
        assert!(square_crop(BBox::default(), 1.5, 96.0).is_none());
        assert!(square_crop(BBox::new(0.0, 0.0, f32::NAN, 5.0), 1.5, 96.0).is_none());
    }
}
