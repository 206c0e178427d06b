//! Keys of the core as keys of the vault: what they are, and how they are labelled.

use super::manager::Manager;
use crate::core::action::KeyRef;
use crate::core::key::{KcvMethod, Key, Wrapper};
use crate::core::node::{Node, RootKek};
use crate::core::table::{State, Table};
use crate::vault::{KeySpec, ROOT_KEK, Receiver, VaultError, root_kek_label};
use keylink::label::Label;
use keylink::message::{KeyKind, Shape};
use keylink::{KmcId, NodeId};
use paytypes::CipherKind;
use thiserror::Error;

/// Why a key of the core cannot be handed to the vault.
#[derive(Debug, Error)]
pub enum TakeKeyError {
    /// The key is not there, or has no material any more.
    #[error("the key has no material")]
    NoMaterial,
    /// The node has no root KEK, or it is being changed.
    #[error("the node has no root KEK that is in use")]
    NoRootKek,
    /// The vault refused.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// What the vault must find in a key block.
pub fn spec_of(kind: KeyKind, shape: Shape) -> KeySpec {
    KeySpec { usage: kind.usage(), shape: shape.key_shape() }
}

/// How the check value of such a key is computed.
pub const fn kcv_method(spec: KeySpec) -> KcvMethod {
    match spec.shape.kind {
        CipherKind::Aes => KcvMethod::Cmac,
        _ => KcvMethod::Zeros,
    }
}

/// Label of a generation, in the store or on its way to a node.
pub fn label_of(kmc: KmcId, key: KeyRef, node: Option<NodeId>) -> String {
    label(kmc, key, node).to_string()
}

pub(super) const fn label(kmc: KmcId, key: KeyRef, node: Option<NodeId>) -> Label {
    Label { kmc, key_set: key.key_set, generation: key.generation, node }
}

/// A key under the master key: what it is, its block and its label.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub spec: KeySpec,
    pub block: String,
    pub label: String,
}

impl Held {
    pub fn key(kmc: KmcId, key: &Key) -> Result<Self, TakeKeyError> {
        let material = key.material.as_ref().ok_or(TakeKeyError::NoMaterial)?;
        if material.wrapped_by != Wrapper::Master {
            return Err(TakeKeyError::NoMaterial);
        }
        let attributes = key.attributes();
        Ok(Self {
            spec: spec_of(attributes.kind, attributes.shape),
            block: material.block.clone(),
            label: label_of(kmc, key.name(), None),
        })
    }

    pub fn root_kek(kmc: KmcId, node: &Node) -> Result<(Self, u32), TakeKeyError> {
        let kek = node.kek_in_use().ok_or(TakeKeyError::NoRootKek)?;
        Ok((Self::of_root_kek(kmc, node.id, kek), kek.number))
    }

    pub fn of_root_kek(kmc: KmcId, node: NodeId, kek: &RootKek) -> Self {
        let label = root_kek_label(kmc, node, kek.number);
        Self { spec: ROOT_KEK, block: kek.block.clone(), label }
    }

    pub fn receiver(&self) -> Receiver<'_> {
        Receiver { spec: self.spec, block: &self.block, label: &self.label }
    }
}

// Stored keys that are tried: one that was altered is a matter for the audit, not for the master key.
const TRIED: usize = 8;

impl Manager {
    /// True when a stored key opens under the master key, or there is none.
    pub(crate) async fn master_opens_the_store(&self) -> Result<bool, VaultError> {
        let held = self.view(|core| {
            let Some(kmc) = core.kmc() else { return Vec::new() };
            let state: &State = core.state();
            let keys = Table::<Key>::rows(state).values().filter_map(|key| Held::key(kmc, key).ok());
            let nodes = Table::<Node>::rows(state).values();
            let keks = nodes.filter_map(|node| Held::root_kek(kmc, node).ok().map(|(held, _)| held));
            keys.chain(keks).take(TRIED).collect::<Vec<Held>>()
        });
        let none = held.is_empty();
        let opens = self.vault().call(move |vault| {
            for held in held {
                match vault.check(held.spec, &held.block, &held.label) {
                    Ok(_) => return Ok(true),
                    Err(VaultError::Backend) => return Err(VaultError::Backend),
                    Err(_) => {}
                }
            }
            Ok(false)
        });
        Ok(none || opens.await?)
    }
}
