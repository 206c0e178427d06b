//! Components of a ceremony. Each custodian's own program seals his component to a key that the backend made
//! for this ceremony alone (HPKE, RFC 9180: P-521, HKDF-SHA-512, AES-256-GCM); the manager passes it on
//! unread, and the vault opens and combines.

use super::sealed::{check_value, load, seal};
use super::{KeySpec, SealedKey, Vault, VaultError};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha512;
use hpke::kem::DhP521HkdfSha512;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use paytypes::parity::{Weakness, is_odd, weakness};
use paytypes::{CipherKind, ClearKey, bytes};
use std::collections::HashMap;
use zeroize::Zeroizing;

type Suite = DhP521HkdfSha512;

/// Public key to which the components of one ceremony are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentKey(pub Vec<u8>);

/// A sealed component: encapsulated key and cipher text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentBox {
    /// Encapsulated key.
    pub encapsulated: Vec<u8>,
    /// Cipher text with its tag.
    pub sealed: Vec<u8>,
}

/// Private keys of open ceremonies. They live in the vault's memory only: a ceremony that is open when the
/// manager stops begins anew, which is what a half-done ceremony should do. Boxed, since a table that grows or gives
/// a value away leaves what it held behind in memory that nobody wipes.
#[derive(Default)]
pub struct ComponentKeys(HashMap<Vec<u8>, Box<<Suite as Kem>::PrivateKey>>);

impl core::fmt::Debug for ComponentKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ComponentKeys({})", self.0.len())
    }
}

impl ComponentKeys {
    /// A new key for a ceremony, named by `ceremony`.
    pub fn begin(&mut self, ceremony: &[u8]) -> ComponentKey {
        let (private, public) = Suite::gen_keypair();
        self.0.insert(ceremony.to_vec(), Box::new(private));
        ComponentKey(public.to_bytes().to_vec())
    }

    /// The key of a ceremony, made when there is none.
    pub fn begin_once(&mut self, ceremony: &[u8]) -> ComponentKey {
        match self.0.get(ceremony) {
            Some(private) => ComponentKey(Suite::sk_to_pk(private).to_bytes().to_vec()),
            None => self.begin(ceremony),
        }
    }

    /// Forgets the key: the ceremony is over or abandoned.
    pub fn end(&mut self, ceremony: &[u8]) {
        self.0.remove(ceremony);
    }

    /// Opens one component. `context` is what the custodian's program sealed it for.
    fn open(&self, ceremony: &[u8], context: &[u8], sealed: &ComponentBox) -> Result<ClearKey, VaultError> {
        let private = self.0.get(ceremony).ok_or(VaultError::Sealed)?;
        let encapsulated =
            <Suite as Kem>::EncappedKey::from_bytes(&sealed.encapsulated).map_err(|_| VaultError::Sealed)?;
        let clear = hpke::single_shot_open::<AesGcm256, HkdfSha512, Suite>(
            &OpModeR::Base,
            private,
            &encapsulated,
            context,
            &sealed.sealed,
            b"",
        );
        let clear = Zeroizing::new(clear.map_err(|_| VaultError::Sealed)?);
        ClearKey::new(&clear).map_err(|_| VaultError::Components("a component has 16, 24 or 32 bytes"))
    }
}

/// Seals a component, in the custodian's own program. `context` names ceremony, part and custodian, so that a
/// sealed component cannot serve as another's.
pub fn seal_component(
    to: &ComponentKey,
    context: &[u8],
    component: &ClearKey,
) -> Result<ComponentBox, VaultError> {
    let public = <Suite as Kem>::PublicKey::from_bytes(&to.0).map_err(|_| VaultError::Sealed)?;
    let (encapsulated, sealed) = hpke::single_shot_seal::<AesGcm256, HkdfSha512, Suite>(
        &OpModeS::Base,
        &public,
        context,
        component.expose(),
        b"",
    )
    .map_err(|_| VaultError::Sealed)?;
    Ok(ComponentBox { encapsulated: encapsulated.to_bytes().to_vec(), sealed })
}

impl Vault {
    /// Check value of one sealed component, for the custodian to compare with his own. Refuses what is no component of
    /// this key: another length, all zero (the others would have the key among them), and for TDES a parity that is
    /// not odd or parts that are weak or equal.
    pub fn component_check(
        &mut self,
        keys: &ComponentKeys,
        ceremony: &[u8],
        spec: KeySpec,
        part: (&[u8], &ComponentBox),
    ) -> Result<String, VaultError> {
        let clear = keys.open(ceremony, part.0, part.1)?;
        check_component(&clear, spec)?;
        self.run(|hsm| async move {
            let key = load(&hsm, spec.shape.kind, &clear).await?;
            check_value(&hsm, &key).await
        })
    }

    /// Combines the components of a ceremony by XOR and seals the key. Refuses fewer than two components,
    /// equal ones, lengths that differ from the key's, and a weak or all-zero result.
    pub fn form(
        &mut self,
        keys: &ComponentKeys,
        ceremony: &[u8],
        spec: KeySpec,
        parts: &[(Vec<u8>, ComponentBox)],
        label: &str,
    ) -> Result<SealedKey, VaultError> {
        let opened: Vec<ClearKey> = parts
            .iter()
            .map(|(context, sealed)| keys.open(ceremony, context, sealed))
            .collect::<Result<_, _>>()?;
        let clear = combine(&opened, spec)?;
        let (master, label) = (self.master.id, label.to_owned());
        self.run(|hsm| async move {
            let key = load(&hsm, spec.shape.kind, &clear).await?;
            seal(&hsm, master, &key, spec, &label).await
        })
    }
}

fn is_zero(key: &ClearKey) -> Result<bool, VaultError> {
    Ok(key.same_as(&ClearKey::new(&vec![0; key.len()]).map_err(|_| VaultError::Kind)?))
}

fn check_component(part: &ClearKey, spec: KeySpec) -> Result<(), VaultError> {
    let wrong = |what| Err(VaultError::Components(what));
    if part.len() != spec.shape.length {
        return wrong("a component has the length of the key");
    }
    if is_zero(part)? {
        return wrong("a component is all zero");
    }
    if spec.shape.kind == CipherKind::Tdes {
        if !is_odd(part.expose()) {
            return wrong("a component does not have odd parity: a digit is wrong");
        }
        if weakness(part.expose()) != Weakness::None {
            return wrong("a component is a weak key or has equal parts");
        }
    }
    Ok(())
}

/// The XOR of components, as the vault forms it, and as a node's own program does. Refuses fewer than two, equal ones,
/// lengths that differ from the key's, all-zero ones, and a weak or all-zero result.
pub fn combine(parts: &[ClearKey], spec: KeySpec) -> Result<ClearKey, VaultError> {
    if parts.len() < 2 {
        return Err(VaultError::Components("at least two are needed"));
    }
    parts.iter().try_for_each(|part| check_component(part, spec))?;
    let equal = |(i, part): (usize, &ClearKey)| parts.iter().skip(i + 1).any(|other| part.same_as(other));
    if parts.iter().enumerate().any(equal) {
        return Err(VaultError::Components("two components are the same"));
    }
    let mut clear = ClearKey::new(&vec![0; spec.shape.length]).map_err(|_| VaultError::Kind)?;
    for part in parts {
        bytes::xor_into(clear.expose_mut(), part.expose());
    }
    if spec.shape.kind == CipherKind::Tdes {
        // An even number of components of odd parity gives even parity: adjusted, as units do.
        paytypes::parity::make_odd(clear.expose_mut());
        if weakness(clear.expose()) != Weakness::None {
            return Err(VaultError::Components("the result is a weak key or has equal parts"));
        }
    }
    if is_zero(&clear)? {
        return Err(VaultError::Components("the result is all zero"));
    }
    Ok(clear)
}
