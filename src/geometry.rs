//! Plane geometry in pixels: sizes, points, boxes, five landmarks, similarity transforms.
//!
//! Coordinates are those of the upright image: x to the right, y down. Integer coordinates are pixel centres, as in
//! OpenCV and in the networks' published templates. Names read `to_from`: `crop_from_image.apply(point_in_image)`.

/// Width and height, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// Create a size from columns and rows.
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Number of pixels.
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// The shorter side, pixels.
    pub fn short_side(self) -> u32 {
        self.width.min(self.height)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {}", self.width, self.height)
    }
}

/// A point, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// Horizontal, to the right.
    pub x: f32,
    /// Vertical, down.
    pub y: f32,
}

impl Point {
    /// Create a point from its coordinates.
    pub fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// Euclidean distance to another point, pixels.
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// An axis-parallel box, pixels: (x1, y1) is its upper left, (x2, y2) its lower right corner.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BBox {
    /// Left.
    pub x1: f32,
    /// Top.
    pub y1: f32,
    /// Right.
    pub x2: f32,
    /// Bottom.
    pub y2: f32,
}

impl BBox {
    /// Create a box from its corners.
    pub fn new(x1: f32, y1: f32, x2: f32, y2: f32) -> Self {
        Self { x1, y1, x2, y2 }
    }

    /// x2 − x1.
    pub fn width(self) -> f32 {
        self.x2 - self.x1
    }

    /// y2 − y1.
    pub fn height(self) -> f32 {
        self.y2 - self.y1
    }

    /// The longer side, pixels.
    pub fn longer_side(self) -> f32 {
        self.width().max(self.height())
    }

    /// The square of a side about a centre.
    pub fn square_at(centre: Point, side: f32) -> Self {
        let half = side / 2.0;
        Self::new(centre.x - half, centre.y - half, centre.x + half, centre.y + half)
    }

    /// Scale about the centre.
    #[must_use]
    pub fn enlarge(self, factor: f32) -> Self {
        let (centre, half_width, half_height) =
            (self.centre(), self.width() * factor / 2.0, self.height() * factor / 2.0);
        Self::new(centre.x - half_width, centre.y - half_height, centre.x + half_width, centre.y + half_height)
    }

    /// The square about the centre over the longer side.
    #[must_use]
    pub fn square(self) -> Self {
        Self::square_at(self.centre(), self.longer_side())
    }

    /// Area, square pixels; 0 for an empty box.
    pub fn area(self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// The centre.
    pub fn centre(self) -> Point {
        Point::new(f32::midpoint(self.x1, self.x2), f32::midpoint(self.y1, self.y2))
    }

    /// Clip to an image.
    #[must_use]
    pub fn clip(self, size: Size) -> Self {
        let (width, height) = (size.width as f32, size.height as f32);
        Self::new(
            self.x1.clamp(0.0, width),
            self.y1.clamp(0.0, height),
            self.x2.clamp(0.0, width),
            self.y2.clamp(0.0, height),
        )
    }

    /// Area shared with another box, square pixels.
    pub fn intersection(self, other: Self) -> f32 {
        let width = self.x2.min(other.x2) - self.x1.max(other.x1);
        let height = self.y2.min(other.y2) - self.y1.max(other.y1);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union, 0 to 1; 0 if both are empty.
    pub fn iou(self, other: Self) -> f32 {
        let shared = self.intersection(other);
        let union = self.area() + other.area() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }

    /// Multiply the coordinates, for a resized image.
    #[must_use]
    pub fn scale(self, x: f32, y: f32) -> Self {
        Self::new(self.x1 * x, self.y1 * y, self.x2 * x, self.y2 * y)
    }
}

/// Right eye, left eye, nose, right and left corner of the mouth of the subject. The right eye has the smaller x in an
/// upright face, and the larger x in an upside-down one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Landmarks(pub [Point; 5]);

impl Landmarks {
    /// Distance between the eyes, pixels.
    pub fn inter_eye_distance(self) -> f32 {
        self.0[0].distance(self.0[1])
    }

    /// The angle of the line from the right to the left eye, radians, −π to π: 0 in an upright face, positive
    /// clockwise.
    pub fn roll(self) -> f32 {
        let [right_eye, left_eye, ..] = self.0;
        (left_eye.y - right_eye.y).atan2(left_eye.x - right_eye.x)
    }

    /// Multiply the coordinates, for a resized image.
    #[must_use]
    pub fn scale(self, x: f32, y: f32) -> Self {
        Self(self.0.map(|p| Point::new(p.x * x, p.y * y)))
    }
}

/// Rotation, uniform scale and translation: (x, y) ↦ (a·x − b·y + tx, b·x + a·y + ty).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Scale times cosine.
    pub a: f64,
    /// Scale times sine.
    pub b: f64,
    /// Translation to the right.
    pub tx: f64,
    /// Translation down.
    pub ty: f64,
}

impl Similarity {
    /// Fit the least-squares similarity from `from` to `to`; none if the points of `from` coincide or a coordinate is
    /// not finite.
    ///
    /// The closed form of Umeyama (1991) without reflection; in the plane it is linear in (a, b).
    pub fn fit(from: &[Point], to: &[Point]) -> Option<Self> {
        if from.len() != to.len() || from.len() < 2 {
            return None;
        }
        let n = from.len() as f64;
        let mean = |points: &[Point]| {
            let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + f64::from(p.x), y + f64::from(p.y)));
            (x / n, y / n)
        };
        let ((fx, fy), (gx, gy)) = (mean(from), mean(to));
        let (mut spread, mut dot, mut cross) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py) = (f64::from(p.x) - fx, f64::from(p.y) - fy);
            let (qx, qy) = (f64::from(q.x) - gx, f64::from(q.y) - gy);
            spread += px * px + py * py;
            dot += px * qx + py * qy;
            cross += px * qy - py * qx;
        }
        let (a, b) = (dot / spread, cross / spread);
        let fitted = Self { a, b, tx: gx - (a * fx - b * fy), ty: gy - (b * fx + a * fy) };
        (spread > 1e-6 && fitted.scale() > 1e-9 && fitted.tx.is_finite() && fitted.ty.is_finite()).then_some(fitted)
    }

    /// The scale factor.
    pub fn scale(self) -> f64 {
        self.a.hypot(self.b)
    }

    /// Transform a point.
    pub fn apply(self, p: Point) -> Point {
        let (x, y) = self.apply_f64(f64::from(p.x), f64::from(p.y));
        Point::new(x as f32, y as f32)
    }

    /// Transform a point in double precision.
    pub fn apply_f64(self, x: f64, y: f64) -> (f64, f64) {
        (self.a * x - self.b * y + self.tx, self.b * x + self.a * y + self.ty)
    }

    /// Compose: first `inner`, then this one.
    #[must_use]
    pub fn after(self, inner: Self) -> Self {
        let (tx, ty) = self.apply_f64(inner.tx, inner.ty);
        Self { a: self.a * inner.a - self.b * inner.b, b: self.a * inner.b + self.b * inner.a, tx, ty }
    }

    /// The inverse.
    #[must_use]
    pub fn inverse(self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn iou_of_equal_touching_and_half_boxes() {
        let unit = BBox::new(0.0, 0.0, 2.0, 2.0);
        assert!((unit.iou(unit) - 1.0).abs() < 1e-6);
        assert!(unit.iou(BBox::new(2.0, 0.0, 4.0, 2.0)).abs() < 1e-6);
        assert!((unit.iou(BBox::new(1.0, 0.0, 3.0, 2.0)) - 1.0 / 3.0).abs() < 1e-6);
        assert!(BBox::default().iou(BBox::default()).abs() < 1e-6);
    }

    #[test]
    fn a_square_has_the_centre_and_the_longer_side_of_its_box() {
        assert_eq!(BBox::new(10.0, 0.0, 20.0, 40.0).square(), BBox::new(-5.0, 0.0, 35.0, 40.0));
        assert_eq!(BBox::square_at(Point::new(5.0, 6.0), 4.0), BBox::new(3.0, 4.0, 7.0, 8.0));
        assert_eq!(BBox::new(10.0, 0.0, 20.0, 40.0).enlarge(1.5), BBox::new(7.5, -10.0, 22.5, 50.0));
    }

    #[test]
    fn coincident_points_have_no_similarity() {
        let same = [Point::new(3.0, 4.0); 5];
        assert!(Similarity::fit(&same, &same).is_none());
        let nan = [Point::new(f32::NAN, 0.0), Point::new(1.0, 1.0)];
        assert!(Similarity::fit(&nan, &[Point::default(), Point::new(1.0, 0.0)]).is_none());
    }

    proptest! {
        #[test]
        fn fit_finds_a_known_similarity(
            a in -3.0f64..3.0, b in 0.1f64..3.0, tx in -500.0f64..500.0, ty in -500.0f64..500.0,
            points in proptest::collection::vec((0.0f32..400.0, 0.0f32..400.0), 5),
        ) {
            let from: Vec<Point> = points.iter().map(|&(x, y)| Point::new(x, y)).collect();
            let spread: f32 = from.iter().map(|p| p.distance(from[0])).sum();
            prop_assume!(spread > 50.0);
            let known = Similarity { a, b, tx, ty };
            let to: Vec<Point> = from.iter().map(|&p| known.apply(p)).collect();
            let fitted = Similarity::fit(&from, &to).unwrap();
            for &p in &from {
                prop_assert!(fitted.apply(p).distance(known.apply(p)) < 0.05);
                prop_assert!(known.inverse().apply(known.apply(p)).distance(p) < 0.05);
            }
        }
    }
}
