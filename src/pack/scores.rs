//! Measured distributions of similarities, for conversion to other scales.
//!
//! Goes in: two lists of pairs, rate and cosine. Refused: fewer than two pairs, a number out of range, an order that is
//! not strict, and a rate that the number of comparisons is too small for. The pack's digest does not cover them: a new
//! measurement does not change the embeddings.

use super::Checked;
use super::network::in_range;
use serde::Deserialize;

/// Rule of three: without an error in n comparisons the rate is at most 3 ÷ n at 95 % confidence (Hanley and
/// Lippman-Hand 1983). Lower rates are not measurable.
const RULE_OF_THREE: f64 = 3.0;

/// Measured similarities of different people and of the same person.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoresSpec {
    /// Data and command of the measurement.
    pub data: String,
    /// Number of comparisons of different people.
    pub impostor_pairs: u64,
    /// Number of comparisons of the same person.
    pub genuine_pairs: u64,
    /// Pairs of false match rate, falling, and cosine, rising: at most this share of different people match at that
    /// threshold.
    pub impostor: Vec<(f64, f64)>,
    /// Pairs of false non-match rate and cosine, both rising: this share of comparisons of the same person lies below.
    pub genuine: Vec<(f64, f64)>,
}

impl ScoresSpec {
    pub(super) fn check(&self) -> Checked {
        check_curve("impostor", &self.impostor, self.impostor_pairs, |before, after| before > after)?;
        check_curve("genuine", &self.genuine, self.genuine_pairs, |before, after| before < after)
    }
}

fn check_curve(name: &str, curve: &[(f64, f64)], pairs: u64, ordered: fn(f64, f64) -> bool) -> Checked {
    if curve.len() < 2 {
        return Err(format!("{name} needs at least 2 pairs of rate and cosine, got {}", curve.len()));
    }
    #[allow(clippy::cast_precision_loss)] // a count of comparisons
    let min = RULE_OF_THREE / pairs as f64;
    for (rate, cosine) in curve {
        in_range(name, *cosine, -1.0, 1.0)?;
        if !(*rate > 0.0 && *rate < 1.0) {
            return Err(format!("a rate of {name} must lie between 0 and 1, got {rate}"));
        }
        if *rate < min {
            return Err(format!(
                "{name} has a rate of {rate:e}, which {pairs} comparisons cannot show: at least {min:.1e}"
            ));
        }
    }
    for (before, after) in curve.iter().zip(curve.iter().skip(1)) {
        if !ordered(before.0, after.0) || before.1 >= after.1 {
            return Err(format!(
                "{name} is out of order at rate {:e}: cosines must rise, and rates must be monotonic",
                after.0
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut ScoresSpec);

    fn spec() -> ScoresSpec {
        ScoresSpec {
            data: "x".to_string(),
            impostor_pairs: 3000,
            genuine_pairs: 300,
            impostor: vec![(0.5, 0.0), (0.1, 0.2), (0.001, 0.4)],
            genuine: vec![(0.01, 0.3), (0.5, 0.6)],
        }
    }

    #[test]
    fn a_valid_table_is_accepted() {
        spec().check().unwrap();
    }

    #[test]
    fn invalid_tables_are_refused() {
        let changes: [(Change, &str); 7] = [
            (|s| s.impostor.truncate(1), "at least 2"),
            (|s| s.genuine[1].1 = 1.5, "1.5"),
            (|s| s.genuine[1].1 = f64::NAN, "NaN"),
            (|s| s.impostor[2].0 = 0.0005, "cannot show"),
            (|s| s.impostor[0].0 = 1.0, "between 0 and 1"),
            (|s| s.impostor[1].1 = 0.5, "out of order"),
            (|s| s.genuine[1].0 = 0.01, "out of order"),
        ];
        for (change, words) in changes {
            let mut wrong = spec();
            change(&mut wrong);
            let message = wrong.check().unwrap_err();
            assert!(message.contains(words), "{message}");
        }
    }
}
