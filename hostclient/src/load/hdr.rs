//! A report as a file of the HdrHistogram tools.

use super::{Histogram, Report};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::io::{self, Write};
use std::time::SystemTime;

impl Report {
    /// Writes both histograms, in microseconds, as an HdrHistogram interval log (V2, deflated) of one interval,
    /// tagged `latency` and `service`. `ended` is the time of the last reply.
    pub fn write_hdr<W: Write>(&self, ended: SystemTime, out: &mut W) -> io::Result<()> {
        let began = ended.checked_sub(self.elapsed).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .with_start_time(began)
            .with_max_value_divisor(1_000.0)
            .begin_log_with(out, &mut serializer)?;
        let mut write = |tag, histogram: &Histogram| {
            let since = std::time::Duration::ZERO;
            log.write_histogram(histogram, since, self.elapsed, Tag::new(tag)).map_err(io::Error::other)
        };
        write("latency", &self.latency_us)?;
        write("service", &self.service_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn the_log_reads_back() {
        let mut report = Report::empty();
        report.latency_us.saturating_record(1_234);
        let mut out = Vec::new();
        report.write_hdr(SystemTime::now(), &mut out).unwrap();
        let entries = IntervalLogIterator::new(&out).map(Result::unwrap);
        let intervals: Vec<_> = entries
            .filter_map(|entry| match entry {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        assert_eq!(intervals.len(), 2);
        assert_eq!(intervals[0].tag().unwrap().as_str(), "latency");
        let bytes = base64_of(intervals[0].encoded_histogram());
        let read: Histogram = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!((read.len(), read.max()), (1, report.latency_us.max()));
    }

    // The alphabet of RFC 4648 with padding.
    fn base64_of(text: &str) -> Vec<u8> {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bits, mut count, mut out) = (0u32, 0, Vec::new());
        for c in text.bytes().filter(|c| *c != b'=') {
            bits = bits << 6 | ALPHABET.iter().position(|a| *a == c).unwrap() as u32;
            count += 6;
            if count >= 8 {
                count -= 8;
                out.push((bits >> count & 0xFF) as u8);
            }
        }
        out
    }
}
