//! Open ceremonies at the manager.

use super::{ComponentEntry, ComponentMessage, Transcript, TranscriptPart, context};
use crate::core::action::{Act, KeyRef};
use crate::core::approval::{Action, ActionState};
use crate::core::input::{Arrived, Caller, Input};
use crate::core::key::{Material, Origin, Wrapper};
use crate::core::node::RootKek;
use crate::core::people::Credential;
use crate::core::refusal::Refusal;
use crate::core::root_kek::KekTarget;
use crate::core::table::{State, Table as CoreTable};
use crate::core::verified::Verified;
use crate::service::{Manager, RequestName, SubmitProblem, kcv_method, label_of, spec_of};
use crate::store::Table;
use crate::vault::{ComponentBox, ComponentKey, KeySpec, ROOT_KEK, SealedKey, VaultError, root_kek_label};
use crate::writer::SubmitError;
use keylink::message::Shape;
use keylink::wire::{Blob, U64};
use keylink::{ActionId, Digest, Generation, KeySetId, KmcId, PersonId, Signed};
use paytypes::CipherKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use thiserror::Error;

/// How often a key is sealed for a number that then goes to another key.
pub(crate) const SEALED_AT_MOST: usize = 8;

/// Why a ceremony does not go on.
#[derive(Debug, Error)]
pub enum CeremonyProblem {
    /// No such approved action, or it is done.
    #[error("no ceremony is approved under this action, or it is over")]
    NotOpen,
    /// The message is not the caller's own component of this ceremony.
    #[error("not this custodian's component of this ceremony: {0}")]
    NotYours(&'static str),
    /// The sealed component has another check value than its custodian says.
    #[error("the sealed component has another check value than was stated")]
    CheckValue,
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store,
    /// Components are missing.
    #[error("components are missing: {0:?}")]
    Missing(Vec<u8>),
    /// The backend refuses.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The core refuses.
    #[error("{0}")]
    Submit(SubmitProblem),
}

/// A component, as people may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartView {
    /// Number.
    pub number: u8,
    /// Custodian.
    pub person: PersonId,
    /// Check value, once the component is there.
    pub check: Option<String>,
}

/// A ceremony, as people may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CeremonyView {
    /// The approved action.
    pub ceremony: ActionId,
    /// Key set; none when a root KEK is formed.
    pub key_set: Option<KeySetId>,
    /// Node and number, when a root KEK is formed.
    pub root_kek: Option<KekTarget>,
    /// Kind and length of the key.
    pub shape: Shape,
    /// Length of a component in bytes.
    pub length: u8,
    /// Key to which components are sealed.
    pub key: Blob,
    /// Its SHA-256, to compare between consoles.
    pub fingerprint: Digest,
    /// Components.
    pub parts: Vec<PartView>,
}

impl CeremonyView {
    /// Cipher of the key.
    pub const fn kind(&self) -> CipherKind {
        self.shape.key_shape().kind
    }
}

struct Open {
    key: ComponentKey,
    parts: BTreeMap<u8, Part>,
}

#[derive(Clone)]
struct Part {
    message: ComponentMessage,
    name: Digest,
    sealed: ComponentBox,
}

/// Open ceremonies.
#[derive(Default)]
pub(crate) struct Ceremonies(Mutex<HashMap<ActionId, Open>>);

impl Ceremonies {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<ActionId, Open>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Approved {
    kmc: KmcId,
    hash: Digest,
    what: What,
    custodians: Vec<PersonId>,
}

/// What is formed.
#[derive(Clone, Copy)]
enum What {
    Key(KeySetId),
    RootKek(KekTarget),
}

impl Manager {
    fn approved_ceremony(&self, id: ActionId) -> Result<Approved, CeremonyProblem> {
        let now = self.now().utc_ms;
        self.view(|core| {
            let action = <State as CoreTable<Action>>::rows(core.state()).get(&id)?;
            let what = match core.performable(&id, now) {
                Ok(Act::FormKey { key_set, custodians }) => (What::Key(key_set), custodians),
                Ok(Act::FormRootKek { target, custodians }) => (What::RootKek(target), custodians),
                _ => return None,
            };
            Some(Approved { kmc: core.kmc()?, hash: action.hash(), what: what.0, custodians: what.1 })
        })
        .ok_or(CeremonyProblem::NotOpen)
    }

    /// A ceremony; its key is made when it is looked at first.
    pub async fn ceremony(&self, id: ActionId) -> Result<CeremonyView, CeremonyProblem> {
        let approved = self.approved_ceremony(id)?;
        if !self.ceremonies().with(|open| open.contains_key(&id)) {
            let key = self.vault().call(move |vault| Ok(vault.ceremonies().begin_once(&id.0))).await?;
            self.ceremonies().with(|open| {
                open.entry(id).or_insert(Open { key, parts: BTreeMap::new() });
            });
        }
        let (key_set, root_kek, shape) = match approved.what {
            What::Key(key_set) => {
                let shape = self.view(|core| core.key_set(&key_set).map(|set| set.definition.shape));
                (Some(key_set), None, shape.ok_or(CeremonyProblem::NotOpen)?)
            }
            What::RootKek(target) => (None, Some(target), Shape::Aes256),
        };
        self.ceremonies().with(|open| {
            let open = open.get(&id).ok_or(CeremonyProblem::NotOpen)?;
            let part = |(number, person): (u8, &PersonId)| PartView {
                number,
                person: *person,
                check: open.parts.get(&number).map(|part| part.message.check.clone()),
            };
            Ok(CeremonyView {
                ceremony: id,
                key_set,
                root_kek,
                shape,
                length: u8::try_from(shape.key_shape().length).unwrap_or_default(),
                key: Blob(open.key.0.clone()),
                fingerprint: Digest::of(&open.key.0),
                parts: (1..=u8::MAX).zip(&approved.custodians).map(part).collect(),
            })
        })
    }

    /// Takes a component that its custodian sealed and signed, and has the log say so. A custodian may replace an own
    /// one until the end.
    pub(crate) async fn component(
        &self,
        name: RequestName,
        by: Caller,
        id: ActionId,
        entry: ComponentEntry,
    ) -> Result<CeremonyView, CeremonyProblem> {
        let approved = self.approved_ceremony(id)?;
        let view = self.ceremony(id).await?;
        let no = CeremonyProblem::NotYours;
        let key = self
            .view(|core| {
                <State as CoreTable<Credential>>::rows(core.state()).get(&by.credential).map(|own| own.key)
            })
            .ok_or(no("no such credential"))?;
        let (sealed, named) = (entry.sealed(), entry.sealed_hash());
        let verified = Verified::<ComponentMessage>::open(entry.signed, &key);
        let verified = verified.map_err(|_| no("not signed by the caller"))?;
        let message = verified.body().clone();
        let (kmc, number) = (approved.kmc, message.number);
        if (message.kmc, message.ceremony, message.person, message.credential)
            != (kmc, id, by.person, by.credential)
        {
            return Err(no("it names another ceremony or person"));
        }
        if usize::from(number).checked_sub(1).and_then(|at| approved.custodians.get(at)) != Some(&by.person) {
            return Err(no("this component is entrusted to somebody else"));
        }
        if message.key != view.fingerprint {
            return Err(no("sealed to another key"));
        }
        if message.sealed != named {
            return Err(no("it names another box"));
        }
        let (opened, context) = (sealed.clone(), context(kmc, id, number, by.person));
        let spec = self.spec(approved.what)?;
        let check = self
            .vault()
            .call(move |vault| {
                vault.with_ceremonies(|vault, keys| {
                    vault.component_check(keys, &id.0, spec, (&context, &opened))
                })
            })
            .await?;
        if !check.eq_ignore_ascii_case(&message.check) {
            return Err(CeremonyProblem::CheckValue);
        }
        let part = Part { message, name: verified.hash(), sealed };
        // Only what the log says counts.
        self.submit(Some(name), Input::Component(verified)).await.map_err(CeremonyProblem::Submit)?;
        self.ceremonies().with(|open| {
            // A key made meanwhile opens no box of the one before.
            if let Some(open) = open.get_mut(&id).filter(|open| Digest::of(&open.key.0) == part.message.key) {
                open.parts.insert(number, part);
            }
        });
        self.ceremony(id).await
    }

    /// Combines the components into the next generation of the key set, or the root KEK; gives the signed transcript.
    pub(crate) async fn finish_ceremony(
        &self,
        name: RequestName,
        by: Caller,
        id: ActionId,
    ) -> Result<Signed, CeremonyProblem> {
        let mut refused = CeremonyProblem::NotOpen;
        for _ in 0..SEALED_AT_MOST {
            // Asked again after an answer that was lost, or another console was faster.
            if let Some(done) = self.transcript(id).await? {
                return Ok(done);
            }
            match self.form(name.clone(), by, id).await {
                // The number went to another key meanwhile: sealed again for the next.
                Err(
                    problem @ CeremonyProblem::Submit(SubmitError::Refused(
                        Refusal::NotNext | Refusal::Outdated(_),
                    )),
                ) => refused = problem,
                Ok(()) => {
                    self.forget_ceremony(id).await;
                    break;
                }
                Err(problem) => return Err(problem),
            }
        }
        self.transcript(id).await?.ok_or(refused)
    }

    async fn form(&self, name: RequestName, by: Caller, id: ActionId) -> Result<(), CeremonyProblem> {
        let approved = self.approved_ceremony(id)?;
        let parts: BTreeMap<u8, Part> =
            self.ceremonies().with(|open| open.get(&id).map(|open| open.parts.clone())).unwrap_or_default();
        let numbers = (1..=u8::MAX).zip(&approved.custodians).map(|(number, _)| number);
        let missing: Vec<u8> = numbers.filter(|number| !parts.contains_key(number)).collect();
        if !missing.is_empty() {
            return Err(CeremonyProblem::Missing(missing));
        }
        let (spec, kmc) = (self.spec(approved.what)?, approved.kmc);
        let (generation, label) = match approved.what {
            What::Key(key_set) => {
                let next = self.view(|core| core.key_set(&key_set).map(|set| set.next_generation));
                let generation = next.ok_or(CeremonyProblem::NotOpen)?;
                (generation, label_of(kmc, KeyRef { key_set, generation }, None))
            }
            What::RootKek(KekTarget { node, number }) => {
                (Generation(number), root_kek_label(kmc, node, number))
            }
        };
        let boxes: Vec<_> = parts
            .values()
            .map(|part| (context(kmc, id, part.message.number, part.message.person), part.sealed.clone()))
            .collect();
        let formed = self
            .vault()
            .call(move |vault| {
                vault.with_ceremonies(|vault, keys| vault.form(keys, &id.0, spec, &boxes, &label))
            })
            .await?;
        let utc_ms = self.now().utc_ms;
        let transcript = self.sign(&transcript(&approved, id, generation, &parts, &formed, utc_ms)).await;
        // The components stay: it is formed again when the key answers.
        let transcript = transcript.map_err(|_| VaultError::Backend)?;
        let evidence = parts.values().map(|part| part.name).collect();
        let input = match approved.what {
            What::Key(_) => {
                let material = material(spec, formed);
                let key = Arrived { action: id, origin: Origin::Components, generation, material };
                Input::FormedFrom { by, key, transcript, evidence }
            }
            What::RootKek(target) => {
                let kek = root_kek(target, formed, utc_ms);
                Input::RootKekFormed { by, action: id, kek, transcript, evidence }
            }
        };
        self.submit(Some(name), input).await.map_err(CeremonyProblem::Submit)?;
        if let What::RootKek(target) = approved.what {
            self.judge_told(target.node).await;
        }
        Ok(())
    }

    /// Forgets what was entered in a ceremony, and the key to it: it is over, or given up.
    pub async fn forget_ceremony(&self, id: ActionId) {
        self.ceremonies().with(|open| open.remove(&id));
        let forget = move |vault: &mut crate::vault::Vault| {
            vault.ceremonies().end(&id.0);
            Ok(())
        };
        if self.vault().call(forget).await.is_err() {
            tracing::warn!(ceremony = %id, "the backend does not answer");
        }
    }

    /// Forgets ceremonies whose action may not be performed any more.
    pub(crate) async fn forget_lapsed(&self) {
        let open: Vec<ActionId> = self.ceremonies().with(|open| open.keys().copied().collect());
        for id in open {
            if self.view(|core| core.state().action(&id).is_none_or(|a| a.state != ActionState::Approved)) {
                self.forget_ceremony(id).await;
            }
        }
    }

    /// The transcript of a ceremony that is done, as it was signed.
    pub async fn transcript(&self, id: ActionId) -> Result<Option<Signed>, CeremonyProblem> {
        let found = self.store().read(move |store| store.get(Table::Ceremonies, &id.0)).await;
        match found {
            Some(Ok(row)) => Ok(row.and_then(|row| Signed::parse(&row.body).ok())),
            _ => Err(CeremonyProblem::Store),
        }
    }

    fn spec(&self, what: What) -> Result<KeySpec, CeremonyProblem> {
        let What::Key(key_set) = what else { return Ok(ROOT_KEK) };
        let of = |core: &crate::core::Core| {
            let set = core.key_set(&key_set)?;
            Some(spec_of(set.definition.kind, set.definition.shape))
        };
        self.view(of).ok_or(CeremonyProblem::NotOpen)
    }
}

fn material(spec: KeySpec, formed: SealedKey) -> Material {
    Material {
        block: formed.block,
        kcv: formed.kcv,
        kcv_method: kcv_method(spec),
        wrapped_by: Wrapper::Master,
        wrapper_strength_bits: 256,
        arrived_under: None,
    }
}

fn root_kek(target: KekTarget, formed: SealedKey, since_utc_ms: u64) -> RootKek {
    let SealedKey { block, kcv, .. } = formed;
    RootKek { number: target.number, strength_bits: 256, block, kcv, since_utc_ms }
}

fn transcript(
    approved: &Approved,
    ceremony: ActionId,
    generation: Generation,
    parts: &BTreeMap<u8, Part>,
    formed: &SealedKey,
    utc_ms: u64,
) -> Transcript {
    let part = |part: &Part| TranscriptPart {
        number: part.message.number,
        person: part.message.person,
        check: part.message.check.clone(),
        message: part.name,
    };
    let (key_set, node) = match approved.what {
        What::Key(key_set) => (Some(key_set), None),
        What::RootKek(target) => (None, Some(target.node)),
    };
    Transcript {
        kmc: approved.kmc,
        ceremony,
        action: approved.hash,
        key_set,
        node,
        generation,
        key: parts.values().map(|part| part.message.key).next().unwrap_or_default(),
        parts: parts.values().map(part).collect(),
        kcv: formed.kcv.clone(),
        utc_ms: U64(utc_ms),
    }
}
