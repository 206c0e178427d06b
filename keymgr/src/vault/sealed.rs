//! Keys under the master key: made, opened, labelled.

use super::{KeySpec, Vault, VaultError};
use hsm::{Binding, Hsm, Key, KeyToken, KeyType, LmkId, Scheme, SealAs};
use paytypes::{CipherKind, ClearKey};
use tr31::sblock::SBlock;
use tr31::{BlockId, KcvMethod, OptionalBlocks};

/// A key block under the master key, as a row keeps it: `S` and the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    /// The key block.
    pub block: String,
    /// Check value of the key: 6 hex digits for TDES, 10 for AES (X9.143 table 15).
    pub kcv: String,
}

impl Vault {
    /// A new random key, sealed with its label.
    pub fn generate(&mut self, spec: KeySpec, label: &str) -> Result<SealedKey, VaultError> {
        let (master, label) = (self.master.id, label.to_owned());
        self.run(|hsm| async move {
            let key = hsm.generate(spec.shape).await?;
            seal(&hsm, master, &key, spec, &label).await
        })
    }

    /// Opens the block and gives the check value of the key.
    pub fn check(&mut self, spec: KeySpec, block: &str, label: &str) -> Result<String, VaultError> {
        let (master, block, label) = (self.master.id, block.to_owned(), label.to_owned());
        self.run(|hsm| async move {
            let key = open(&hsm, master, spec, &block, &label).await?;
            check_value(&hsm, &key).await
        })
    }

    /// Runs a formula over an opened key, for a proof of possession.
    pub fn with_key<T, F>(
        &mut self,
        spec: KeySpec,
        block: &str,
        label: &str,
        formula: impl FnOnce(Hsm, Key) -> F,
    ) -> Result<T, VaultError>
    where
        F: Future<Output = T>,
    {
        let (master, block, label) = (self.master.id, block.to_owned(), label.to_owned());
        self.run(|hsm| async move {
            let key = open(&hsm, master, spec, &block, &label).await?;
            Ok(formula(hsm.clone(), key).await)
        })
    }
}

/// Opens a block and holds it against what its row says.
pub(super) async fn open(
    hsm: &Hsm,
    master: LmkId,
    spec: KeySpec,
    block: &str,
    label: &str,
) -> Result<Key, VaultError> {
    let text = block.strip_prefix('S').ok_or(VaultError::Block(hsm::HsmError::Token))?.as_bytes();
    let key = hsm.open(master, KeyType::ZMK, &KeyToken::new(Scheme::S, text)).await?;
    // The backend proved the text, so the label in it is true.
    let proved = SBlock::parse(text)?;
    if proved.header().blocks.get(BlockId::LB) != Some(label.as_bytes()) {
        return Err(VaultError::Label { expected: label.to_owned() });
    }
    match key.attributes().binding {
        Binding::Block(found) if found == spec.attributes() && key.attributes().shape == spec.shape => {
            Ok(key)
        }
        _ => Err(VaultError::Kind),
    }
}

/// Seals a key with its label.
pub(super) async fn seal(
    hsm: &Hsm,
    master: LmkId,
    key: &Key,
    spec: KeySpec,
    label: &str,
) -> Result<SealedKey, VaultError> {
    if key.attributes().shape != spec.shape {
        return Err(VaultError::Kind);
    }
    let mut blocks = OptionalBlocks::none();
    blocks.push(BlockId::LB, label.as_bytes())?;
    let form = SealAs::Block {
        attributes: spec.attributes(),
        optional_count: blocks.count(),
        optional: blocks.text().to_vec(),
    };
    let token = hsm.seal(master, key, form).await?;
    let block = format!("S{}", String::from_utf8_lossy(token.text()));
    Ok(SealedKey { block, kcv: check_value(hsm, key).await? })
}

/// Hex digits of the method that fits the cipher: encrypted zeros for TDES, CMAC for AES.
pub(super) async fn check_value(hsm: &Hsm, key: &Key) -> Result<String, VaultError> {
    let method = match key.attributes().shape.kind {
        CipherKind::Aes => KcvMethod::Cmac,
        _ => KcvMethod::Legacy,
    };
    let value = tr31::kcv(hsm, key).await.map_err(hsm::HsmError::from)?;
    let digits = value.hex16();
    Ok(String::from_utf8_lossy(&digits[..method.length() * 2]).into_owned())
}

pub(super) async fn load(hsm: &Hsm, kind: CipherKind, clear: &ClearKey) -> Result<Key, VaultError> {
    use paytypes::Cipher;
    Ok(hsm.load(kind, clear.expose()).await.map_err(hsm::HsmError::from)?)
}
