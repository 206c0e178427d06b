//! Small fields of the commands that make keys and carry them across a border.

use super::{Alphabet, Show, Step, Wire};
use crate::Code;
use core::fmt;
use tr31::Kcv;

/// `;` and a digit in front of the exchange key: `0` a ZMK follows, `1` a TMK. Units that know ZMKs only
/// are called without the pair, so it may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MasterFlag {
    /// The pair is there.
    pub present: bool,
    /// The digit.
    pub flag: [u8; 1],
}

impl MasterFlag {
    /// Walks the pair when it is there.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.mark("delimiter", b';', &mut self.present)?;
        if self.present { wire.digits("ZMK/TMK flag", &mut self.flag) } else { Ok(()) }
    }
}

/// One or two digits behind a key or scheme: the variant of the ZMK in the manner of another vendor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtallaVariant {
    digits: [u8; 2],
    length: u8,
}

impl AtallaVariant {
    /// Walks the digits when they are there.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        if wire.reading() {
            let run = wire.ahead().iter().take(2).take_while(|c| c.is_ascii_digit()).count();
            self.length = u8::try_from(run).unwrap_or_default();
        }
        let digits = self.digits.get_mut(..usize::from(self.length)).unwrap_or_default();
        wire.fixed("Atalla variant", Alphabet::Digits, Show::All, digits)
    }

    /// Variant 0 is the plain ZMK. The others are not made here: no open source shows their bytes.
    pub fn refuse(self) -> Result<(), Code> {
        let digits = self.digits.get(..usize::from(self.length)).unwrap_or_default();
        if digits.iter().all(|c| *c == b'0') { Ok(()) } else { Err(Code::NOT_PERMITTED) }
    }
}

/// `!` and the version letter of the TR-31 block to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockVersion {
    /// The group is there.
    pub present: bool,
    /// The letter.
    pub letter: [u8; 1],
}

impl BlockVersion {
    /// Walks the group when it is there.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.mark("key block version", b'!', &mut self.present)?;
        if self.present { wire.text("version", &mut self.letter) } else { Ok(()) }
    }
}

/// A check value at the end of a reply: 6 or 16 hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckValue {
    text: [u8; 16],
    length: u8,
}

impl CheckValue {
    /// The usual six digits.
    pub fn six(value: &Kcv) -> Self {
        Self { text: value.hex16(), length: 6 }
    }

    /// All sixteen: whoever makes one has asked for the authorised state.
    pub fn sixteen(value: &Kcv) -> Self {
        Self { text: value.hex16(), length: 16 }
    }

    /// The digits.
    pub fn digits(&self) -> &[u8] {
        self.text.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Walks it; a reader finds six digits unless sixteen are there.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        if wire.reading() {
            let run = wire.ahead().iter().take(16).take_while(|c| c.is_ascii_hexdigit()).count();
            self.length = if run == 16 { 16 } else { 6 };
        }
        let text = self.text.get_mut(..usize::from(self.length)).unwrap_or_default();
        wire.fixed("check value", Alphabet::Hex, Show::All, text)
    }
}

impl fmt::Debug for CheckValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(self.digits()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::wire::Reader;

    #[test]
    fn fields_that_may_be_missing() {
        let settings = Settings::STRICT;
        let read = |text: &'static [u8]| Reader::new(text, text, 0, &settings);
        let atalla = |text| {
            let mut value = AtallaVariant::default();
            value.walk(&mut read(text)).map(|()| (value.length, value.refuse()))
        };
        assert_eq!(atalla(b"%00"), Ok((0, Ok(()))));
        assert_eq!(atalla(b"0;0U1"), Ok((1, Ok(()))));
        assert_eq!(atalla(b"12"), Ok((2, Err(Code::NOT_PERMITTED))));
        let check = |text| {
            let mut value = CheckValue::default();
            value.walk(&mut read(text)).map(|()| value.length)
        };
        assert_eq!(check(b"0123456789ABCDEF"), Ok(16));
        assert_eq!(check(b"012345\x19abcdefghij"), Ok(6));
        assert_eq!(check(b"01234"), Err(Code::INPUT));
        let mut flag = MasterFlag::default();
        assert_eq!(flag.walk(&mut read(b";x")), Err(Code::INPUT));
        let mut version = BlockVersion::default();
        assert_eq!(version.walk(&mut read(b"!")), Err(Code::INPUT));
    }
}
