//! Keys to and from partners: TR-31 under a ZMK, check values compared.

use super::deliver::{Form, judge_strength, wrap};
use super::sealed::{load, open, seal};
use super::{KeySpec, Receiver, SealedKey, Vault, VaultError};
use paytypes::{ClearKey, Exportability};
use tr31::{Kbpk, KeyBlock, Policy};

impl Vault {
    /// Wraps a key for a partner under a ZMK: TR-31 version D under an AES ZMK, B under a TDES one.
    pub fn export(
        &mut self,
        spec: KeySpec,
        block: &str,
        label: &str,
        zmk: Receiver<'_>,
    ) -> Result<String, VaultError> {
        let master = self.master.id;
        self.run(|hsm| async move {
            let key = open(&hsm, master, spec, block, label).await?;
            let zmk = open(&hsm, master, zmk.spec, zmk.block, zmk.label).await?;
            wrap(&hsm, &key, spec, &zmk, Form { exportability: Exportability::EXPORTABLE, label: None }).await
        })
    }

    /// Takes a key that a partner wrapped under a ZMK, and seals it with its label. `check` is the check
    /// value that the partner named by another way; it must match. Refuses a key of another kind than
    /// `spec`, and a ZMK that is weaker than the key.
    pub fn import(
        &mut self,
        spec: KeySpec,
        zmk: Receiver<'_>,
        text: &str,
        check: &str,
        label: &str,
    ) -> Result<SealedKey, VaultError> {
        let master = self.master.id;
        self.run(|hsm| async move {
            let zmk = open(&hsm, master, zmk.spec, zmk.block, zmk.label).await?;
            let parsed = KeyBlock::parse(text.as_bytes())?;
            let kbpk = Kbpk::new(&hsm, &zmk, parsed.header().version).await?;
            let opened = parsed.unwrap(&hsm, &kbpk, &PARTNER).await?;
            let (usage, algorithm) = (opened.header.attributes.usage, opened.header.attributes.algorithm);
            let length = opened.material.len();
            if usage != spec.usage || algorithm != spec.algorithm() || length != spec.shape.length {
                return Err(VaultError::Kind);
            }
            judge_strength(zmk.attributes().shape, spec.shape)?;
            let clear = ClearKey::new(opened.material.expose()).map_err(|_| VaultError::Kind)?;
            let key = load(&hsm, spec.shape.kind, &clear).await?;
            let value = tr31::kcv(&hsm, &key).await.map_err(hsm::HsmError::from)?;
            let stated = check.trim().to_ascii_uppercase();
            if stated.len() < 6 || !value.matches_hex(stated.as_bytes()) {
                return Err(VaultError::CheckValue);
            }
            seal(&hsm, master, &key, spec, label).await
        })
    }
}

/// Blocks of a partner: older writers of TR-31 are taken, weak keys are not.
const PARTNER: Policy = Policy { name: "partner", ..Policy::TR31_2018 };
