//! Data fields of the MAC and data commands: a length of four hexadecimal digits, then data in one of three
//! formats; and hexadecimal values of a cipher block, such as initial values and MACs.

use super::{Alphabet, Number, Show, Step, Wire};
use crate::Code;
use core::fmt;
use paytypes::hex;
use smallvec::SmallVec;
use zeroize::Zeroizing;

/// How data stands on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataFormat {
    /// `0`: as it is.
    #[default]
    Binary,
    /// `1`: two hexadecimal digits for a byte.
    Hex,
    /// `2`: text, which an EBCDIC port converts.
    Text,
}

impl DataFormat {
    /// From its digit.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            b'0' => Some(Self::Binary),
            b'1' => Some(Self::Hex),
            b'2' => Some(Self::Text),
            _ => None,
        }
    }

    const fn alphabet(self) -> Alphabet {
        match self {
            Self::Binary => Alphabet::Binary,
            Self::Hex => Alphabet::Hex,
            Self::Text => Alphabet::Characters,
        }
    }

    /// Characters that `length` bytes take on the wire.
    pub const fn characters(self, length: usize) -> usize {
        match self {
            Self::Hex => length.saturating_mul(2),
            Self::Binary | Self::Text => length,
        }
    }
}

/// What the length field counts when the data is hexadecimal (host-commands.md section 10, decision 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthUnit {
    /// Characters.
    Characters,
    /// Characters, or bytes when exactly twice as many hexadecimal digits follow: clients send both.
    Either,
}

/// Data of a message in binary, whatever it was on the wire. Wiped when dropped; Debug shows its length.
#[derive(Default)]
pub struct Data(Zeroizing<Vec<u8>>);

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} bytes)", self.0.len())
    }
}

impl Data {
    /// From bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be ciphered in place.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Walks length and data. Less data than announced answers 80, an odd number of hexadecimal digits 06.
    pub fn walk<W: Wire>(&mut self, wire: &mut W, format: DataFormat, unit: LengthUnit) -> Step {
        let written = format.characters(self.0.len());
        let mut length = Number::<4>(u32::try_from(written).map_err(|_| Code::DATA_LENGTH)?);
        wire.hex_number("data length", &mut length)?;
        if !wire.reading() {
            return self.write(wire, format);
        }
        let length = on_the_wire(wire.ahead(), length.size(), format, unit);
        if wire.ahead().len() < length {
            return Err(Code::DATA_LENGTH);
        }
        let mut text = Zeroizing::new(Vec::with_capacity(length));
        wire.sized("data", format.alphabet(), Show::Length, length, &mut text)?;
        if format != DataFormat::Hex {
            self.0 = text;
            return Ok(());
        }
        if text.len() & 1 != 0 {
            return Err(Code::PADDING);
        }
        self.0 = Zeroizing::new(hex::decode_vec(&text).map_err(|_| Code::INPUT)?);
        Ok(())
    }

    fn write<W: Wire>(&mut self, wire: &mut W, format: DataFormat) -> Step {
        if format != DataFormat::Hex {
            return wire.sized("data", format.alphabet(), Show::Length, 0, &mut self.0);
        }
        let mut text = Zeroizing::new(Vec::with_capacity(format.characters(self.0.len())));
        hex::encode_into(&self.0, &mut text);
        wire.sized("data", Alphabet::Hex, Show::Length, 0, &mut text)
    }
}

fn on_the_wire(ahead: &[u8], announced: usize, format: DataFormat, unit: LengthUnit) -> usize {
    let doubled = announced.saturating_mul(2);
    // One digit more decides, so that a long frame is not searched to its end.
    let digits =
        || ahead.iter().take(doubled.saturating_add(1)).take_while(|c| c.is_ascii_hexdigit()).count();
    let bytes = format == DataFormat::Hex && unit == LengthUnit::Either && digits() == doubled;
    if bytes { doubled } else { announced }
}

/// Hexadecimal text of at most one AES block: an initial value, or a whole or shortened MAC. Debug shows its
/// length.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BlockText(SmallVec<[u8; 32]>);

impl fmt::Debug for BlockText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockText({} digits)", self.0.len())
    }
}

impl BlockText {
    /// From bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.iter().flat_map(|b| [hex::letter(b >> 4), hex::letter(*b)]).collect())
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Result<SmallVec<[u8; 16]>, Code> {
        let mut bytes = SmallVec::from_elem(0, self.0.len() >> 1);
        hex::decode_into(&self.0, &mut bytes).map_err(|_| Code::INPUT)?;
        Ok(bytes)
    }

    /// True when the field is not there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Walks a field of `digits` digits.
    pub fn walk<W: Wire>(&mut self, wire: &mut W, name: &'static str, digits: usize) -> Step {
        if wire.reading() {
            self.0 = SmallVec::from_elem(b'0', digits.min(32));
        }
        wire.fixed(name, Alphabet::Hex, Show::Length, &mut self.0)
    }

    /// Walks the last field of a reply: as many digits as there are, or none.
    pub fn walk_rest<W: Wire>(&mut self, wire: &mut W, name: &'static str) -> Step {
        let digits = wire.ahead().iter().take_while(|c| c.is_ascii_hexdigit()).count();
        self.walk(wire, name, digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::wire::{Reader, Writer};

    fn read(frame: &[u8], format: DataFormat, unit: LengthUnit) -> Result<Vec<u8>, Code> {
        let mut reader = Reader::new(frame, frame, 0, &Settings::STRICT);
        let mut data = Data::default();
        data.walk(&mut reader, format, unit)?;
        reader.finish()?;
        Ok(data.as_bytes().to_vec())
    }

    #[test]
    fn hexadecimal_length_counts_characters_or_bytes() {
        let hex = |frame, unit| read(frame, DataFormat::Hex, unit);
        assert_eq!(hex(b"0004ABcd", LengthUnit::Characters), Ok(vec![0xAB, 0xCD]));
        assert_eq!(hex(b"0004ABcd%01", LengthUnit::Either), Ok(vec![0xAB, 0xCD]));
        assert_eq!(hex(b"0002ABCD%01", LengthUnit::Either), Ok(vec![0xAB, 0xCD]));
        assert_eq!(hex(b"0002ABCD\x19AB", LengthUnit::Either), Ok(vec![0xAB, 0xCD]));
        assert_eq!(hex(b"0002ABCD", LengthUnit::Characters), Err(Code::INPUT));
        assert_eq!(hex(b"0002ABCDE", LengthUnit::Either), Err(Code::INPUT));
        assert_eq!(hex(b"0003ABC", LengthUnit::Either), Err(Code::PADDING));
        assert_eq!(hex(b"0004ABC", LengthUnit::Either), Err(Code::DATA_LENGTH));
        assert_eq!(hex(b"0004ABCG", LengthUnit::Either), Err(Code::INPUT));
    }

    #[test]
    fn binary_data_may_look_like_anything() {
        let binary = |frame| read(frame, DataFormat::Binary, LengthUnit::Either);
        assert_eq!(binary(b"0003\x19%0"), Ok(b"\x19%0".to_vec()));
        assert_eq!(binary(b"0002AABB"), Err(Code::INPUT));
        assert_eq!(read(b"0003\r\nx", DataFormat::Text, LengthUnit::Characters), Ok(b"\r\nx".to_vec()));
    }

    #[test]
    fn written_data_reads_back() {
        for format in [DataFormat::Binary, DataFormat::Hex, DataFormat::Text] {
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out, &Settings::STRICT, false, None);
            Data::new(b"some data".to_vec()).walk(&mut writer, format, LengthUnit::Either).unwrap();
            assert_eq!(read(&out, format, LengthUnit::Either), Ok(b"some data".to_vec()));
        }
    }

    #[test]
    fn block_text_round_trips() {
        let text = BlockText::new(&[0xA5; 16]);
        assert_eq!(text.to_bytes().unwrap().as_slice(), &[0xA5; 16]);
        assert_eq!(format!("{text:?}"), "BlockText(32 digits)");
        assert!(BlockText::default().is_empty());
    }
}
