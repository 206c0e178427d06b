//! The message of M6 and M8: flags, key, initial value and data, and the MAC over it.

use super::data_keys::{self, MAC_CBC, MAC_CMAC, MAC_RETAIL, Types};
use super::keys::{KeyRule, Use};
use crate::wire::{BlockText, Data, DataFormat, LengthUnit, Step, Untagged, Wire};
use crate::{Code, Cx};
use cardcrypto::mac::{Algorithm, Padding, Part, mac, same};
use hsm::{Key, KeyToken};
use paytypes::MacValue;

/// Everything of a MAC command but the MAC.
#[derive(Debug, Default)]
pub struct MacMessage {
    /// `0` whole message, `1` its beginning, `2` more of it, `3` its end.
    pub mode: [u8; 1],
    /// Input format: `0` binary, `1` hexadecimal, `2` text.
    pub format: [u8; 1],
    /// `0` for a MAC of 4 bytes, `1` for 8.
    pub size: [u8; 1],
    /// `1` ISO 9797-1 algorithm 1, `3` algorithm 3, `5` CBC-MAC, `6` CMAC.
    pub algorithm: [u8; 1],
    /// ISO 9797-1 padding method; `0` is none.
    pub padding: [u8; 1],
    /// Key type.
    pub key_type: [u8; 3],
    /// MAC key.
    pub key: KeyToken,
    /// Chaining value of the part before this one, modes 2 and 3.
    pub iv: BlockText,
    /// This part.
    pub data: Data,
}

impl MacMessage {
    /// Walks all fields. Refusals in field order: 02 mode, 03 format, 04 size or algorithm, 09 padding, 05
    /// key type, 80 data shorter than announced, 06 half a byte.
    pub fn walk<W: Wire>(&mut self, wire: &mut W, types: Types) -> Step {
        wire.choice("mode", &mut self.mode, &[b"0", b"1", b"2", b"3"], Code::ALGORITHM_LENGTH)?;
        wire.choice("input format", &mut self.format, &[b"0", b"1", b"2"], Code::COUNT)?;
        wire.choice("MAC size", &mut self.size, &[b"0", b"1"], Code::KEY_TYPE_CODE)?;
        wire.choice("MAC algorithm", &mut self.algorithm, &[b"1", b"3", b"5", b"6"], Code::KEY_TYPE_CODE)?;
        let paddings = self.paddings();
        wire.choice("padding method", &mut self.padding, paddings, Code::PADDING_METHOD)?;
        data_keys::walk_type(wire, types, &mut self.key_type)?;
        wire.key("MAC key", Untagged::Single, &mut self.key)?;
        if self.continues() {
            self.iv.walk(wire, "IV", crate::wire::block_digits(&self.key))?;
        }
        let format = DataFormat::from_code(self.format[0]).ok_or(Code::COUNT)?;
        self.data.walk(wire, format, LengthUnit::Characters)
    }

    // CMAC pads by itself. Method 3 begins with the length of the whole message, so a part cannot have it.
    const fn paddings(&self) -> &'static [&'static [u8; 1]] {
        match (self.algorithm, self.mode) {
            ([b'6'], _) => &[b"0", b"1"],
            (_, [b'0']) => &[b"0", b"1", b"2", b"3"],
            _ => &[b"0", b"1", b"2"],
        }
    }

    /// True when a part came before this one.
    pub const fn continues(&self) -> bool {
        matches!(self.mode, [b'2' | b'3'])
    }

    /// True when this part ends the message: there is a MAC then, and a chaining value otherwise.
    pub const fn ends(&self) -> bool {
        matches!(self.mode, [b'0' | b'3'])
    }

    /// Bytes of the MAC that travel.
    pub const fn mac_length(&self) -> usize {
        if matches!(self.size, [b'1']) { 8 } else { 4 }
    }

    const fn rule(&self) -> &'static KeyRule {
        match self.algorithm {
            [b'3'] => &MAC_RETAIL,
            [b'6'] => &MAC_CMAC,
            _ => &MAC_CBC,
        }
    }

    /// Opens the key: its usage must fit the algorithm.
    pub async fn open(&self, cx: &Cx, how: Use) -> Result<Key, Code> {
        data_keys::open(cx, self.key_type, &self.key, self.rule(), how).await
    }

    /// The MAC when this part ends the message, else the chaining value: one whole block.
    pub async fn compute(&self, cx: &Cx, key: &Key) -> Result<MacValue, Code> {
        let algorithm = Algorithm::from_code(self.algorithm[0]).ok_or(Code::KEY_TYPE_CODE)?;
        let padding = Padding::from_code(self.padding[0]).ok_or(Code::PADDING_METHOD)?;
        let iv = self.iv.to_bytes()?;
        let part = match self.mode {
            [b'0'] => Part::Only,
            [b'1'] => Part::First,
            [b'2'] => Part::Middle(&iv),
            _ => Part::Last(&iv),
        };
        let data = self.data.as_bytes();
        // Zeros after whole blocks: none. An empty end would get a block of them, and another MAC than the
        // same message in one piece.
        if self.mode == *b"3" && self.padding == *b"1" && data.is_empty() {
            return Err(Code::DATA_LENGTH);
        }
        Ok(mac(&cx.hsm, key, algorithm, padding, part, data).await?)
    }

    /// Compares with the MAC that the host sent, in constant time.
    pub async fn verify(&self, cx: &Cx, key: &Key, sent: &BlockText) -> Result<bool, Code> {
        let own = self.compute(cx, key).await?;
        Ok(same(own.as_bytes(), &sent.to_bytes()?)?)
    }
}
