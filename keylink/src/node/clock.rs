//! The clock guard: a switch by time needs a wall clock that agrees with the monotonic one.

use crate::time::Instant3;

/// How long both clocks must go on alike after a jump before they are believed again, ms. A wall clock that is set right
/// once after a start stays right; one that somebody pulls to and fro does not.
pub(super) const QUIET_MS: u64 = 300_000;

/// Where wall and monotonic clock were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    anchor: Instant3,
    skew_max_ms: u64,
    // After a jump: since when the clocks have gone on alike.
    quiet: Option<Instant3>,
}

impl Guard {
    /// Both clocks are taken as right now.
    pub const fn new(now: Instant3, skew_max_ms: u64) -> Self {
        Self { anchor: now, skew_max_ms, quiet: None }
    }

    /// True while the clocks have gone on alike.
    pub const fn agrees(&self, now: Instant3) -> bool {
        self.alike(self.anchor, now)
    }

    /// Looks at the clocks. After a jump they are compared from anew once they have gone on alike for five minutes.
    pub const fn look(&mut self, now: Instant3) {
        if self.agrees(now) {
            self.quiet = None;
            return;
        }
        match self.quiet {
            Some(since) if self.alike(since, now) => {
                if now.mono_ms.saturating_sub(since.mono_ms) >= QUIET_MS {
                    (self.anchor, self.quiet) = (now, None);
                }
            }
            _ => self.quiet = Some(now),
        }
    }

    const fn alike(&self, since: Instant3, now: Instant3) -> bool {
        let wall = now.utc_ms.wrapping_sub(since.utc_ms).cast_signed();
        let mono = now.mono_ms.wrapping_sub(since.mono_ms).cast_signed();
        since.boot_id == now.boot_id && wall.wrapping_sub(mono).unsigned_abs() <= self.skew_max_ms
    }

    /// True when a wall time is over, as the anchor saw it: a wall clock that jumps ends nothing.
    pub const fn is_over(&self, utc_ms: u64, now: Instant3) -> bool {
        utc_ms < self.anchor.utc_ms || self.deadline(utc_ms) < now.mono_ms
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
        assert!(guard.is_over(999_999, start) && !guard.is_over(1_000_000, start));
        assert!(!guard.is_over(1_000_010, start.after(10)) && guard.is_over(1_000_010, start.after(11)));
        let jumped = Instant3 { utc_ms: 9_000_000, ..start.after(10) };
        assert!(!guard.is_over(1_000_010, jumped));
        assert!(guard.agrees(start.after(60_000)));
        for jump in [-600_000_i64, -1001, 1001, 600_000] {
            let now = start.after(60_000);
            let jumped = Instant3 { utc_ms: now.utc_ms.wrapping_add_signed(jump), ..now };
            assert!(!guard.agrees(jumped), "{jump}");
        }
        assert!(!guard.agrees(Instant3 { boot_id: 2, ..start }));
    }

    #[test]
    fn after_a_jump_the_clocks_are_believed_when_they_were_quiet() {
        let start = Instant3 { utc_ms: 1_000_000, mono_ms: 500, boot_id: 1 };
        let mut guard = Guard::new(start, 1_000);
        let at = |mono: u64, off: i64| {
            let now = start.after(mono);
            Instant3 { utc_ms: now.utc_ms.wrapping_add_signed(off), ..now }
        };
        let mut agrees = |now: Instant3| {
            guard.look(now);
            guard.agrees(now)
        };
        assert!(agrees(at(1_000, 0)));
        assert!(!agrees(at(2_000, 60_000)) && !agrees(at(2_000 + QUIET_MS - 1, 60_000)));
        // Another jump begins the quiet time anew.
        assert!(!agrees(at(QUIET_MS + 3_000, 70_000)) && !agrees(at(2 * QUIET_MS + 2_999, 70_000)));
        assert!(agrees(at(2 * QUIET_MS + 3_000, 70_000)));
        // From there as from the start; back at once where the clock only was off for a moment.
        assert!(!agrees(at(2 * QUIET_MS + 4_000, 0)) && agrees(at(2 * QUIET_MS + 5_000, 70_000)));
        let now = at(2 * QUIET_MS + 5_000, 70_000);
        assert_eq!(guard.deadline(now.utc_ms + 10), now.mono_ms + 10);
    }
}
