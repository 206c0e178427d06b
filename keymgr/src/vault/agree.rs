//! A node's root KEK by agreement (keylink's `root_kek`): the private key of an offer lives in the vault until
//! the node has accepted or the offer is dropped, and the KEK is sealed the moment it is derived.

use super::sealed::{load, seal};
use super::{KeySpec, SealedKey, Vault, VaultError};
use keylink::ids::{KmcId, NodeId};
use keylink::root_kek::{Agreement, Ephemeral, KEK_LENGTH, Transcript, derive};
use keylink::wire::Hex;
use paytypes::{CipherKind, KeyShape, KeyUsage};
use std::collections::HashMap;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What a root KEK is: AES-256 that wraps keys in TR-31 blocks.
pub const ROOT_KEK: KeySpec =
    KeySpec { usage: KeyUsage(*b"K1"), shape: KeyShape { kind: CipherKind::Aes, length: KEK_LENGTH } };

/// Label of a node's root KEK in the manager's store.
pub fn root_kek_label(kmc: KmcId, node: NodeId, number: u32) -> String {
    format!("{kmc}/root-kek/{node}/{number}")
}

/// Private keys of open offers, one a node: a later offer replaces an earlier one. They do not outlive the
/// process; after a restart the node is offered anew. Boxed, since a table that grows or gives a value away leaves
/// what it held behind in memory that nobody wipes.
#[derive(Default)]
pub(super) struct Offers(HashMap<NodeId, Box<Ephemeral>>);

impl Vault {
    /// Makes the key pair of an offer to `node`; gives the public key.
    pub fn offer_root_kek(&mut self, node: NodeId) -> Result<Vec<u8>, VaultError> {
        // A draw that is no scalar of the curve is rarer than any failure, but it is one.
        let pair = (0..4)
            .find_map(|_| {
                let mut random = Zeroizing::new([0; 66]);
                getrandom::fill(random.as_mut()).ok()?;
                Ephemeral::new(&mut random).ok()
            })
            .ok_or(VaultError::Backend)?;
        let public = pair.public();
        self.offers.0.insert(node, Box::new(pair));
        Ok(public)
    }

    /// Derives and seals the KEK that a node has accepted, when its confirmation holds; gives our own. The
    /// private key of the offer is gone afterwards, whatever came of it.
    pub fn agree_root_kek(
        &mut self,
        transcript: &Transcript<'_>,
        of_node: &Hex<32>,
    ) -> Result<(SealedKey, Hex<32>), VaultError> {
        let own = self.offers.0.remove(&transcript.node).ok_or(VaultError::Sealed)?;
        let agreement = derive(&own, transcript.node_public, transcript).map_err(|_| VaultError::Sealed)?;
        if !bool::from(of_node.0.ct_eq(&agreement.of_node.0)) {
            return Err(VaultError::Sealed);
        }
        let Agreement { kek, of_manager, .. } = agreement;
        let label = root_kek_label(transcript.kmc, transcript.node, transcript.number);
        let master = self.master.id;
        let sealed = self.run(|hsm| async move {
            let key = load(&hsm, ROOT_KEK.shape.kind, &kek).await?;
            seal(&hsm, master, &key, ROOT_KEK, &label).await
        })?;
        Ok((sealed, of_manager))
    }
}
