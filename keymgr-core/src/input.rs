//! What the centre is told, and what it answers.

use super::action::{Act, KeyRef};
use super::approval::{ActionState, Quorum};
use super::centre::Limits;
use super::ids::{ActionId, CampaignId, CredentialId, Digest, Fresh, Generation, NodeId, PersonId};
use super::key::{Material, Origin};
use super::node::{RootKek, Traffic};
use super::people::NewPerson;
use super::signing::DocumentSignatures;
use super::verdict::Verdict;
use super::verified::Verified;
use crate::ceremony::ComponentMessage;
use keylink::action::Approval;
use keylink::manager::Quarantine;
use keylink::root::SignedRoot;
use keylink::wire::{Hex, U64};
use keylink::{PublicKey, Signed, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A request with the randomness it may use up.
#[derive(Clone, Debug)]
pub struct Told {
    /// Drawn by the shell for this request alone; another one does not make it another request.
    pub fresh: Fresh,
    /// Hash of what somebody sent. What the shell makes of it may hold a block that is another each time.
    pub request: Option<Digest>,
    /// What is told.
    pub input: Input,
}

/// What tells whether two requests are the same: what was sent, or what is told where nobody sent anything.
impl Serialize for Told {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.request {
            Some(request) => request.serialize(to),
            None => self.input.serialize(to),
        }
    }
}

/// Who speaks, as the shell has authenticated them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The person.
    pub person: PersonId,
    /// The credential.
    pub credential: CredentialId,
}

/// What founds a centre.
#[derive(Clone, Debug, Serialize)]
pub struct Founding {
    /// Genesis root document, signed by every officer in it.
    pub root: SignedRoot,
    /// The officers of that document, by name, and further persons.
    pub persons: Vec<NewPerson>,
    /// Limits of time.
    pub limits: Limits,
}

/// A key that came to the centre by the right of an action, and was sealed there.
#[derive(Clone, Debug, Serialize)]
pub struct Arrived {
    /// Which action.
    pub action: ActionId,
    /// How it came.
    pub origin: Origin,
    /// The number it was sealed for: its block opens under no other.
    pub generation: Generation,
    /// The key.
    pub material: Material,
}

/// What the backend says about a proof of possession.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// The receipt carries no proof.
    None,
    /// The answer is the right one.
    Holds,
    /// It is not.
    Fails,
}

/// A key block for one node.
#[derive(Clone, Debug, Serialize)]
pub struct WrappedFor {
    /// The node.
    pub node: NodeId,
    /// The key.
    pub key: KeyRef,
    /// Block under the node's root KEK.
    pub block: String,
    /// For kinds that wrap keys: a throw-away key in a block under this key, whose label is the challenge
    /// ([`super::target::challenge`]).
    pub throw_away: Option<String>,
    /// Number of that root KEK.
    pub root_kek: u32,
}

/// What is told.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "moved once")]
pub enum Input {
    /// A centre begins.
    Found(Founding),
    /// This process has taken over: the fencing epoch that the store gave it.
    TakeOver {
        /// The epoch.
        epoch: u64,
    },
    /// Somebody asks for an action.
    Propose {
        /// Who.
        by: Caller,
        /// What.
        act: Act,
    },
    /// The requester changes what is asked for. Approvals are void.
    Edit {
        /// Who.
        by: Caller,
        /// Which.
        action: ActionId,
        /// What instead.
        act: Act,
    },
    /// The requester takes an action back.
    Withdraw {
        /// Who.
        by: Caller,
        /// Which.
        action: ActionId,
    },
    /// Somebody wants tokens for nodes to ask by.
    MakeTokens {
        /// Who.
        by: Caller,
        /// How many.
        count: u16,
    },
    /// Somebody does not want a token to be used any more.
    VoidToken {
        /// Who.
        by: Caller,
        /// Which.
        token: TokenId,
    },
    /// Somebody turns a node away that asks to be known.
    TurnAway {
        /// Who.
        by: Caller,
        /// Which.
        node: NodeId,
        /// The token by which it asks.
        token: TokenId,
        /// Why.
        reason: String,
    },
    /// A node has asked to be known by a token, whose proof holds. Another use of the same token voids it.
    TokenUsed {
        /// The token.
        token: TokenId,
        /// The node.
        node: NodeId,
        /// SHA-256 of its certificate request.
        csr: Digest,
    },
    /// A node is given a transport certificate.
    Certified {
        /// Which node.
        node: NodeId,
        /// SHA-256 of the certificate.
        certificate: Digest,
        /// The authority that issued it.
        authority: PublicKey,
        /// When it ends, UTC milliseconds.
        until_utc_ms: u64,
    },
    /// The connection of a node shows a certificate that ends later than the one on record, or one of the authority that
    /// issues now where that one is not.
    CertificateShown {
        /// Which node.
        node: NodeId,
        /// The authority that issued it.
        authority: PublicKey,
        /// When it ends, UTC milliseconds.
        until_utc_ms: u64,
    },
    /// A person approves.
    Approve(Verified<Approval>),
    /// An officer signs the root documents of a change of the centre's keys.
    SignDocuments {
        /// Who.
        by: Caller,
        /// Which action names them.
        action: ActionId,
        /// The signatures.
        signatures: DocumentSignatures,
    },
    /// A change of the centre's keys goes one step on.
    KeyStep {
        /// Key by which the log's checkpoints are signed now.
        checkpoints: Option<PublicKey>,
    },
    /// The next root document, which proves itself.
    InstallRoot {
        /// Who brings it.
        by: Caller,
        /// The document.
        root: SignedRoot,
    },
    /// Somebody takes what is due for a node to it, in a file.
    Carry {
        /// Who.
        by: Caller,
        /// Which.
        node: NodeId,
    },
    /// Somebody has brought what a node wrote, in a file.
    Brought {
        /// Who.
        by: Caller,
        /// From which.
        node: NodeId,
        /// Name of the request that brought it.
        parcel: Digest,
        /// What became of the messages.
        verdicts: Vec<Verdict>,
    },
    /// Somebody says where a node takes pushes, or that it takes none any more.
    PushTo {
        /// Who.
        by: Caller,
        /// Which.
        node: NodeId,
        /// `HOST:PORT`.
        address: Option<String>,
    },
    /// Somebody stops a campaign from going on. Fail-safe: one person; to go on takes two.
    Pause {
        /// Who.
        by: Caller,
        /// Which.
        campaign: CampaignId,
    },
    /// Somebody stops serving a node. Fail-safe: one person; to resume takes two.
    Quarantine {
        /// Who.
        by: Caller,
        /// Which.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// A node goes out of traffic or wants back.
    Traffic {
        /// Who.
        by: Caller,
        /// Which.
        node: NodeId,
        /// Where to.
        to: Traffic,
    },
    /// A node and the backend have agreed on a root KEK. It is in use when the node has receipted the confirmation.
    KekAgreed {
        /// Which node.
        node: NodeId,
        /// The KEK.
        kek: RootKek,
        /// The confirmation, with the next number at that node.
        confirm: Signed,
    },
    /// The backend has made the key of a campaign.
    Generated {
        /// Which campaign.
        campaign: CampaignId,
        /// The key.
        material: Material,
    },
    /// The backend could not make the key of a campaign.
    GenerateFailed {
        /// Which campaign.
        campaign: CampaignId,
        /// What went wrong.
        reason: String,
    },
    /// The backend has wrapped keys for nodes.
    Wrapped(Vec<WrappedFor>),
    /// A custodian has entered a component of an approved ceremony.
    Component(Verified<ComponentMessage>),
    /// A key was formed or imported.
    Formed {
        /// Who had it formed, or brought it in.
        by: Caller,
        /// The key.
        key: Arrived,
    },
    /// The same, with the names of what it was formed from, for the log.
    FormedFrom {
        /// Who had it formed.
        by: Caller,
        /// The key.
        key: Arrived,
        /// The signed transcript.
        transcript: Signed,
        /// Custodians' messages, by hash.
        evidence: Vec<Digest>,
    },
    /// A root KEK was formed from components by the right of an action.
    RootKekFormed {
        /// Who had it formed.
        by: Caller,
        /// Which action.
        action: ActionId,
        /// The KEK.
        kek: RootKek,
        /// The signed transcript.
        transcript: Signed,
        /// Custodians' messages, by hash.
        evidence: Vec<Digest>,
    },
    /// The backend has judged a proof that a node had given before the centre had the same root KEK.
    KekJudged {
        /// Which node.
        node: NodeId,
        /// Number of the KEK.
        number: u32,
        /// What the backend says.
        judged: Judged,
    },
    /// A key is exported by the right of an action.
    Exported {
        /// To whom the block is given.
        by: Caller,
        /// Which action.
        action: ActionId,
        /// The block, as it is given out; the log names it by its hash.
        block: String,
        /// Check value.
        kcv: String,
    },
    /// Manifests that were drafted, and signed since.
    Issue(Vec<Signed>),
    /// A message to a node besides its manifests: an offer or a confirmation of a root KEK. It takes the next
    /// number at that node.
    Post {
        /// To whom.
        node: NodeId,
        /// What.
        signed: Signed,
    },
    /// A node begins a session.
    Hello {
        /// Which node.
        node: NodeId,
        /// What.
        hello: Signed,
    },
    /// A node asks for mail.
    Pull {
        /// Which node.
        node: NodeId,
        /// What.
        pull: Signed,
    },
    /// A node reports.
    Beat {
        /// What.
        beat: Signed,
        /// Which node.
        node: NodeId,
        /// Its clock minus ours, milliseconds.
        skew_ms: i64,
        /// It came by file: it tells how things stood when it was written.
        by_file: bool,
    },
    /// A node has done something, does not do something, or asks for its full state.
    Said {
        /// Which node.
        node: NodeId,
        /// What.
        signed: Signed,
        /// What the backend says about its proof, if it carries one.
        judged: Judged,
    },
    /// Time passes. The shell says so at least once a second.
    Tick,
    /// A node has seen a log that is not ours.
    LogDiffers {
        /// Which node.
        node: NodeId,
        /// What it has seen.
        text: String,
    },
    /// The token with the centre's own keys does not sign, or does again.
    KeysAway {
        /// It does not.
        away: bool,
    },
    /// The clock of the manager's machine is so many milliseconds from the time that is told, 0 if not any more.
    Clock {
        /// 0 when it is right or followed again.
        step_ms: i64,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Done,
    /// An action waits for approvals.
    Proposed {
        /// Identity.
        action: ActionId,
        /// What to sign.
        hash: Digest,
        /// To be signed with it.
        nonce: Hex<16>,
        /// Persons needed besides the requester.
        quorum: Quorum,
        /// Waits until, UTC milliseconds.
        expires: u64,
    },
    /// An approval counts.
    Approved {
        /// Persons whose approval counts now.
        standing: usize,
        /// Where the action stands now.
        state: ActionState,
    },
    /// A receipt was counted, now or before.
    Counted {
        /// Its name.
        hash: Digest,
        /// Number and name of the last receipt counted: all up to it may be confirmed.
        last: Option<(U64, Digest)>,
        /// It had been counted before.
        again: bool,
    },
    /// What the node says does not fit to what it said before; it is in quarantine now.
    Quarantined(Quarantine),
    /// How many of the manifests were taken.
    Issued(usize),
    /// A key has left. Kept with the request, so that an answer that was lost is not a key that is lost; of the paths of
    /// the interface one alone answers with it, by a shape of its own.
    #[schemars(skip)]
    Exported {
        /// Key block under the wrapping key of the action.
        block: String,
        /// Check value.
        kcv: String,
    },
    /// What became of messages that were brought; its path answers with them alone.
    #[schemars(skip)]
    Brought(Vec<Verdict>),
    /// Tokens by their names; their secrets follow from the names and are kept nowhere.
    Tokens {
        /// The tokens.
        tokens: Vec<TokenId>,
        /// Hash of the root document that nodes begin with.
        root: Digest,
    },
}
