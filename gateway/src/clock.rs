//! The decimal moment of the unit, in UTC: a unit whose clock follows summer time would give the same
//! moment twice a year.

use hostcmd::Moment;
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

/// Seconds since 1970; 0 when the clock of the machine stands before that.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The moment of a Unix time.
pub(crate) fn moment(unix_seconds: u64) -> Moment {
    let at = i64::try_from(unix_seconds)
        .ok()
        .and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (h, m, s) = at.to_hms();
    let year = u8::try_from(at.year().rem_euclid(100)).unwrap_or_default();
    Moment { date: digits([year, u8::from(at.month()), at.day()]), time: digits([h, m, s]) }
}

fn digits(parts: [u8; 3]) -> [u8; 6] {
    let [a, b, c] = parts.map(|n| [b'0'.wrapping_add(n / 10 % 10), b'0'.wrapping_add(n % 10)]);
    [a[0], a[1], b[0], b[1], c[0], c[1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_known_times() {
        assert_eq!(moment(0), Moment { date: *b"700101", time: *b"000000" });
        assert_eq!(moment(951_827_696), Moment { date: *b"000229", time: *b"123456" });
        assert!(unix_seconds() > 1_700_000_000);
    }
}
