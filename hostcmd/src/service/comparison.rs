//! Verification by comparison with a PIN stored under the LMK.

use super::keys::{self, Place, Use};
use super::pin_keys::PinKey;
use super::pins::{self, Side};
use super::stored_pin;
use crate::Cx;
use crate::command::Answer;
use crate::wire::{Account, Message, PinBlockText, Step, StoredPin, Untagged, Wire};
use core::marker::PhantomData;
use hsm::{KeyToken, join};

/// Request of a comparison.
#[derive(Debug, Default)]
pub struct CompareRequest<K> {
    /// Key of the block.
    pub key: KeyToken,
    /// The block.
    pub block: PinBlockText,
    /// Its format.
    pub format: [u8; 2],
    /// Account of both.
    pub account: Account,
    /// The stored PIN.
    pub stored: StoredPin,
    /// Which key it is.
    pub kind: PhantomData<K>,
}

impl<K: PinKey> Message for CompareRequest<K> {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key(K::RULE.name, Untagged::Single, &mut self.key)?;
        wire.pin_block("PIN block", &self.key, &mut self.block)?;
        wire.digits("format", &mut self.format)?;
        wire.account("account", &[self.format], &mut self.account)?;
        wire.stored_pin("PIN", &mut self.stored)
    }
}

/// Compares; a block with a bad digit answers 01 as a wrong PIN does, see [`pins::read_to_verify`].
pub async fn compare<K: PinKey>(cx: Cx, request: CompareRequest<K>) -> Answer<()> {
    let r = request;
    let terms = pins::stored_terms(r.format, &r.account);
    let key = keys::open(&cx, &r.key, &K::RULE, Use::Decrypt, Place::Source).await?;
    let (format, account, owner) = terms?;
    let side = Side { key: &key, format, account: &account };
    let (entered, stored) =
        join(pins::read_to_verify(&cx, side, &r.block), stored_pin::open(&cx, &r.stored, &owner)).await;
    // Both are judged before they are compared, so that 14 tells nothing of the block.
    let ((entered, counts), stored) = (pins::or_decoy(entered?)?, stored?);
    pins::verdict(entered.same_as(&stored) & counts)
}
