//! Non-maximum suppression: of overlapping boxes, keep the one with the highest score.

use crate::geometry::BBox;

/// How the shared area of two boxes is normalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// By the area of their union.
    Union,
    /// By the smaller of the two areas.
    Smaller,
}

impl Overlap {
    /// The overlap of two boxes, 0 to 1.
    pub fn of(self, a: BBox, b: BBox) -> f32 {
        let shared = a.intersection(b);
        let total = match self {
            Self::Union => a.area() + b.area() - shared,
            Self::Smaller => a.area().min(b.area()),
        };
        if total > 0.0 { shared / total } else { 0.0 }
    }
}

/// Sort indices from the highest to the lowest score; of equal scores the later comes first.
///
/// MTCNN's softmax saturates at exactly 1.0 for several cells, so the order of equals decides which box survives. The
/// reference takes an ascending order and reverses it.
pub fn best_first_later(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&i, &j| scores[i].total_cmp(&scores[j]));
    order.reverse();
    order
}

/// Return the indices that survive, in the given order: a box is dropped if any earlier box overlaps it by more than
/// `threshold`, even if that box was dropped itself.
///
/// This is the suppression of the MTCNN package; the greedy form keeps a few more boxes.
pub fn suppress_by_all(boxes: &[BBox], order: &[usize], overlap: Overlap, threshold: f32) -> Vec<usize> {
    let survives = |position: usize, index: usize| {
        order.iter().take(position).all(|&earlier| overlap.of(boxes[earlier], boxes[index]) <= threshold)
    };
    order.iter().enumerate().filter(|&(position, &index)| survives(position, index)).map(|(_, &index)| index).collect()
}

/// Sort indices from the highest to the lowest score; of equal scores the earlier comes first.
pub fn best_first(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&i, &j| scores[j].total_cmp(&scores[i]));
    order
}

/// Return the indices that survive, in the given order: a box is dropped if a survivor overlaps it by more than
/// `threshold`.
///
/// `edge` is added to widths and heights: 1 if the reference counts both edge pixels, else 0.
pub fn suppress(boxes: &[BBox], order: &[usize], edge: f32, threshold: f32) -> Vec<usize> {
    let grown = |bbox: BBox| BBox::new(bbox.x1, bbox.y1, bbox.x2 + edge, bbox.y2 + edge);
    let mut kept: Vec<(usize, BBox)> = Vec::new();
    for &index in order {
        let bbox = grown(boxes[index]);
        if kept.iter().all(|&(_, better)| Overlap::Union.of(better, bbox) <= threshold) {
            kept.push((index, bbox));
        }
    }
    kept.into_iter().map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::npz::Npz;
    use proptest::prelude::*;

    fn boxes() -> impl Strategy<Value = Vec<(BBox, f32)>> {
        proptest::collection::vec((0.0f32..80.0, 0.0f32..80.0, 1.0f32..40.0, 1.0f32..40.0, 0.0f32..1.0), 0..40)
            .prop_map(|all| all.into_iter().map(|(x, y, w, h, s)| (BBox::new(x, y, x + w, y + h), s)).collect())
    }

    #[test]
    fn the_recorded_boxes_survive() {
        let recorded = Npz::recorded("mtcnn_cascade.npz");
        for case in 0..4 {
            let rows = recorded.array::<f32>(&format!("nms{case}_boxes"));
            let boxes: Vec<BBox> = rows.outer_iter().map(|b| BBox::new(b[0], b[1], b[2], b[3])).collect();
            let scores = recorded.array::<f32>(&format!("nms{case}_scores"));
            let order = best_first_later(scores.as_slice().unwrap());
            for (overlap, method) in [(Overlap::Union, "union"), (Overlap::Smaller, "min")] {
                for (threshold, per_cent) in [(0.3, 30), (0.7, 70)] {
                    let expected = recorded.array::<i64>(&format!("nms{case}_{method}_{per_cent}"));
                    let kept: Vec<i64> =
                        suppress_by_all(&boxes, &order, overlap, threshold).iter().map(|&i| i as i64).collect();
                    assert_eq!(kept, expected.into_raw_vec_and_offset().0, "case {case}, {method} {threshold}");
                }
            }
        }
    }

    #[test]
    fn of_equal_scores_the_later_comes_first_in_the_mtcnn_order() {
        assert_eq!(best_first_later(&[0.5, 1.0, 0.2, 1.0]), vec![3, 1, 0, 2]);
    }

    #[test]
    fn only_the_mtcnn_form_lets_a_dropped_box_suppress() {
        let chain = [0.0f32, 4.0, 8.0].map(|x| BBox::new(x, 0.0, x + 10.0, 10.0));
        assert_eq!(suppress_by_all(&chain, &[0, 1, 2], Overlap::Union, 0.4), vec![0]);
        assert_eq!(suppress(&chain, &[0, 1, 2], 0.0, 0.4), vec![0, 2]);
    }

    #[test]
    fn edge_pixels_count_if_requested() {
        // They share five of fifteen pixels; without the edges the boxes are empty.
        let pair = [BBox::new(0.0, 0.0, 9.0, 0.0), BBox::new(5.0, 0.0, 14.0, 0.0)];
        assert_eq!(suppress(&pair, &[0, 1], 1.0, 0.3), vec![0]);
        assert_eq!(suppress(&pair, &[0, 1], 1.0, 0.34), vec![0, 1]);
        assert_eq!(suppress(&pair, &[0, 1], 0.0, 0.3), vec![0, 1]);
    }

    #[test]
    fn of_equal_scores_the_earlier_comes_first_in_the_greedy_order() {
        assert_eq!(best_first(&[0.5, 1.0, 0.2, 1.0]), vec![1, 3, 0, 2]);
    }

    proptest! {
        #[test]
        fn suppression_by_all_is_idempotent(all in boxes(), threshold in 0.1f32..0.9) {
            let (boxes, scores): (Vec<BBox>, Vec<f32>) = all.into_iter().unzip();
            for overlap in [Overlap::Union, Overlap::Smaller] {
                let kept = suppress_by_all(&boxes, &best_first_later(&scores), overlap, threshold);
                prop_assert_eq!(&suppress_by_all(&boxes, &kept, overlap, threshold), &kept);
                prop_assert_eq!(kept.is_empty(), boxes.is_empty());
            }
        }

        #[test]
        fn greedy_suppression_drops_exactly_the_overlapping_boxes(
            all in boxes(), threshold in 0.1f32..0.9, edge in 0u8..2,
        ) {
            let (boxes, scores): (Vec<BBox>, Vec<f32>) = all.into_iter().unzip();
            let (order, edge) = (best_first(&scores), f32::from(edge));
            let kept = suppress(&boxes, &order, edge, threshold);
            prop_assert_eq!(&suppress(&boxes, &kept, edge, threshold), &kept);
            let grown = |i: usize| BBox::new(boxes[i].x1, boxes[i].y1, boxes[i].x2 + edge, boxes[i].y2 + edge);
            let overlaps = |i: usize, j: usize| grown(i).iou(grown(j)) > threshold;
            for (position, &index) in order.iter().enumerate() {
                let better = order[..position].iter().any(|&other| kept.contains(&other) && overlaps(other, index));
                prop_assert_eq!(kept.contains(&index), !better);
            }
        }
    }
}
