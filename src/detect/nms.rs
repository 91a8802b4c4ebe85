//! Non-maximum suppression: of boxes that overlap, keep the one with the highest score.

use crate::geometry::BBox;

/// What the shared area of two boxes is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// By the area of their union.
    Union,
    /// By the smaller of the two areas.
    Smaller,
}

impl Overlap {
    fn of(self, a: BBox, b: BBox) -> f32 {
        let shared = a.intersection(b);
        let whole = match self {
            Self::Union => a.area() + b.area() - shared,
            Self::Smaller => a.area().min(b.area()),
        };
        if whole > 0.0 { shared / whole } else { 0.0 }
    }
}

/// Indices from the highest to the lowest score; of equal scores the later comes first.
///
/// MTCNN's softmax saturates at exactly 1.0 for several cells, so the order of equals decides which box survives. The
/// reference takes an ascending order and reverses it.
pub fn by_score(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&i, &j| scores[i].total_cmp(&scores[j]));
    order.reverse();
    order
}

/// The indices that survive, in the given order: one is dropped where any earlier one overlaps it by more than
/// `threshold`, whether that earlier one survived or not.
///
/// That a dropped box still suppresses is how the MTCNN package does it; the greedy form keeps a few more boxes.
pub fn any_earlier(boxes: &[BBox], order: &[usize], overlap: Overlap, threshold: f32) -> Vec<usize> {
    let survives = |position: usize, index: usize| {
        order.iter().take(position).all(|&earlier| overlap.of(boxes[earlier], boxes[index]) <= threshold)
    };
    order.iter().enumerate().filter(|&(position, &index)| survives(position, index)).map(|(_, &index)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxes() -> impl Strategy<Value = Vec<(BBox, f32)>> {
        proptest::collection::vec((0.0f32..80.0, 0.0f32..80.0, 1.0f32..40.0, 1.0f32..40.0, 0.0f32..1.0), 0..40)
            .prop_map(|all| all.into_iter().map(|(x, y, w, h, s)| (BBox::new(x, y, x + w, y + h), s)).collect())
    }

    #[test]
    fn equal_scores_take_the_later_first() {
        assert_eq!(by_score(&[0.5, 1.0, 0.2, 1.0]), vec![3, 1, 0, 2]);
    }

    #[test]
    fn a_dropped_box_still_suppresses() {
        let chain = [0.0f32, 4.0, 8.0].map(|x| BBox::new(x, 0.0, x + 10.0, 10.0));
        assert_eq!(any_earlier(&chain, &[0, 1, 2], Overlap::Union, 0.4), vec![0]);
    }

    proptest! {
        #[test]
        fn is_idempotent_and_leaves_no_overlap(all in boxes(), threshold in 0.1f32..0.9) {
            let (boxes, scores): (Vec<BBox>, Vec<f32>) = all.into_iter().unzip();
            for overlap in [Overlap::Union, Overlap::Smaller] {
                let kept = any_earlier(&boxes, &by_score(&scores), overlap, threshold);
                prop_assert_eq!(&any_earlier(&boxes, &kept, overlap, threshold), &kept);
                prop_assert_eq!(kept.is_empty(), boxes.is_empty());
            }
        }
    }
}
