//! What nodes say to the manager, and what they are answered. Every message proves itself; the connection it
//! came over must be that node's own, and a hello is for one connection.

use super::certificate::issue_certificate;
use super::keys::{Held, label, label_of};
use super::manager::{Manager, RequestName, SubmitProblem};
use super::rates;
use crate::core::action::KeyRef;
use crate::core::input::{Caller, Input, Judged, Outcome};
use crate::core::node::Node;
use crate::core::people::Standing;
use crate::core::refusal::Refusal;
use crate::core::rows::Token;
use crate::core::table::{State, Table};
use crate::failpoint::failpoint;
use crate::vault::VaultError;
use crate::writer::SubmitError;
use hostcmd::managed::possession::{PossessionFault, open_throw_away, pin_block};
use keylink::action::Grant;
use keylink::envelope::{Body, EnvelopeError, bytes_of, strict};
use keylink::manager::{challenge_of, possession_holds};
use keylink::message::{
    Audience, Command, CounterReceipt, Enrol, Enrolled, Head, Hello, Mail, PROTOCOL, Parcel,
    PossessionMethod, Pull, Receipt, ReceiptKind, RootKekAccept, StatusBeat,
};
use keylink::wire::{Blob, U64};
use keylink::{Digest, KmcId, NodeId, NotSigned, PublicKey, Signed, TokenId};
use paytypes::CipherError;
use std::time::Duration;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Life of offers, confirmations and other messages besides manifests, milliseconds: somebody may carry them.
pub(super) const MESSAGE_LIFE_MS: u64 = 30 * 24 * 3_600_000;
/// Validity of a node's transport certificate.
pub(super) const CERTIFICATE_DAYS: u32 = 397;
/// Messages of one parcel that are looked at.
const PARCEL_MAX: usize = 512;

/// The connection that something came over: whose certificate opened it, and its exporter value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The node.
    pub node: NodeId,
    /// SHA-256 of the SubjectPublicKeyInfo of its certificate.
    pub channel: Digest,
    /// The transport authority that issued it.
    pub authority: PublicKey,
    /// When the certificate ends, UTC milliseconds.
    pub until_utc_ms: u64,
    /// Exporter value (RFC 8446 section 7.5).
    pub exporter: [u8; 32],
}

impl Line {
    // A node speaks for itself only.
    pub(super) fn carries(&self, speaker: NodeId) -> Result<(), LinkProblem> {
        if self.node == speaker { Ok(()) } else { Err(LinkProblem::Foreign) }
    }
}

/// What a node is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAnswer {
    /// A message or mail.
    Bytes(Vec<u8>),
    /// Officers have not decided yet.
    Wait,
}

/// Why a node is not answered.
#[derive(Debug, Error)]
pub enum LinkProblem {
    /// Not a message of the kind that belongs here.
    #[error(transparent)]
    Message(#[from] EnvelopeError),
    /// Enrolment refused.
    #[error(transparent)]
    Enrolment(#[from] super::EnrolmentError),
    /// No certificate request, or for another key than the connection's.
    #[error("no certificate request for the key of the connection")]
    Key,
    /// The certificate in use has time left.
    #[error("the certificate in use is not near its end")]
    Early,
    /// For another reader, or past its time.
    #[error(transparent)]
    Head(#[from] keylink::message::HeadError),
    /// The message is of another node than the one whose certificate opened the connection.
    #[error("the connection is another node's")]
    Foreign,
    /// The hello was made for another connection.
    #[error("a hello of another connection")]
    Session,
    /// No node of this id is known.
    #[error("not a node of this manager")]
    Unknown,
    /// Not taken by the core.
    #[error("{0}")]
    Refused(SubmitProblem),
    /// The node says more than it is listened to; enough again after so many seconds.
    #[error("too many requests; try again in {0} s")]
    TooMany(u64),
    /// The manager cannot do it now.
    #[error("not now: {0}")]
    Unready(String),
}

impl From<NotSigned> for LinkProblem {
    fn from(problem: NotSigned) -> Self {
        Self::Unready(problem.to_string())
    }
}

impl From<SubmitProblem> for LinkProblem {
    fn from(problem: SubmitProblem) -> Self {
        Self::Refused(problem)
    }
}

impl Manager {
    pub(super) fn kmc(&self) -> Result<KmcId, LinkProblem> {
        self.view(crate::core::Core::kmc).ok_or_else(|| LinkProblem::Unready("not founded".to_owned()))
    }

    // Before anything is written for it.
    pub(super) fn listen(&self, node: NodeId, messages: usize) -> Result<(), LinkProblem> {
        let cost = rates::cost(messages, self.is_revoked(node));
        let taken = self.0.rates.take(node, cost, self.now().mono_ms);
        taken.map_err(LinkProblem::TooMany)
    }

    /// A node asks to be known.
    pub async fn enrol(&self, body: &[u8]) -> Result<LinkAnswer, LinkProblem> {
        let (kmc, now) = (self.kmc()?, self.now().utc_ms);
        let signed = Signed::parse(body)?;
        let asked = self.0.enrolments.judge(kmc, &signed, now)?;
        let node = asked.enrol.node();
        self.name_is_free(node, &asked.enrol.name)?;
        self.use_token(asked.enrol.token, node, asked.csr).await?;
        self.0.enrolments.wait(asked.clone());
        let known = self.view(|core| {
            let record = core.node(&node)?;
            let wanted = Grant::EnrolNode { node, csr: asked.csr };
            let evidence = core.evidence(&record.rights, now, |grant| *grant == wanted)?;
            (record.csr == asked.csr).then(|| (evidence, core.roots(), core.epoch()))
        });
        let Some((evidence, roots, epoch)) = known else { return Ok(LinkAnswer::Wait) };
        self.listen(node, 0)?;
        let transport = self.transport()?;
        let certificate = issue_certificate(&transport, asked.enrol.csr.0.clone(), node, now).await?;
        self.certified(node, &transport, &certificate).await?;
        let authority = Blob(transport.authority().certificate().to_vec());
        let enrolled = Enrolled {
            head: self.head(kmc, node, epoch, 0, now),
            roots,
            certificates: vec![Blob(certificate), authority],
            evidence,
        };
        self.0.enrolments.forget(node);
        Ok(LinkAnswer::Bytes(self.sign(&enrolled).await?.to_bytes()))
    }

    // Said to the node at once, and before its token is used: officers could not let it in under this name. One that
    // has been told to wait was looked at before.
    fn name_is_free(&self, node: NodeId, name: &str) -> Result<(), LinkProblem> {
        let taken = |core: &crate::core::Core| core.state().nodes().any(|n| n.name == name && n.id != node);
        if !self.0.enrolments.waits(node, name) && self.view(taken) {
            return Err(super::EnrolmentError::Taken.into());
        }
        Ok(())
    }

    // A token lets one node ask with one request, also after a restart: so it is written before anything is said.
    async fn use_token(&self, token: TokenId, node: NodeId, csr: Digest) -> Result<(), LinkProblem> {
        let known = |manager: &Self| {
            manager.view(|core| <State as Table<Token>>::rows(core.state()).get(&token).cloned())
        };
        let own = |record: &Token| match (&record.void, &record.used) {
            (Some(void), _) => Err(super::EnrolmentError::from(void)),
            (None, used) => Ok(used.as_ref().is_some_and(|used| (used.node, used.csr) == (node, csr))),
        };
        if !known(self).is_some_and(|record| own(&record).unwrap_or_default()) {
            if let Some(record) = known(self) {
                own(&record)?;
            }
            self.submit(None, Input::TokenUsed { token, node, csr }).await?;
        }
        let record = known(self).ok_or(super::EnrolmentError::Void)?;
        match own(&record) {
            Ok(true) => Ok(()),
            refused => {
                tracing::warn!(%token, node = %node, "a node asks by a token that is void");
                self.0.enrolments.forget_token(token);
                refused?;
                Err(super::EnrolmentError::Void.into())
            }
        }
    }

    /// Turns a node away that asks to be known.
    pub async fn turn_away(
        &self,
        name: RequestName,
        by: Caller,
        node: NodeId,
        reason: String,
    ) -> Result<Outcome, SubmitProblem> {
        if let Some(outcome) = self.recall(&name).await? {
            return Ok(outcome);
        }
        let unknown = || SubmitError::Refused(Refusal::unknown::<Token>(&node));
        let token = self.0.enrolments.token_of(node).ok_or_else(unknown)?;
        let done = self.submit(Some(name), Input::TurnAway { by, node, token, reason }).await?;
        self.0.enrolments.forget_token(token);
        Ok(done)
    }

    /// Nobody asks by this token any more.
    pub async fn void_token(
        &self,
        name: RequestName,
        by: Caller,
        token: TokenId,
    ) -> Result<Outcome, SubmitProblem> {
        let done = self.submit(Some(name), Input::VoidToken { by, token }).await?;
        self.0.enrolments.forget_token(token);
        Ok(done)
    }

    /// A session begins.
    pub async fn hello(&self, line: Line, body: &[u8]) -> Result<Mail, LinkProblem> {
        let signed = Signed::parse(body)?;
        let hello: Hello = signed.peek()?;
        line.carries(hello.node)?;
        self.listen(line.node, 0)?;
        // What a node signed for one connection does not open another, and what it signed for none opens none: every
        // connection has its value.
        if !hello.exporter.is_some_and(|own| bool::from(own.0.ct_eq(&line.exporter))) {
            return Err(LinkProblem::Session);
        }
        self.submit(None, Input::Hello { node: hello.node, hello: signed }).await?;
        failpoint!("link.hello");
        self.note_certificate(line).await;
        self.offer_root_kek(hello.node, hello.taken).await;
        self.order_wipe(hello.node).await;
        let mail = self.mail_for(hello.node, hello.taken, hello.root).await?;
        Ok(self.with_recovery(mail, hello.root))
    }

    /// A node asks for mail; waits for some when there is none.
    pub async fn pull(&self, line: Line, body: &[u8]) -> Result<Mail, LinkProblem> {
        let signed = Signed::parse(body)?;
        let pull: Pull = signed.peek()?;
        line.carries(pull.node)?;
        self.listen(line.node, 0)?;
        let node = pull.node;
        self.submit(None, Input::Pull { node, pull: signed }).await?;
        self.note_certificate(line).await;
        self.offer_root_kek(node, pull.taken).await;
        self.order_wipe(node).await;
        let bell = self.0.mail.bell(node);
        let ring = bell.notified();
        let mail = self.mail_for(node, pull.taken, pull.root).await?;
        if !mail.is_empty() || pull.wait_s == 0 {
            return Ok(self.with_recovery(mail, pull.root));
        }
        let most = u64::from(pull.wait_s).min(keylink::endpoint::PULL_WAIT_S);
        let _ = tokio::time::timeout(Duration::from_secs(most), ring).await;
        let mut mail = self.mail_for(node, pull.taken, pull.root).await?;
        if mail.is_empty() {
            mail.messages.extend(self.proof_for(node).await);
        }
        Ok(self.with_recovery(mail, pull.root))
    }

    // A recovery waits at nodes too, with an alarm at each; they count its time from when they first saw it. It is no
    // reason to answer at once: a node that has it still names the document before.
    pub(super) fn with_recovery(&self, mut mail: Mail, root: u32) -> Mail {
        let newer = |signed: &keylink::root::SignedRoot| {
            signed.document().is_ok_and(|document| document.number > root)
        };
        mail.roots.extend(self.view(crate::core::Core::recovery).filter(newer));
        mail
    }

    /// Receipts, refusals and requests of a node. Answers what confirms the receipts that were counted.
    pub async fn receipts(&self, line: Line, body: &[u8]) -> Result<Mail, LinkProblem> {
        let parcel: Parcel = strict(body)?;
        self.listen(line.node, parcel.messages.len().min(PARCEL_MAX))?;
        let mut node = None;
        let mut last = None;
        let key = self.view(|core| core.node(&line.node).map(|node| node.link.key));
        let revoked = self.is_revoked(line.node);
        for mut signed in parcel.messages.into_iter().take(PARCEL_MAX) {
            let speaker = speaker(&signed)?;
            line.carries(speaker)?;
            if *node.get_or_insert(speaker) != speaker {
                return Err(LinkProblem::Unknown);
            }
            if signed.kind == RootKekAccept::KIND && !revoked {
                self.root_kek_accepted(speaker, signed).await?;
                continue;
            }
            if let Some(counted) = self.counted_before(speaker, &signed).await {
                last = Some(counted);
                continue;
            }
            // Here rather than by the writer, of whom there is one. Whether it holds, the core says.
            let _ = key.as_ref().map(|key| signed.prove(key));
            let judged = self.judge(&signed).await?;
            let seen = signed.peek::<Receipt>().ok().and_then(|receipt| receipt.checkpoint);
            failpoint!("link.before_receipt");
            match self.submit(None, Input::Said { node: speaker, signed, judged }).await {
                Ok(Outcome::Counted { last: counted, .. }) => {
                    failpoint!("link.after_receipt");
                    last = counted;
                    self.echoed(speaker, seen).await;
                }
                Ok(_) => {}
                // A gap or a receipt of something unknown: what came before it was counted and is confirmed.
                Err(SubmitError::Refused(refusal)) => {
                    tracing::debug!(node = %speaker, %refusal, "not counted");
                    // The last word of a revoked node counts whatever came before it.
                    if !self.view(|core| core.node(&speaker).is_some_and(Node::may_say_last_word)) {
                        break;
                    }
                }
                Err(problem) => return Err(problem.into()),
            }
        }
        failpoint!("link.after_parcel");
        let messages = match (node, last) {
            (Some(node), Some(last)) => vec![self.counter_receipt(node, last).await?],
            _ => Vec::new(),
        };
        Ok(Mail { roots: Vec::new(), messages })
    }

    /// A status beat.
    pub async fn beat(&self, line: Line, body: &[u8]) -> Result<Mail, LinkProblem> {
        let signed = Signed::parse(body)?;
        let beat: StatusBeat = signed.peek()?;
        line.carries(beat.node)?;
        self.listen(line.node, 0)?;
        let ours = i64::try_from(self.now().utc_ms).unwrap_or(i64::MAX);
        let skew_ms = i64::try_from(beat.utc_ms.0).unwrap_or(i64::MAX).saturating_sub(ours);
        self.submit(None, Input::Beat { beat: signed, node: beat.node, skew_ms, by_file: false }).await?;
        self.echoed(beat.node, beat.checkpoint).await;
        Ok(Mail::default())
    }

    pub(super) async fn counter_receipt(
        &self,
        node: NodeId,
        last: (U64, Digest),
    ) -> Result<Signed, LinkProblem> {
        let (kmc, now) = (self.kmc()?, self.now().utc_ms);
        let epoch = self.view(crate::core::Core::epoch);
        // Read before the checkpoint: what covers this many entries covers the receipt.
        let size = self.0.parts.writer.standing().log_size;
        let checkpoint = self.checkpoint().filter(|c| c.size.0 >= size).map(|c| (c.size, c.root));
        let body =
            CounterReceipt { head: self.head(kmc, node, epoch, last.0.0, now), receipt: last.1, checkpoint };
        Ok(self.sign(&body).await?)
    }

    pub(super) fn head(&self, kmc: KmcId, node: NodeId, epoch: u64, seq: u64, now: u64) -> Head {
        Head {
            version: PROTOCOL,
            kmc,
            audience: Audience::Node(node),
            epoch: U64(epoch),
            seq: U64(seq),
            not_after: U64(now + MESSAGE_LIFE_MS),
        }
    }

    // What the box has; after a restart of ours, what the store has.
    pub(super) async fn mail_for(
        &self,
        node: NodeId,
        taken: (U64, U64),
        root: u32,
    ) -> Result<Mail, LinkProblem> {
        let taken = (taken.0.0, taken.1.0);
        self.post_confirmation(node, taken);
        let (roots, newest) = self.view(|core| {
            let newer = |signed: &keylink::root::SignedRoot| {
                signed.document().is_ok_and(|document| document.number > root)
            };
            let roots: Vec<_> = core.roots().into_iter().filter(newer).collect();
            let manifest = |n: &Node| n.link.sent.iter().rev().find(|sent| sent.manifest).copied();
            let newest = core.node(&node).filter(|n| n.standing == Standing::Active).and_then(manifest);
            (roots, newest)
        });
        if let Some(newest) = newest.filter(|sent| sent.seq.0 > taken.1)
            && !self.0.mail.holds(node, newest.seq.0)
            && let Some(signed) = self.0.parts.sent.manifest(node, newest.seq.0).await
            && let Ok(body) = signed.peek::<keylink::message::Manifest>()
        {
            self.0.mail.put(node, (body.head.epoch.0, body.head.seq.0), signed);
        }
        // A revoked node is served never again; one in quarantine may be, with what is in its box.
        if self.is_revoked(node) {
            self.0.mail.keep_only(node, Command::KIND);
        }
        let mail = self.0.mail.take(node, taken, roots);
        let mut mail = self.sign_anew(mail).await?;
        // By what the node is now, not by what it was when its mail was made.
        self.view(|core| {
            let may = |kind: &str| core.node(&node).is_some_and(|record| record.may_be_handed(kind));
            mail.messages.retain(|signed| may(&signed.kind));
        });
        Ok(mail)
    }

    fn is_revoked(&self, node: NodeId) -> bool {
        self.view(|core| core.node(&node).is_some_and(|record| record.standing == Standing::Revoked))
    }

    // A receipt that is in the store byte for byte is confirmed again and not written again: a node that repeats itself
    // does not fill the log. Gives number and name of the last one counted.
    pub(super) async fn counted_before(&self, node: NodeId, signed: &Signed) -> Option<(U64, Digest)> {
        let receipt: Receipt = signed.peek().ok()?;
        let last = self.view(|core| {
            let heard = |node: &&Node| node.is_served() || (node.owes_wipe() && node.quarantined.is_none());
            let record = core.node(&node).filter(heard)?;
            record.link.last_receipt().filter(|(number, _)| receipt.head.seq <= *number)
        })?;
        let key = [&node.0[..], &receipt.head.seq.0.to_be_bytes()].concat();
        let row =
            self.store().read(move |store| store.get(crate::store::Table::Receipts, &key)).await?.ok()??;
        Signed::parse(&row.body).is_ok_and(|kept| kept == *signed).then_some(last)
    }

    // What the backend says of a proof of possession.
    pub(super) async fn judge(&self, signed: &Signed) -> Result<Judged, LinkProblem> {
        let Ok(receipt) = signed.peek::<Receipt>() else { return Ok(Judged::None) };
        if self.is_revoked(receipt.node) {
            return Ok(Judged::None);
        }
        if receipt.kind == ReceiptKind::KekInstalled {
            return self.judge_root_kek(&receipt).await;
        }
        let (Some(proof), Some(key_set), Some(generation)) =
            (receipt.possession, receipt.key_set, receipt.generation)
        else {
            return Ok(Judged::None);
        };
        if proof.method == PossessionMethod::KcvOnly {
            // The core compares the check value and knows whether that is enough.
            return Ok(Judged::Holds);
        }
        let key = KeyRef { key_set, generation };
        let found = self.view(|core| {
            let kmc = core.kmc()?;
            let held = Held::key(kmc, core.key(&key)?).ok()?;
            let nonce = core.challenge(&key, &receipt.node)?;
            let copy = core.copy(&receipt.node, &key)?;
            let campaign = core.key(&key)?.campaign?;
            let challenge = challenge_of(&label(kmc, key, None), receipt.node, campaign, &nonce.0);
            Some((held, nonce, copy.throw_away.clone(), challenge))
        });
        let Some((held, nonce, throw_away, challenge)) = found else { return Ok(Judged::Fails) };
        let answer = self
            .vault()
            .call(move |vault| {
                vault.with_key(held.spec, &held.block, &held.label, |hsm, key| async move {
                    match throw_away {
                        Some(block) => open_throw_away(&hsm, &key, &challenge, block.as_bytes()).await,
                        None => pin_block(&hsm, &key, &challenge).await,
                    }
                })
            })
            .await;
        match answer {
            Ok(Ok(right)) if possession_holds(&proof, proof.method, &nonce.0, &right) => Ok(Judged::Holds),
            // Our backend is away: that is not the node's fault, which says it again.
            Err(error @ VaultError::Backend) => Err(LinkProblem::Unready(error.to_string())),
            Ok(Err(PossessionFault::Cipher(CipherError::Backend))) => {
                Err(LinkProblem::Unready(VaultError::Backend.to_string()))
            }
            _ => Ok(Judged::Fails),
        }
    }
}

/// Mail as it travels.
pub fn mail_bytes(mail: &Mail) -> Vec<u8> {
    bytes_of(mail)
}

// Which node a message claims to be from; its key is judged where the message is taken.
fn speaker(signed: &Signed) -> Result<NodeId, LinkProblem> {
    use keylink::message::{Refused, Resync};
    Ok(match signed.kind.as_str() {
        Receipt::KIND => signed.peek::<Receipt>()?.node,
        Refused::KIND => signed.peek::<Refused>()?.node,
        Resync::KIND => signed.peek::<Resync>()?.node,
        RootKekAccept::KIND => signed.peek::<RootKekAccept>()?.node,
        Enrol::KIND => signed.peek::<Enrol>()?.node(),
        _ => return Err(EnvelopeError::Kind.into()),
    })
}

/// The label under which a key is stored, for those outside of the service.
pub fn stored_label(kmc: KmcId, key: KeyRef) -> String {
    label_of(kmc, key, None)
}
