//! How a client speaks to a unit.

use crate::Tls;
use hostcmd::Settings;
use std::time::Duration;

/// How a client speaks to a unit. The defaults are those of a unit out of the box.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of the message header, 0 to 255 bytes. The header is the correlation id; with fewer than four
    /// bytes there are fewer ids than requests may be in flight, and with none replies are taken in order.
    pub header_length: usize,
    /// The port speaks EBCDIC.
    pub ebcdic: bool,
    /// Settings of the listener that decide lengths of fields (stored PINs).
    pub settings: Settings,
    /// Longest wait for a reply, connecting included.
    pub timeout: Duration,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Requests that may be in flight; more wait their turn.
    pub in_flight_max: usize,
    /// Waiting between attempts to connect.
    pub backoff: Backoff,
    /// TLS, or plain TCP.
    pub tls: Option<Tls>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            header_length: 4,
            ebcdic: false,
            settings: Settings::STRICT,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            in_flight_max: 1024,
            backoff: Backoff::default(),
            tls: None,
        }
    }
}

/// Waiting between attempts to connect: doubled each time up to a limit, and begun anew after a success.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// First wait.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), longest: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// The wait after one of `wait`.
    pub fn after(&self, wait: Duration) -> Duration {
        wait.saturating_mul(2).min(self.longest)
    }
}
