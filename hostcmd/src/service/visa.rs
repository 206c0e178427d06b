//! The Visa method: PVK, key index, PVV, and verification with a PVV.

use super::keys::{self, PVK_VISA, Place, Use, Wanted};
use super::pin_keys::PinKey;
use super::pins::{self, Side};
use crate::command::Answer;
use crate::wire::{Account, Message, PinBlockText, Step, Untagged, Wire};
use crate::{Code, Cx};
use core::marker::PhantomData;
use hsm::{Key, KeyToken};
use paytypes::pan::ACCOUNT_LENGTH;
use pinblock::{Format, PinBlockError, pvv};

/// A reply that is a PVV.
#[derive(Debug, Default)]
pub struct PvvReply {
    /// The PVV.
    pub pvv: [u8; 4],
}

impl Message for PvvReply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.digits("PVV", &mut self.pvv)
    }
}

/// The method takes a pair of single-length keys, no more and no less; anything else answers 27.
pub fn judge_pvk(pvk: &Key) -> Result<(), Code> {
    if pvk.attributes().shape.length == 16 { Ok(()) } else { Err(Code::KEY_LENGTH) }
}

/// Opens a PVK and judges its length.
pub async fn open_pvk(cx: &Cx, token: &KeyToken, how: Use, place: Place) -> Result<Key, Code> {
    let pvk = keys::open(cx, token, &PVK_VISA, how, place).await?;
    judge_pvk(&pvk)?;
    Ok(pvk)
}

/// The host code of what the method refuses.
pub fn code(error: PinBlockError) -> Code {
    match error {
        PinBlockError::KeySize => Code::KEY_LENGTH,
        PinBlockError::Index => Code::INPUT,
        other => pins::code(other),
    }
}

/// Request of a verification with PVV. `SECOND`: a second account may follow the first behind `;`, for
/// hosts whose blocks are made over a token and whose PVVs over the PAN.
#[derive(Debug, Default)]
pub struct VerifyRequest<K, const SECOND: bool> {
    /// Key of the block.
    pub key: KeyToken,
    /// PVK of the Visa method.
    pub pvk: KeyToken,
    /// The block.
    pub block: PinBlockText,
    /// Its format.
    pub format: [u8; 2],
    /// Account of the block.
    pub account: Account,
    /// The PVV has an account of its own.
    pub has_second: bool,
    /// Account of the PVV.
    pub second: Account,
    /// PVV key index.
    pub index: [u8; 1],
    /// The PVV that the host holds.
    pub pvv: [u8; 4],
    /// Which key it is.
    pub kind: PhantomData<K>,
}

impl<K: PinKey, const SECOND: bool> Message for VerifyRequest<K, SECOND> {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key(K::RULE.name, Untagged::Single, &mut self.key)?;
        wire.key("PVK pair", Untagged::Pair, &mut self.pvk)?;
        wire.pin_block("PIN block", &self.key, &mut self.block)?;
        wire.digits("format", &mut self.format)?;
        wire.account("account", &[self.format], &mut self.account)?;
        if SECOND {
            wire.mark("delimiter", b';', &mut self.has_second)?;
        }
        if self.has_second {
            wire.account("verification account", &[], &mut self.second)?;
        }
        wire.digits("PVV key index", &mut self.index)?;
        wire.digits("PVV", &mut self.pvv)
    }
}

impl<K, const SECOND: bool> VerifyRequest<K, SECOND> {
    // Format and account of the block, digits of the account of the PVV.
    fn terms(&self) -> Result<(Format, pinblock::Account, [u8; ACCOUNT_LENGTH]), Code> {
        let (format, account) = pins::terms(self.format, &self.account)?;
        let of_pvv = if self.has_second { pins::account(&self.second)? } else { account };
        Ok((format, account, pins::twelve_digits(&of_pvv)?))
    }
}

/// Verifies a PIN; a block with a bad digit answers 01 as a wrong PIN does, see [`pins::read_to_verify`].
pub async fn verify<K: PinKey, const SECOND: bool>(cx: Cx, request: VerifyRequest<K, SECOND>) -> Answer<()> {
    let r = request;
    let terms = r.terms();
    let key = Wanted { token: &r.key, rule: &K::RULE, how: Use::Decrypt };
    let pvk = Wanted { token: &r.pvk, rule: &PVK_VISA, how: Use::Verify };
    let (key, pvk) = keys::open_two(&cx, key, pvk).await?;
    judge_pvk(&pvk)?;
    let (format, account, pvv_account) = terms?;
    let side = Side { key: &key, format, account: &account };
    let (pin, counts) = pins::or_decoy(pins::read_to_verify(&cx, side, &r.block).await?)?;
    let [index] = r.index;
    let same = pvv::verify(&cx.hsm, &pvk, &pin, &pvv_account, index, &r.pvv).await.map_err(code)?;
    pins::verdict(same & counts)
}
