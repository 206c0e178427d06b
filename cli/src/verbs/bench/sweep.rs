//! The search for the knee: the highest rate at which a unit keeps a condition. Twice as much each time until
//! it breaks, then in between by ratio. Knows rates and verdicts, nothing of how they were found.

/// Two rates are as good as one when they are this close.
const CLOSE: f64 = 1.05;
/// Steps at most: twenty doublings and the halvings in between.
const STEPS_MAX: usize = 40;

/// A search between two rates.
#[derive(Clone, Debug)]
pub struct Search {
    low: f64,
    high: f64,
    kept: Option<f64>,
    broken: Option<f64>,
    steps: usize,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Knee {
    /// Kept at the first of these rates, broken at the second.
    Between(f64, f64),
    /// Kept at the highest rate of the search.
    AtLeast(f64),
    /// Broken at the lowest rate of the search.
    Below(f64),
}

impl Search {
    /// Between a lowest and a highest rate.
    pub const fn new(low: f64, high: f64) -> Self {
        Self { low, high, kept: None, broken: None, steps: 0 }
    }

    /// The rate to try next; `None` when the knee is found.
    pub fn next_rate(&self) -> Option<f64> {
        let next = match (self.kept, self.broken) {
            _ if self.steps >= STEPS_MAX => None,
            (None, None) => Some(self.low),
            (None, Some(_)) => None,
            (Some(kept), None) if kept >= self.high => None,
            (Some(kept), None) => Some((kept * 2.0).min(self.high)),
            (Some(kept), Some(broken)) if broken / kept <= CLOSE => None,
            (Some(kept), Some(broken)) => Some((kept * broken).sqrt()),
        };
        next.map(round)
    }

    /// Takes the verdict on a rate.
    pub fn note(&mut self, rate: f64, kept: bool) {
        self.steps += 1;
        let place = if kept { &mut self.kept } else { &mut self.broken };
        *place = Some(rate);
    }

    /// What the verdicts say.
    pub fn knee(&self) -> Knee {
        match (self.kept, self.broken) {
            (Some(kept), Some(broken)) => Knee::Between(kept, broken),
            (Some(kept), None) => Knee::AtLeast(kept),
            (None, _) => Knee::Below(self.low),
        }
    }
}

// Three digits: more would claim what no run of some seconds can show.
fn round(rate: f64) -> f64 {
    let unit = 10f64.powf(rate.abs().log10().floor() - 2.0);
    if unit.is_finite() && unit > 0.0 { (rate / unit).round() * unit } else { rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Runs a search over a unit that keeps the condition up to a rate.
    fn search(low: f64, high: f64, keeps: impl Fn(f64) -> bool) -> (Search, Vec<f64>) {
        let (mut search, mut tried) = (Search::new(low, high), Vec::new());
        while let Some(rate) = search.next_rate() {
            tried.push(rate);
            search.note(rate, keeps(rate));
        }
        (search, tried)
    }

    #[test]
    fn the_knee_lies_between_a_rate_that_held_and_one_that_did_not() {
        for knee in [1_100.0, 3_333.0, 48_000.0, 49_900.0] {
            let (search, tried) = search(1_000.0, 50_000.0, |rate| rate <= knee);
            let Knee::Between(kept, broken) = search.knee() else { panic!("{:?}", search.knee()) };
            assert!(kept <= knee && knee < broken && broken / kept <= CLOSE, "{kept} {knee} {broken}");
            assert!(tried.len() <= 12, "{tried:?}");
            assert_eq!(tried[..2], [1_000.0, 2_000.0]);
        }
    }

    #[test]
    fn a_unit_that_is_faster_or_slower_than_the_search_is_said_to_be() {
        let (fast, tried) = search(1_000.0, 5_000.0, |_| true);
        assert_eq!((fast.knee(), tried), (Knee::AtLeast(5_000.0), vec![1_000.0, 2_000.0, 4_000.0, 5_000.0]));
        let (slow, tried) = search(1_000.0, 5_000.0, |_| false);
        assert_eq!((slow.knee(), tried), (Knee::Below(1_000.0), vec![1_000.0]));
        let (point, tried) = search(1_000.0, 1_000.0, |_| true);
        assert_eq!((point.knee(), tried.len()), (Knee::AtLeast(1_000.0), 1));
    }

    // A noisy unit changes its mind: the search still ends.
    #[test]
    fn a_search_ends_whatever_the_verdicts() {
        for seed in 0..64u64 {
            let count = std::cell::Cell::new(0u64);
            let (_, tried) = search(1.0, 1e9, |_| {
                count.set(count.get() + 1);
                (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (count.get() % 64)) & 1 == 0
            });
            assert!(tried.len() <= STEPS_MAX);
        }
    }

    #[test]
    fn rates_are_round() {
        for (rate, rounded) in [(1_414.213, 1_410.0), (0.123_456, 0.123), (99_960.0, 100_000.0)] {
            assert!((round(rate) - rounded).abs() < rounded * 1e-9, "{rate}");
        }
    }
}
