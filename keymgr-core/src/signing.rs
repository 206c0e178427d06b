//! The centre's own keys, and how another takes the place of one of them: officers approve the new key and sign the two
//! root documents that name it, first beside the old one and then alone. In between every node that is waited for
//! learns it. What goes on by itself is one step at a time, each in the log.

use super::action::Act;
use super::alarm::AlarmKind;
use super::approval::{Action, ActionState};
use super::centre::Centre;
use super::ids::{ActionId, NodeId};
use super::node::Node;
use super::people::{Credential, Standing};
use super::refusal::Refusal;
use super::root;
use super::table::{Change, State, Table};
use keylink::PublicKey;
use keylink::envelope::strict;
use keylink::root::{NamedSignature, RootDocument, SignedRoot};
use keylink::succession::{CentreKey, SignedSuccession, Succession};
use keylink::wire::{Blob, U64};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What officers approve: another key, by its statement, and the root documents that bring it and drop the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySuccession {
    /// Which follows which, signed by both.
    pub statement: SignedSuccession,
    /// Exact bytes of the next root document, which names both.
    pub both: Blob,
    /// Exact bytes of the one after it, which names the new key alone.
    pub alone: Blob,
}

impl KeySuccession {
    /// What the statement says, when both keys have signed it.
    pub fn said(&self) -> Option<Succession> {
        self.statement.open()
    }

    /// The two root documents, without signatures.
    pub fn documents(&self) -> [SignedRoot; 2] {
        [&self.both, &self.alone]
            .map(|payload| SignedRoot { payload: payload.clone(), signatures: Vec::new() })
    }
}

/// An officer's signatures on both root documents of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentSignatures {
    /// On the one that names both keys.
    pub both: NamedSignature,
    /// On the one that names the new key alone.
    pub alone: NamedSignature,
}

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyPhase {
    /// Approved; the root document that names both keys is next.
    Approved,
    /// Nodes learn the new key; the old one signs.
    Learning,
    /// The new key signs; the root document that drops the old one is next.
    Signing,
}

/// A change on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// The action that approved it.
    pub action: ActionId,
    /// Which key.
    pub key: CentreKey,
    /// The one that goes.
    pub old: PublicKey,
    /// The one that comes.
    pub new: PublicKey,
    /// How far it is.
    pub phase: KeyPhase,
    /// Since when it is there, UTC milliseconds.
    pub since: U64,
    /// Number of the root document that named both.
    pub number: u32,
}

/// Which of the centre's own keys sign, where others than those of the beginning do, and which one changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKeys {
    /// Keys that took the place of others, and since when they sign, UTC milliseconds.
    pub used: BTreeMap<CentreKey, (PublicKey, U64)>,
    /// The change on its way; one at a time.
    pub change: Option<KeyChange>,
}

impl SigningKeys {
    /// Nothing was ever changed.
    pub fn is_first(&self) -> bool {
        *self == Self::default()
    }
}

impl Centre {
    /// The key that signs now, and since when, UTC milliseconds; none where the root document names none.
    pub fn signing_key(&self, key: CentreKey) -> Option<(PublicKey, u64)> {
        if let Some((used, since)) = self.signing.used.get(&key) {
            return Some((*used, since.0));
        }
        let document = self.root.document().ok()?;
        let since = self.former.first().unwrap_or(&self.root).document().ok()?.created_ms.0;
        document.keys(key).first().map(|first| (*first, since))
    }
}

/// The keys that the next root document names: as the last did, with one that comes and without one whose time is over.
pub(super) fn name(centre: &Centre, document: &mut RootDocument) {
    let Some(change) = &centre.signing.change else { return };
    let keys = document.keys_mut(change.key);
    match change.phase {
        KeyPhase::Approved => keys.push(change.new),
        KeyPhase::Learning => {}
        KeyPhase::Signing => keys.retain(|key| *key != change.old),
    }
}

/// Whether officers have to sign another document for the change to end: one came between that nobody foresaw.
pub(super) fn is_behind(tx: &Change<'_>, centre: &Centre) -> bool {
    let Some(change) = centre.signing.change.as_ref() else { return false };
    match change.phase {
        KeyPhase::Learning => false,
        KeyPhase::Approved | KeyPhase::Signing => next(tx, centre, change).is_none(),
    }
}

/// Officers' root documents change no key of the centre by themselves.
pub(super) fn judge(centre: &Centre, old: &RootDocument, document: &RootDocument) -> Result<(), Refusal> {
    let mut wanted = old.clone();
    name(centre, &mut wanted);
    if CentreKey::ALL.into_iter().all(|key| wanted.keys(key) == document.keys(key)) {
        return Ok(());
    }
    Err(Refusal::Value("the centre's own keys in the root document are those that sign now"))
}

/// A root document has taken effect: nodes learn a key that it names, and a change whose old key it names no more is
/// done.
pub(super) fn followed(tx: &mut Change<'_>, document: &RootDocument, now: u64) -> Result<(), Refusal> {
    let slot = &mut tx.edit::<Centre>(&())?.signing.change;
    let Some(change) = slot else { return Ok(()) };
    let keys = document.keys(change.key);
    match change.phase {
        KeyPhase::Approved if keys.contains(&change.new) => {
            (change.phase, change.since, change.number) = (KeyPhase::Learning, U64(now), document.number);
        }
        KeyPhase::Signing if !keys.contains(&change.old) => *slot = None,
        _ => {}
    }
    Ok(())
}

/// The two documents that bring a key, as they would be drafted now.
pub fn draft(
    tx: &Change<'_>,
    key: CentreKey,
    new: PublicKey,
    now: u64,
) -> Result<[RootDocument; 2], Refusal> {
    let mut both = root::draft(tx, now)?;
    both.keys_mut(key).push(new);
    let mut alone = RootDocument {
        number: both.number + 1,
        previous: Some(SignedRoot::new(&both).hash()),
        ..both.clone()
    };
    alone.keys_mut(key).retain(|known| *known == new);
    Ok([both, alone])
}

/// Begins a change that was approved, or finds out whether it could begin.
pub(super) fn begin(
    tx: &mut Change<'_>,
    action: ActionId,
    act: &KeySuccession,
    now: u64,
) -> Result<(), Refusal> {
    let centre = tx.get::<Centre>(&())?;
    if centre.signing.change.is_some() {
        return Err(Refusal::KeyChanges);
    }
    if centre.recovery.is_some() {
        return Err(Refusal::Value("a recovery waits, which a change of keys would end"));
    }
    if root::is_behind(tx) {
        return Err(Refusal::Outdated("officers have changed: the next root document comes first"));
    }
    let said = act.said().ok_or(Refusal::Value("both keys sign which follows which"))?;
    if said.kmc != centre.kmc {
        return Err(Refusal::Value("a key of another centre"));
    }
    if centre.signing_key(said.key).map(|(key, _)| key) != Some(said.old) {
        return Err(Refusal::Outdated("another key signs now"));
    }
    let documents = centre.former.iter().chain([&centre.root]).filter_map(|root| root.document().ok());
    let known: BTreeSet<PublicKey> = documents
        .flat_map(|d| {
            let officers = d.officers.iter().map(|officer| officer.key);
            officers
                .chain(CentreKey::ALL.into_iter().flat_map(|key| d.keys(key).to_vec()))
                .collect::<Vec<_>>()
        })
        .collect();
    if known.contains(&said.new) {
        return Err(Refusal::Value("a key that signed before, or another's, does not come again"));
    }
    // The secret half of a key that nobody waits for any more may be erased.
    let ended = |id: &ActionId| tx.find::<Action>(id).filter(|other| other.state != ActionState::Pending);
    let names = |other: &Action| matches!(other.act(), Some(Act::ChangeSigningKey(act)) if act.said().is_some_and(|before| before.new == said.new));
    if tx.keys_in::<Action>(..).iter().filter(|id| **id != action).filter_map(ended).any(names) {
        return Err(Refusal::Outdated("officers were asked about this key before: ask for another"));
    }
    let both: RootDocument = strict(&act.both.0).map_err(|_| keylink::root::RootError::Malformed)?;
    let expected = draft(tx, said.key, said.new, both.created_ms.0)?;
    if both.created_ms.0 > now || act.documents() != expected.map(|d| SignedRoot::new(&d)) {
        return Err(Refusal::Outdated("the root documents are not those that come next: ask again"));
    }
    let change = KeyChange {
        action,
        key: said.key,
        old: said.old,
        new: said.new,
        phase: KeyPhase::Approved,
        since: U64(now),
        number: both.number,
    };
    tx.edit::<Centre>(&())?.signing.change = Some(change);
    Ok(())
}

/// Takes an officer's signatures on the root documents of a change that waits for approvals.
pub(super) fn sign(
    tx: &mut Change<'_>,
    by: super::input::Caller,
    id: &ActionId,
    signatures: DocumentSignatures,
) -> Result<(), Refusal> {
    let action = tx.get::<Action>(id)?;
    if action.state != ActionState::Pending {
        return Err(super::approval::ApprovalError::NotPending.into());
    }
    let Some(Act::ChangeSigningKey(act)) = action.act() else {
        return Err(Refusal::Unfit("the action names no root documents"));
    };
    let own = tx.get::<Credential>(&by.credential)?;
    let holds = |root: &SignedRoot, signature: &NamedSignature| {
        signature.key == own.key.id() && own.key.verify(&root.pae(), &signature.signature.0).is_ok()
    };
    let [both, alone] = act.documents();
    if !holds(&both, &signatures.both) || !holds(&alone, &signatures.alone) {
        return Err(Refusal::Value("an officer signs both root documents with the own key"));
    }
    let action = tx.edit::<Action>(id)?;
    action.documents.retain(|known| known.both.key != signatures.both.key);
    action.documents.push(signatures);
    Ok(())
}

/// An approval of a change counts with the officer's signatures on its root documents only.
pub(super) fn has_signed(action: &Action, credential: &Credential) -> Result<(), Refusal> {
    let changes = matches!(action.act(), Some(Act::ChangeSigningKey(_)));
    let own = |signed: &DocumentSignatures| signed.both.key == credential.key.id();
    if !changes || action.documents.iter().any(own) {
        return Ok(());
    }
    Err(Refusal::Unfit("the root documents of the change are signed first"))
}

// The root document that was signed with the approval and comes next, if nothing came between.
fn next(tx: &Change<'_>, centre: &Centre, change: &KeyChange) -> Option<SignedRoot> {
    let action = tx.find::<Action>(&change.action)?;
    let Some(Act::ChangeSigningKey(act)) = action.act() else { return None };
    let [mut both, mut alone] = act.documents();
    both.signatures = action.documents.iter().map(|signed| signed.both).collect();
    alone.signatures = action.documents.iter().map(|signed| signed.alone).collect();
    let root = if change.phase == KeyPhase::Approved { both } else { alone };
    let old = centre.root.document().ok()?;
    let (_, by) = root.open_next(centre.kmc, &old, centre.root.hash()).ok()?;
    (by == keylink::root::Succession::Officers).then_some(root)
}

/// Whether a node has done its part of the change.
pub fn knows(node: &Node, change: &KeyChange) -> bool {
    match change.phase {
        KeyPhase::Signing if change.key == CentreKey::Transport => node.certificate_by == Some(change.new),
        KeyPhase::Signing => node.seen_utc_ms > change.since.0,
        KeyPhase::Approved | KeyPhase::Learning => node.link.root >= change.number,
    }
}

/// Nodes that the change waits for: served, in traffic, and without the root document that names the new key; or, once
/// it signs, not heard of since; or, where it signs certificates, without one that it has signed.
pub fn waits_for(tx: &Change<'_>, centre: &Centre, change: &KeyChange, now: u64) -> Vec<NodeId> {
    let ids = tx.keys_in::<Node>(..);
    let waited = |node: &&Node| {
        node.standing == Standing::Active
            && node.quarantined.is_none()
            && node.is_waited_for(now, centre.limits.silent_after_ms)
    };
    let nodes = ids.iter().filter_map(|id| tx.find::<Node>(id));
    nodes.filter(waited).filter(|node| !knows(node, change)).map(|node| node.id).collect()
}

/// What a step did, for the log.
pub struct Stepped {
    /// In dotted words.
    pub word: &'static str,
    /// A root document, or a key.
    pub object: String,
}

/// The next step of a change, if its time has come. `checkpoints` is the key by which the log's checkpoints are signed
/// now, as the writer says.
pub fn step(tx: &mut Change<'_>, checkpoints: Option<PublicKey>, now: u64) -> Result<Stepped, Refusal> {
    let centre = tx.get::<Centre>(&())?.clone();
    let change = centre.signing.change.clone().ok_or(Refusal::NotDue)?;
    let waits = !waits_for(tx, &centre, &change, now).is_empty();
    let stepped = match change.phase {
        KeyPhase::Approved => {
            let next = next(tx, &centre, &change).ok_or(Refusal::NotDue)?;
            root::follow(tx, &next, now)?;
            Stepped { word: "signing_key.name", object: next.hash().to_string() }
        }
        KeyPhase::Learning if !waits => {
            let signing = &mut tx.edit::<Centre>(&())?.signing;
            signing.used.insert(change.key, (change.new, U64(now)));
            signing.change = Some(KeyChange { phase: KeyPhase::Signing, since: U64(now), ..change.clone() });
            Stepped { word: "signing_key.use", object: change.new.to_string() }
        }
        KeyPhase::Signing if !waits => {
            let signs = change.key != CentreKey::Checkpoint || checkpoints == Some(change.new);
            let next = next(tx, &centre, &change).filter(|_| signs && centre.recovery.is_none());
            let next = next.ok_or(Refusal::NotDue)?;
            root::follow(tx, &next, now)?;
            Stepped { word: "signing_key.drop", object: next.hash().to_string() }
        }
        _ => return Err(Refusal::NotDue),
    };
    super::acts::officer_alarms(tx, now);
    Ok(stepped)
}

/// A change that waits for the same nodes for so long is told, milliseconds.
const LATE_MS: u64 = 3_600_000;

/// Tells when a change does not go on, and that it does again.
pub(super) fn late(tx: &mut Change<'_>, now: u64) {
    const SUBJECT: &str = "signing keys";
    let found = tx.find::<Centre>(&()).and_then(|centre| {
        let change = centre.signing.change.as_ref()?;
        let waits = waits_for(tx, centre, change, now).len();
        (now.saturating_sub(change.since.0) > LATE_MS).then_some((change.key, waits))
    });
    match found {
        Some((key, nodes)) => {
            let text = format!("the change of the {key} key does not end: {nodes} node(s) have not answered");
            tx.alarm(AlarmKind::SigningKey, &SUBJECT, text, now);
        }
        None => tx.calm(AlarmKind::SigningKey, &SUBJECT, now),
    }
}

/// Keys whose secret halves are still wanted, besides those that sign.
pub fn awaited(state: &State) -> BTreeSet<PublicKey> {
    let new = asked(state, |action| matches!(action.state, ActionState::Pending)).into_iter();
    let centre = <State as Table<Centre>>::rows(state).get(&());
    let change = centre.and_then(|centre| centre.signing.change.as_ref());
    new.chain(change.into_iter().flat_map(|change| [change.old, change.new])).collect()
}

/// Keys that officers were asked about, by these actions.
pub fn asked(state: &State, which: impl Fn(&Action) -> bool) -> BTreeSet<PublicKey> {
    let actions = <State as Table<Action>>::rows(state).values().filter(|action| which(action));
    let new = actions.filter_map(|action| match action.act()? {
        Act::ChangeSigningKey(act) => act.said().map(|said| said.new),
        _ => None,
    });
    new.collect()
}
