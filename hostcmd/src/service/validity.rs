//! Whether a key may be used now, as its block says: optional blocks 00 (status), 03 and 04 (start and end of
//! validity, in UTC). Their form is the backend's to judge, when it opens a block; what they say is judged here at
//! every use, also of a key that was opened before, since a date passes while a key is in the cache.
//!
//! | block | used | refused |
//! |---|---|---|
//! | 00 | L (live), T (test) | E (expired), P (pending), R (revoked): AD |
//! | 03 | from that hour on | before: AE |
//! | 04 | to the end of that hour | after: AF |
//!
//! A block without them is not limited. Making such a block and showing its check value are no use of the key.

use crate::{Code, Cx, Moment};
use hsm::{KeyToken, Scheme};
use tr31::sblock::SBlock;

/// Judges the block of a key that a command uses. A command answers this behind what is wrong with the block.
#[inline]
pub fn judge(cx: &Cx, token: &KeyToken) -> Result<(), Code> {
    // The number of optional blocks, of which most keys have none.
    if token.scheme != Scheme::S || token.text().get(12..14) == Some(b"00") {
        return Ok(());
    }
    judge_blocks(token.text(), &cx.with_unit(|unit| hour(unit.now)))
}

/// An hour as the blocks write it.
type Hour = [u8; 13];

// The moment of the unit has two digits of the year.
fn hour(now: Moment) -> Hour {
    let ([a, b, c, d, e, f], [g, h, ..]) = (now.date, now.time);
    [b'2', b'0', a, b, b':', c, d, b':', e, f, b':', g, h]
}

#[cold]
#[inline(never)]
fn judge_blocks(text: &[u8], now: &Hour) -> Result<(), Code> {
    // What is no block is refused by the backend, which says why.
    let Ok(block) = SBlock::parse(text) else { return Ok(()) };
    for optional in block.header().blocks.iter() {
        match &optional.id.0 {
            b"00" if !matches!(optional.data, b"L" | b"T") => return Err(Code::STATUS),
            // Text of one length and form orders as the hours do.
            b"03" if now.as_slice() < optional.data => return Err(Code::START_DATE),
            b"04" if now.as_slice() > optional.data => return Err(Code::END_DATE),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(optional: &str, now: &Hour) -> Result<(), Code> {
        let padding = (16 - optional.len() % 16) % 16;
        let padding = if padding < 4 { padding + 16 } else { padding };
        let optional = format!("{optional}PB{padding:02X}{}", "0".repeat(padding - 4));
        let length = 16 + optional.len() + 80 - 16 + 16;
        let text = format!("1{length:04}P0TB00N0202{optional}{}", "0".repeat(80));
        SBlock::parse(text.as_bytes()).unwrap();
        judge_blocks(text.as_bytes(), now)
    }

    #[test]
    fn statuses() {
        for (status, wanted) in [("L", Ok(())), ("T", Ok(())), ("E", Err(())), ("P", Err(())), ("R", Err(()))]
        {
            let wanted = wanted.map_err(|()| Code::STATUS);
            assert_eq!(judged(&format!("0005{status}"), b"2026:01:31:12"), wanted, "{status}");
        }
    }

    #[test]
    fn dates_count_to_the_hour() {
        let start = |now| judged("03112026:01:31:12", now);
        assert_eq!(start(b"2026:01:31:11"), Err(Code::START_DATE));
        assert_eq!(start(b"2025:12:31:23"), Err(Code::START_DATE));
        assert_eq!(start(b"2026:01:31:12"), Ok(()));
        assert_eq!(start(b"2027:01:01:00"), Ok(()));
        let end = |now| judged("04112026:01:31:12", now);
        assert_eq!(end(b"2026:01:31:12"), Ok(()));
        assert_eq!(end(b"2026:01:31:13"), Err(Code::END_DATE));
        assert_eq!(end(b"2027:01:01:00"), Err(Code::END_DATE));
    }

    #[test]
    fn the_moment_of_the_unit_is_an_hour() {
        let now = Moment { date: *b"260131", time: *b"125959" };
        assert_eq!(&hour(now), b"2026:01:31:12");
        assert_eq!(judge_blocks(b"no block", &hour(now)), Ok(()));
    }
}
