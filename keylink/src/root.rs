//! The root document: which keys speak for a manager, who its officers are and how many of them an action needs.
//! A node pins one at enrolment and follows changes only when a quorum of the old one and a quorum of the new one
//! have signed (The Update Framework section 5.3 is the model).

use crate::action::ActionClass;
use crate::envelope::{Body, EnvelopeError, Sign, bytes_of, pae, strict};
use crate::ids::{CredentialId, Digest, KeyId, KmcId, PersonId, PublicKey};
use crate::succession::CentreKey;
use crate::wire::{Blob, Hex, U64};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An officer's approval key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Officer {
    /// The person. One person may have several credentials, and counts once.
    pub person: PersonId,
    /// The credential.
    pub credential: CredentialId,
    /// Its key.
    pub key: PublicKey,
}

/// How many persons besides the requester approve a class of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "QuorumOfClass"))]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    /// The class.
    pub class: ActionClass,
    /// Persons; at least the compiled minimum of the class counts, whatever stands here.
    pub persons: u8,
}

/// Keys that can do one thing: replace officers, slowly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// The keys.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub needed: u8,
}

/// Content of a root document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RootDocument {
    /// 1 for the genesis document, then one more for each.
    pub number: u32,
    /// The manager; missing in the genesis document, whose hash it is.
    pub kmc: Option<KmcId>,
    /// Hash of the document before; missing in the genesis document.
    pub previous: Option<Digest>,
    /// When it was made, ms UTC.
    pub created_ms: U64,
    /// Free name of the manager, for people.
    pub name: String,
    /// Keys that sign manifests and commands.
    pub manifest_keys: Vec<PublicKey>,
    /// Keys that sign checkpoints of the log.
    pub checkpoint_keys: Vec<PublicKey>,
    /// Keys of the authorities whose transport certificates count, the one that comes last. Without any, nobody reaches
    /// anybody.
    pub transport_keys: Vec<PublicKey>,
    /// Approval keys.
    pub officers: Vec<Officer>,
    /// Quorums; a class that is missing has its compiled minimum.
    pub quorums: Vec<Quorum>,
    /// Recovery keys.
    pub recovery: Recovery,
}

crate::envelope::body!(RootDocument, "root");

/// Time between the moment a node first sees a root document signed by recovery keys and the moment it obeys.
pub const RECOVERY_DELAY_MS: u64 = 72 * 3600 * 1000;

impl RootDocument {
    /// Persons that must approve an action of this class: never below the compiled minimum.
    pub fn persons_needed(&self, class: ActionClass) -> usize {
        let set = self.quorums.iter().filter(|q| q.class == class).map(|q| q.persons).max();
        usize::from(set.unwrap_or_default().max(class.minimum()))
    }

    /// The officer who has this key.
    pub fn officer(&self, key: &KeyId) -> Option<&Officer> {
        self.officers.iter().find(|officer| officer.key.id() == *key)
    }

    /// The manifest key of this name.
    pub fn manifest_key(&self, key: &KeyId) -> Option<&PublicKey> {
        self.manifest_keys.iter().find(|own| own.id() == *key)
    }

    /// The centre's own keys of a kind.
    pub fn keys(&self, key: CentreKey) -> &[PublicKey] {
        match key {
            CentreKey::Manifest => &self.manifest_keys,
            CentreKey::Checkpoint => &self.checkpoint_keys,
            CentreKey::Transport => &self.transport_keys,
        }
    }

    /// The same, to be changed.
    pub fn keys_mut(&mut self, key: CentreKey) -> &mut Vec<PublicKey> {
        match key {
            CentreKey::Manifest => &mut self.manifest_keys,
            CentreKey::Checkpoint => &mut self.checkpoint_keys,
            CentreKey::Transport => &mut self.transport_keys,
        }
    }

    /// Number of different persons.
    pub fn persons(&self) -> usize {
        self.officers.iter().map(|o| o.person).collect::<BTreeSet<_>>().len()
    }

    // Nobody has two persons' keys, no key has two owners, and there is at least one of everything.
    fn sound(&self) -> bool {
        let keys: BTreeSet<_> = self.officers.iter().map(|o| o.key).collect();
        let credentials: BTreeSet<_> = self.officers.iter().map(|o| o.credential).collect();
        let genesis = self.number == 1;
        keys.len() == self.officers.len()
            && credentials.len() == self.officers.len()
            && !self.manifest_keys.is_empty()
            && self.number > 0
            && genesis == self.kmc.is_none()
            && genesis == self.previous.is_none()
            && self.persons() > self.persons_needed(ActionClass::Root)
            && usize::from(self.recovery.needed) <= self.recovery.keys.len()
            && (self.recovery.keys.is_empty() || self.recovery.needed >= 2)
    }
}

/// A signature by one of several signers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NamedSignature {
    /// Who claims to have signed.
    pub key: KeyId,
    /// Over the PAE.
    pub signature: Hex<64>,
}

/// A root document with its signatures, as it travels and is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignedRoot {
    /// The exact bytes that were signed.
    pub payload: Blob,
    /// Each signer by name.
    pub signatures: Vec<NamedSignature>,
}

/// Why a root document is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// Not a sound root document.
    #[error("malformed root document")]
    Malformed,
    /// Not the next one after the pinned document.
    #[error("not the next root document")]
    Order,
    /// Of another manager.
    #[error("root document of another manager")]
    Kmc,
    /// Not enough persons have signed.
    #[error("root document without its quorum")]
    Quorum,
}

/// By whose right the next root document came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// Quorums of both documents: at once.
    Officers,
    /// Recovery keys: after [`RECOVERY_DELAY_MS`], with an alarm.
    Recovery,
}

impl SignedRoot {
    /// A document with no signature yet.
    pub fn new(document: &RootDocument) -> Self {
        Self { payload: Blob(bytes_of(document)), signatures: Vec::new() }
    }

    /// Adds a signature.
    pub fn sign(&mut self, signer: &(impl Sign + ?Sized)) {
        let signature = Hex(signer.sign(&self.pae()));
        self.signatures.push(NamedSignature { key: signer.key().id(), signature });
    }

    /// What is signed: for signers at other places.
    pub fn pae(&self) -> Vec<u8> {
        pae(RootDocument::KIND, &self.payload.0)
    }

    /// The document's name; of the genesis document: the manager's.
    pub fn hash(&self) -> Digest {
        Digest::of(&self.pae())
    }

    /// The manager it speaks for.
    pub fn kmc(&self) -> Result<KmcId, RootError> {
        Ok(self.document()?.kmc.unwrap_or(KmcId(self.hash().0)))
    }

    /// The document, whose soundness alone is judged.
    pub fn document(&self) -> Result<RootDocument, RootError> {
        let document: RootDocument =
            strict(&self.payload.0).map_err(|_: EnvelopeError| RootError::Malformed)?;
        if document.sound() { Ok(document) } else { Err(RootError::Malformed) }
    }

    /// A genesis document, signed by all of its officers themselves.
    pub fn open_genesis(&self) -> Result<RootDocument, RootError> {
        let document = self.document()?;
        if document.number != 1 {
            return Err(RootError::Order);
        }
        let all = document.persons();
        if self.persons(&document) < all { Err(RootError::Quorum) } else { Ok(document) }
    }

    /// The document that follows `old`, whose hash is `old_hash`, at the manager `kmc`.
    pub fn open_next(
        &self,
        kmc: KmcId,
        old: &RootDocument,
        old_hash: Digest,
    ) -> Result<(RootDocument, Succession), RootError> {
        let document = self.document()?;
        if document.kmc != Some(kmc) {
            return Err(RootError::Kmc);
        }
        if Some(document.number) != old.number.checked_add(1) || document.previous != Some(old_hash) {
            return Err(RootError::Order);
        }
        let of_new = self.persons(&document) >= document.persons_needed(ActionClass::Root);
        if of_new && self.persons(old) >= old.persons_needed(ActionClass::Root) {
            return Ok((document, Succession::Officers));
        }
        // Recovery keys replace officers and nothing else.
        let officers_only = RootDocument {
            number: old.number,
            previous: old.previous,
            kmc: old.kmc,
            created_ms: old.created_ms,
            officers: old.officers.clone(),
            ..document.clone()
        } == *old;
        if of_new && officers_only && self.recovers(old) {
            return Ok((document, Succession::Recovery));
        }
        Err(RootError::Quorum)
    }

    // Different persons among the officers of `document` who have signed.
    fn persons(&self, document: &RootDocument) -> usize {
        let pae = self.pae();
        let signed = self.signatures.iter().filter_map(|s| {
            let officer = document.officer(&s.key)?;
            officer.key.verify(&pae, &s.signature.0).is_ok().then_some(officer.person)
        });
        signed.collect::<BTreeSet<_>>().len()
    }

    fn recovers(&self, old: &RootDocument) -> bool {
        let pae = self.pae();
        let signed = self.signatures.iter().filter_map(|s| {
            let key = old.recovery.keys.iter().find(|key| key.id() == s.key)?;
            key.verify(&pae, &s.signature.0).is_ok().then_some(s.key)
        });
        let needed = usize::from(old.recovery.needed);
        needed >= 2 && signed.collect::<BTreeSet<_>>().len() >= needed
    }
}
