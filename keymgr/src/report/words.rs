//! Moments as reports write them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment in UTC (RFC 3339), from UTC milliseconds.
pub(super) fn when(utc_ms: u64) -> String {
    let seconds = i64::try_from(utc_ms / 1000).unwrap_or_default();
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|t| t.format(&Rfc3339).ok());
    moment.unwrap_or_else(|| utc_ms.to_string())
}

/// The same, or a dash.
pub(super) fn maybe(utc_ms: Option<u64>) -> String {
    utc_ms.map_or_else(|| "-".to_owned(), when)
}

/// Whole days from one moment to a later one.
pub(super) const fn days(from_ms: u64, to_ms: u64) -> u64 {
    to_ms.saturating_sub(from_ms) / 86_400_000
}
