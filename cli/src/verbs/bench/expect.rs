//! What a reply must be. Where it has random parts, it is opened with cryptography that is not the unit's.

use super::keys::Clear;
use crate::oracle::sblock::{self, TestLmk};
use crate::oracle::{self, Key};
use std::fmt;
use std::sync::Arc;

/// What a reply must be, reply code first.
#[derive(Clone)]
pub enum Expect {
    /// These bytes.
    Bytes(Vec<u8>),
    /// This reply code, 00, and this check value at the end: of a key of which no more is known.
    CheckValue([u8; 2], String),
    /// An imported key: a block under this LMK that holds it, and its check value.
    Imported(TestLmk, Arc<Clear>),
    /// An exported key: a TR-31 block under this ZMK that holds it, and its check value.
    Exported {
        /// Exchange key.
        zmk: Arc<Clear>,
        /// The key in it.
        key: Arc<Clear>,
    },
    /// A generated key, and the same in a TR-31 block under this ZMK; the check value is of what is in it.
    Generated(Arc<Clear>),
    /// A generated key, and a TR-31 block under a ZMK that is not known: both whole, with a check value.
    Formed,
}

impl fmt::Debug for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::CheckValue(..) => "CheckValue",
            Self::Imported(..) => "Imported",
            Self::Exported { .. } => "Exported",
            Self::Generated(_) => "Generated",
            Self::Formed => "Formed",
        })
    }
}

impl Expect {
    /// Whether it is that.
    pub fn holds(&self, reply: &[u8]) -> bool {
        match self {
            Self::Bytes(bytes) => bytes == reply,
            Self::CheckValue(code, kcv) => {
                reply.starts_with(code) && reply.get(2..4) == Some(b"00") && reply.ends_with(kcv.as_bytes())
            }
            Self::Imported(lmk, key) => parts(reply, b"A7").is_some_and(|(block, kcv)| {
                sblock::open(*lmk, block).is_some_and(|opened| is(&opened, kcv, key))
            }),
            Self::Exported { zmk, key } => parts(reply, b"A9").is_some_and(|(block, kcv)| {
                oracle::tr31_unwrap(zmk.expose(), block).is_some_and(|opened| is(&opened, kcv, key))
            }),
            Self::Generated(zmk) => parts(reply, b"A1").is_some_and(|(both, kcv)| {
                // The token comes first, and has no `R` in it but, maybe, in an optional block: none is asked for.
                let block = both.find('R').and_then(|at| both.get(at..)).unwrap_or_default();
                oracle::tr31_unwrap(zmk.expose(), block).is_some_and(|key| oracle::kcv(&key) == kcv)
            }),
            Self::Formed => parts(reply, b"A1").is_some_and(|(both, kcv)| {
                let rest = after_token(both).filter(|rest| rest.starts_with('R'));
                rest.and_then(after_token) == Some("") && is_hex(kcv)
            }),
        }
    }
}

// What stands behind a double-length key under a variant LMK, or behind a key block, whose header tells its length.
fn after_token(text: &str) -> Option<&str> {
    let length = match text.as_bytes().first()? {
        b'U' => 33,
        b'S' | b'R' => 1 + text.get(2..6)?.parse::<usize>().ok().filter(|length| *length > 16)?,
        _ => return None,
    };
    let (token, rest) = text.split_at_checked(length)?;
    let digits = token.strip_prefix('U').or_else(|| token.get(length - 16..))?;
    is_hex(digits).then_some(rest)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_digit() || (b'A'..=b'F').contains(&c))
}

fn is(opened: &Key, kcv: &str, key: &Clear) -> bool {
    opened == key.expose() && kcv == oracle::kcv(opened)
}

// Key and check value of a good reply.
fn parts<'r>(reply: &'r [u8], code: &[u8; 2]) -> Option<(&'r str, &'r str)> {
    let body = core::str::from_utf8(reply.strip_prefix(code)?.strip_prefix(b"00")?).ok()?;
    body.split_at_checked(body.len().checked_sub(6)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: &str, key: &str, of: &Key) -> Vec<u8> {
        format!("{code}00{key}{}", oracle::kcv(of)).into_bytes()
    }

    #[test]
    fn replies_with_random_parts_are_opened() {
        let (zmk, key): (Key, Key) = ([0x3B; 16], [7; 16]);
        let clear = |key| Arc::new(Clear::new(key));
        let block = oracle::tr31_wrap(&zmk, "P0TB00E", &key, [9; 6]);
        let exported = Expect::Exported { zmk: clear(zmk), key: clear(key) };
        assert!(exported.holds(&reply("A9", &block, &key)));
        assert!(!exported.holds(&reply("A9", &block, &zmk)), "the check value is of another key");
        assert!(!exported.holds(&reply("A9", &block.replace("P0TB", "P0TE"), &key)));
        assert!(!exported.holds(b"A910") && !exported.holds(b""));
        let other = oracle::tr31_wrap(&zmk, "P0TB00E", &zmk, [9; 6]);
        assert!(!exported.holds(&reply("A9", &other, &key)), "the block holds another key");

        let imported = Expect::Imported(TestLmk::Aes, clear(key));
        let token = sblock::wrap(TestLmk::Aes, "P0TB00E", "02", &key, 1);
        assert!(imported.holds(&reply("A7", &token, &key)) && !imported.holds(&reply("A9", &token, &key)));
        assert!(!imported.holds(&reply("A7", &sblock::wrap(TestLmk::Aes, "P0TB00E", "02", &zmk, 1), &key)));

        let generated = Expect::Generated(clear(zmk));
        let both = format!("U5178C9D3D1052B15BF6AEC458B4A4564{block}");
        assert!(generated.holds(&reply("A1", &both, &key)) && !generated.holds(&reply("A1", &both, &zmk)));
        assert!(Expect::Formed.holds(&reply("A1", &both, &key)));
        let blocks = sblock::wrap(TestLmk::Tdes, "P0TB00E", "01", &key, 1) + &block;
        assert!(Expect::Formed.holds(&reply("A1", &blocks, &key)));
        let short = &both[..both.len() - 1];
        let unfinished = ["A7", "A1"].map(|code| reply(code, if code == "A1" { short } else { &both }, &key));
        assert!(unfinished.iter().all(|reply| !Expect::Formed.holds(reply)));
        assert!(!Expect::Formed.holds(&reply("A1", &block, &key)) && !Expect::Formed.holds(b"A100"));
        let check = Expect::CheckValue(*b"A7", oracle::kcv(&key));
        assert!(check.holds(&reply("A7", &token, &key)) && !check.holds(&reply("A7", &token, &zmk)));
        assert!(!check.holds(b"A715"));
    }
}
