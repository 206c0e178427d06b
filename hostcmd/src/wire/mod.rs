//! Fields of the wire language. A message describes its layout once, in [`Message::walk`]; a [`Reader`]
//! walks it to parse (and, with a trace, to decode for people), a [`Writer`] walks it to write. So a
//! parser and its writer cannot drift apart, and whatever knows one message knows both directions.

mod count;
mod data;
mod ebcdic;
mod exchange;
mod grammar;
mod groups;
mod reader;
mod value;
mod writer;

pub use count::Count;
pub use data::{BlockText, Data, DataFormat, LengthUnit};
pub use ebcdic::{from_ebcdic, to_ebcdic};
pub use exchange::{AtallaVariant, BlockVersion, CheckValue, MasterFlag};
pub use groups::{BlockGroup, ExportGroup, LegacyGroup, OptionalBlocks};
pub use reader::{Reader, Span};
pub use value::{Account, Number, PinBlockText, StoredPin, Text, block_digits, names_aes};
pub use writer::Writer;

use crate::{Code, Settings};
use hsm::{KeyToken, LmkId};

/// Result of walking a field: fine, or the code that the host gets.
pub type Step = Result<(), Code>;

/// A request or reply body.
pub trait Message: Default {
    /// Walks all fields in wire order. Fields that depend on others look at `self`, which a reader has
    /// filled that far and a writer finds complete.
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step;
}

impl Message for () {
    fn walk<W: Wire>(&mut self, _: &mut W) -> Step {
        Ok(())
    }
}

/// Alphabet of a fixed field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Decimal digits.
    Digits,
    /// Upper-case hexadecimal digits; lower case is taken as well and made upper.
    Hex,
    /// Printable characters.
    Printable,
    /// Any character, converted between character sets: data that the host calls text.
    Characters,
    /// Any byte; never converted between character sets.
    Binary,
}

/// How much of a field a trace shows to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// All.
    All,
    /// The first six and last four at most.
    Pan,
    /// Length only: cryptograms, PIN blocks, PINs, data.
    Length,
}

/// How many hexadecimal digits an untagged key has; the field decides (host-commands.md section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untagged {
    /// 16: a single-length key.
    Single,
    /// 32: a double-length key without a tag.
    Pair,
}

/// A walker over fields.
pub trait Wire {
    /// True for a reader.
    fn reading(&self) -> bool;

    /// The settings that decide lengths.
    fn settings(&self) -> &Settings;

    /// A field of fixed length: `value` is exactly its text (or its bytes, when binary).
    fn fixed(&mut self, name: &'static str, alphabet: Alphabet, show: Show, value: &mut [u8]) -> Step;

    /// A field of `length` characters or bytes that was announced by another field.
    fn sized(
        &mut self,
        name: &'static str,
        alphabet: Alphabet,
        show: Show,
        length: usize,
        value: &mut Vec<u8>,
    ) -> Step;

    /// A mark that may stand here: a reader takes it when it does, a writer writes it when `present`.
    fn mark(&mut self, name: &'static str, mark: u8, present: &mut bool) -> Step;

    /// Whether more fields of the body follow: a reader looks, a writer obeys.
    fn more(&mut self, present: &mut bool) -> Step;

    /// A key field.
    fn key(&mut self, name: &'static str, untagged: Untagged, value: &mut KeyToken) -> Step;

    /// Text of one or more characters up to a mark that is taken away, or up to the end of the body when
    /// the mark is missing.
    fn until(&mut self, name: &'static str, mark: u8, show: Show, value: &mut Text) -> Step;

    /// The LMK selector `%nn`, which may be missing. The framework walks it after the body; a layout whose
    /// option groups follow it walks it itself.
    fn lmk(&mut self) -> Step;

    /// The selector that was walked.
    fn selected(&self) -> Option<LmkId>;

    /// What follows in the frame, as text, without taking it; empty for a writer.
    fn ahead(&self) -> &[u8];

    /// As [`Wire::fixed`], of a length that the compiler knows.
    fn exact<const N: usize>(
        &mut self,
        name: &'static str,
        alphabet: Alphabet,
        show: Show,
        value: &mut [u8; N],
    ) -> Step {
        self.fixed(name, alphabet, show, value)
    }

    /// Eight bytes as 16 hexadecimal digits.
    fn hex_word(&mut self, name: &'static str, show: Show, value: &mut [u8; 8]) -> Step {
        let mut text = paytypes::hex::encode_word(*value);
        self.exact(name, Alphabet::Hex, show, &mut text)?;
        *value = paytypes::hex::decode_word(&text).ok_or(Code::INPUT)?;
        Ok(())
    }

    /// Fixed decimal text.
    fn digits<const N: usize>(&mut self, name: &'static str, value: &mut [u8; N]) -> Step {
        self.fixed(name, Alphabet::Digits, Show::All, value)
    }

    /// Fixed printable text.
    fn text<const N: usize>(&mut self, name: &'static str, value: &mut [u8; N]) -> Step {
        self.fixed(name, Alphabet::Printable, Show::All, value)
    }

    /// Fixed hexadecimal text.
    fn hex<const N: usize>(&mut self, name: &'static str, value: &mut [u8; N]) -> Step {
        self.fixed(name, Alphabet::Hex, Show::All, value)
    }

    /// A flag that takes one of a few values; any other answers `code`.
    fn choice<const N: usize>(
        &mut self,
        name: &'static str,
        value: &mut [u8; N],
        allowed: &[&[u8; N]],
        code: Code,
    ) -> Step {
        self.text(name, value)?;
        if allowed.iter().any(|a| *a == value) { Ok(()) } else { Err(code) }
    }

    /// A decimal number of a fixed number of digits.
    fn number<const N: usize>(&mut self, name: &'static str, value: &mut Number<N>) -> Step {
        let mut text = value.to_digits();
        self.digits(name, &mut text)?;
        *value = Number::from_digits(text);
        Ok(())
    }

    /// A number of a fixed number of hexadecimal digits (lengths).
    fn hex_number<const N: usize>(&mut self, name: &'static str, value: &mut Number<N>) -> Step {
        let mut text = value.to_hex();
        self.hex(name, &mut text)?;
        *value = Number::from_hex(text);
        Ok(())
    }

    /// The account field of a PIN command: 12 digits; 18 for format 04 (PLUS) and 35; for ISO format 4 a
    /// PAN of 12 to 19 digits ended by `;`, or 12 digits. Wrong characters answer 22.
    #[inline(always)]
    fn account(&mut self, name: &'static str, formats: &[[u8; 2]], value: &mut Account) -> Step
    where
        Self: Sized,
    {
        value::walk_account(self, name, formats, value)
    }

    /// A PIN block: 32 hexadecimal digits under an AES key, else 16.
    #[inline(always)]
    fn pin_block(&mut self, name: &'static str, key: &KeyToken, value: &mut PinBlockText) -> Step
    where
        Self: Sized,
    {
        value::walk_pin_block(self, name, key, value)
    }

    /// A PIN block in a reply, followed by a format of two digits: 32 hexadecimal digits when the format is
    /// ISO 4, else 16.
    #[inline(always)]
    fn reply_pin_block(&mut self, name: &'static str, value: &mut PinBlockText) -> Step
    where
        Self: Sized,
    {
        value::walk_reply_pin_block(self, name, value)
    }

    /// A PIN under the LMK.
    fn stored_pin(&mut self, name: &'static str, value: &mut StoredPin) -> Step
    where
        Self: Sized,
    {
        value::walk_stored_pin(self, name, value)
    }
}
