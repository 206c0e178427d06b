//! Decimalisation tables, clear or under the LMK.
//!
//! A table of the caller's choice gives PINs away (Bond and Zielinski, UCAM-CL-TR-560), and the rule of
//! eight different digits does not stop it. So a strict listener takes a clear table only when it is
//! registered with the unit, and everything else must be a table that was encrypted beforehand.

use crate::context::Shared;
use crate::wire::{Alphabet, Show, Step, Wire};
use crate::{Authorised, Code, Cx, Port, Settings, Unit};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use hsm::{Backend, Hsm, Key, LmkId, LmkPurpose, LmkScheme};
use paytypes::bytes::nibble;
use paytypes::{Cipher, Direction, hex};
use pinblock::ibm3624::DecimalisationTable;
use std::rc::Rc;
use zeroize::Zeroizing;

const DIGITS: usize = 16;
const TEXT_MAX: usize = 33;

/// The field: 16 characters, clear digits or the cryptogram under a variant or 3DES LMK; `L` and 32
/// hexadecimal digits under an AES LMK; `K` and the index of a stored table.
#[derive(Clone, Copy)]
pub struct TableField {
    text: [u8; TEXT_MAX],
    len: u8,
}

impl Default for TableField {
    fn default() -> Self {
        Self { text: [b'0'; TEXT_MAX], len: 0 }
    }
}

impl fmt::Debug for TableField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableField({} characters)", self.len)
    }
}

impl TableField {
    /// From its text.
    pub fn new(text: &[u8]) -> Self {
        let len = u8::try_from(text.len().min(TEXT_MAX)).unwrap_or_default();
        Self { text: paytypes::bytes::left(text), len }
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }

    // `L` in front for a table under an AES LMK, nothing under the others.
    fn sealed(tag: &[u8], block: &[u8]) -> Self {
        Self::new(&[tag, hex::encode(block).as_bytes()].concat())
    }

    /// Walks the field; the first character tells its length.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        if wire.reading() {
            self.len = match wire.ahead().first() {
                Some(b'K') => 4,
                Some(b'L') => 33,
                _ => 16,
            };
        }
        let text = self.text.get_mut(..usize::from(self.len)).unwrap_or_default();
        let tagged = usize::from(text.len() != DIGITS);
        let (tag, digits) = text.split_at_mut_checked(tagged).unwrap_or_default();
        wire.fixed("kind of decimalisation table", Alphabet::Printable, Show::All, tag)?;
        wire.fixed("decimalisation table", Alphabet::Hex, Show::Length, digits)
    }
}

/// The table of the field. What the listener does not take, and what is not a table, answers 25.
pub async fn open(cx: &Cx, field: &TableField) -> Result<DecimalisationTable, Code> {
    match (field.text(), cx.scheme) {
        ([b'K', ..], _) => Err(Code::STORAGE_EMPTY),
        ([b'L', text @ ..], LmkScheme::AesBlock) => {
            let mut block = Zeroizing::new(hex::decode::<DIGITS>(text).map_err(|_| Code::INPUT)?);
            run(cx, Direction::Decrypt, block.as_mut_slice()).await?;
            table(block.as_slice())
        }
        ([b'L', ..], _) => Err(Code::DECIMALISATION),
        (text, scheme) => match clear(cx, text) {
            Some(table) => Ok(table),
            None if scheme == LmkScheme::AesBlock => Err(Code::DECIMALISATION),
            None => open_packed(cx, text).await,
        },
    }
}

/// Encrypts a table under the LMK of the command, for the field of later commands.
pub async fn encrypt(cx: &Cx, digits: &[u8; DIGITS]) -> Result<TableField, Code> {
    table(digits)?;
    if cx.scheme == LmkScheme::AesBlock {
        let mut block = Zeroizing::new(*digits);
        run(cx, Direction::Encrypt, block.as_mut_slice()).await?;
        return Ok(TableField::sealed(b"L", block.as_slice()));
    }
    let mut block = Zeroizing::new(hex::decode::<8>(digits).map_err(|_| Code::DECIMALISATION)?);
    run(cx, Direction::Encrypt, block.as_mut_slice()).await?;
    Ok(TableField::sealed(b"", block.as_slice()))
}

/// Encrypts a table under an LMK of a backend outside of any command, for an officer's tool.
pub fn encrypt_over(
    backend: &mut dyn Backend,
    lmk: LmkId,
    digits: &[u8; DIGITS],
) -> Result<TableField, Code> {
    let lmks = backend.lmks().to_vec();
    let scheme = lmks.iter().find(|l| l.id == lmk).ok_or(Code::LMK_ID)?.scheme;
    let (unit, authorised) = (RefCell::new(Unit::default()), Cell::new(Authorised::NONE));
    let (hsm, shared) = (Hsm::new(), Rc::new(Shared { lmks, unit, authorised, keys: Default::default() }));
    let port = Rc::new(Port::new(lmk, Settings::STRICT));
    let cx = Cx { hsm: hsm.clone(), lmk, scheme, shared, port };
    let mut task = pin!(encrypt(&cx, digits));
    loop {
        match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(field) => return field,
            Poll::Pending if hsm.waiting() == 0 => return Err(Code::INTERNAL),
            Poll::Pending => hsm.run(backend),
        }
    }
}

// The table as it stands, where the listener takes it so.
fn clear(cx: &Cx, text: &[u8]) -> Option<DecimalisationTable> {
    let taken = cx.settings().clear_dectab
        || cx.with_unit(|unit| unit.decimalisation_tables.iter().any(|known| known == text));
    if taken { table(text).ok() } else { None }
}

// One TDES block of sixteen packed digits.
async fn open_packed(cx: &Cx, text: &[u8]) -> Result<DecimalisationTable, Code> {
    let mut block = Zeroizing::new(hex::decode::<8>(text).map_err(|_| Code::INPUT)?);
    run(cx, Direction::Decrypt, block.as_mut_slice()).await?;
    let mut digits = Zeroizing::new([0u8; DIGITS]);
    for (i, digit) in digits.iter_mut().enumerate() {
        *digit = hex::letter(nibble(block.as_slice(), i));
    }
    table(digits.as_slice())
}

fn table(digits: &[u8]) -> Result<DecimalisationTable, Code> {
    DecimalisationTable::new(digits).map_err(|_| Code::DECIMALISATION)
}

async fn run(cx: &Cx, way: Direction, block: &mut [u8]) -> Result<(), Code> {
    let key: Key = cx.hsm.lmk_key(cx.lmk, LmkPurpose::DecimalisationTable).await?;
    Ok(cx.hsm.ecb(&key, way, block).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hsm_sim::{LmkSet, Options, Simulator};

    const PLAIN: &[u8; 16] = b"0123456789012345";
    const OTHER: &[u8; 16] = b"9876543210987654";

    fn with<T>(lmk: u8, settings: Settings, task: impl AsyncFnOnce(Cx) -> T) -> T {
        let mut simulator = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
        let lmks = simulator.lmks().to_vec();
        let scheme = lmks[usize::from(lmk)].scheme;
        let unit = RefCell::new(Unit { decimalisation_tables: vec![*PLAIN], ..Unit::default() });
        let shared =
            Rc::new(Shared { lmks, unit, authorised: Cell::new(Authorised::NONE), keys: Default::default() });
        let (hsm, port) = (Hsm::new(), Rc::new(Port::new(LmkId(lmk), settings)));
        let mut future = pin!(task(Cx { hsm: hsm.clone(), lmk: LmkId(lmk), scheme, shared, port }));
        loop {
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(value) => return value,
                Poll::Pending => hsm.run(&mut simulator),
            }
        }
    }

    fn opens(lmk: u8, settings: Settings, text: &[u8]) -> Result<(), Code> {
        with(lmk, settings, async |cx| open(&cx, &TableField::new(text)).await.map(|_| ()))
    }

    fn sealed(lmk: u8, digits: &[u8; 16]) -> Result<TableField, Code> {
        with(lmk, Settings::STRICT, async |cx| encrypt(&cx, digits).await)
    }

    #[test]
    fn an_encrypted_table_opens_under_its_lmk_and_no_other() {
        let fields: Vec<_> = (0..3).map(|lmk| sealed(lmk, OTHER).unwrap()).collect();
        assert_eq!(fields.iter().map(|f| f.text().len()).collect::<Vec<_>>(), [16, 16, 33]);
        for (lmk, field) in (0..3).zip(&fields) {
            for other in 0..3 {
                let expected = if lmk == other { Ok(()) } else { Err(Code::DECIMALISATION) };
                assert_eq!(opens(other, Settings::STRICT, field.text()), expected, "{lmk} {other}");
            }
        }
        assert_eq!(format!("{:?}", fields[2]), "TableField(33 characters)");
    }

    #[test]
    fn a_table_encrypted_over_a_backend_is_the_one_of_a_command() {
        let mut simulator = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
        for lmk in 0..3 {
            let field = encrypt_over(&mut simulator, LmkId(lmk), OTHER).unwrap();
            assert_eq!(field.text(), sealed(lmk, OTHER).unwrap().text());
        }
        assert_eq!(encrypt_over(&mut simulator, LmkId(7), OTHER).err(), Some(Code::LMK_ID));
        let weak = encrypt_over(&mut simulator, LmkId(2), b"0000000000000000");
        assert_eq!(weak.err(), Some(Code::DECIMALISATION));
    }

    #[test]
    fn an_altered_cryptogram_is_no_table() {
        for lmk in 0..3 {
            let mut text = sealed(lmk, OTHER).unwrap().text().to_vec();
            let last = text.last_mut().unwrap();
            *last = if *last == b'0' { b'1' } else { b'0' };
            assert_eq!(opens(lmk, Settings::STRICT, &text), Err(Code::DECIMALISATION));
        }
    }

    #[test]
    fn a_strict_listener_takes_registered_clear_tables_only() {
        for lmk in 0..3 {
            assert_eq!(opens(lmk, Settings::STRICT, PLAIN), Ok(()));
            assert_eq!(opens(lmk, Settings::STRICT, OTHER), Err(Code::DECIMALISATION));
            assert_eq!(opens(lmk, Settings::LEGACY, OTHER), Ok(()));
        }
    }

    #[test]
    fn eight_different_digits_and_none_five_times() {
        for text in [b"0123012301230123", b"0000012345678912"] {
            assert_eq!(opens(0, Settings::LEGACY, text), Err(Code::DECIMALISATION));
            assert_eq!(sealed(2, text).err(), Some(Code::DECIMALISATION));
        }
        assert_eq!(sealed(0, b"012345678901234A").err(), Some(Code::DECIMALISATION));
    }

    #[test]
    fn stored_tables_and_wrong_characters() {
        assert_eq!(opens(0, Settings::LEGACY, b"K001"), Err(Code::STORAGE_EMPTY));
        assert_eq!(opens(0, Settings::LEGACY, b"01234567890123GG"), Err(Code::INPUT));
    }
}
