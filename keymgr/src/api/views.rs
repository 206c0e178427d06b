//! What people are shown: records without key blocks, and small answers of their own.

use crate::core::approval::Quorum;
use crate::core::campaign::RotateTarget;
use crate::core::enrolment::{made_ms, until_ms};
use crate::core::ids::{
    ActionId, CampaignId, CredentialId, Digest, KeySetId, KmcId, NodeId, PersonId, ZoneId,
};
use crate::core::key::{Key, Origin, Storage, Windows};
use crate::core::lifecycle::KeyState;
use crate::core::node::{BackendClass, Copy, Node, Progress, RootKek, Traffic, Wipe, stopped};
use crate::core::people::{Role, Standing};
use crate::core::preview::{Preview, PreviewNode};
use crate::core::root_kek::KekTarget;
use crate::core::rows::{Token, TokenUse, TokenVoid};
use keylink::wire::U64;
use keylink::{Generation, PublicKey, Signed, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How the centre is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StatusView {
    /// How much of everything there is.
    pub counts: CountsView,
    /// What durability rests on: the store's engine and settings, by name.
    pub store: std::collections::BTreeMap<String, String>,
    /// What the backend may claim: `A`, `B` or `C`.
    pub backend_class: String,
    /// The backend answered last: keys can be made, wrapped and proved.
    pub backend_ready: bool,
    /// Where the master key is: `token`, or `memory` of the manager.
    pub master_key_place: String,
    /// Its identifier in the backend.
    pub master_key_lmk: u8,
    /// Its check value, six hexadecimal digits.
    pub master_key_check_value: String,
    /// The master key is a public test key, which protects nothing.
    pub test_master_key: bool,
    /// Where the keys are made that sign manifests and checkpoints: `token`, which they never leave, or `sealed file`,
    /// opened in the memory of the manager.
    pub signing_keys_place: String,
    /// The keys that sign manifests and checkpoints, and how far the change of one is.
    pub signing_keys: Vec<super::SigningKeyView>,
    /// Requests are taken.
    pub leading: bool,
    /// The store has no room.
    pub store_full: bool,
    /// The fencing epoch.
    pub epoch: u64,
    /// Committed entries of the log.
    pub log_size: u64,
    /// Version of the program.
    pub software: String,
    /// Its clock, UTC milliseconds.
    pub utc_ms: u64,
}

/// How much of everything there is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CountsView {
    /// The centre; none before it is founded.
    pub kmc: Option<KmcId>,
    /// Nodes.
    pub nodes: usize,
    /// Zones.
    pub zones: usize,
    /// Key sets.
    pub key_sets: usize,
    /// Keys.
    pub keys: usize,
    /// Alarms that last.
    pub alarms: usize,
}

/// The caller, as the manager knows the caller.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    /// Person.
    pub person: PersonId,
    /// Credential.
    pub credential: CredentialId,
    /// Name.
    pub name: String,
    /// Roles.
    pub roles: BTreeSet<Role>,
}

/// A node that asks to be let in, with what officers compare.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AskingView {
    /// Its id: hash of its signature key.
    pub node: NodeId,
    /// Name it gives itself.
    pub name: String,
    /// Signature key.
    pub key: PublicKey,
    /// SHA-256 of its certificate request.
    pub csr: Digest,
    /// Class it claims.
    pub backend_class: String,
    /// What its backend says of itself.
    pub attestation: String,
    /// When it asked last, UTC milliseconds.
    pub asked_ms: U64,
}

/// One entry of the log, in words; the line that is hashed is in the export.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EntryView {
    /// Its number, from 0.
    pub seq: U64,
    /// When, UTC milliseconds.
    pub utc_ms: U64,
    /// The person, node or part of the manager that acted.
    pub actor: String,
    /// The credential it acted by; empty when by none.
    pub credential: String,
    /// What was done, in dotted words.
    pub action: String,
    /// Ids of what it was done to.
    pub objects: Vec<String>,
    /// `allowed`, or the word of a refusal that is kept.
    pub decision: String,
}

/// A receipt of a node, as it signed it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptView {
    /// Whose.
    pub node: NodeId,
    /// Its number in the node's chain.
    pub seq: U64,
    /// The campaign that it is about, when it is about one.
    pub campaign: Option<CampaignId>,
    /// What it says was done.
    pub kind: String,
    /// Its hash, by which it is confirmed.
    pub hash: Digest,
    /// The exact message.
    pub signed: Signed,
}

/// Where an enrolment token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// A node may ask by it.
    Open,
    /// A node has asked by it, or is known by it.
    Used,
    /// Nobody asks by it any more.
    Void,
    /// Its time was over before a node asked by it.
    Expired,
}

/// An enrolment token, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    /// Its name.
    pub token: TokenId,
    /// Where it stands.
    pub state: TokenState,
    /// Who had it made.
    pub by: Option<PersonId>,
    /// When it was made, UTC milliseconds.
    pub made_ms: u64,
    /// Good until, UTC milliseconds.
    pub until_ms: u64,
    /// Which node asked by it.
    pub used: Option<TokenUse>,
    /// Why it is void.
    pub void: Option<TokenVoid>,
}

impl TokenView {
    pub(super) fn of(token: &Token, utc_ms: u64) -> Self {
        let until_ms = until_ms(token.token);
        let state = match (&token.void, &token.used) {
            (Some(_), _) => TokenState::Void,
            (None, Some(_)) => TokenState::Used,
            (None, None) if until_ms < utc_ms => TokenState::Expired,
            (None, None) => TokenState::Open,
        };
        Self {
            token: token.token,
            state,
            by: token.by,
            made_ms: made_ms(token.token),
            until_ms,
            used: token.used.clone(),
            void: token.void.clone(),
        }
    }
}

/// A manifest as it was signed and sent to a node.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ManifestView {
    /// To whom.
    pub node: NodeId,
    /// Fencing epoch under which it was issued.
    pub epoch: U64,
    /// Its number among what was sent to the node.
    pub seq: U64,
    /// Its hash, by which receipts name it.
    pub hash: Digest,
    /// The exact message. Keys in it are wrapped under the node's root KEK.
    pub signed: Signed,
}

/// A proof that the log of a size holds an entry (RFC 6962 section 2.1.1).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InclusionView {
    /// Number of the entry.
    pub seq: U64,
    /// Its line, in the bytes that are the leaf.
    pub entry: String,
    /// The hashes from the leaf to the root, lowest first.
    pub path: Vec<Digest>,
    /// The state of the log.
    pub log: LogState,
}

/// A proof that the log of one size is the beginning of the log of another (RFC 6962 section 2.1.2).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsistencyView {
    /// The older state.
    pub from: LogState,
    /// The newer state.
    pub to: LogState,
    /// The proof.
    pub path: Vec<Digest>,
}

/// A state of the log.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LogState {
    /// Entries.
    pub size: U64,
    /// Root of the tree.
    pub root: Digest,
    /// The signed note, where a checkpoint of this size is kept.
    pub note: Option<String>,
}

/// A ceremony that officers have approved.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CeremonyLine {
    /// The approved action.
    pub ceremony: ActionId,
    /// Key set whose next generation is formed; none where a node's root KEK is.
    pub key_set: Option<KeySetId>,
    /// Node whose root KEK is formed, and the KEK's number.
    pub root_kek: Option<KekTarget>,
    /// Custodians of components 1, 2, …
    pub custodians: Vec<PersonId>,
    /// Who asked for it.
    pub requester: PersonId,
    /// It is finished, and has a transcript.
    pub done: bool,
}

/// The newest checkpoint of the log.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HeadView {
    /// Entries.
    pub size: U64,
    /// Root of the tree.
    pub root: Digest,
    /// The signed note.
    pub note: String,
}

/// A key as people may see it: no block.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KeyView {
    /// Key set.
    pub key_set: KeySetId,
    /// Generation.
    pub generation: Generation,
    /// State of its life cycle.
    pub state: KeyState,
    /// Check value.
    pub kcv: Option<String>,
    /// When it may protect and process.
    pub windows: Windows,
    /// The campaign that brought it.
    pub campaign: Option<CampaignId>,
    /// Why it is suspect.
    pub suspect: Option<String>,
    /// How it came to be.
    pub origin: Origin,
    /// When it came to be, UTC milliseconds.
    pub born_utc_ms: u64,
    /// End of the hold before it is destroyed, UTC milliseconds: until then it may be kept.
    pub destroy_hold_until: Option<u64>,
    /// Whether its material is at hand.
    pub storage: Storage,
    /// The number was taken, and no node ever used the key.
    pub aborted: bool,
    /// The campaign that takes it from nodes.
    pub retired_by: Option<CampaignId>,
    /// Uses at all nodes, where the policy bounds them; else 0.
    pub uses: u64,
}

impl KeyView {
    pub(super) fn of(key: &Key) -> Self {
        Self {
            key_set: key.set(),
            generation: key.generation(),
            state: key.state(),
            kcv: key.material.as_ref().map(|material| material.kcv.clone()),
            windows: key.windows,
            campaign: key.campaign,
            suspect: key.suspect.clone(),
            origin: key.origin(),
            born_utc_ms: key.born_utc_ms(),
            destroy_hold_until: key.destroy_hold_until,
            storage: key.storage,
            aborted: key.aborted,
            retired_by: key.retired_by,
            uses: key.uses,
        }
    }
}

/// A key at a node, as people may see it: no block.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HolderView {
    /// Node.
    pub node: NodeId,
    /// Key set.
    pub key_set: KeySetId,
    /// Generation.
    pub generation: Generation,
    /// How far the node is with it, by its receipts.
    pub progress: Progress,
    /// Why the node does not take it.
    pub refused: Option<String>,
}

impl HolderView {
    pub(super) fn of(copy: &Copy) -> Self {
        Self {
            node: copy.node,
            key_set: copy.key_set,
            generation: copy.generation,
            progress: copy.progress,
            refused: copy.refused.clone(),
        }
    }
}

/// A root KEK as people may see it: no block.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RootKekView {
    /// Number at this node, from 1.
    pub number: u32,
    /// Effective strength in bits.
    pub strength_bits: u16,
    /// Check value.
    pub kcv: String,
    /// Since, UTC milliseconds.
    pub since_utc_ms: u64,
}

impl RootKekView {
    fn of(kek: &RootKek) -> Self {
        Self {
            number: kek.number,
            strength_bits: kek.strength_bits,
            kcv: kek.kcv.clone(),
            since_utc_ms: kek.since_utc_ms,
        }
    }
}

/// A node as people may see it: no block.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeView {
    /// Identity.
    pub id: NodeId,
    /// Name.
    pub name: String,
    /// Certificate request it was let in with.
    pub csr: Digest,
    /// Signature key that its receipts are checked with.
    pub key: PublicKey,
    /// Backend.
    pub class: BackendClass,
    /// Proof by check value alone was approved.
    pub kcv_only: bool,
    /// Actions by whose right it was let in, suspended and resumed, oldest first.
    pub rights: Vec<ActionId>,
    /// Counts or not.
    pub standing: Standing,
    /// In traffic or not, as declared.
    pub traffic: Traffic,
    /// Why it gets no keys and its messages change nothing.
    pub quarantined: Option<String>,
    /// It was ordered to do nothing with managed keys.
    pub suspended: bool,
    /// Zones it is a member of.
    pub zones: BTreeSet<ZoneId>,
    /// Its root KEK.
    pub root_kek: Option<RootKekView>,
    /// The one that it shall get and has not proved.
    pub next_root_kek: Option<RootKekView>,
    /// Number of the one that is to be agreed, when that was ordered.
    pub ordered_root_kek: Option<u32>,
    /// Number of one that it says it has and the centre has not.
    pub told_root_kek: Option<u32>,
    /// Number that an order may name now.
    pub next_root_kek_number: u32,
    /// Whether it has erased its keys, where it was revoked.
    pub wipe: Option<Wipe>,
    /// When its transport certificate ends, UTC milliseconds; 0 while that is not known.
    pub certificate_until_utc_ms: u64,
    /// Key of the transport authority that issued it.
    pub certificate_by: Option<PublicKey>,
    /// Last sign of life, UTC milliseconds; 0 for none.
    pub seen_utc_ms: u64,
    /// Its clock minus ours, milliseconds.
    pub skew_ms: i64,
    /// When it last said that it serves hosts, UTC milliseconds; 0 if its last beat did not.
    pub serving_utc_ms: u64,
    /// The gate of a rotation would wait for it, unless the action names it as an exception.
    pub gated: bool,
    /// It may be named as an exception: it is out of traffic, by what was declared and by what it says itself.
    pub may_be_excepted: bool,
    /// Its newest manifest was receipted.
    pub has_answered: bool,
    /// Where it takes pushes.
    pub push: Option<String>,
    /// When somebody last took a package for it, UTC milliseconds; 0 for never.
    pub carried_utc_ms: u64,
}

impl NodeView {
    pub(super) fn of(node: &Node, now: u64, silent_after_ms: u64) -> Self {
        Self {
            id: node.id,
            name: node.name.clone(),
            csr: node.csr,
            key: node.link.key,
            class: node.class,
            kcv_only: node.kcv_only,
            rights: node.rights.clone(),
            standing: node.standing,
            traffic: node.traffic,
            quarantined: node.quarantined.clone(),
            suspended: node.suspended,
            zones: node.zones.clone(),
            root_kek: node.root_kek.as_ref().map(RootKekView::of),
            next_root_kek: node.kek_change.next.as_ref().map(|next| RootKekView::of(&next.kek)),
            ordered_root_kek: node.kek_change.order.map(|order| order.number),
            told_root_kek: node.kek_change.told.as_ref().map(|told| told.number),
            next_root_kek_number: node.next_kek_number(),
            wipe: node.wipe,
            certificate_until_utc_ms: node.certificate_until_utc_ms,
            certificate_by: node.certificate_by,
            seen_utc_ms: node.seen_utc_ms,
            skew_ms: node.skew_ms,
            serving_utc_ms: node.serving_utc_ms,
            gated: node.is_waited_for(now, silent_after_ms),
            may_be_excepted: node.is_out_of_traffic(now, silent_after_ms),
            has_answered: node.has_answered(),
            push: node.reach.push.clone(),
            carried_utc_ms: node.reach.carried_utc_ms,
        }
    }
}

impl NodeView {
    /// What people and their orders have made of it; none while it is served.
    pub const fn stopped(&self) -> Option<&'static str> {
        stopped(self.standing, self.suspended, self.quarantined.is_some())
    }

    /// In one word: stopped, or where it is by what was declared.
    pub fn state(&self) -> String {
        self.stopped().map_or_else(|| format!("{:?}", self.traffic), str::to_owned)
    }
}

/// A node in a preview of a rotation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PreviewNodeView {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Backend.
    pub class: BackendClass,
    /// As declared.
    pub traffic: Traffic,
    /// The gate would wait for it.
    pub gated: bool,
    /// It may be named as an exception: it is out of traffic, by what was declared and by what it says itself.
    pub may_be_excepted: bool,
    /// It has spoken lately.
    pub reachable: bool,
    /// Its clock minus ours, milliseconds.
    pub skew_ms: i64,
    /// Why the rotation would not get past it; empty if it would.
    pub obstacles: Vec<String>,
}

/// What a rotation of a key set would mean, before anybody is asked.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PreviewView {
    /// What would be asked for.
    pub plan: RotateTarget,
    /// The generation that protects now.
    pub old: Option<Generation>,
    /// Approving persons needed besides the requester.
    pub quorum: Quorum,
    /// Every member of the zone.
    pub nodes: Vec<PreviewNodeView>,
    /// Earliest time at which nodes would protect with the new key, UTC milliseconds.
    pub protect_from: u64,
    /// Earliest end of the overlap, UTC milliseconds.
    pub overlap_until: u64,
}

impl PreviewView {
    pub(super) fn of(preview: Preview) -> Self {
        let node = |node: PreviewNode| PreviewNodeView {
            node: node.node,
            name: node.name,
            class: node.class,
            traffic: node.traffic,
            gated: node.gated,
            may_be_excepted: node.may_be_excepted,
            reachable: node.reachable,
            skew_ms: node.skew_ms,
            obstacles: node.obstacles.into_iter().map(str::to_owned).collect(),
        };
        let Preview { plan, old, quorum, nodes, protect_from, overlap_until } = preview;
        let nodes = nodes.into_iter().map(node).collect();
        Self { plan, old, quorum, nodes, protect_from, overlap_until }
    }
}

/// A key block that leaves, with the check value of its key.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExportedView {
    /// TR-31 block under the ZMK.
    pub block: String,
    /// Check value of the key; tell it by another way.
    pub kcv: String,
}
