//! The clock guard: a switch by time needs a wall clock that agrees with the monotonic one.

use crate::time::Instant3;

/// Where wall and monotonic clock were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    anchor: Instant3,
    skew_max_ms: u64,
}

impl Guard {
    /// Both clocks are taken as right now.
    pub const fn new(now: Instant3, skew_max_ms: u64) -> Self {
        Self { anchor: now, skew_max_ms }
    }

    /// True while the clocks have gone on alike.
    pub const fn agrees(&self, now: Instant3) -> bool {
        let wall = now.utc_ms.wrapping_sub(self.anchor.utc_ms).cast_signed();
        let mono = now.mono_ms.wrapping_sub(self.anchor.mono_ms).cast_signed();
        self.anchor.boot_id == now.boot_id && wall.wrapping_sub(mono).unsigned_abs() <= self.skew_max_ms
    }

    /// The monotonic moment of a wall time, as the anchor saw it; the anchor's own when it was over by then.
    pub const fn deadline(&self, utc_ms: u64) -> u64 {
        self.anchor.mono_ms.saturating_add(utc_ms.saturating_sub(self.anchor.utc_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_of_the_wall_clock_are_noticed_and_do_not_move_a_deadline() {
        let start = Instant3 { utc_ms: 1_000_000, mono_ms: 500, boot_id: 1 };
        let guard = Guard::new(start, 1000);
        assert_eq!(guard.deadline(1_010_000), 10_500);
        assert_eq!(guard.deadline(5), 500);
        assert!(guard.agrees(start.after(60_000)));
        for jump in [-600_000_i64, -1001, 1001, 600_000] {
            let now = start.after(60_000);
            let jumped = Instant3 { utc_ms: now.utc_ms.wrapping_add_signed(jump), ..now };
            assert!(!guard.agrees(jumped), "{jump}");
        }
        assert!(!guard.agrees(Instant3 { boot_id: 2, ..start }));
    }
}
