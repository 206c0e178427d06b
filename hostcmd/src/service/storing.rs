//! Taking the PIN of a block into storage under the LMK.

use super::keys::{self, Place, Use};
use super::pin_keys::PinKey;
use super::pins::{self, Side};
use super::stored_pin;
use crate::Cx;
use crate::command::Answer;
use crate::wire::{Account, Message, PinBlockText, Step, StoredPin, Untagged, Wire};
use core::marker::PhantomData;
use hsm::KeyToken;

/// Request of a translation to the LMK.
#[derive(Debug, Default)]
pub struct StoreRequest<K> {
    /// Key of the block.
    pub key: KeyToken,
    /// The block.
    pub block: PinBlockText,
    /// Its format.
    pub format: [u8; 2],
    /// Account of the block and of the stored PIN.
    pub account: Account,
    /// Which key it is.
    pub kind: PhantomData<K>,
}

impl<K: PinKey> Message for StoreRequest<K> {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key(K::RULE.name, Untagged::Single, &mut self.key)?;
        wire.pin_block("PIN block", &self.key, &mut self.block)?;
        wire.digits("format", &mut self.format)?;
        wire.account("account", &[self.format], &mut self.account)
    }
}

/// A reply that is a PIN under the LMK.
#[derive(Debug, Default)]
pub struct StoredReply {
    /// The stored PIN.
    pub stored: StoredPin,
}

impl Message for StoredReply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.stored_pin("PIN", &mut self.stored)
    }
}

/// Reads the PIN of a block, all of which is judged, and stores it for the account.
pub async fn store<K: PinKey>(cx: Cx, request: StoreRequest<K>) -> Answer<StoredReply> {
    let r = request;
    let terms = pins::stored_terms(r.format, &r.account)
        .and_then(|terms| pins::may_be_stored(&cx, terms.0).map(|()| terms));
    let key = keys::open(&cx, &r.key, &K::RULE, Use::Decrypt, Place::Source).await?;
    let (format, account, owner) = terms?;
    let side = Side { key: &key, format, account: &account };
    let pin = pins::read(&cx, side, &r.block).await?;
    Ok(StoredReply { stored: stored_pin::store(&cx, &pin, &owner).await? }.into())
}
