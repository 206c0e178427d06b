//! Card and PIN verification values.

use super::input::{Input, Out, Refused, one, ready};
use cardcrypto::cvv as card;
use paytypes::Pin;
use paytypes::soft::Soft;
use pinblock::ibm3624::{self, DecimalisationTable, NaturalPin, Offset, ValidationData};
use pinblock::{PinBlockError, pvv as visa};
use zeroize::Zeroizing;

/// ASCII text of digit values.
pub fn digits(values: &[u8]) -> String {
    values.iter().map(|value| char::from(b'0' + (value % 10))).collect()
}

pub fn cvv(given: &Input<'_>) -> Out {
    let key = given.key("cvk", "T")?;
    let made = ready(card::cvv(&Soft, &key, &given.pan()?, given.expiry()?, given.service_code()?))?;
    Ok(one("cvv", String::from_utf8_lossy(&made)))
}

pub fn pvv(given: &Input<'_>) -> Out {
    let (pin, pan) = (given.pin("pin")?, given.pan()?);
    let [index] = given.text("pvki")?.as_bytes() else {
        return Err(PinBlockError::Index.into());
    };
    // Eleven digits beside the check digit are used.
    if pan.digits().len() < 12 {
        return Err(PinBlockError::PanLength.into());
    }
    let made = ready(visa::pvv(&Soft, &given.key("pvk", "T")?, &pin, &pan.account(), *index))?;
    Ok(one("pvv", String::from_utf8_lossy(&made)))
}

fn natural(given: &Input<'_>) -> Result<NaturalPin, Refused> {
    let [pad] = given.text("padc")?.as_bytes() else {
        return Err(PinBlockError::PadChar.into());
    };
    let (start, length) = (given.number("off")?, given.number("len")?);
    let data = ValidationData::from_window(&given.pan()?, start, length, *pad)?;
    let table = DecimalisationTable::unjudged(given.text("table")?.as_bytes())?;
    ready(ibm3624::natural_pin(&Soft, &given.key("pvk", "T")?, &data, &table))
}

pub fn ibm_natural(given: &Input<'_>) -> Out {
    Ok(one("natural", digits(natural(given)?.expose())))
}

fn length_of(pin: &Pin) -> u8 {
    u8::try_from(pin.len()).unwrap_or(u8::MAX)
}

pub fn ibm_offset(given: &Input<'_>) -> Out {
    let (natural, pin) = (natural(given)?, given.pin("pin")?);
    Ok(one("offset", digits(ibm3624::offset(&pin, &natural, length_of(&pin))?.digits())))
}

pub fn ibm_pin(given: &Input<'_>) -> Out {
    let natural = natural(given)?;
    let text = given.text("offset")?;
    if !text.bytes().all(|c| c.is_ascii_digit()) {
        return Err(PinBlockError::Offset.into());
    }
    let values = Zeroizing::new(text.bytes().map(|c| c & 0x0F).collect::<Vec<u8>>());
    let offset = Offset::from_values(&values)?;
    let length = u8::try_from(values.len()).map_err(|_| PinBlockError::Offset)?;
    Ok(one("pin", digits(ibm3624::pin_from_offset(&natural, &offset, length)?.expose())))
}
