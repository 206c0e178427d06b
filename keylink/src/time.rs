//! Time as the machines are told it.

/// A moment by three clocks. The machines never read one themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instant3 {
    /// Wall clock: milliseconds of UTC since 1970. May jump.
    pub utc_ms: u64,
    /// Monotonic clock: milliseconds since some moment of this boot. Never goes back within a boot.
    pub mono_ms: u64,
    /// Which boot the monotonic clock belongs to: drawn anew whenever the process starts.
    pub boot_id: u64,
}

impl Instant3 {
    /// The same boot, `ms` later by both clocks.
    pub const fn after(self, ms: u64) -> Self {
        Self {
            utc_ms: self.utc_ms.saturating_add(ms),
            mono_ms: self.mono_ms.saturating_add(ms),
            boot_id: self.boot_id,
        }
    }
}
