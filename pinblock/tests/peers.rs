//! Mistakes found in other open libraries for PIN blocks (design document, section 3), each as a test that it
//! is not made here.

use paytypes::{Pan, Pin, ValueError, hex};
use pinblock::{Account, ClearBlock, Format, PinBlockError, decode};

fn read(format: Format, block: &str) -> Result<Pin, PinBlockError> {
    let account = Account::from_pan(Pan::new(b"5555555551234567").unwrap());
    decode(format, &ClearBlock::new(&hex::decode_vec(block.as_bytes()).unwrap()).unwrap(), &account)
}

// openemv/pinblock: the last filler of an 8-byte block is never looked at.
#[test]
fn openemv_leaves_out_the_last_filler() {
    assert!(read(Format::Iso0, "041261AAAAEDCBA9").is_ok());
    assert_eq!(read(Format::Iso0, "041261AAAAEDCBAA").unwrap_err(), PinBlockError::Filler);
    for (format, good) in [(Format::Iso2, "241234FFFFFFFFFF"), (Format::Diebold, "1234FFFFFFFFFFFF")] {
        assert!(read(format, good).is_ok());
        for at in 6..16 {
            let mut wrong = good.as_bytes().to_vec();
            wrong[at] = b'E';
            let refused = read(format, core::str::from_utf8(&wrong).unwrap()).unwrap_err();
            assert_eq!(refused, PinBlockError::Filler, "{format} {at}");
        }
    }
}

// psec: the text of an error quotes the decoded PIN and the filler.
#[test]
fn psec_prints_digits_of_the_pin() {
    // A PIN position, a length and a filler that are wrong, around the digits 73915.
    for block in ["2573915EFFFFFFFF", "2F73915FFFFFFFFF", "2573915FFFFFFFF0", "257391A5FFFFFFFF"] {
        let error = read(Format::Iso2, block).unwrap_err();
        let shown = format!("{error} {error:?} {} {}", error.code(), error.class());
        assert!(!shown.chars().any(|c| c.is_ascii_digit()), "{shown}");
    }
    let pin = Pin::from_ascii(b"73915").unwrap();
    assert_eq!(format!("{pin:?}"), "Pin");
    let error: ValueError = Pin::from_ascii(b"739A5").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("739"));
}

// moov-io/pinblock: a PIN that is too long is cut silently.
#[test]
fn moov_cuts_long_pins() {
    assert_eq!(Pin::from_ascii(b"1234567890123").unwrap_err(), ValueError::Length);
    let mut random = |out: &mut [u8]| out.fill(0x35);
    let pin = Pin::from_ascii(b"1234567").unwrap();
    let refused = pinblock::encode(Format::Docutel, &pin, &Account::NONE, &mut random).unwrap_err();
    assert_eq!(refused, PinBlockError::PinLength);
}

// data-crypto (issues 3 and 10): the twelve right-most digits taken with the check digit.
#[test]
fn data_crypto_takes_the_check_digit() {
    let mut random = |out: &mut [u8]| out.fill(0x35);
    let account = Account::from_pan(Pan::new(b"4000001234562").unwrap());
    let pin = Pin::from_ascii(b"92389").unwrap();
    let block = pinblock::encode(Format::Iso0, &pin, &account, &mut random).unwrap();
    assert_eq!(hex::encode(block.expose()), "0592789FFFEDCBA9");
}
