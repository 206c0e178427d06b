//! How often officers may fail: five times in ten minutes. Then nobody is heard until the first of these
//! failures is ten minutes old, so that guessing has a bounded rate.

use std::time::{Duration, Instant};

const FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// The failures of the last ten minutes.
#[derive(Debug, Default)]
pub struct Tries(Vec<Instant>);

impl Tries {
    /// True when another try may be judged.
    pub fn admit(&mut self, now: Instant) -> bool {
        self.0.retain(|failed| now.saturating_duration_since(*failed) < WINDOW);
        self.0.len() < FAILURES
    }

    /// Counts a failure.
    pub fn failed(&mut self, now: Instant) {
        self.0.push(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_ten_minutes_close_it_until_the_first_is_old() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut tries = Tries::default();
        for second in 0..5 {
            assert!(tries.admit(at(second)));
            tries.failed(at(second));
        }
        assert!(!tries.admit(at(5)));
        assert!(!tries.admit(at(599)));
        assert!(tries.admit(at(600)));
        tries.failed(at(600));
        assert!(!tries.admit(at(600)));
    }
}
