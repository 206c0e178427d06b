//! Forming, reading and reformatting of clear PIN blocks.

use crate::layout::{Carried, ISO_0, Layout};
use crate::{Account, ClearBlock, Format, PinBlockError};
use paytypes::{Pin, Random};

/// A block in its new format.
#[derive(Debug)]
pub struct Reformatted {
    /// The clear block.
    pub block: ClearBlock,
    /// Number of PIN positions, 4 to 12.
    pub pin_length: u8,
}

/// Forms the clear block of a PIN: 8 bytes, or the 16-byte PIN field of ISO 4, whose account enters when it
/// is enciphered. `random` fills formats 1, 3, 4 and the older ones with a pad (see [`crate::RANDOM_LENGTH`]).
///
/// Errors: [`PinBlockError::PinLength`] for a PIN that the format has no room for,
/// [`PinBlockError::PanLength`], [`PinBlockError::Format`].
pub fn encode(
    format: Format,
    pin: &Pin,
    account: &Account,
    random: &mut impl Random,
) -> Result<ClearBlock, PinBlockError> {
    let mut block = ClearBlock::room_for(format);
    let carried = Carried::of(pin);
    match format {
        Format::Iso0 => ISO_0.write(&carried, account, random, &mut block)?,
        _ => Layout::of(format)?.write(&carried, account, random, &mut block)?,
    }
    Ok(block)
}

/// Reads a clear block and judges all of it (ISO 9564-1): control field, then PIN length, PIN digits, and
/// every filler the format fixes. For verification; translation uses [`reformat`].
pub fn decode(format: Format, block: &ClearBlock, account: &Account) -> Result<Pin, PinBlockError> {
    match format {
        // As in `reformat_into`.
        Format::Iso0 => decode_as(&ISO_0, block, account),
        _ => decode_as(Layout::of(format)?, block, account),
    }
}

#[inline(always)]
fn decode_as(layout: &Layout, block: &ClearBlock, account: &Account) -> Result<Pin, PinBlockError> {
    let open = layout.opened(block, account)?;
    let carried = layout.read(*open)?;
    let pin = carried.pin()?;
    if layout.filler_holds(*open, pin.len()) { Ok(pin) } else { Err(PinBlockError::Filler) }
}

/// Reads a clear block in order to verify its PIN: `None` when all of it is right but for a PIN position
/// that holds no decimal digit, which the verifier must not tell from a wrong PIN.
///
/// What an attacker can shift by naming another account is p XOR a at the PIN positions and the filler. The
/// filler is therefore judged before the digits and whatever they are: its answer depends on the accounts
/// and the PIN length alone, never on a digit of the PIN.
///
/// A format whose length is where its first F stands has neither: which digits are F says how long the PIN is
/// and so which positions are filler. Whatever is wrong with such a block gives `None`.
pub fn decode_to_verify(
    format: Format,
    block: &ClearBlock,
    account: &Account,
) -> Result<Option<Pin>, PinBlockError> {
    let layout = Layout::of(format)?;
    let open = layout.opened(block, account)?;
    let carried = match layout.read(*open) {
        Err(_) if layout.length_tells_digits() => return Ok(None),
        read => read?,
    };
    let filled = layout.filler_holds(*open, usize::from(carried.len()));
    if !filled && !layout.length_tells_digits() {
        return Err(PinBlockError::Filler);
    }
    Ok(carried.pin().ok().filter(|_| filled))
}

/// Puts the PIN of a clear block into another format, for translation.
///
/// Control field and PIN length are judged, and where it is needed the filler, with the one error
/// [`PinBlockError::BlockContent`]. Digits travel unjudged, non-decimal ones too: an answer that depends on
/// them is an oracle for the PIN (Clulow's attack on X9.8; ISO 9564-1 and PCI PIN leave the judgement to the
/// verifier). `digit_check` adds it back, with the same error, for hosts that need the answers of old units.
///
/// The filler is what proves that the account named is the one the block was made for, so it must not be made
/// new for an account it was not proved for: that would move the PIN to that account.
///
/// | formats | filler |
/// |---|---|
/// | the same, of fixed filler (01, 04, 34, 35, 48) | travels as it came: with one account, the block is carried unchanged |
/// | from 01, 04, 34, 35, 48 or 47 to another; 47 to 47 | judged, then made new: what was no block of the account does not become one |
/// | from 05, 02 or 03 | made new: these bind no account, and it proves nothing |
///
/// Judging it tells nothing of the PIN: it lies where no PIN position is, the length that says so is judged and
/// answered anyway, and what is found there is filler XOR both accounts; the filler of 47 is random. The filler
/// of 47 proves less than that of 01, since account digits that differ in the last bit shift letters to letters:
/// such a block is one of both accounts before it is translated as well as after.
///
/// Whether the pair of formats is allowed at all is judged before, by [`crate::rules::translation`].
/// [`PinBlockError::PinLength`] means that the new format has no room for the PIN.
pub fn reformat(
    from: Format,
    to: Format,
    block: &ClearBlock,
    account_from: &Account,
    account_to: &Account,
    random: &mut impl Random,
    digit_check: bool,
) -> Result<Reformatted, PinBlockError> {
    let mut made = Reformatted { block: ClearBlock::room_for(to), pin_length: 0 };
    let (old, new) = ((from, account_from), (to, account_to));
    made.pin_length = reformat_into(old, new, block, random, digit_check, &mut made.block)?;
    Ok(made)
}

/// As [`reformat`], from a format and account to another, into a block that is there; gives the PIN length.
#[inline(always)]
pub fn reformat_into(
    (from, old): (Format, &Account),
    (to, new): (Format, &Account),
    block: &ClearBlock,
    random: &mut impl Random,
    digit_check: bool,
    made: &mut ClearBlock,
) -> Result<u8, PinBlockError> {
    // A copy for format 0, which is most of what hosts send, has its positions worked out by the compiler.
    if (from, to) == (Format::Iso0, Format::Iso0) {
        return carry(&ISO_0, (old, new), block, random, digit_check, made);
    }
    reformat_any((from, old), (to, new), block, random, digit_check, made)
}

#[inline(never)]
fn reformat_any(
    (from, old): (Format, &Account),
    (to, new): (Format, &Account),
    block: &ClearBlock,
    random: &mut impl Random,
    digit_check: bool,
    made: &mut ClearBlock,
) -> Result<u8, PinBlockError> {
    let layout = Layout::of(from)?;
    if from == to && layout.filler_is_fixed() {
        return carry(layout, (old, new), block, random, digit_check, made);
    }
    reformat_as((layout, old), (Layout::of(to)?, new), block, random, digit_check, made)
}

// Into the same format: everything but the account stays as it is.
#[inline(always)]
fn carry(
    layout: &Layout,
    (old, new): (&Account, &Account),
    block: &ClearBlock,
    random: &mut impl Random,
    digit_check: bool,
    made: &mut ClearBlock,
) -> Result<u8, PinBlockError> {
    let mut open = layout.opened(block, old)?;
    let carried = layout.read(*open).map_err(|_| PinBlockError::BlockContent)?;
    if digit_check && !carried.is_decimal() {
        return Err(PinBlockError::BlockContent);
    }
    layout.bind(&mut open, new, random, made)?;
    Ok(carried.len())
}

#[inline(always)]
fn reformat_as(
    (source, old): (&Layout, &Account),
    (target, new): (&Layout, &Account),
    block: &ClearBlock,
    random: &mut impl Random,
    digit_check: bool,
    made: &mut ClearBlock,
) -> Result<u8, PinBlockError> {
    let open = source.opened(block, old)?;
    let carried = source.read(*open).map_err(|_| PinBlockError::BlockContent)?;
    let bound = source.account_holds(*open, usize::from(carried.len()));
    if !bound || (digit_check && !carried.is_decimal()) {
        return Err(PinBlockError::BlockContent);
    }
    target.write(&carried, new, random, made)?;
    Ok(carried.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::{Drawn, Pan, hex};
    use proptest::prelude::*;

    assert_lacks!(Carried: Clone, PartialEq, core::fmt::Debug);

    const RANDOM: [u8; 16] = [0xA1, 0x2B, 0xC3, 0xD4, 5, 0xE6, 0x7F, 8, 0xBB, 0xAC, 0x9D, 0xCE, 1, 2, 3, 4];
    const READABLE: [Format; 13] = [
        Format::Iso0,
        Format::Iso1,
        Format::Iso2,
        Format::Iso3,
        Format::Iso4,
        Format::Plus,
        Format::Mastercard,
        Format::Docutel,
        Format::Visa2,
        Format::Eci3,
        Format::Diebold,
        Format::Visa3,
        Format::Eci2,
    ];

    fn account() -> Account {
        Account::from_pan(Pan::new(b"4321987654321098765").unwrap())
    }

    fn block(text: &str) -> ClearBlock {
        ClearBlock::new(&hex::decode_vec(text.as_bytes()).unwrap()).unwrap()
    }

    fn refusal(format: Format, text: &str) -> PinBlockError {
        decode(format, &block(text), &Account::NONE).unwrap_err()
    }

    #[test]
    fn format_35_is_format_2_over_the_account() {
        let account = Account::from_field(b"400000123456").unwrap();
        let pin = Pin::from_ascii(b"34567").unwrap();
        let made = encode(Format::Mastercard, &pin, &account, &mut Drawn::new(&RANDOM)).unwrap();
        assert_eq!(hex::encode(made.expose()), "2534167FFFEDCBA9");
    }

    #[test]
    fn strict_decoding_looks_at_every_position() {
        for i in 2..16 {
            let mut bytes = *b"241234FFFFFFFFFF";
            bytes[i] = b'E';
            let expected = if i < 6 { PinBlockError::PinDigit } else { PinBlockError::Filler };
            assert_eq!(refusal(Format::Iso2, core::str::from_utf8(&bytes).unwrap()), expected, "{i}");
        }
        assert_eq!(refusal(Format::Docutel, "4123401123456789"), PinBlockError::Filler);
        assert_eq!(refusal(Format::Docutel, "412340012345678A"), PinBlockError::Filler);
        assert_eq!(refusal(Format::Docutel, "7123456712345678"), PinBlockError::PinLength);
        assert_eq!(refusal(Format::Diebold, "1234FFFFFFFFFFFE"), PinBlockError::Filler);
        assert_eq!(refusal(Format::Diebold, "12A4FFFFFFFFFFFF"), PinBlockError::PinDigit);
        assert_eq!(refusal(Format::Diebold, "1234567890123FFF"), PinBlockError::PinLength);
        assert_eq!(refusal(Format::Diebold, "123FFFFFFFFFFFFF"), PinBlockError::PinLength);
        assert_eq!(refusal(Format::Iso4, "441234AAAAAAAAAB0000000000000000"), PinBlockError::Filler);
        assert_eq!(refusal(Format::Iso4, "341234AAAAAAAAAA0000000000000000"), PinBlockError::ControlField);
        assert_eq!(refusal(Format::Iso4, "241234FFFFFFFFFF"), PinBlockError::BlockLength);
    }

    #[test]
    fn verification_does_not_tell_a_bad_digit_and_judges_filler_first() {
        let read = |text: &str| decode_to_verify(Format::Iso2, &block(text), &Account::NONE);
        assert!(read("241234FFFFFFFFFF").unwrap().is_some());
        assert!(read("2412A4FFFFFFFFFF").unwrap().is_none());
        assert_eq!(read("2412A4FFFFFFFFF0").unwrap_err(), PinBlockError::Filler);
        assert_eq!(read("241234FFFFFFFFF0").unwrap_err(), PinBlockError::Filler);
        assert_eq!(read("2312A4FFFFFFFFFF").unwrap_err(), PinBlockError::PinLength);
        assert_eq!(read("341234FFFFFFFFFF").unwrap_err(), PinBlockError::ControlField);
    }

    #[test]
    fn lengths_of_iso_formats() {
        for format in [Format::Iso0, Format::Iso1, Format::Iso2, Format::Iso3, Format::Iso4] {
            for length in 0..16u8 {
                let pin = Pin::from_ascii(b"123456789012").unwrap();
                let mut block = encode(format, &pin, &account(), &mut Drawn::new(&RANDOM)).unwrap();
                // The account does not reach the first byte.
                block.expose_mut()[0] = (block.expose()[0] & 0xF0) | length;
                let result = decode(format, &block, &account());
                let in_range = (4..=12).contains(&length);
                assert_eq!(matches!(result, Err(PinBlockError::PinLength)), !in_range, "{format} {length}");
            }
        }
    }

    #[test]
    fn formats_without_a_layout_are_refused_not_guessed() {
        let pin = Pin::from_ascii(b"1234").unwrap();
        for format in [Format::As2805, Format::VisaNew, Format::VisaNewOld] {
            let made = encode(format, &pin, &account(), &mut Drawn::new(&RANDOM));
            assert_eq!(made.unwrap_err(), PinBlockError::Format);
            let read = decode(format, &block("241234FFFFFFFFFF"), &account());
            assert_eq!(read.unwrap_err(), PinBlockError::Format);
        }
    }

    fn moved(text: &str, to: Format, digit_check: bool) -> Result<Reformatted, PinBlockError> {
        let none = Account::NONE;
        let mut random = Drawn::new(&RANDOM);
        reformat(Format::Iso1, to, &block(text), &none, &account(), &mut random, digit_check)
    }

    #[test]
    fn translation_carries_a_non_decimal_digit_unless_asked_to_judge() {
        let made = moved("1412A4CCCCCCCCCC", Format::Iso2, false).unwrap();
        assert_eq!((hex::encode(made.block.expose()).as_str(), made.pin_length), ("2412A4FFFFFFFFFF", 4));
        let refused = moved("1412A4CCCCCCCCCC", Format::Iso2, true).unwrap_err();
        assert_eq!(refused, PinBlockError::BlockContent);
    }

    #[test]
    fn translation_has_one_error_for_control_field_and_length() {
        for text in ["041234CCCCCCCCCC", "131234CCCCCCCCCC", "1D1234CCCCCCCCCC", "F41234CCCCCCCCCC"] {
            assert_eq!(moved(text, Format::Iso3, false).unwrap_err(), PinBlockError::BlockContent);
        }
        assert_eq!(moved("1712345670000000", Format::Docutel, false).unwrap_err(), PinBlockError::PinLength);
    }

    #[test]
    fn a_block_that_keeps_its_format_keeps_its_filler() {
        let source = block("041234FFFFFFFFF0");
        let field = Account::from_field(b"000000000000").unwrap();
        let mut random = Drawn::new(&RANDOM);
        let made = reformat(Format::Iso0, Format::Iso0, &source, &field, &field, &mut random, true).unwrap();
        assert_eq!(hex::encode(made.block.expose()), "041234FFFFFFFFF0");
    }

    // Twelve digits that are not those of `account`, each in turn and all of them.
    fn other_accounts() -> Vec<Account> {
        let digits = |at: usize| {
            let mut pan = *b"4321987654321098765";
            for (i, digit) in pan.iter_mut().enumerate() {
                if at == i || at == 19 {
                    *digit = ((*digit & 0x0F) + 3) % 10 + b'0';
                }
            }
            Account::from_pan(Pan::new(&pan).unwrap())
        };
        (0..=19).map(digits).collect()
    }

    // Whatever pair of formats and whichever account is named: a block is one of that account afterwards only
    // when it was before, all but its digits.
    #[test]
    fn no_translation_makes_a_block_of_another_account() {
        let pin = Pin::from_ascii(b"123456").unwrap();
        let bound = [Format::Iso0, Format::Iso3, Format::Plus, Format::Mastercard];
        for from in bound {
            let came = encode(from, &pin, &account(), &mut Drawn::new(&RANDOM)).unwrap();
            for named in other_accounts() {
                let was = decode_to_verify(from, &came, &named).is_ok();
                for to in bound.into_iter().chain([Format::Iso4]) {
                    let made = reformat(from, to, &came, &named, &named, &mut Drawn::new(&RANDOM), false);
                    match made {
                        Ok(made) if from == to && from != Format::Iso3 => {
                            assert_eq!(made.block.expose(), came.expose(), "{from} as it was");
                        }
                        Ok(_) => assert!(was, "{from} to {to}"),
                        Err(error) => {
                            assert_eq!(error, PinBlockError::BlockContent);
                            assert!(!was, "{from} to {to}");
                        }
                    }
                }
            }
        }
    }

    // The digits have no say in it: every one of them, under every digit of the account over it.
    #[test]
    fn judging_filler_tells_no_digit() {
        let reply = |pin: &str, named: &Account, from, to| {
            let pin = Pin::from_ascii(pin.as_bytes()).unwrap();
            let came = encode(from, &pin, &account(), &mut Drawn::new(&RANDOM)).unwrap();
            let made = reformat(from, to, &came, named, named, &mut Drawn::new(&RANDOM), false);
            made.map(|made| made.pin_length)
        };
        for (from, to) in
            [(Format::Iso0, Format::Iso3), (Format::Iso3, Format::Iso0), (Format::Iso0, Format::Iso4)]
        {
            for named in other_accounts() {
                let wanted = reply("0000", &named, from, to);
                for digit in 0..10 {
                    for at in 0..4 {
                        let mut pin = *b"0000";
                        pin[at] = digit + b'0';
                        let pin = core::str::from_utf8(&pin).unwrap();
                        assert_eq!(reply(pin, &named, from, to), wanted, "{from} to {to}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_iso_4_field_keeps_its_filler_or_is_refused() {
        let read = |to| {
            let source = block("441234AAAAAAAAAB0000000000000000");
            reformat(Format::Iso4, to, &source, &account(), &account(), &mut Drawn::new(&RANDOM), false)
        };
        let made = read(Format::Iso4).unwrap();
        assert_eq!(hex::encode(&made.block.expose()[..8]), "441234AAAAAAAAAB");
        assert_eq!(&made.block.expose()[8..], &RANDOM[..8]);
        for to in [Format::Iso0, Format::Iso3] {
            assert_eq!(read(to).unwrap_err(), PinBlockError::BlockContent);
        }
    }

    // Each position in turn, digits and filler, and lengths that are none: the same answer, a wrong PIN.
    #[test]
    fn verification_tells_nothing_of_a_format_whose_length_depends_on_digits() {
        let read = |text: &str| decode_to_verify(Format::Diebold, &block(text), &Account::NONE);
        assert!(read("1234FFFFFFFFFFFF").unwrap().is_some());
        for at in 0..16 {
            for half in 0..16u8 {
                let mut text = *b"1234FFFFFFFFFFFF";
                text[at] = hex::letter(half);
                let text = core::str::from_utf8(&text).unwrap();
                let good = text[..4].bytes().all(|c| c.is_ascii_digit())
                    && text.trim_end_matches('F').len() <= 5
                    && text.trim_end_matches('F').bytes().all(|c| c.is_ascii_digit());
                assert_eq!(read(text).unwrap().is_some(), good, "{text}");
            }
        }
        for text in ["123FFFFFFFFFFFFF", "1234567890123FFF", "FFFFFFFFFFFFFFFF", "1234567890123456"] {
            assert!(read(text).unwrap().is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_pair_of_formats_keeps_the_pin(pin in "[0-9]{4,12}", random in any::<[u8; 32]>()) {
            let account = account();
            let clear = Pin::from_ascii(pin.as_bytes()).unwrap();
            for from in READABLE {
                let Ok(block) = encode(from, &clear, &account, &mut Drawn::new(&random)) else {
                    prop_assert!(pin.len() > 4);
                    continue;
                };
                prop_assert_eq!(block.len(), from.block_length());
                prop_assert!(decode(from, &block, &account).unwrap().same_as(&clear));
                for to in READABLE {
                    let mut source = Drawn::new(&random);
                    match reformat(from, to, &block, &account, &account, &mut source, true) {
                        Ok(made) => {
                            prop_assert_eq!(usize::from(made.pin_length), pin.len());
                            prop_assert!(decode(to, &made.block, &account).unwrap().same_as(&clear));
                        }
                        Err(error) => {
                            prop_assert_eq!(error, PinBlockError::PinLength);
                            prop_assert!(encode(to, &clear, &account, &mut source).is_err());
                        }
                    }
                }
            }
        }

        #[test]
        fn any_block_is_read_or_refused(bytes in any::<[u8; 16]>(), short in any::<bool>()) {
            let block = ClearBlock::new(if short { &bytes[..8] } else { &bytes[..] }).unwrap();
            for format in Format::ALL {
                if let Ok(pin) = decode(*format, &block, &account()) {
                    prop_assert!((4..=12).contains(&pin.len()));
                }
            }
        }
    }
}
