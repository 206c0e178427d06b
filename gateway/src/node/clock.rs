//! The three clocks of a node.

use keylink::Instant3;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a node reads the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Instant3;
}

/// The machine's clocks; a demonstration may set the wall clock off.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    boot_id: u64,
    offset_ms: i64,
}

impl SystemClock {
    /// A boot begins now.
    pub fn new() -> Result<Self, getrandom::Error> {
        Self::with_offset(0)
    }

    /// A boot begins now, with a wall clock that is so many milliseconds off.
    pub fn with_offset(offset_ms: i64) -> Result<Self, getrandom::Error> {
        Ok(Self { started: Instant::now(), boot_id: getrandom::u64()?, offset_ms })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant3 {
        let utc = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, ms);
        Instant3 {
            utc_ms: utc.saturating_add_signed(self.offset_ms),
            mono_ms: ms(self.started.elapsed()),
            boot_id: self.boot_id,
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
