//! Visa PIN change blocks (formats 41 and 42, VIS appendix on the PIN CHANGE/UNBLOCK command).

use crate::layout::{Carried, Layout};
use crate::{Account, ClearBlock, Format, PinBlockError};
use paytypes::bytes::{set_nibble, xor_into};
use paytypes::{Drawn, Pin};

/// Clear block for a card that takes a new PIN: length, PIN and F, over the four right-most bytes of the
/// left half of the card's unique DEA key, and over the current PIN when the card proves it (format 42).
pub fn visa_change(
    new: &Pin,
    current: Option<&Pin>,
    card_key_part: [u8; 4],
) -> Result<ClearBlock, PinBlockError> {
    // The PIN field of format 2 with the control field of format 0: no account, no random fill.
    let layout = Layout::of(Format::Iso2)?;
    let mut block = ClearBlock::zeroed(8);
    layout.write(&Carried::of(new), &Account::NONE, &mut Drawn::new(&[]), &mut block)?;
    if let Some(first) = block.expose_mut().first_mut() {
        *first &= 0x0F;
    }
    let [a, b, c, d] = card_key_part;
    xor_into(block.expose_mut(), &[0, 0, 0, 0, a, b, c, d]);
    if let Some(pin) = current {
        let mut mask = ClearBlock::zeroed(8);
        for (i, digit) in pin.expose().iter().enumerate() {
            set_nibble(mask.expose_mut(), i, *digit);
        }
        xor_into(block.expose_mut(), mask.expose());
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::hex;

    fn made(current: Option<&str>) -> String {
        let pin = |text: &str| Pin::from_ascii(text.as_bytes()).unwrap();
        let current = current.map(pin);
        let block = visa_change(&pin("9830848"), current.as_ref(), [0x49, 0xC2, 0x8C, 0x15]).unwrap();
        hex::encode(block.expose())
    }

    // First value: case emv.vis_pin_block-0 of tests/vectors/one-of-each.json.
    #[test]
    fn without_and_with_the_current_pin() {
        assert_eq!(made(None), "07983084C63D73EA");
        assert_eq!(made(Some("1234")), "15AC3084C63D73EA");
    }
}
