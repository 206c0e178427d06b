//! Limits of connections and frames; defaults from security.md section 4.

use std::time::Duration;

/// Longest frame that can be configured, in bytes: what the length field can announce.
pub const FRAME_LONGEST: usize = 65_535;

/// Limits. Durations are kept to about a quarter of the shortest of them, a quarter of a second at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub per_address: usize,
    /// Longest message in bytes, without its length field.
    pub frame_longest: usize,
    /// Frames of one connection that are taken before their replies are given.
    pub depth: usize,
    /// From accept to the first byte, TLS handshake included.
    pub first_byte: Duration,
    /// From the first byte of a frame to its last.
    pub whole_frame: Duration,
    /// Without a frame.
    pub idle: Duration,
    /// Without the peer taking any byte of a reply that waits.
    pub write_stall: Duration,
    /// From the begin of a drain to its end, whatever still waits.
    pub drain: Duration,
    /// Bytes in which an engine keeps opened keys; 0 keeps none, and opens a key anew at every use.
    pub key_cache: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            per_address: 512,
            frame_longest: 32 * 1024,
            depth: 256,
            first_byte: Duration::from_secs(10),
            whole_frame: Duration::from_secs(5),
            idle: Duration::from_secs(600),
            write_stall: Duration::from_secs(5),
            drain: Duration::from_secs(4),
            key_cache: 16 << 20,
        }
    }
}

impl Limits {
    /// How often a core looks at its connections.
    pub fn tick(&self) -> Duration {
        let shortest =
            [self.first_byte, self.whole_frame, self.idle, self.write_stall, self.drain].into_iter().min();
        let quarter = shortest.and_then(|d| d.checked_div(4)).unwrap_or_default();
        quarter.clamp(Duration::from_millis(10), Duration::from_millis(250))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_follows_the_shortest_limit_within_bounds() {
        assert_eq!(Limits::default().tick(), Duration::from_millis(250));
        let quick = Limits { whole_frame: Duration::from_millis(200), ..Limits::default() };
        assert_eq!(quick.tick(), Duration::from_millis(50));
        let silly = Limits { idle: Duration::ZERO, ..Limits::default() };
        assert_eq!(silly.tick(), Duration::from_millis(10));
    }
}
