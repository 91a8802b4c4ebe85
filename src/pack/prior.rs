//! The measured tails of the similarities of different people, from which thresholds are chosen.
//!
//! Goes in: for each number of pictures a person, triples of rate, cosine and its standard error. Refused: no tail, the
//! same number twice, fewer than two triples, a number out of range, an order that is not strict, and a rate far below
//! what the number of pairs can show. The pack's digest does not cover them: a new measurement does not change the
//! embeddings.

use super::Checked;
use super::network::in_range;
use serde::Deserialize;

/// The lowest rate is this over the number of pairs: a tenth of the rule of three (Hanley and Lippman-Hand 1983), because
/// a fitted tail may be read ten times further than the data go (facedex.thresholds).
const LEAST_ERRORS: f64 = 0.3;

/// Measured tails of the similarities of different people.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorSpec {
    /// Data and command of the measurement.
    pub data: String,
    /// One for each measured number of pictures a person.
    #[serde(rename = "tail")]
    pub tails: Vec<TailSpec>,
}

/// The tail of the similarities of one face to the fused template of another person.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailSpec {
    /// Number of pictures that are fused, from 1.
    pub pictures: u32,
    /// Number of people who were compared.
    pub people: u32,
    /// Number of pairs of them.
    pub pairs: u64,
    /// False match rate, falling; cosine, rising; standard error of the cosine.
    pub points: Vec<(f64, f64, f64)>,
}

impl PriorSpec {
    pub(super) fn check(&self) -> Checked {
        if self.tails.is_empty() {
            return Err("prior needs a tail".to_string());
        }
        for (i, tail) in self.tails.iter().enumerate() {
            tail.check()?;
            if self.tails.iter().take(i).any(|other| other.pictures == tail.pictures) {
                return Err(format!("prior has two tails of {} pictures", tail.pictures));
            }
        }
        Ok(())
    }
}

impl TailSpec {
    fn check(&self) -> Checked {
        if self.pictures == 0 {
            return Err("pictures of a tail must be at least 1, got 0".to_string());
        }
        if self.points.len() < 2 {
            return Err(format!("a tail needs at least 2 points, got {}", self.points.len()));
        }
        #[allow(clippy::cast_precision_loss)] // a count of pairs
        let min = LEAST_ERRORS / self.pairs as f64;
        for (rate, cosine, error) in &self.points {
            in_range("cosine of a tail", *cosine, -1.0, 1.0)?;
            in_range("error of a tail", *error, 0.0, 1.0)?;
            if !(*rate > 0.0 && *rate < 1.0) {
                return Err(format!("a rate of a tail must lie between 0 and 1, got {rate}"));
            }
            if *rate < min {
                return Err(format!(
                    "a tail has a rate of {rate:e}, which {} pairs cannot support: at least {min:.1e}",
                    self.pairs
                ));
            }
        }
        for (before, after) in self.points.iter().zip(self.points.iter().skip(1)) {
            if before.0 <= after.0 || before.1 >= after.1 {
                return Err(format!(
                    "a tail is out of order at rate {:e}: cosines must rise and rates must fall",
                    after.0
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut PriorSpec);

    fn spec() -> PriorSpec {
        let points = vec![(0.5, 0.0, 0.01), (0.1, 0.2, 0.01), (0.001, 0.4, 0.02)];
        let tail = TailSpec { pictures: 1, people: 100, pairs: 4950, points };
        PriorSpec { data: "x".to_string(), tails: vec![tail] }
    }

    #[test]
    fn a_valid_prior_is_accepted() {
        spec().check().unwrap();
    }

    #[test]
    fn invalid_priors_are_refused() {
        let changes: [(Change, &str); 9] = [
            (|s| s.tails.clear(), "needs a tail"),
            (|s| s.tails.push(s.tails[0].clone()), "two tails of 1"),
            (|s| s.tails[0].pictures = 0, "at least 1"),
            (|s| s.tails[0].points.truncate(1), "at least 2"),
            (|s| s.tails[0].points[1].1 = 1.5, "1.5"),
            (|s| s.tails[0].points[1].2 = f64::NAN, "NaN"),
            (|s| s.tails[0].points[0].0 = 1.0, "between 0 and 1"),
            (|s| s.tails[0].points[2].0 = 1e-5, "cannot support"),
            (|s| s.tails[0].points[1].1 = 0.5, "out of order"),
        ];
        for (change, words) in changes {
            let mut wrong = spec();
            change(&mut wrong);
            let message = wrong.check().unwrap_err();
            assert!(message.contains(words), "{message}");
        }
    }
}
