//! The line of a log entry: one line of text, twelve fields between single spaces, in this order:
//!
//! `v1 SEQ UTC_MS PREV ACTOR CREDENTIAL ACTION DECISION ACTION_HASH OBJECTS APPROVALS CHANGES`
//!
//! Hashes are lower-case hex; `-` is an empty field; lists have commas; a change is `TABLE:KEY:IMAGE`, the key
//! in hex, the image `-` for a row that went. Text has `%XX` for every byte that is not a letter, a digit or
//! one of `. _ / @ + =` (and `:` `-` inside a word). The bytes of the line are the leaf of the tree: a verifier
//! needs a SHA-256 and this paragraph.

use super::entry::Entry;
use crate::store::{Change, Hash};
use memchr::{memchr, memchr_iter};
use sha2::{Digest, Sha256};
use smallvec::{SmallVec, smallvec};
use std::fmt::Write;
use std::iter::once;

/// The key of a row, as long as any table's without an allocation.
pub type RowKey = SmallVec<[u8; 48]>;

/// A log entry as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log, from 0.
    pub seq: u64,
    /// When, UTC milliseconds.
    pub utc_ms: u64,
    /// Hash of the entry before; zeros for the first.
    pub prev: Hash,
    /// What happened.
    pub entry: Entry,
    /// Table, key and image of every row it changed.
    pub changes: Vec<(String, Vec<u8>, Option<Hash>)>,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a log line: {0}")]
pub struct LineError(pub &'static str);

/// Writes the line of an entry.
pub fn line(seq: u64, utc_ms: u64, prev: &Hash, entry: &Entry, changes: &[Change]) -> String {
    let images: Vec<_> = changes.iter().map(|change| change.image(seq)).collect();
    line_with(seq, utc_ms, prev, entry, changes, &images)
}

/// The same with the images of the changes at hand: a row is hashed once for the line and for the state.
pub fn line_with(
    seq: u64,
    utc_ms: u64,
    prev: &Hash,
    entry: &Entry,
    changes: &[Change],
    images: &[Option<Hash>],
) -> String {
    let mut line = String::with_capacity(256 + 128 * changes.len());
    // Writing to a String cannot fail.
    let _ = write!(line, "v1 {seq} {utc_ms} ");
    push_hex(&mut line, prev);
    for text in [&entry.actor, &entry.credential, &entry.action, &entry.decision] {
        line.push(' ');
        push_text(&mut line, text);
    }
    line.push(' ');
    push_list(&mut line, entry.action_hash.iter(), |line, hash| push_hex(line, *hash));
    line.push(' ');
    push_list(&mut line, entry.objects.iter(), |line, object| push_text(line, object));
    line.push(' ');
    push_list(&mut line, entry.approvals.iter(), |line, hash| push_hex(line, *hash));
    line.push(' ');
    push_list(&mut line, changes.iter().zip(images), |line, (change, image)| {
        push_change(line, change, image)
    });
    line
}

fn push_list<T>(line: &mut String, items: impl Iterator<Item = T>, push: impl Fn(&mut String, &T)) {
    let start = line.len();
    for item in items {
        if line.len() > start {
            line.push(',');
        }
        push(line, &item);
    }
    if line.len() == start {
        line.push('-');
    }
}

fn push_change(line: &mut String, change: &Change, image: &Option<Hash>) {
    let (table, key) = change.place();
    line.push_str(table.name());
    line.push(':');
    push_hex(line, key);
    line.push(':');
    match image {
        Some(image) => push_hex(line, image),
        None => line.push('-'),
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn push_hex(line: &mut String, bytes: &[u8]) {
    for byte in bytes {
        line.push(char::from(HEX[usize::from(byte >> 4)]));
        line.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._/@+=:-".contains(&byte)
}

fn push_text(line: &mut String, text: &str) {
    match text {
        "" => line.push('-'),
        "-" => line.push_str("%2d"),
        _ => {
            for byte in text.bytes() {
                if plain(byte) {
                    line.push(char::from(byte));
                } else {
                    line.push('%');
                    push_hex(line, &[byte]);
                }
            }
        }
    }
}

/// A line taken apart without copying, for verification at speed.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Its place in the log.
    pub seq: u64,
    /// When, UTC milliseconds.
    pub utc_ms: u64,
    /// Hash of the entry before.
    pub prev: Hash,
    words: [&'a str; 8],
}

impl<'a> Parts<'a> {
    /// Takes a line apart. The fields behind `prev` are read when asked for.
    pub fn of(line: &'a str) -> Result<Self, LineError> {
        let rest = line.strip_prefix("v1 ").ok_or(LineError("version"))?;
        let (seq, rest) = first_number(rest).ok_or(LineError("number"))?;
        let (utc_ms, rest) = first_number(rest).ok_or(LineError("time"))?;
        let (prev, mut rest) = rest.split_at_checked(64).ok_or(LineError("previous hash"))?;
        let prev = hash(prev).ok_or(LineError("previous hash"))?;
        let mut words = [""; 8];
        for word in &mut words {
            let missing = LineError("fields are missing");
            rest = rest.strip_prefix(' ').ok_or(missing)?;
            (*word, rest) = rest.split_at(find(b' ', rest).unwrap_or(rest.len()));
            if word.is_empty() {
                return Err(missing);
            }
        }
        if !rest.is_empty() {
            return Err(LineError("more fields than there are"));
        }
        Ok(Self { seq, utc_ms, prev, words })
    }

    /// What was done, as it is written.
    pub fn action(&self) -> &'a str {
        self.words[2]
    }

    /// Whether it is about an action.
    pub fn has_action_hash(&self) -> bool {
        self.words[4] != "-"
    }

    /// Table, key and image of every row it changed.
    pub fn changes(
        &self,
    ) -> impl Iterator<Item = Result<(&'a str, RowKey, Option<Hash>), LineError>> + use<'a> {
        list(self.words[7]).map(change)
    }

    /// Hashes of approvals.
    pub fn approvals(&self) -> impl Iterator<Item = Result<Hash, LineError>> + use<'a> {
        list(self.words[6]).map(|word| hash(word).ok_or(LineError("approval")))
    }

    /// All of it.
    pub fn record(&self) -> Result<Record, LineError> {
        let [actor, credential, action, decision, action_hash, objects, ..] = self.words;
        let action_hash = match action_hash {
            "-" => None,
            word => Some(hash(word).ok_or(LineError("action hash"))?),
        };
        let entry = Entry {
            actor: text(actor)?,
            credential: text(credential)?,
            action: text(action)?,
            decision: text(decision)?,
            action_hash,
            objects: list(objects).map(text).collect::<Result<_, _>>()?,
            approvals: self.approvals().collect::<Result<_, _>>()?,
        };
        let owned = |(table, key, image): (&str, RowKey, _)| (table.to_owned(), key.into_vec(), image);
        let changes = self.changes().map(|change| change.map(owned)).collect::<Result<_, _>>()?;
        Ok(Record { seq: self.seq, utc_ms: self.utc_ms, prev: self.prev, entry, changes })
    }
}

impl Record {
    /// Reads a line.
    pub fn parse(line: &str) -> Result<Self, LineError> {
        Parts::of(line)?.record()
    }
}

/// The hash by which the next entry names this one: the leaf of the tree.
pub fn hash_of(line: &str) -> Hash {
    leaf_hash(line.as_bytes())
}

/// The hash of a leaf of a tree of RFC 6962, section 2.1.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(leaf);
    hash.finalize().into()
}

// A verifier looks at every byte of a log. Most words are short, and a search that takes many bytes at a time needs as
// long to begin as these need: eight bytes are looked at as one number, in which the one that is sought becomes zero,
// and the lowest zero is the first of which a one is borrowed.
fn find(byte: u8, text: &str) -> Option<usize> {
    const LOW: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = LOW << 7;
    const NEAR: usize = 2;
    let bytes = text.as_bytes();
    let (eights, _) = bytes.as_chunks::<8>();
    for (at, eight) in eights.iter().take(NEAR).enumerate() {
        let differs = u64::from_le_bytes(*eight) ^ (LOW * u64::from(byte));
        let zeros = differs.wrapping_sub(LOW) & !differs & HIGH;
        if zeros != 0 {
            return Some(8 * at + zeros.trailing_zeros() as usize / 8);
        }
    }
    let seen = 8 * eights.len().min(NEAR);
    Some(memchr(byte, &bytes[seen..])? + seen)
}

fn pieces(text: &str, between: u8) -> impl Iterator<Item = &str> {
    let mut start = 0;
    memchr_iter(between, text.as_bytes()).chain(once(text.len())).map(move |end| {
        let piece = &text[start..end];
        start = end + 1;
        piece
    })
}

fn halves(word: &str) -> Option<(&str, &str)> {
    let at = find(b':', word)?;
    Some((&word[..at], &word[at + 1..]))
}

fn list(word: &str) -> impl Iterator<Item = &str> {
    (word != "-").then(|| pieces(word, b',')).into_iter().flatten()
}

fn change(word: &str) -> Result<(&str, RowKey, Option<Hash>), LineError> {
    let wrong = LineError("change");
    let (table, rest) = halves(word).ok_or(wrong)?;
    let (key, image) = halves(rest).ok_or(wrong)?;
    let image = if image == "-" { None } else { Some(hash(image).ok_or(wrong)?) };
    let mut bytes: RowKey = smallvec![0; key.len() / 2];
    unhex(key.as_bytes(), &mut bytes).ok_or(wrong)?;
    Ok((table, bytes, image))
}

/// A number as it is written: no sign, no leading zero.
pub fn number(word: &str) -> Option<u64> {
    let (number, digits) = leading_number(word)?;
    (digits == word.len()).then_some(number)
}

// The number before the first space, and what is behind that.
fn first_number(text: &str) -> Option<(u64, &str)> {
    let (number, digits) = leading_number(text)?;
    Some((number, text.get(digits..)?.strip_prefix(' ')?))
}

// The number with which a text begins, and how many digits that has.
fn leading_number(text: &str) -> Option<(u64, usize)> {
    // So many digits always fit, and one more may.
    const FIT: usize = 19;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let value = |digit: &u8| u64::from(digit.wrapping_sub(b'0'));
    let next = |number: u64, digit| number.wrapping_mul(10).wrapping_add(value(digit));
    let (first, last) = text.as_bytes()[..digits].split_at(digits.min(FIT));
    let number = first.iter().fold(0, next);
    let number = match last {
        [] => number,
        [digit] => number.checked_mul(10)?.checked_add(value(digit))?,
        _ => return None,
    };
    (digits == 1 || (digits > 0 && !text.starts_with('0'))).then_some((number, digits))
}

pub(super) fn hash(word: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    unhex(word.as_bytes(), &mut hash)?;
    Some(hash)
}

fn unhex(word: &[u8], into: &mut [u8]) -> Option<()> {
    if word.len() != into.len() * 2 {
        return None;
    }
    let mut wrong = 0;
    let (whole, rest) = word.as_chunks::<{ 2 * AT_ONCE }>();
    let (pieces, last) = into.as_chunks_mut::<AT_ONCE>();
    for (digits, bytes) in whole.iter().zip(pieces) {
        wrong |= unhex_many(digits, bytes);
    }
    for (pair, byte) in rest.as_chunks::<2>().0.iter().zip(last) {
        let [(high, first), (low, second)] = pair.map(digit);
        wrong |= first | second;
        *byte = high << 4 | low;
    }
    (wrong == 0).then_some(())
}

// Bytes that are read at a time: of a key that is an id, all.
const AT_ONCE: usize = 16;

// Two passes that are each the same for every digit and every byte: compilers make one instruction of many.
fn unhex_many(digits: &[u8; 2 * AT_ONCE], bytes: &mut [u8; AT_ONCE]) -> u8 {
    let mut wrong = 0;
    let mut values = *digits;
    for value in &mut values {
        let (half, bad) = digit(*value);
        wrong |= bad;
        *value = half;
    }
    for (byte, pair) in bytes.iter_mut().zip(values.as_chunks::<2>().0) {
        let pair = u16::from_le_bytes(*pair);
        *byte = (pair << 4 | pair >> 8) as u8;
    }
    wrong
}

// The value of a digit, and 1 if it is none: without a branch or a table.
fn digit(written: u8) -> (u8, u8) {
    let (number, letter) = (written.wrapping_sub(b'0'), written.wrapping_sub(b'a'));
    let value = if number < 10 { number } else { letter.wrapping_add(10) & 15 };
    (value, u8::from((number >= 10) & (letter >= 6)))
}

fn text(word: &str) -> Result<String, LineError> {
    let wrong = LineError("text");
    if word == "-" {
        return Ok(String::new());
    }
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut escaped = [0];
            let pair = [rest.next().ok_or(wrong)?, rest.next().ok_or(wrong)?];
            unhex(&pair, &mut escaped).ok_or(wrong)?;
            bytes.extend(escaped);
        } else if plain(byte) {
            bytes.push(byte);
        } else {
            return Err(wrong);
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Table;
    use proptest::prelude::*;

    fn put(key: &[u8]) -> Change {
        Change::raw(Table::Zones, key.to_vec(), &[("alias", "m".into())], b"{}".to_vec())
    }

    #[test]
    fn a_line_looks_as_described() {
        let entry = Entry {
            actor: "anna maria".into(),
            action: "zone.make".into(),
            decision: "allowed".into(),
            objects: vec!["zone:7".into(), "-".into()],
            ..Entry::default()
        };
        let written = line(3, 1_700_000_000_000, &[0xab; 32], &entry, &[put(b"k")]);
        let prev = "ab".repeat(32);
        let image = hex::encode(put(b"k").image(3).unwrap_or_default());
        assert_eq!(
            written,
            format!(
                "v1 3 1700000000000 {prev} anna%20maria - zone.make allowed - zone:7,%2d - zones:6b:{image}"
            )
        );
    }

    #[test]
    fn what_is_not_exactly_a_line_is_refused() {
        let good = line(
            3,
            5,
            &[1; 32],
            &Entry::default(),
            &[put(b"k"), Change::Delete { table: Table::Zones, key: vec![9] }],
        );
        assert!(Record::parse(&good).is_ok());
        let bad = [
            good.replacen("v1", "v2", 1),
            good.replacen(" 3 ", " 03 ", 1),
            good.replacen(" 3 ", " +3 ", 1),
            good.replacen("01", "0G", 1),
            good.replacen("01", "AA", 1),
            good.replacen(" - ", "  ", 1),
            good.clone() + " -",
            good.clone() + ",",
            good.replacen("zones:", "zones", 1),
            good.replacen(" - ", " %4 ", 1),
            good.replacen(" - ", " a*b ", 1),
        ];
        for line in bad {
            assert!(Record::parse(&line).is_err(), "{line}");
        }
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for good in ["0", "7", "10", "18446744073709551615"] {
            assert_eq!(number(good).map(|n| n.to_string()).as_deref(), Some(good));
        }
        for bad in [
            "",
            "00",
            "07",
            "+1",
            "-1",
            "1 ",
            "1a",
            "\u{663}",
            "18446744073709551616",
            "99999999999999999999",
        ] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_byte_is_found_where_it_is(text in "[ !a\u{1f}\u{a0}\u{e4}]{0,40}|[a!]{0,40} [ !]{0,9}") {
            prop_assert_eq!(find(b' ', &text), text.find(' '));
        }

        #[test]
        fn what_is_written_is_read(
            actor in ".*", credential in ".*", objects in prop::collection::vec(".+", 0..3),
            approvals in prop::collection::vec(any::<Hash>(), 0..3), action_hash in any::<Option<Hash>>(),
            seq in 0..u64::MAX, utc_ms: u64, prev: Hash, key in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let entry = Entry { actor, credential, objects, approvals, action_hash, ..Entry::default() };
            let changes = [put(&key), Change::Delete { table: Table::Nodes, key: key.clone() }];
            let read = Record::parse(&line(seq, utc_ms, &prev, &entry, &changes)).unwrap();
            let expected: Vec<_> = changes
                .iter()
                .map(|change| (change.place().0.name().to_owned(), key.clone(), change.image(seq)))
                .collect();
            prop_assert_eq!(read, Record { seq, utc_ms, prev, entry, changes: expected });
        }

        #[test]
        fn nothing_a_file_holds_makes_it_panic(line in ".*") {
            let _ = Record::parse(&line);
        }
    }
}
