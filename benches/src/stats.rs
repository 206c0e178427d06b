//! Medians and spread of repeated measurements.

use serde::{Deserialize, Serialize};

/// A figure that was measured several times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The lowest; of [`MANY`] values or more the lower quartile.
    pub low: f64,
    /// The highest; of so many the upper quartile.
    pub high: f64,
}

/// From so many values on, the extremes say only how bad the worst moment was.
pub const MANY: usize = 12;

impl Spread {
    /// Of any number of values; of none, nothing is a number.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let cut = if sorted.len() >= MANY { sorted.len() / 4 } else { 0 };
        let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        let (low, high) = (end(sorted.get(cut)), end(sorted.iter().rev().nth(cut)));
        Self { median: middle(&sorted), low, high }
    }
}

// Of an even number the mean of the two in the middle.
fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match (sorted.get(half), sorted.len() % 2) {
        (Some(value), 1) => *value,
        (Some(above), _) => f64::midpoint(sorted[half - 1], *above),
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_not_moved_by_one_that_is_far_off() {
        let spread = Spread::of([3.0, 1.0, 2.0, 900.0, 2.5]);
        assert_eq!(spread, Spread { median: 2.5, low: 1.0, high: 900.0 });
        assert_eq!(Spread::of([1.0, 2.0]).median, 1.5);
        assert_eq!(Spread::of([7.0]), Spread { median: 7.0, low: 7.0, high: 7.0 });
        assert!(Spread::of([]).median.is_nan());
        let many = Spread::of((1..=12).map(f64::from));
        assert_eq!(many, Spread { median: 6.5, low: 4.0, high: 9.0 });
    }
}
