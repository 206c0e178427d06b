//! Optional blocks of a header: parsed without a key, kept as they were written, written again as they were.
//!
//! X9.143:2021 6.3.6: id (2 characters), length of the whole block (2 hex digits), data. Length 00 announces
//! an extended length: 04 (a count of characters) and 4 hex digits. All blocks together end at a cipher
//! block; a last block PB fills up.

use crate::block_id::BlockId;
use crate::error::{ErrorKind, KeyBlockError, field};
use crate::kcv::{Kcv, KcvMethod};
use paytypes::hex;
use std::borrow::Cow;

/// Most blocks that the two-digit count can say.
const COUNT_MAX: u8 = 99;
/// Longest block that the two-digit length can say.
const SHORT_MAX: usize = 255;

/// One optional block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionalBlock<'a> {
    /// Id.
    pub id: BlockId,
    /// Data, without id and length.
    pub data: &'a [u8],
    /// Offset of the block behind the 16 characters of the fixed header.
    pub offset: usize,
    /// True when the length is written in the extended form.
    pub extended: bool,
}

/// The optional blocks of a header as text; borrowed when parsed, owned when built.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OptionalBlocks<'a> {
    text: Cow<'a, [u8]>,
    count: u8,
}

impl<'a> OptionalBlocks<'a> {
    /// No blocks.
    pub const fn none() -> Self {
        Self { text: Cow::Borrowed(&[]), count: 0 }
    }

    /// Takes `count` blocks from the start of `text` (which goes on with key data). Offsets of errors start
    /// at 16. Refuses bad ids, lengths, duplicates, a PB that is not last and a total that is not a
    /// multiple of `alignment`. Does not allocate.
    pub fn parse(text: &'a [u8], count: u8, alignment: usize) -> Result<Self, KeyBlockError> {
        let mut at = 0;
        let mut padding_at = None;
        for number in 0..count {
            let (block, next) = block_at(text, at)?;
            let before = Blocks { text, at: 0, left: number };
            if before.into_iter().any(|earlier| earlier.id == block.id) {
                return Err(fault(ErrorKind::OptDuplicate, block.id, at));
            }
            if block.id == BlockId::PB {
                padding_at = Some((at, next));
            }
            at = next;
        }
        if let Some((start, end)) = padding_at
            && end != at
        {
            return Err(fault(ErrorKind::OptPadding, BlockId::PB, start));
        }
        if !at.is_multiple_of(alignment) {
            return Err(KeyBlockError::new(ErrorKind::OptPadding, field::OPT, at.saturating_add(16)));
        }
        Ok(Self { text: Cow::Borrowed(text.get(..at).unwrap_or_default()), count })
    }

    /// The blocks, as they are written.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Number of blocks, PB included.
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// True when there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The blocks in their order.
    pub fn iter(&self) -> impl Iterator<Item = OptionalBlock<'_>> {
        Blocks { text: &self.text, at: 0, left: self.count }
    }

    /// Data of the block `id`.
    pub fn get(&self, id: BlockId) -> Option<&[u8]> {
        self.iter().find(|block| block.id == id).map(|block| block.data)
    }

    /// The same blocks, independent of the parsed text.
    pub fn into_owned(self) -> OptionalBlocks<'static> {
        OptionalBlocks { text: Cow::Owned(self.text.into_owned()), count: self.count }
    }

    /// Appends a block; the extended length is used where the short one cannot say it. A PB at the end is
    /// taken away first: it is made new when the block is sealed. Refuses a duplicate, an id that is not
    /// alphanumeric, data that is not printable ASCII and what the header cannot hold.
    pub fn push(&mut self, id: BlockId, data: &[u8]) -> Result<(), KeyBlockError> {
        self.drop_padding();
        let at = self.text.len();
        if !id.0.iter().all(u8::is_ascii_alphanumeric) {
            return Err(fault(ErrorKind::OptId, id, at));
        }
        if self.get(id).is_some() {
            return Err(fault(ErrorKind::OptDuplicate, id, at));
        }
        if !data.iter().all(|c| matches!(c, b' '..=b'~')) {
            return Err(fault(ErrorKind::OptData, id, at).because("only printable ASCII is allowed"));
        }
        if self.count >= COUNT_MAX {
            return Err(fault(ErrorKind::OptCount, id, at).because("at most 99 optional blocks"));
        }
        let extended = data.len().saturating_add(4) > SHORT_MAX;
        let total = data.len().saturating_add(if extended { 10 } else { 4 });
        let Ok(total) = u16::try_from(total) else {
            return Err(fault(ErrorKind::OptLength, id, at).because("longer than a key block can be"));
        };
        let [high, low] = total.to_be_bytes();
        let text = self.text.to_mut();
        text.extend(id.0);
        if extended {
            text.extend(b"0004");
            hex::encode_into(&[high, low], text);
        } else {
            hex::encode_into(&[low], text);
        }
        text.extend(data);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// Appends `KC` or `KP` (or `PK`) with a check value: method 00 and 3 bytes, or 01 and 5 bytes of CMAC
    /// (X9.143:2021 table 15).
    pub fn push_check_value(
        &mut self,
        id: BlockId,
        method: KcvMethod,
        value: &Kcv,
    ) -> Result<(), KeyBlockError> {
        let mut data = Vec::with_capacity(12);
        data.extend(method.code());
        hex::encode_into(value.bytes(method.length()), &mut data);
        self.push(id, &data)
    }

    /// The same blocks ending at a multiple of `alignment`: kept as they are when they do, with PB made new
    /// when they do not.
    pub(crate) fn aligned(&self, alignment: usize) -> Result<Cow<'_, Self>, KeyBlockError> {
        if self.text.len().is_multiple_of(alignment) {
            return Ok(Cow::Borrowed(self));
        }
        let mut blocks = self.clone();
        blocks.drop_padding();
        let with_empty = blocks.text.len().saturating_add(4);
        if !blocks.text.len().is_multiple_of(alignment) {
            let end = with_empty.checked_next_multiple_of(alignment).unwrap_or(with_empty);
            let fill = [b'0'; 16];
            let fill = fill.get(..end.saturating_sub(with_empty)).unwrap_or_default();
            blocks.push(BlockId::PB, fill)?;
        }
        Ok(Cow::Owned(blocks))
    }

    /// The error of a block that is about to be appended and has not its form.
    pub(crate) fn malformed(&self, id: BlockId) -> KeyBlockError {
        fault(ErrorKind::OptData, id, self.text.len())
    }

    fn drop_padding(&mut self) {
        let padding = self.iter().find(|block| block.id == BlockId::PB).map(|block| block.offset);
        if let Some(start) = padding {
            self.text.to_mut().truncate(start);
            self.count = self.count.saturating_sub(1);
        }
    }
}

impl core::fmt::Debug for OptionalBlocks<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let text = |data| core::str::from_utf8(data).unwrap_or("?");
        f.debug_map().entries(self.iter().map(|block| (block.id, text(block.data)))).finish()
    }
}

fn fault(kind: ErrorKind, id: BlockId, at: usize) -> KeyBlockError {
    KeyBlockError::new(kind, id.name(), at.saturating_add(16))
}

// The block that starts at `at`, and where the next one starts.
fn block_at(text: &[u8], at: usize) -> Result<(OptionalBlock<'_>, usize), KeyBlockError> {
    let rest = text.get(at..).unwrap_or_default();
    let Some((id, rest)) = rest.split_first_chunk::<2>() else {
        return Err(KeyBlockError::new(ErrorKind::OptLength, field::OPT, at.saturating_add(16))
            .because("the text ends before the number of blocks is reached"));
    };
    let id = BlockId(*id);
    if !id.0.iter().all(u8::is_ascii_alphanumeric) {
        return Err(fault(ErrorKind::OptId, id, at));
    }
    let (length, head) = match number::<2>(rest) {
        Some(0) => extended_length(rest).map(|length| (length, 10)),
        Some(length) => Some((length, 4)),
        None => None,
    }
    .ok_or(fault(ErrorKind::OptLength, id, at))?;
    let next = at.saturating_add(length);
    let data = text.get(at.saturating_add(head)..next).ok_or_else(|| {
        fault(ErrorKind::OptLength, id, at).because("too small, or reaches beyond the end of the text")
    })?;
    Ok((OptionalBlock { id, data, offset: at, extended: head == 10 }, next))
}

fn extended_length(rest: &[u8]) -> Option<usize> {
    let (_, rest) = rest.split_at_checked(2)?;
    let (size, rest) = rest.split_at_checked(2)?;
    if size == b"04" { number::<4>(rest) } else { None }
}

fn number<const N: usize>(text: &[u8]) -> Option<usize> {
    text.first_chunk::<N>()?
        .iter()
        .try_fold(0usize, |value, c| Some((value << 4) | usize::from(hex::digit(*c)?)))
}

struct Blocks<'t> {
    text: &'t [u8],
    at: usize,
    left: u8,
}

impl<'t> Iterator for Blocks<'t> {
    type Item = OptionalBlock<'t>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (block, next) = block_at(self.text, self.at).ok()?;
        self.at = next;
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &[u8], count: u8) -> ErrorKind {
        OptionalBlocks::parse(text, count, 8).unwrap_err().kind
    }

    #[test]
    fn short_and_extended_lengths() {
        let mut blocks = OptionalBlocks::none();
        blocks.push(BlockId::KS, b"00604B120F9292800000").unwrap();
        blocks.push(BlockId::LB, &[b'x'; 251]).unwrap();
        blocks.push(BlockId::CT, &[b'y'; 252]).unwrap();
        let text = blocks.text().to_vec();
        assert!(text.starts_with(b"KS1800604B"));
        assert!(text.windows(5).any(|w| w == b"LBFFx"));
        assert!(text.windows(9).any(|w| w == b"CT0004010"[..9].as_ref()));
        let padded = blocks.aligned(16).unwrap().into_owned();
        let read = OptionalBlocks::parse(padded.text(), padded.count(), 16).unwrap();
        assert_eq!(read.get(BlockId::CT).unwrap().len(), 252);
        assert_eq!(read.iter().map(|b| b.id).last(), Some(BlockId::PB));
        assert!(read.iter().any(|b| b.extended));
    }

    #[test]
    fn each_refusal_has_its_kind() {
        assert_eq!(refused(b"K*08ABCD", 1), ErrorKind::OptId);
        assert_eq!(refused(b"KS0", 1), ErrorKind::OptLength);
        assert_eq!(refused(b"KSG8ABCD", 1), ErrorKind::OptLength);
        assert_eq!(refused(b"KS03ABCD", 1), ErrorKind::OptLength);
        assert_eq!(refused(b"KS09ABCD", 1), ErrorKind::OptLength);
        assert_eq!(refused(b"KS0002000CABCDEF", 1), ErrorKind::OptLength);
        assert_eq!(refused(b"KS00040009", 1), ErrorKind::OptLength);
        assert_eq!(refused(b"KS08ABCD", 2), ErrorKind::OptLength);
        assert_eq!(refused(b"KS08ABCDKS08ABCD", 2), ErrorKind::OptDuplicate);
        assert_eq!(refused(b"PB08ABCDKS08ABCD", 2), ErrorKind::OptPadding);
        assert_eq!(refused(b"KS07ABC0", 1), ErrorKind::OptPadding);
        assert_eq!(
            OptionalBlocks::parse(b"KS09ABCD", 1, 8).unwrap_err().to_string(),
            "E_TR31_OPT_LENGTH at byte 16 (KS): too small, or reaches beyond the end of the text"
        );
    }

    #[test]
    fn empty_and_superfluous_padding_is_kept() {
        for text in [&b"KP0C002AE1F3PB04"[..], b"KS08ABCDPB0800000PB", b"10080000PB080000"] {
            let count = 2;
            let read = OptionalBlocks::parse(text, count, 8).unwrap();
            assert_eq!(read.aligned(8).unwrap().text(), read.text());
        }
    }

    #[test]
    fn padding_is_made_new_when_blocks_change() {
        let mut blocks = OptionalBlocks::parse(b"KP0C002AE1F3PB04", 2, 16).unwrap();
        blocks.push(BlockId::LB, b"abc").unwrap();
        assert_eq!(blocks.count(), 2);
        assert_eq!(blocks.aligned(8).unwrap().text(), b"KP0C002AE1F3LB07abcPB050");
        assert_eq!(blocks.push(BlockId::LB, b"").unwrap_err().kind, ErrorKind::OptDuplicate);
        assert_eq!(blocks.push(BlockId(*b"--"), b"").unwrap_err().kind, ErrorKind::OptId);
        assert_eq!(blocks.push(BlockId::TS, b"\n").unwrap_err().kind, ErrorKind::OptData);
        assert_eq!(blocks.push(BlockId::TS, &[b'x'; 65530]).unwrap_err().kind, ErrorKind::OptLength);
    }

    #[test]
    fn at_most_99_blocks() {
        let mut blocks = OptionalBlocks::none();
        for n in 0..99u8 {
            blocks.push(BlockId([b'0' + n / 10, b'0' + n % 10]), b"").unwrap();
        }
        assert_eq!(blocks.push(BlockId::LB, b"").unwrap_err().kind, ErrorKind::OptCount);
    }
}
