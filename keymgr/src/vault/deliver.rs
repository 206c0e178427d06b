//! A key on its way to a node: a TR-31 block of version D under the node's root key, with the label of the
//! generation and the node under its MAC.

use super::sealed::open;
use super::{KeySpec, Vault, VaultError};
use hsm::{Hsm, Key};
use paytypes::{CipherKind, Drawn, Exportability, KeyShape};
use tr31::{
    Attributes, BlockId, Header, Kbpk, KcvMethod, Masking, OptionalBlocks, Policy, Version, strength_of,
};

/// Who receives a key: the wrapping key as its row keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Receiver<'a> {
    /// What the wrapping key is.
    pub spec: KeySpec,
    /// Its block under the master key.
    pub block: &'a str,
    /// Its label.
    pub label: &'a str,
}

impl Vault {
    /// Wraps a key for a receiver: a TR-31 D block that the receiver may use and not export, with the check
    /// values of both keys and `wire_label` in it. Padding is random: keep the result, and send it again
    /// rather than wrap again. Refuses a wrapping key that is weaker than the key.
    pub fn deliver(
        &mut self,
        spec: KeySpec,
        block: &str,
        label: &str,
        to: Receiver<'_>,
        wire_label: &str,
    ) -> Result<String, VaultError> {
        let master = self.master.id;
        self.run(|hsm| async move {
            let key = open(&hsm, master, spec, block, label).await?;
            let wrapping = open(&hsm, master, to.spec, to.block, to.label).await?;
            let form = Form { exportability: Exportability::NONE, label: Some(wire_label) };
            wrap(&hsm, &key, spec, &wrapping, form).await
        })
    }
}

/// How a key leaves.
#[derive(Clone, Copy)]
pub(super) struct Form<'a> {
    pub exportability: Exportability,
    pub label: Option<&'a str>,
}

pub(super) async fn wrap(
    hsm: &Hsm,
    key: &Key,
    spec: KeySpec,
    wrapping: &Key,
    form: Form<'_>,
) -> Result<String, VaultError> {
    judge_strength(wrapping.attributes().shape, spec.shape)?;
    let version = if wrapping.attributes().shape.kind == CipherKind::Aes { Version::D } else { Version::B };
    let kbpk = Kbpk::new(hsm, wrapping, version).await?;
    let mut blocks = OptionalBlocks::none();
    if let Some(label) = form.label {
        blocks.push(BlockId::LB, label.as_bytes())?;
    }
    let (method, value) = match spec.shape.kind {
        CipherKind::Aes => (KcvMethod::Cmac, tr31::kcv_cmac(hsm, key).await.map_err(hsm::HsmError::from)?),
        _ => (KcvMethod::Legacy, tr31::kcv_legacy(hsm, key).await.map_err(hsm::HsmError::from)?),
    };
    blocks.push_check_value(BlockId::KC, method, &value)?;
    blocks.push_check_value(BlockId::KP, KcvMethod::Cmac, kbpk.check_value(KcvMethod::Cmac))?;
    let header = Header { blocks, ..Header::new(version, attributes(spec, form.exportability)) };
    let mut pad = [0; 64];
    hsm.random(&mut pad).await?;
    let clear = hsm.reveal(key).await?;
    let mut drawn = Drawn::new(&pad);
    let text =
        tr31::wrap(hsm, &kbpk, &header, clear.expose(), Masking::Standard, &POLICY, &mut drawn).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// X9.143 as it is: proprietary usages never leave.
pub(super) const POLICY: Policy = Policy::X9_143_STRICT;

/// A wrapping key has at least the strength of the key.
pub(super) fn judge_strength(wrapping: KeyShape, wrapped: KeyShape) -> Result<(), VaultError> {
    let (wrapping, wrapped) = (strength_of(wrapping), strength_of(wrapped));
    if wrapping < wrapped { Err(VaultError::Weaker { wrapping, wrapped }) } else { Ok(()) }
}

fn attributes(spec: KeySpec, exportability: Exportability) -> Attributes {
    let a = spec.attributes();
    Attributes {
        usage: a.usage,
        algorithm: spec.algorithm(),
        mode: a.mode,
        key_version: a.version,
        exportability,
    }
}
