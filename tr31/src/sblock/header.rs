//! The text of an `S` block, parsed without a key.

use crate::blocks::OptionalBlocks;
use crate::content::fits;
use crate::error::{ErrorKind, KeyBlockError, field};
use crate::front::{self, Front};
use crate::header::Attributes;
use crate::scheme::{self, Scheme};
use core::fmt;
use paytypes::CipherKind;

/// Version of an `S` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SVersion {
    /// `0`: under a 3DES key; 4-byte MAC.
    Tdes,
    /// `1`: under an AES key; 8-byte MAC.
    Aes,
}

impl SVersion {
    /// From the first character.
    pub const fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'0' => Some(Self::Tdes),
            b'1' => Some(Self::Aes),
            _ => None,
        }
    }

    /// The first character.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Tdes => b'0',
            Self::Aes => b'1',
        }
    }

    /// Cipher of the protecting key.
    pub const fn kind(self) -> CipherKind {
        self.scheme().kind
    }

    pub(crate) const fn scheme(self) -> &'static Scheme {
        match self {
            Self::Tdes => &scheme::VARIANT,
            Self::Aes => &scheme::AES_OUTER,
        }
    }
}

/// Id of the LMK that protects a block: `00` to `99`, or `FF` for a block under a ZMK.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LmkId(pub [u8; 2]);

impl LmkId {
    /// The id of a block wrapped for exchange.
    pub const EXCHANGE: Self = Self(*b"FF");

    /// From a number below 100; larger ones are not written anywhere and give `None`.
    pub fn new(index: u8) -> Option<Self> {
        let (tens, units) = (index.checked_div(10)?, index % 10);
        (tens < 10).then_some(Self([tens | b'0', units | b'0']))
    }

    /// The number; `None` for `FF`.
    pub fn index(self) -> Option<u8> {
        self.0.iter().try_fold(0u8, |value, c| {
            c.is_ascii_digit().then(|| value.checked_mul(10)?.checked_add(c & 0x0F)).flatten()
        })
    }
}

impl fmt::Debug for LmkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.0).unwrap_or("??"))
    }
}

/// Header of an `S` block. Its length field is worked out when a block is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SHeader<'a> {
    /// Version.
    pub version: SVersion,
    /// Attributes of the key.
    pub attributes: Attributes,
    /// LMK that protects the block.
    pub lmk: LmkId,
    /// Optional blocks.
    pub blocks: OptionalBlocks<'a>,
}

impl SHeader<'_> {
    /// A header without optional blocks.
    pub const fn new(version: SVersion, attributes: Attributes, lmk: LmkId) -> Self {
        Self { version, attributes, lmk, blocks: OptionalBlocks::none() }
    }

    /// The same header, independent of the parsed text.
    pub fn into_owned(self) -> SHeader<'static> {
        SHeader {
            version: self.version,
            attributes: self.attributes,
            lmk: self.lmk,
            blocks: self.blocks.into_owned(),
        }
    }

    /// Judges the form of the optional blocks that only these headers have: `00` status (E L P R T), `03` and `04`
    /// start and end of validity (`YYYY:MM:DD:HH`, months from 01 to 12, days from 01 to 31, hours from 00 to 23).
    /// [`field::STATUS`], [`field::START`] and [`field::END`] say which. What they mean for the use of the key is
    /// for whoever has a clock.
    pub fn check_blocks(&self) -> Result<(), KeyBlockError> {
        if self.blocks.is_empty() {
            return Ok(());
        }
        for block in self.blocks.iter() {
            let (name, good) = match &block.id.0 {
                b"00" => (field::STATUS, matches!(block.data, [b'E' | b'L' | b'P' | b'R' | b'T'])),
                b"03" => (field::START, is_date(block.data)),
                b"04" => (field::END, is_date(block.data)),
                _ => continue,
            };
            if !good {
                let at = block.offset.saturating_add(front::FIXED);
                return Err(KeyBlockError::new(ErrorKind::OptData, name, at));
            }
        }
        Ok(())
    }
}

fn is_date(data: &[u8]) -> bool {
    let within = |at: usize, first: &[u8; 2], last: &[u8; 2]| {
        data.get(at..at.saturating_add(2)).is_some_and(|n| n >= first.as_slice() && n <= last.as_slice())
    };
    fits(b"9999:99:99:99", data)
        && within(5, b"01", b"12")
        && within(8, b"01", b"31")
        && within(11, b"00", b"23")
}

/// Length in characters that the start of a block (behind the tag) declares, to cut it out of a command.
/// `None` when the text does not begin with a version and four digits.
pub fn declared_length(text: &[u8]) -> Option<usize> {
    SVersion::from_letter(*text.first()?)?;
    front::declared(text)
}

/// Lengths in characters of the parts of a block's text, in their order. The header is whole cipher blocks, key
/// data whole cipher blocks in hex, the MAC the first bytes of one in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Header with its optional blocks, whose first cipher block is the initial value of the key data.
    pub header: usize,
    /// Encrypted key data; MAC of header and this as they stand here, encrypted.
    pub payload: usize,
    /// MAC.
    pub mac: usize,
}

/// A parsed block. Nothing is proved yet.
pub struct SBlock<'a> {
    pub(super) header: SHeader<'a>,
    pub(super) text: &'a [u8],
    pub(super) header_length: usize,
}

impl<'a> SBlock<'a> {
    /// Reads the whole text behind the tag; nothing may be left over. Unlike a block for exchange, algorithm,
    /// mode and exportability must be known letters, and hex must be upper case. Does not allocate.
    ///
    /// What the caller makes of an error depends on its kind and field: header fields by
    /// [`KeyBlockError::field`], everything else by [`KeyBlockError::kind`]. Whether the LMK id is the right
    /// one is the caller's to decide.
    pub fn parse(text: &'a [u8]) -> Result<Self, KeyBlockError> {
        let letter = front::version_letter(text)?;
        let version =
            SVersion::from_letter(letter).ok_or(KeyBlockError::new(ErrorKind::Version, field::VERSION, 0))?;
        let front = Front::parse(text, version.scheme())?;
        let lmk = LmkId(front.tail);
        check_codes(&front.attributes, lmk)?;
        if !front.upper
            && let Some(at) = front::lower_case(front.payload, front.mac)
        {
            let at = front.header.saturating_add(at);
            return Err(KeyBlockError::new(ErrorKind::PayloadEncoding, field::PAYLOAD, at));
        }
        let header = SHeader { version, attributes: front.attributes, lmk, blocks: front.blocks };
        Ok(Self { header, text, header_length: front.header })
    }

    /// The header.
    pub const fn header(&self) -> &SHeader<'a> {
        &self.header
    }

    /// The text that was parsed.
    pub const fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Where its parts stand, for whoever proves and decrypts many blocks side by side.
    pub fn cut(&self) -> Cut {
        let mac = self.header.version.scheme().mac_length.saturating_mul(2);
        let payload = self.text.len().saturating_sub(self.header_length).saturating_sub(mac);
        Cut { header: self.header_length, payload, mac }
    }
}

impl fmt::Debug for SBlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SBlock({:?}, {} characters)", self.header, self.text.len())
    }
}

fn check_codes(attributes: &Attributes, lmk: LmkId) -> Result<(), KeyBlockError> {
    let (name, at) = if !attributes.algorithm.is_known() {
        (field::ALGORITHM, 7)
    } else if !attributes.mode.is_known() {
        (field::MODE, 8)
    } else if !attributes.exportability.is_known() {
        (field::EXPORTABILITY, 11)
    } else if lmk != LmkId::EXCHANGE && lmk.index().is_none() {
        (field::LMK, 14)
    } else {
        return Ok(());
    };
    Err(KeyBlockError::new(ErrorKind::HeaderField, name, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &[u8] = b"00072B0TN00E000256A37F894FD49E61DD3FA27FDE8919D07F7AA966F8BF39AB31D00034";

    fn changed(at: usize, to: u8) -> Result<(), (ErrorKind, &'static str)> {
        let mut text = BLOCK.to_vec();
        text[at] = to;
        SBlock::parse(&text).map(drop).map_err(|e| (e.kind, e.field))
    }

    #[test]
    fn each_field_has_its_error() {
        let header = |field| Err((ErrorKind::HeaderField, field));
        assert_eq!(changed(0, b'2'), Err((ErrorKind::Version, field::VERSION)));
        assert_eq!(changed(4, b'3'), Err((ErrorKind::LengthField, field::LENGTH)));
        assert_eq!(changed(5, b'*'), header(field::USAGE));
        assert_eq!(changed(7, b'Q'), header(field::ALGORITHM));
        assert_eq!(changed(8, b'Q'), header(field::MODE));
        assert_eq!(changed(9, b'*'), header(field::KEY_VERSION));
        assert_eq!(changed(11, b'Q'), header(field::EXPORTABILITY));
        assert_eq!(changed(12, b'X'), Err((ErrorKind::OptCount, field::OPT_COUNT)));
        assert_eq!(changed(14, b'F'), header(field::LMK));
        assert_eq!(changed(20, b'a'), Err((ErrorKind::PayloadEncoding, field::PAYLOAD)));
        assert_eq!(changed(20, b'7'), Ok(()));
        assert_eq!(declared_length(BLOCK), Some(72));
        assert_eq!(declared_length(b"D0112"), None);
    }

    #[test]
    fn lmk_ids() {
        assert_eq!(LmkId::new(19).unwrap().0, *b"19");
        assert_eq!(LmkId::new(2).unwrap().index(), Some(2));
        assert_eq!(LmkId::new(100), None);
        assert_eq!(LmkId::EXCHANGE.index(), None);
    }

    #[test]
    fn own_optional_blocks() {
        let attributes = SBlock::parse(BLOCK).unwrap().header().clone();
        let check = |id: &[u8; 2], data: &[u8]| {
            let mut header = attributes.clone();
            header.blocks.push(crate::BlockId(*id), data).unwrap();
            header.check_blocks().map_err(|e| (e.kind, e.field, e.offset))
        };
        assert_eq!(check(b"00", b"L"), Ok(()));
        assert_eq!(check(b"03", b"2026:01:31:23"), Ok(()));
        assert_eq!(check(b"05", b"some text"), Ok(()));
        let bad = |field| Err((ErrorKind::OptData, field, 16));
        for status in [b"X".as_slice(), b"l", b"LL", b""] {
            assert_eq!(check(b"00", status), bad(field::STATUS));
        }
        for date in ["2026-01-31-23", "2026:13:01:00", "2026:00:01:00", "2026:01:32:00", "2026:01:00:00"] {
            assert_eq!(check(b"03", date.as_bytes()), bad(field::START), "{date}");
        }
        for date in ["2026:01:31:24", "2026:01:31", "26:01:31:23", "2026:01:31:2x", ""] {
            assert_eq!(check(b"04", date.as_bytes()), bad(field::END), "{date}");
        }
    }
}
