//! A component as its custodian's program makes it and hands it in.

use crate::vault::{ComponentBox, ComponentKey, VaultError, seal_component};
use keylink::envelope::Sign;
use keylink::wire::Blob;
use keylink::{ActionId, CredentialId, Digest, KmcId, PersonId, Signed};
use keymgr_core::ceremony::ComponentMessage;
use paytypes::soft::{Soft, SoftKey};
use paytypes::{CipherKind, ClearKey, now};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A component as its custodian's program hands it in: the signed message and the box that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentEntry {
    /// A [`ComponentMessage`], signed with the custodian's credential.
    pub signed: Signed,
    /// Encapsulated key.
    pub encapsulated: Blob,
    /// Cipher text.
    pub sealed: Blob,
}

impl ComponentEntry {
    /// What the message names the box by: SHA-256 of the length of the encapsulated key (32 bits, big-endian), the
    /// encapsulated key and the cipher text.
    pub fn sealed_hash(&self) -> Digest {
        hash_of(&self.sealed())
    }

    /// The box.
    pub fn sealed(&self) -> ComponentBox {
        ComponentBox { encapsulated: self.encapsulated.0.clone(), sealed: self.sealed.0.clone() }
    }
}

fn hash_of(sealed: &ComponentBox) -> Digest {
    let length = u32::try_from(sealed.encapsulated.len()).unwrap_or(u32::MAX).to_be_bytes();
    Digest::of(&[&length[..], &sealed.encapsulated, &sealed.sealed].concat())
}

/// What a component is sealed for: ceremony, number and custodian, so that it cannot serve as another's.
pub fn context(kmc: KmcId, ceremony: ActionId, number: u8, person: PersonId) -> Vec<u8> {
    [b"payhsm/component/v1".as_slice(), &kmc.0, &ceremony.0, &[number], &person.0].concat()
}

/// Check value of a component, computed where the custodian is: six digits for TDES, ten for AES.
pub fn check_of(kind: CipherKind, component: &ClearKey) -> Result<String, VaultError> {
    let wrong = || VaultError::Components("a component has 16, 24 or 32 bytes");
    let key = SoftKey::new(kind, component.expose()).map_err(|_| wrong())?;
    let value = now(tr31::kcv(&Soft, &key)).and_then(Result::ok).ok_or_else(wrong)?;
    let digits = value.hex16();
    let length = if kind == CipherKind::Aes { 10 } else { 6 };
    Ok(String::from_utf8_lossy(digits.get(..length).unwrap_or_default()).into_owned())
}

/// Seals and signs a component, in the custodian's own program.
pub fn make(
    to: &ComponentKey,
    name: (KmcId, ActionId, u8),
    (person, credential): (PersonId, CredentialId),
    kind: CipherKind,
    component: &ClearKey,
    signer: &impl Sign,
) -> Result<ComponentEntry, VaultError> {
    let (kmc, ceremony, number) = name;
    let sealed = seal_component(to, &context(kmc, ceremony, number, person), component)?;
    let message = ComponentMessage {
        kmc,
        ceremony,
        number,
        person,
        credential,
        key: Digest::of(&to.0),
        check: check_of(kind, component)?,
        sealed: hash_of(&sealed),
    };
    let signed = Signed::seal(&message, signer);
    Ok(ComponentEntry { signed, encapsulated: Blob(sealed.encapsulated), sealed: Blob(sealed.sealed) })
}
