//! Crop + landmarks + box → how well a face serves recognition, without a network.
//!
//! Goes in: a crop on a template of its own, so that the results do not depend on the pack, and the position of the
//! face in the image. Comes out: components from 0 to 100, 100 is best, and one unified score. The terms are those of
//! ISO/IEC 29794-5 (head size, inter-eye distance, head pose, sharpness, dynamic range, face occlusion prevention); the
//! measures are our own, simple and fast, and no conformity with that standard is claimed.

use crate::error::{Error, Result};
use crate::geometry::{BBox, Landmarks, Point, Similarity, Size};
use crate::image::Image;

/// Size of the measured crop.
pub const CROP_SIZE: Size = Size { width: 112, height: 112 };

/// Positions of the five points in the crop: the template of the `ArcFace` family.
const TEMPLATE: [Point; 5] = [
    Point { x: 38.2946, y: 51.6963 },
    Point { x: 73.5318, y: 51.5014 },
    Point { x: 56.0252, y: 71.7366 },
    Point { x: 41.5493, y: 92.3655 },
    Point { x: 70.7299, y: 92.2041 },
];

/// The inner face in the crop, from brows to chin: half-open ranges of columns and of rows.
const FACE: [usize; 4] = [24, 88, 34, 106];
/// Half the width and height of the patches of the eyes and of the mouth.
const EYE_PATCH: [usize; 2] = [9, 6];
const MOUTH_PATCH: [usize; 2] = [16, 8];

/// Weight of each component in the unified score, a geometric mean: good components do not compensate a bad one.
pub const WEIGHTS: Weights = Weights {
    head_size: 0.10,
    inter_eye_distance: 0.15,
    head_pose: 0.25,
    sharpness: 0.25,
    exposure: 0.15,
    dynamic_range: 0.05,
    face_occlusion_prevention: 0.05,
};

/// Weights of the components; see [`WEIGHTS`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Of [`Quality::head_size`].
    pub head_size: f32,
    /// Of [`Quality::inter_eye_distance`].
    pub inter_eye_distance: f32,
    /// Of [`Quality::head_pose`].
    pub head_pose: f32,
    /// Of [`Quality::sharpness`].
    pub sharpness: f32,
    /// Of [`Quality::exposure`].
    pub exposure: f32,
    /// Of [`Quality::dynamic_range`].
    pub dynamic_range: f32,
    /// Of [`Quality::face_occlusion_prevention`].
    pub face_occlusion_prevention: f32,
}

/// How well a face serves recognition: components from 0 to 100, 100 is best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// The weighted geometric mean of the components; see [`WEIGHTS`].
    pub unified_score: f32,
    /// Shorter side of the box: 0 at 16 pixels, 100 from 128 pixels.
    pub head_size: f32,
    /// Distance between the eyes: 0 at 6 pixels, 100 from 60 pixels.
    pub inter_eye_distance: f32,
    /// cos² of yaw, of pitch and of half the roll, which alignment removes.
    pub head_pose: f32,
    /// Energy of the finest structures relative to the contrast of the inner face. Noise counts as structure.
    pub sharpness: f32,
    /// Share of the inner face that is neither underexposed nor overexposed.
    pub exposure: f32,
    /// Entropy of the luminance of the inner face: 12.5 per bit.
    pub dynamic_range: f32,
    /// A hint, not a detection: structure in the eyes and the mouth, and share of the inner face inside the image. A
    /// flat cover lowers it; dark glasses with a frame or a printed mask may not.
    pub face_occlusion_prevention: f32,
    /// Turn to the side, degrees, from the five points, accurate to about 10; positive: the nose points to larger x.
    pub yaw: f32,
    /// Nod, degrees, accurate to about 10; positive: the nose points down.
    pub pitch: f32,
    /// In-plane rotation, degrees, −180 to 180; positive: clockwise.
    pub roll: f32,
}

/// Compute the transform from the image to the crop for [`measure`].
///
/// Refused: points that coincide or are not finite.
pub fn crop_from_image(landmarks: &Landmarks) -> Result<Similarity> {
    Similarity::fit(&landmarks.0, &TEMPLATE)
        .ok_or_else(|| Error::Landmarks { reason: "the five points coincide or are not finite".to_string() })
}

/// Measure the quality of a face whose crop was cut with [`crop_from_image`] at [`CROP_SIZE`].
pub fn measure(crop: &Image, bbox: BBox, landmarks: &Landmarks, image: Size) -> Result<Quality> {
    crop.check_crop(CROP_SIZE)?;
    let image_from_crop = crop_from_image(landmarks)?.inverse();
    let luminance = Luminance::of(crop);
    let (yaw, pitch, roll) = pose(landmarks);
    let mut quality = Quality {
        unified_score: 0.0,
        head_size: ramp(bbox.width().min(bbox.height()), 16.0, 128.0),
        inter_eye_distance: ramp(landmarks.inter_eye_distance(), 6.0, 60.0),
        head_pose: 100.0 * (yaw.cos() * pitch.cos() * (roll / 2.0).cos()).powi(2),
        sharpness: luminance.sharpness(),
        exposure: luminance.exposure(),
        dynamic_range: luminance.dynamic_range(),
        face_occlusion_prevention: luminance.features() * part_inside(image_from_crop, image),
        yaw: yaw.to_degrees(),
        pitch: pitch.to_degrees(),
        roll: roll.to_degrees(),
    };
    quality.unified_score = unified(&quality);
    Ok(quality)
}

/// Scale linearly from 0 at `low` to 100 at `high`, clamped.
fn ramp(value: f32, low: f32, high: f32) -> f32 {
    100.0 * ((value - low) / (high - low)).clamp(0.0, 1.0)
}

fn unified(quality: &Quality) -> f32 {
    let parts = [
        (quality.head_size, WEIGHTS.head_size),
        (quality.inter_eye_distance, WEIGHTS.inter_eye_distance),
        (quality.head_pose, WEIGHTS.head_pose),
        (quality.sharpness, WEIGHTS.sharpness),
        (quality.exposure, WEIGHTS.exposure),
        (quality.dynamic_range, WEIGHTS.dynamic_range),
        (quality.face_occlusion_prevention, WEIGHTS.face_occlusion_prevention),
    ];
    // A component counts as at least 1 of 100, so that the others still order such faces.
    parts.iter().map(|&(value, weight)| (value.max(1.0) / 100.0).powf(weight)).product::<f32>() * 100.0
}

/// Estimate yaw, pitch and roll, radians, of an average head: eyes 63 mm apart, 65 mm above the mouth, the nose 26 mm
/// in front of their plane, and at 0.52 of the distance from the eyes to the mouth in a frontal view.
fn pose(landmarks: &Landmarks) -> (f32, f32, f32) {
    let [right_eye, left_eye, nose, right_mouth, left_mouth] = landmarks.0;
    let between = |a: Point, b: Point| Point::new(f32::midpoint(a.x, b.x), f32::midpoint(a.y, b.y));
    let (eyes, mouth) = (between(right_eye, left_eye), between(right_mouth, left_mouth));
    let roll = landmarks.roll();
    let (sin, cos) = roll.sin_cos();
    // Coordinates without roll, relative to the middle of the eyes.
    let upright = |p: Point| {
        let (x, y) = (p.x - eyes.x, p.y - eyes.y);
        Point::new(cos * x + sin * y, cos * y - sin * x)
    };
    let (nose, mouth) = (upright(nose), upright(mouth));
    let breadth = landmarks.inter_eye_distance().max(1e-6);
    let length = if mouth.y > 0.0 { mouth.y.max(1e-6) } else { 1e-6 };
    let share = nose.y / length;
    let yaw = ((nose.x - share * mouth.x) / breadth * (63.0 / 26.0)).atan();
    let pitch = ((share - 0.52) * (65.0 / 26.0)).atan();
    (yaw, pitch, roll)
}

/// Compute the share of the inner face that lies inside the image, 0 to 1.
fn part_inside(image_from_crop: Similarity, image: Size) -> f32 {
    const STEPS: u32 = 12;
    let [left, right, top, low] = FACE.map(|edge| edge as f64);
    let position = |k: u32, start: f64, end: f64| start + (end - start) * (f64::from(k) + 0.5) / f64::from(STEPS);
    let inside = (0..STEPS * STEPS).filter(|k| {
        let (x, y) = image_from_crop.apply_f64(position(k % STEPS, left, right), position(k / STEPS, top, low));
        (-0.5..f64::from(image.width) - 0.5).contains(&x) && (-0.5..f64::from(image.height) - 0.5).contains(&y)
    });
    inside.count() as f32 / (STEPS * STEPS) as f32
}

/// The crop's luminance, 0 to 255, row by row.
struct Luminance(Vec<i32>);

impl Luminance {
    fn of(crop: &Image) -> Self {
        // ITU-R BT.601, in 256ths.
        let luma = |p: &[u8]| (77 * i32::from(p[0]) + 150 * i32::from(p[1]) + 29 * i32::from(p[2]) + 128) >> 8;
        Self(crop.data().chunks_exact(3).map(luma).collect())
    }

    fn row(&self, y: usize) -> &[i32] {
        let width = CROP_SIZE.width as usize;
        &self.0[y * width..(y + 1) * width]
    }

    fn face(&self) -> impl Iterator<Item = i32> + '_ {
        let [left, right, top, low] = FACE;
        (top..low).flat_map(move |y| self.row(y)[left..right].iter().copied())
    }

    /// Energy of the Laplacian relative to the variance, on a logarithmic scale that was fitted to blurred photos.
    fn sharpness(&self) -> f32 {
        let [left, right, top, low] = FACE;
        let mut energy = 0i64;
        for y in top..low {
            let (above, here, below) = (self.row(y - 1), self.row(y), self.row(y + 1));
            energy += (left..right)
                .map(|x| i64::from(above[x] + below[x] + here[x - 1] + here[x + 1] - 4 * here[x]).pow(2))
                .sum::<i64>();
        }
        let count = ((right - left) * (low - top)) as f32;
        let ratio = energy as f32 / count / (variance(self.face()) + 64.0);
        ramp(ratio.max(1e-9).log10(), SOFT, SHARP)
    }

    fn exposure(&self) -> f32 {
        let useful = |value: i32| ((value - 12) as f32 / 36.0).min((253 - value) as f32 / 6.0).clamp(0.0, 1.0);
        let mut table = [0.0; 256];
        table.iter_mut().zip(0..).for_each(|(entry, value)| *entry = useful(value));
        let (sum, count) = self.face().fold((0.0, 0u32), |(sum, n), value| (sum + table[value as usize & 255], n + 1));
        100.0 * sum / count as f32
    }

    fn dynamic_range(&self) -> f32 {
        let (mut counts, mut total) = ([0u32; 256], 0u32);
        for value in self.face() {
            counts[value as usize & 255] += 1;
            total += 1;
        }
        let share = |&count: &u32| count as f32 / total as f32;
        let bits: f32 = counts.iter().filter(|&&count| count > 0).map(share).map(|p| -p * p.log2()).sum();
        12.5 * bits
    }

    /// The minimum structure of the eyes and the mouth relative to that of the inner face, 0 to 100.
    fn features(&self) -> f32 {
        let total = variance(self.face()).sqrt() + 4.0;
        let mouth = Point::new(f32::midpoint(TEMPLATE[3].x, TEMPLATE[4].x), TEMPLATE[3].y);
        let patches = [(TEMPLATE[0], EYE_PATCH), (TEMPLATE[1], EYE_PATCH), (mouth, MOUTH_PATCH)];
        let structure = patches.map(|(centre, [across, down])| {
            let (x, y) = (centre.x as usize, centre.y as usize);
            let patch = (y - down..=y + down).flat_map(|row| &self.row(row)[x - across..=x + across]).copied();
            variance(patch).sqrt() / total
        });
        ramp(structure.into_iter().fold(f32::INFINITY, f32::min), FLAT, STRUCTURED)
    }
}

/// log₁₀ of the Laplacian's energy over the variance at sharpness 0 and 100.
const SOFT: f32 = -2.0;
const SHARP: f32 = -0.5;
/// Deviation of a patch relative to that of the face, at 0 and 100.
const FLAT: f32 = 0.1;
const STRUCTURED: f32 = 0.5;

fn variance(values: impl Iterator<Item = i32>) -> f32 {
    let (count, sum, squares) = values.fold((0i64, 0i64, 0i64), |(n, sum, squares), value| {
        (n + 1, sum + i64::from(value), squares + i64::from(value).pow(2))
    });
    ((count * squares - sum * sum) as f64 / (count * count).max(1) as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A crop of a face: dark eyes and mouth on skin, with fine structure.
    fn face() -> Image {
        let shade = |x: i32, y: i32| {
            let near = |cx: i32, cy: i32, across: i32, down: i32| {
                ((x - cx).pow(2) * down.pow(2) + (y - cy).pow(2) * across.pow(2)) < (across * down).pow(2)
            };
            let base = if near(38, 52, 7, 4) || near(74, 52, 7, 4) || near(56, 92, 14, 5) { 60 } else { 170 };
            (base + (x * 31 + y * 17) % 23 + (x + y) / 8) as u8
        };
        picture(|x, y| [shade(x, y), shade(x, y) - 20, shade(x, y) - 30])
    }

    fn picture(colour: impl Fn(i32, i32) -> [u8; 3]) -> Image {
        let data = (0..112).flat_map(|y| (0..112).map(move |x| (x, y))).flat_map(|(x, y)| colour(x, y)).collect();
        Image::from_rgb(CROP_SIZE, data).unwrap()
    }

    /// The mean of each pixel's neighbours out to `radius`.
    fn blur(crop: &Image, radius: i32) -> Image {
        let clamp = |at: i32| at.clamp(0, 111) as u32;
        picture(|x, y| {
            let count = (2 * radius + 1).pow(2) as u32;
            let mut sum = [count / 2; 3];
            for (dx, dy) in (-radius..=radius).flat_map(|dx| (-radius..=radius).map(move |dy| (dx, dy))) {
                let pixel = crop.pixel(clamp(x + dx), clamp(y + dy));
                (0..3).for_each(|channel| sum[channel] += u32::from(pixel[channel]));
            }
            sum.map(|sum| (sum / count) as u8)
        })
    }

    fn darken(crop: &Image, part: f32) -> Image {
        picture(|x, y| crop.pixel(x as u32, y as u32).map(|value| (f32::from(value) * part) as u8))
    }

    fn of(crop: &Image) -> Quality {
        let bbox = BBox::new(20.0, 20.0, 92.0, 108.0);
        measure(crop, bbox, &Landmarks(TEMPLATE), CROP_SIZE).unwrap()
    }

    /// The five points of the average head, turned by yaw and pitch in degrees, in parallel projection.
    fn turn(yaw: f32, pitch: f32) -> Landmarks {
        let head = [(-31.5, 0.0, 0.0), (31.5, 0.0, 0.0), (0.0, 33.8, 26.0), (-25.0, 65.0, 0.0), (25.0, 65.0, 0.0)];
        let ((sy, cy), (sp, cp)) = (yaw.to_radians().sin_cos(), pitch.to_radians().sin_cos());
        Landmarks(head.map(|(x, y, z): (f32, f32, f32)| {
            let (x, z) = (cy * x + sy * z, cy * z - sy * x);
            Point::new(200.0 + x, 200.0 + cp * y + sp * z)
        }))
    }

    #[test]
    fn weights_sum_to_one() {
        let Weights { head_size, inter_eye_distance, head_pose, sharpness, exposure, .. } = WEIGHTS;
        let sum = head_size + inter_eye_distance + head_pose + sharpness + exposure;
        assert!((sum + WEIGHTS.dynamic_range + WEIGHTS.face_occlusion_prevention - 1.0).abs() < 1e-6);
    }

    #[test]
    fn blur_lowers_sharpness() {
        let scores: Vec<f32> = (0..4).map(|radius| of(&blur(&face(), radius)).sharpness).collect();
        assert!(scores.windows(2).all(|pair| pair[0] > pair[1]), "{scores:?}");
    }

    #[test]
    fn darkening_lowers_exposure_and_dynamic_range_but_not_sharpness() {
        let dark = [1.0, 0.3, 0.15, 0.05].map(|part| of(&darken(&face(), part)));
        assert!(dark.windows(2).all(|pair| pair[0].exposure > pair[1].exposure), "{dark:?}");
        assert!(dark.windows(2).all(|pair| pair[0].dynamic_range > pair[1].dynamic_range), "{dark:?}");
        assert!((dark[0].sharpness - dark[1].sharpness).abs() < 20.0, "{dark:?}");
        assert!(of(&picture(|_, _| [255; 3])).exposure < 1.0);
    }

    #[test]
    fn a_flat_cover_and_the_edge_of_the_image_lower_occlusion_prevention() {
        let (face, open) = (face(), of(&face()));
        let covered = picture(|x, y| if y > 76 { [120; 3] } else { face.pixel(x as u32, y as u32) });
        assert!(of(&covered).face_occlusion_prevention < open.face_occlusion_prevention / 2.0);
        let bbox = BBox::new(20.0, 20.0, 92.0, 108.0);
        let cut = measure(&face, bbox, &Landmarks(TEMPLATE), Size::new(112, 70)).unwrap();
        assert!(cut.face_occlusion_prevention < 0.6 * open.face_occlusion_prevention);
    }

    #[test]
    fn turning_lowers_head_pose_and_the_angle_is_estimated() {
        for degrees in [0.0f32, 10.0, 20.0, 30.0, 40.0] {
            for sign in [-1.0, 1.0] {
                let (yaw, pitch, _) = pose(&turn(sign * degrees, 0.0));
                assert!(
                    (yaw.to_degrees() - sign * degrees).abs() < 1.0 && pitch.abs() < 0.05,
                    "{degrees}: {yaw} {pitch}"
                );
                let (yaw, pitch, _) = pose(&turn(0.0, sign * degrees));
                assert!(
                    (pitch.to_degrees() - sign * degrees).abs() < 1.0 && yaw.abs() < 0.05,
                    "{degrees}: {yaw} {pitch}"
                );
            }
        }
        let score = |yaw, pitch| {
            let landmarks = turn(yaw, pitch);
            measure(&face(), BBox::new(150.0, 150.0, 250.0, 290.0), &landmarks, Size::new(400, 400)).unwrap().head_pose
        };
        for pair in [0.0f32, 10.0, 20.0, 30.0, 40.0].windows(2) {
            assert!(score(pair[0], 0.0) > score(pair[1], 0.0) && score(0.0, -pair[0]) > score(0.0, -pair[1]));
        }
    }

    #[test]
    fn a_smaller_face_scores_lower_and_another_crop_size_is_refused() {
        let measured = |scale: f32| {
            let bbox = BBox::new(20.0, 20.0, 92.0, 108.0).scale(scale, scale);
            measure(&face(), bbox, &Landmarks(TEMPLATE).scale(scale, scale), Size::new(400, 400)).unwrap()
        };
        let sizes = [1.5, 1.0, 0.7, 0.4].map(measured);
        for pair in sizes.windows(2) {
            assert!(pair[0].head_size > pair[1].head_size && pair[0].inter_eye_distance > pair[1].inter_eye_distance);
            assert!(pair[0].unified_score > pair[1].unified_score);
        }
        let small = Image::from_rgb(Size::new(8, 8), vec![0; 192]).unwrap();
        assert!(measure(&small, BBox::default(), &Landmarks(TEMPLATE), CROP_SIZE).is_err());
    }

    proptest! {
        #[test]
        fn components_stay_within_0_and_100(
            points in proptest::collection::vec((-500.0f32..500.0, -500.0f32..500.0), 5), level in 0u8..=255,
            side in -10.0f32..900.0,
        ) {
            let landmarks = Landmarks(std::array::from_fn(|k| Point::new(points[k].0, points[k].1)));
            let flat = picture(|x, y| if (x + y) % 3 == 0 { [level; 3] } else { [255 - level; 3] });
            if let Ok(q) = measure(&flat, BBox::new(0.0, 0.0, side, side), &landmarks, Size::new(300, 200)) {
                for value in [q.unified_score, q.head_size, q.inter_eye_distance, q.head_pose, q.sharpness, q.exposure,
                              q.dynamic_range, q.face_occlusion_prevention] {
                    prop_assert!((0.0..=100.001).contains(&value), "{:?}", q);
                }
            }
        }
    }
}
