//! Image + box → whether the face is live, as far as a single image shows.
//!
//! Goes in: the image and a face's box. Comes out: a score from 0 to 1 and the pack's threshold, or the reason why the
//! face cannot be judged; never a guess. Each network receives the face with its surroundings, cut as in its authors'
//! code: `MiniFASNet` (github.com/minivision-ai/Silent-Face-Anti-Spoofing, `src/generate_patches.py`, `CropImage`) and
//! the 128 × 128 networks (github.com/hairymax/Face-AntiSpoofing). Such networks detect flat prints and screens. Paper
//! cut to the outline of a face, masks, make-up and generated images pass them.

use crate::error::{Error, Result};
use crate::geometry::{BBox, Landmarks, Size};
use crate::image::Image;
use crate::pack::{Activation, LivenessNetworkSpec, LivenessSpec, PackFiles, SurroundingCrop};
use crate::session::{Network, SessionOptions};
use crate::tensor;

/// Minimum share of a box inside the image; the networks need the surroundings of a face.
const MIN_INSIDE: f32 = 0.9;

/// The liveness of a face, from a single image.
#[derive(Debug, Clone, PartialEq)]
pub enum Liveness {
    /// The networks judged the face.
    Judged {
        /// 0 to 1, higher is more likely live.
        score: f64,
        /// Minimum score of a live face, inclusive.
        threshold: f64,
    },
    /// The face cannot be judged.
    Unavailable {
        /// Why not.
        reason: String,
    },
}

impl Liveness {
    /// Whether the networks judged the face as live.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Judged { score, threshold } if score >= threshold)
    }
}

/// The liveness networks of a pack.
pub struct LivenessEnsemble {
    spec: LivenessSpec,
    networks: Vec<LivenessNetwork>,
}

/// One liveness network.
pub struct LivenessNetwork {
    spec: LivenessNetworkSpec,
    network: Network,
}

impl LivenessEnsemble {
    /// Open and verify the networks.
    pub fn open(files: &PackFiles, spec: &LivenessSpec, options: &SessionOptions) -> Result<Self> {
        let open = |spec: &LivenessNetworkSpec| {
            let network = Network::open(files, &spec.network, options)?;
            network.check_columns(&[spec.classes])?;
            Ok(LivenessNetwork { spec: spec.clone(), network })
        };
        let networks = spec.networks.iter().map(open).collect::<Result<_>>()?;
        Ok(Self { spec: spec.clone(), networks })
    }

    /// The networks.
    pub fn networks(&self) -> &[LivenessNetwork] {
        &self.networks
    }

    /// The reason why a face cannot be judged, if any.
    pub fn obstacle(&self, image: Size, bbox: BBox, landmarks: Option<&Landmarks>) -> Option<String> {
        obstacle(&self.spec, image, bbox, landmarks)
    }

    /// Average the networks' scores.
    pub fn average(&self, scores: &[f64]) -> Liveness {
        let score = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        Liveness::Judged { score, threshold: self.spec.threshold }
    }
}

impl LivenessNetwork {
    /// Cut the crop of a face: RGB, of the size of the network's input.
    pub fn crop(&self, image: &Image, bbox: BBox) -> Result<Image> {
        let region = match self.spec.crop {
            SurroundingCrop::Inside => Region::inside(bbox, f64::from(self.spec.scale), image.size()),
            SurroundingCrop::Padded => Region::square(bbox, f64::from(self.spec.scale)),
        };
        resize(image, region, self.spec.network.input.crop_size())
    }

    /// Compute the probability that a crop shows a live face, 0 to 1.
    ///
    /// One crop per run: batches of 2 to 16 were no faster than single crops for any of the networks above.
    pub fn score(&self, crop: &Image) -> Result<f64> {
        let input = tensor::stack_crops(&[crop], &self.spec.network.input);
        let values = self.network.run_rows(input.shape(), input.values(), self.spec.classes)?;
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let score = match self.spec.activation {
            Activation::Softmax => softmax(&values, self.spec.live),
            Activation::Sigmoid => 1.0 / (1.0 + (-values[self.spec.live]).exp()),
            Activation::None => values[self.spec.live],
        };
        if (0.0..=1.0).contains(&score) {
            return Ok(score);
        }
        let reason = format!("the score must be 0 to 1, got {score}");
        Err(Error::NetworkRun { file: self.spec.network.file.clone(), reason })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

/// Compute the softmax of one value among all.
fn softmax(values: &[f64], chosen: usize) -> f64 {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = values.iter().map(|value| (value - max).exp()).collect();
    powers[chosen] / powers.iter().sum::<f64>()
}

fn obstacle(spec: &LivenessSpec, image: Size, bbox: BBox, landmarks: Option<&Landmarks>) -> Option<String> {
    let (width, height) = (bbox.width(), bbox.height());
    let min = spec.least_face as f32;
    // The comparison also refuses NaN.
    if !(width >= min && height >= min && width.is_finite() && height.is_finite()) {
        return Some(format!("the face is {width:.0} x {height:.0} pixels, under {min} pixels"));
    }
    let inside = bbox.clip(image).area() / bbox.area();
    let outside = |landmarks: &Landmarks| {
        landmarks
            .0
            .iter()
            .any(|p| !(0.0..image.width as f32).contains(&p.x) || !(0.0..image.height as f32).contains(&p.y))
    };
    if inside < MIN_INSIDE || landmarks.is_some_and(outside) {
        return Some("the face is cut off by the edge of the image".to_string());
    }
    let room = ((image.width as f32 - 1.0) / width).min((image.height as f32 - 1.0) / height);
    (room < spec.least_scale).then(|| {
        format!("the face fills the image: there is room for {room:.2} times its box, not {}", spec.least_scale)
    })
}

/// A rectangle of whole pixels; it may extend outside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    left: i64,
    top: i64,
    width: i64,
    height: i64,
}

impl Region {
    /// Enlarge a box about its centre by the scale, limited to the image's size, and shift it inside the image.
    fn inside(bbox: BBox, scale: f64, image: Size) -> Self {
        let (width, height) = (f64::from(bbox.width()), f64::from(bbox.height()));
        let (right, low) = (f64::from(image.width) - 1.0, f64::from(image.height) - 1.0);
        let scale = scale.min(right / width).min(low / height);
        let axis = |start: f32, end: f32, length: f64, last: f64| {
            let centre = f64::midpoint(f64::from(start), f64::from(end));
            let (from, to) = (centre - length * scale / 2.0, centre + length * scale / 2.0);
            let (from, to) = if from < 0.0 { (0.0, to - from) } else { (from, to) };
            let (from, to) = if to > last { (from - (to - last), last) } else { (from, to) };
            // Both ends are pixels of the crop.
            let from = from.max(0.0) as i64;
            (from, (to as i64 - from + 1).max(1))
        };
        let (left, width) = axis(bbox.x1, bbox.x2, width, right);
        let (top, height) = axis(bbox.y1, bbox.y2, height, low);
        Self { left, top, width, height }
    }

    /// The square about the box's centre over its longer side times the scale.
    fn square(bbox: BBox, scale: f64) -> Self {
        let side = f64::from(bbox.longer_side()) * scale;
        let centre = bbox.centre();
        let start = |centre: f32| (f64::from(centre) - side / 2.0) as i64;
        let length = (side as i64).max(1);
        Self { left: start(centre.x), top: start(centre.y), width: length, height: length }
    }
}

/// Resize a region of the image: bilinear between pixel centres without averaging, like `resize` of OpenCV, on which
/// the networks were trained; black outside the image.
fn resize(image: &Image, region: Region, size: Size) -> Result<Image> {
    let columns = samples(region.width, size.width);
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    let stride = image.width() as usize * 3;
    let at = |x: i64, y: i64| {
        let (x, y) = (region.left + x, region.top + y);
        if x < 0 || y < 0 || x >= width || y >= height {
            return [0.0; 3];
        }
        let start = y as usize * stride + x as usize * 3;
        [image.data()[start], image.data()[start + 1], image.data()[start + 2]].map(f32::from)
    };
    let mut data = Vec::with_capacity(size.pixels() as usize * 3);
    for (top, low, down) in samples(region.height, size.height) {
        for &(left, right, across) in &columns {
            let upper = mix(at(left, top), at(right, top), across);
            let lower = mix(at(left, low), at(right, low), across);
            data.extend(mix(upper, lower, down).map(|value| (value + 0.5) as u8));
        }
    }
    Image::from_rgb(size, data)
}

fn mix(from: [f32; 3], to: [f32; 3], part: f32) -> [f32; 3] {
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * part)
}

/// For each output pixel of an axis, the two input pixels next to its centre and the weight of the second.
fn samples(input: i64, output: u32) -> Vec<(i64, i64, f32)> {
    let ratio = input as f64 / f64::from(output);
    let place = |k: u32| {
        let at = ((f64::from(k) + 0.5) * ratio - 0.5).clamp(0.0, (input - 1) as f64);
        let low = at as i64;
        (low, (low + 1).min(input - 1), at.fract() as f32)
    };
    (0..output).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Point;
    use proptest::prelude::*;

    fn spec() -> LivenessSpec {
        LivenessSpec { threshold: 0.5, least_face: 32, least_scale: 1.1, source: String::new(), networks: Vec::new() }
    }

    #[test]
    fn the_mean_score_is_live_from_the_threshold_on() {
        let ensemble = LivenessEnsemble { spec: spec(), networks: Vec::new() };
        assert!(ensemble.average(&[0.2, 0.8]).is_live());
        assert!(!ensemble.average(&[0.2, 0.79]).is_live());
        assert!(!Liveness::Unavailable { reason: String::new() }.is_live());
    }

    #[test]
    fn small_truncated_and_frame_filling_faces_cannot_be_judged() {
        let image = Size::new(200, 200);
        let check = |bbox: BBox, landmarks: Option<&Landmarks>| obstacle(&spec(), image, bbox, landmarks);
        assert_eq!(check(BBox::new(50.0, 50.0, 120.0, 120.0), None), None);
        assert!(check(BBox::new(50.0, 50.0, 81.0, 120.0), None).unwrap().contains("under 32 pixels"));
        assert!(check(BBox::new(50.0, f32::NAN, 120.0, 120.0), None).is_some());
        assert!(check(BBox::new(-20.0, 50.0, 60.0, 120.0), None).unwrap().contains("cut off"));
        assert!(check(BBox::new(5.0, 5.0, 190.0, 190.0), None).unwrap().contains("fills the image"));
        let mut points = Landmarks([Point::new(80.0, 80.0); 5]);
        points.0[4].y = 201.0;
        assert!(check(BBox::new(50.0, 50.0, 120.0, 120.0), Some(&points)).unwrap().contains("cut off"));
    }

    #[test]
    fn an_enlarged_box_is_limited_then_shifted() {
        let image = Size::new(100, 80);
        let enlarged = |x1, y1, x2, y2, scale| Region::inside(BBox::new(x1, y1, x2, y2), scale, image);
        // With room on all sides: twice 10 × 12 about (40, 41).
        let free = Region { left: 30, top: 29, width: 21, height: 25 };
        assert_eq!(enlarged(35.0, 35.0, 45.0, 47.0, 2.0), free);
        // At the left edge it is shifted right and keeps its size.
        assert_eq!(enlarged(0.0, 35.0, 10.0, 47.0, 2.0), Region { left: 0, ..free });
        // At the lower edge it ends with the image's last row.
        let low = enlarged(35.0, 66.0, 45.0, 78.0, 2.0);
        assert_eq!((low.top + low.height, low.height), (80, 25));
        // Four times 40 rows exceed the image: both axes are scaled by 79 ÷ 40.
        let limited = enlarged(30.0, 20.0, 50.0, 60.0, 4.0);
        assert_eq!((limited.top, limited.height, limited.width), (0, 80, 40));
    }

    #[test]
    fn a_square_is_black_outside_the_image() {
        let white = Image::from_rgb(Size::new(20, 20), vec![255; 1200]).unwrap();
        let region = Region::square(BBox::new(0.0, 0.0, 20.0, 10.0), 2.0);
        assert_eq!(region, Region { left: -10, top: -15, width: 40, height: 40 });
        let crop = resize(&white, region, Size::new(40, 40)).unwrap();
        assert_eq!([(9, 20), (10, 15), (29, 34), (30, 20)].map(|(x, y)| crop.pixel(x, y)[0]), [0, 255, 255, 0]);
    }

    proptest! {
        #[test]
        fn an_enlarged_box_lies_in_the_image(
            width in 2u32..400, height in 2u32..400, x in -50.0f32..400.0, y in -50.0f32..400.0,
            w in 1.0f32..300.0, h in 1.0f32..300.0, scale in 1.0f64..5.0,
        ) {
            let region = Region::inside(BBox::new(x, y, x + w, y + h), scale, Size::new(width, height));
            prop_assert!(region.left >= 0 && region.top >= 0);
            prop_assert!(region.left + region.width <= i64::from(width));
            prop_assert!(region.top + region.height <= i64::from(height));
        }
    }
}
