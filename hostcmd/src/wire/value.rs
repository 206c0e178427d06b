//! Values of fields that have a shape of their own: numbers, account fields, PIN blocks, PINs under an LMK.

use super::{Alphabet, Show, Step, Wire};
use crate::Code;
use crate::settings::PinLength;
use core::fmt;
use hsm::{KeyToken, Scheme};
use pinblock::Format;
use smallvec::SmallVec;

/// A number of exactly `N` digits on the wire, at most nine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number<const N: usize>(pub u32);

impl<const N: usize> Number<N> {
    fn to_base(self, base: u32) -> [u8; N] {
        let mut out = [b'0'; N];
        let mut rest = self.0;
        for o in out.iter_mut().rev() {
            let digit = rest.checked_rem(base).unwrap_or_default();
            *o = paytypes::hex::letter(u8::try_from(digit).unwrap_or_default());
            rest = rest.checked_div(base).unwrap_or_default();
        }
        out
    }

    fn from_base(text: [u8; N], base: u32) -> Self {
        Self(text.iter().fold(0u32, |n, c| {
            let digit = u32::from(paytypes::hex::digit(*c).unwrap_or_default());
            n.wrapping_mul(base).wrapping_add(digit)
        }))
    }

    pub(super) fn to_digits(self) -> [u8; N] {
        self.to_base(10)
    }

    pub(super) fn from_digits(text: [u8; N]) -> Self {
        Self::from_base(text, 10)
    }

    pub(super) fn to_hex(self) -> [u8; N] {
        self.to_base(16)
    }

    pub(super) fn from_hex(text: [u8; N]) -> Self {
        Self::from_base(text, 16)
    }

    /// As a length or count.
    pub fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Short text of variable length, such as a PAN. Debug shows its length only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text(pub SmallVec<[u8; 32]>);

impl Text {
    /// From characters.
    pub fn new(text: &[u8]) -> Self {
        Self(SmallVec::from_slice(text))
    }

    /// The characters.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} characters)", self.0.len())
    }
}

/// The account field of a PIN command: ASCII digits, and whether `;` ends it on the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    digits: [u8; 19],
    len: u8,
    delimited: bool,
}

impl Account {
    /// A fixed field of 12 or 18 digits.
    pub fn fixed(digits: &[u8]) -> Self {
        Self::new(digits, false)
    }

    /// A whole PAN, ended by `;`.
    pub fn pan(digits: &[u8]) -> Self {
        Self::new(digits, true)
    }

    fn new(digits: &[u8], delimited: bool) -> Self {
        let len = u8::try_from(digits.len().min(19)).unwrap_or_default();
        Self { digits: paytypes::bytes::left(digits), len, delimited }
    }

    /// The digits, ASCII.
    pub fn digits(&self) -> &[u8] {
        self.digits.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The digits of a field of twelve.
    #[inline]
    pub fn twelve(&self) -> Option<&[u8; 12]> {
        self.digits.first_chunk().filter(|_| self.len == 12 && !self.delimited)
    }

    /// True when the field held a whole PAN, check digit included.
    pub const fn is_pan(&self) -> bool {
        self.delimited
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({} digits)", self.len)
    }
}

// Where an ISO format 4 block is involved the field may hold a whole PAN: 12 to 19 digits and `;`.
fn pan_length(ahead: &[u8]) -> Option<usize> {
    let run = ahead.iter().take_while(|c| c.is_ascii_digit()).count();
    (ahead.get(run) == Some(&b';') && (12..=19).contains(&run)).then_some(run)
}

#[inline(always)]
pub(super) fn walk_account<W: Wire>(
    wire: &mut W,
    name: &'static str,
    formats: &[[u8; 2]],
    value: &mut Account,
) -> Step {
    if wire.reading() {
        let wide = formats.iter().any(|f| matches!(f, b"04" | b"35"));
        (value.len, value.delimited) = (if wide { 18 } else { 12 }, false);
        if formats.contains(b"48")
            && let Some(length) = pan_length(wire.ahead())
        {
            (value.len, value.delimited) = (u8::try_from(length).unwrap_or_default(), true);
        }
    }
    if (value.len, value.delimited) == (12, false)
        && let Some(twelve) = value.digits.first_chunk_mut::<12>()
        && wire.exact(name, Alphabet::Digits, Show::Pan, twelve).is_ok()
    {
        return Ok(());
    }
    walk_any_account(wire, name, value)
}

#[inline(never)]
fn walk_any_account<W: Wire>(wire: &mut W, name: &'static str, value: &mut Account) -> Step {
    let enough = !wire.reading() || wire.ahead().len() >= usize::from(value.len);
    let delimited = value.delimited;
    let digits = value.digits.get_mut(..usize::from(value.len)).unwrap_or_default();
    wire.fixed(name, Alphabet::Digits, Show::Pan, digits)
        .map_err(|code| if enough && code == Code::INPUT { Code::ACCOUNT } else { code })?;
    let mut end = delimited;
    if delimited { wire.mark("end of PAN", b';', &mut end) } else { Ok(()) }
}

/// A PIN block under a key: 16 hexadecimal digits on the wire, or 32 under an AES key.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct PinBlockText {
    block: [u8; 16],
    wide: bool,
}

impl PinBlockText {
    /// From a cryptogram of 8 or 16 bytes.
    #[inline]
    pub fn from_block(block: &[u8]) -> Self {
        Self { block: paytypes::bytes::left(block), wide: block.len() > 8 }
    }

    /// Room for the cryptogram of a block of a format.
    #[inline]
    pub fn room_for(&mut self, format: Format) -> &mut [u8] {
        self.wide = format.block_length() > 8;
        let length = if self.wide { 16 } else { 8 };
        self.block.get_mut(..length).unwrap_or_default()
    }

    /// The cryptogram, 8 or 16 bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        let (short, _) = self.block.split_at(8);
        if self.wide { &self.block } else { short }
    }
}

impl fmt::Debug for PinBlockText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.wide { "PIN block (16 bytes)" } else { "PIN block (8 bytes)" })
    }
}

// Hexadecimal text on the wire, bytes in the value.
#[inline(always)]
fn walk_block<W: Wire>(wire: &mut W, name: &'static str, value: &mut PinBlockText) -> Step {
    match value.block.first_chunk_mut() {
        Some(short) if !value.wide => wire.hex_word(name, Show::Length, short),
        _ => walk_wide_block(wire, name, &mut value.block),
    }
}

#[inline(never)]
fn walk_wide_block<W: Wire>(wire: &mut W, name: &'static str, block: &mut [u8; 16]) -> Step {
    let mut text = [0; 32];
    let (words, _) = block.as_chunks::<8>();
    for (text, word) in text.as_chunks_mut::<16>().0.iter_mut().zip(words) {
        *text = paytypes::hex::encode_word(*word);
    }
    wire.exact(name, Alphabet::Hex, Show::Length, &mut text)?;
    paytypes::hex::decode_into(&text, block).map_err(|_| Code::INPUT)
}

/// True for a key token that holds an AES key, as its header tells before it is opened.
pub fn names_aes(token: &KeyToken) -> bool {
    matches!(token.scheme, Scheme::S | Scheme::R) && token.text().get(7) == Some(&b'A')
}

/// Hexadecimal digits of one block of the cipher of a key: 32 under an AES key, else 16.
pub fn block_digits(token: &KeyToken) -> usize {
    if names_aes(token) { 32 } else { 16 }
}

#[inline(always)]
pub(super) fn walk_pin_block<W: Wire>(
    wire: &mut W,
    name: &'static str,
    key: &KeyToken,
    value: &mut PinBlockText,
) -> Step {
    value.wide = names_aes(key);
    walk_block(wire, name, value)
}

// A reply does not name the key, but a wide block is the only one with more than 16 digits behind it.
#[inline(always)]
pub(super) fn walk_reply_pin_block<W: Wire>(
    wire: &mut W,
    name: &'static str,
    value: &mut PinBlockText,
) -> Step {
    if wire.reading() {
        value.wide = wire.ahead().iter().take(32).filter(|c| c.is_ascii_hexdigit()).count() == 32;
    }
    walk_block(wire, name, value)
}

/// Longest text of a PIN under an LMK: `J` and 32 hexadecimal digits.
const STORED_PIN_MAX: usize = 33;

/// A PIN under an LMK: decimal digits (variant and 3DES LMK), or `J` and 32 hexadecimal digits (AES LMK).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StoredPin {
    text: [u8; STORED_PIN_MAX],
    len: u8,
}

impl Default for StoredPin {
    fn default() -> Self {
        Self { text: [0; STORED_PIN_MAX], len: 0 }
    }
}

impl StoredPin {
    /// From its text.
    pub fn new(text: &[u8]) -> Self {
        let len = u8::try_from(text.len().min(STORED_PIN_MAX)).unwrap_or_default();
        Self { text: paytypes::bytes::left(text), len }
    }

    /// Its text.
    pub fn text(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Debug for StoredPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredPin({} characters)", self.len)
    }
}

// A stored PIN tells its own length: `J` has 32 digits behind it; the first decimal digit is the PIN's
// length less four, and with `PinLength::Own` nothing but the PIN follows it.
fn stored_length(first: Option<u8>, setting: PinLength) -> Result<usize, Code> {
    match (first, setting) {
        (Some(b'J'), _) => Ok(STORED_PIN_MAX),
        (Some(c @ b'0'..=b'8'), PinLength::Own) => Ok(usize::from(c & 0x0F).saturating_add(5)),
        (Some(b'0'..=b'9'), PinLength::Fixed(clear)) => Ok(usize::from(clear).saturating_add(1)),
        (Some(_), _) => Err(Code::PIN_UNDER_LMK),
        (None, _) => Err(Code::INPUT),
    }
}

pub(super) fn walk_stored_pin<W: Wire>(wire: &mut W, name: &'static str, value: &mut StoredPin) -> Step {
    if wire.reading() {
        let length = stored_length(wire.ahead().first().copied(), wire.settings().pin_length)?;
        value.len = u8::try_from(length).unwrap_or_default();
    }
    let wide = usize::from(value.len) == STORED_PIN_MAX;
    let text = value.text.get_mut(..usize::from(value.len)).unwrap_or_default();
    if !wide {
        return wire.fixed(name, Alphabet::Digits, Show::Length, text);
    }
    let (mark, hex) = text.split_at_mut_checked(1).unwrap_or_default();
    wire.fixed("PIN under AES LMK", Alphabet::Printable, Show::All, mark)?;
    wire.fixed(name, Alphabet::Hex, Show::Length, hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_width() {
        assert_eq!(Number::<3>(7).to_digits(), *b"007");
        assert_eq!(Number::<4>::from_hex(*b"001A"), Number(26));
        assert_eq!(Number::<4>(26).to_hex(), *b"001A");
    }

    #[test]
    fn pan_form_needs_the_delimiter() {
        assert_eq!(pan_length(b"4000001234562;"), Some(13));
        assert_eq!(pan_length(b"400000123456"), None);
        assert_eq!(pan_length(b"40000012345;"), None);
    }

    #[test]
    fn pin_block_text_round_trips() {
        let block = [0xA5; 16];
        assert_eq!(PinBlockText::from_block(&block).as_bytes(), block);
        assert_eq!(PinBlockText::from_block(&block[..8]).as_bytes(), [0xA5; 8]);
    }
}
