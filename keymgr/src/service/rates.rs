//! How often a node is listened to. Whatever a node says is written to the log, so a node identity in wrong hands could
//! fill the store as fast as it commits: each node has a bucket of tokens that fills at a steady pace, and what it
//! cannot pay for is turned away before anything is written. A node at work needs a few requests for each key, and a
//! pull that waits for mail needs one in half a minute.

use keylink::NodeId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Tokens that come each second.
const PER_SECOND: u64 = 5;
/// Tokens that a bucket holds: a node that has been quiet may catch up at once.
const BURST: u64 = 200;
/// Parts of a token, so that time in milliseconds counts exactly.
const PARTS: u64 = 1_000;
/// Messages of a parcel that cost one token.
const MESSAGES: usize = 8;

/// A request of a revoked node costs as much as so many: it has one thing to say.
const REVOKED: u64 = 10;

/// What one request costs, by the number of messages in it besides itself, and whether its node was revoked.
pub fn cost(messages: usize, revoked: bool) -> u64 {
    let one = if revoked { REVOKED } else { 1 };
    u64::try_from(messages / MESSAGES).unwrap_or(BURST).saturating_add(one).min(BURST)
}

struct Bucket {
    parts: u64,
    filled_ms: u64,
}

/// The buckets of all nodes that have spoken.
#[derive(Default)]
pub struct Rates(Mutex<HashMap<NodeId, Bucket>>);

impl Rates {
    /// Takes tokens from a node's bucket at a moment of the monotonic clock; when there are too few, the seconds after
    /// which there are enough.
    pub fn take(&self, node: NodeId, tokens: u64, mono_ms: u64) -> Result<(), u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = BURST * PARTS;
        let bucket = all.entry(node).or_insert(Bucket { parts: full, filled_ms: mono_ms });
        let since = mono_ms.saturating_sub(bucket.filled_ms);
        bucket.filled_ms = bucket.filled_ms.max(mono_ms);
        bucket.parts = bucket.parts.saturating_add(since.saturating_mul(PER_SECOND)).min(full);
        let wanted = tokens.saturating_mul(PARTS);
        match bucket.parts.checked_sub(wanted) {
            Some(left) => {
                bucket.parts = left;
                Ok(())
            }
            None => Err((wanted - bucket.parts).div_ceil(PER_SECOND * PARTS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId([1; 32]);
    const TWO: NodeId = NodeId([2; 32]);

    #[test]
    fn a_burst_is_taken_and_then_a_steady_pace() {
        let rates = Rates::default();
        let taken = |mono_ms| (0..1_000).take_while(|_| rates.take(ONE, 1, mono_ms).is_ok()).count() as u64;
        assert_eq!(taken(7_000), BURST);
        assert_eq!(rates.take(ONE, 1, 7_000), Err(1));
        assert_eq!(rates.take(ONE, 11, 7_000), Err(3), "eleven tokens come in more than two seconds");
        assert_eq!(rates.take(TWO, 1, 7_000), Ok(()), "another node has its own bucket");
        assert_eq!(taken(8_000), PER_SECOND);
        // A clock that stands still or goes back gives nothing.
        assert_eq!((taken(8_000), taken(5_000)), (0, 0));
        assert_eq!(taken(8_100), 0);
        assert_eq!(taken(8_200), 1, "parts of a token are not lost");
        assert_eq!(taken(u64::MAX), BURST, "and no bucket holds more than it can");
    }

    #[test]
    fn a_parcel_costs_by_its_messages_and_never_more_than_a_bucket_holds() {
        assert_eq!([0, 1, 7, 8, 512].map(|messages| cost(messages, false)), [1, 1, 1, 2, 65]);
        assert_eq!(cost(usize::MAX, false), BURST);
        assert_eq!([0, 8, usize::MAX].map(|messages| cost(messages, true)), [10, 11, BURST]);
        assert_eq!(Rates::default().take(ONE, cost(usize::MAX, false), 0), Ok(()));
    }
}
