//! What the backend keeps for an opened key: where its bytes can be had again, and the objects that were made
//! of it. A key that came as a token keeps the token, never the clear bytes.

use crate::cache::{Dropped, Ticket};
use crate::template::Purpose;
use hsm::{HsmError, Key, KeyToken, LmkId, LmkPurpose};
use paytypes::{ClearKey, KeyShape};
use std::cell::Cell;

/// Where a key comes from.
pub(crate) enum Source {
    /// A token under an LMK; opened again whenever the clear bytes are needed for a moment.
    Sealed(LmkId, KeyToken),
    /// Made for the moment of a command: generated, imported or derived here.
    Clear(ClearKey),
    /// A working key of an LMK: objects of the token.
    Lmk(LmkId, LmkPurpose),
    /// Objects of the token by their label.
    Resident(String),
}

/// A key of this backend.
pub(crate) struct Material {
    pub(crate) shape: KeyShape,
    pub(crate) source: Source,
    tickets: [Cell<Option<Ticket>>; Purpose::COUNT],
    dropped: Dropped,
}

impl Material {
    pub(crate) fn new(shape: KeyShape, source: Source, dropped: Dropped) -> Self {
        Self { shape, source, tickets: Default::default(), dropped }
    }

    /// Of a key that this backend opened.
    pub(crate) fn of(key: &Key) -> Result<&Self, HsmError> {
        key.material().ok_or(HsmError::Backend)
    }

    pub(crate) fn ticket(&self, purpose: Purpose) -> &Cell<Option<Ticket>> {
        let [encrypt, decrypt, sign, left] = &self.tickets;
        match purpose {
            Purpose::Encrypt => encrypt,
            Purpose::Decrypt => decrypt,
            Purpose::Sign => sign,
            Purpose::Left => left,
        }
    }
}

impl Drop for Material {
    fn drop(&mut self) {
        let tickets = self.tickets.iter().filter_map(Cell::take);
        self.dropped.borrow_mut().extend(tickets);
    }
}
