//! Mail that somebody brings to a node, and what the node gave them for the manager: packages in files, and pushes.
//! Whoever brings it is nobody: every message proves itself by the node's own signature, as on the node's own
//! connection, and what the node has said before changes nothing when it is brought again.

use super::link::LinkProblem;
use super::manager::{Manager, RequestName, SubmitProblem};
use crate::core::input::{Caller, Input, Outcome};
pub use crate::core::verdict::{Fate, Verdict};
use crate::writer::SubmitError;
use keylink::envelope::{Body, EnvelopeError};
use keylink::message::{
    Mail, Package, Parcel, Pull, Receipt, Refused, Renew, Resync, RootKekAccept, RootKekConfirm, StatusBeat,
};
use keylink::{NodeId, Signed};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Messages of one parcel that are looked at: as many receipts as a node gives at once, and what it says besides.
pub const CARRIED_MAX: usize = 640;
/// Longest wait for keys to be wrapped and a manifest to be signed.
const MADE_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks whether they are.
const LOOK: Duration = Duration::from_millis(50);

/// How a parcel came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In a file, written some time ago.
    File,
    /// As the answer to a push, written now.
    Push,
}

/// One parcel of a node is looked at at a time.
#[derive(Default)]
pub struct Turns(Mutex<HashMap<NodeId, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    fn of(&self, node: NodeId) -> Arc<tokio::sync::Mutex<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(node).or_default().clone()
    }
}

pub(super) type Judgement = (Fate, Option<String>, Option<String>);

pub(super) const TAKEN: Judgement = (Fate::Taken, None, None);
pub(super) const AGAIN: Judgement = (Fate::Again, None, None);

pub(super) fn refused(code: &str, detail: impl ToString) -> Judgement {
    (Fate::Refused, Some(code.to_owned()), Some(detail.to_string()))
}

// What a message says of itself, before it is proved: who speaks, when.
fn claims(signed: &Signed) -> Result<(NodeId, Option<u64>), EnvelopeError> {
    Ok(match signed.kind.as_str() {
        Receipt::KIND => (signed.peek::<Receipt>()?.node, None),
        RootKekAccept::KIND => (signed.peek::<RootKekAccept>()?.node, None),
        Pull::KIND => (signed.peek::<Pull>()?.node, None),
        Renew::KIND => (signed.peek::<Renew>()?.node, None),
        Refused::KIND => signed.peek::<Refused>().map(|said| (said.node, Some(said.utc_ms.0)))?,
        Resync::KIND => signed.peek::<Resync>().map(|said| (said.node, Some(said.utc_ms.0)))?,
        StatusBeat::KIND => signed.peek::<StatusBeat>().map(|said| (said.node, Some(said.utc_ms.0)))?,
        _ => return Err(EnvelopeError::Kind),
    })
}

impl Manager {
    /// Everything that is due for a node, made on the spot; `by` is who takes it there.
    pub async fn package(
        &self,
        name: RequestName,
        by: Caller,
        node: NodeId,
    ) -> Result<Package<Mail>, LinkProblem> {
        self.submit(Some(name), Input::Carry { by, node }).await?;
        let turn = self.0.turns.of(node);
        let _turn = turn.lock().await;
        self.made(node).await?;
        self.keep_offered(node).await;
        Ok(Package::new(node, self.bundle(node, true, true).await?))
    }

    // An offer that is on its way stays open: another one would void the answer to it.
    pub(super) async fn keep_offered(&self, node: NodeId) {
        let found = self.view(|core| {
            let record = core.node(&node)?;
            Some((record.link.taken, record.kek_to_agree().map(|(number, _)| number)))
        });
        let Some((taken, wanted)) = found else { return };
        let waits = |number| self.0.offers.waits(node, number, self.now().utc_ms);
        if wanted.is_some_and(waits) {
            self.judge_told(node).await;
        } else {
            self.offer_root_kek(node, taken).await;
        }
    }

    async fn made(&self, node: NodeId) -> Result<(), LinkProblem> {
        let began = tokio::time::Instant::now();
        while self.view(|core| core.owes(&node)) {
            if began.elapsed() > MADE_WITHIN {
                return Err(LinkProblem::Unready("the node's keys are not wrapped yet".to_owned()));
            }
            self.0.labour.notify_one();
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Mail behind what the node has said it has taken; with `confirm`, what confirms its receipts goes along, and with
    /// `prove` the proof of the newest.
    pub(super) async fn bundle(&self, node: NodeId, confirm: bool, prove: bool) -> Result<Mail, LinkProblem> {
        let link = self.view(|core| core.node(&node).map(|record| record.link.clone()));
        let link = link.ok_or(LinkProblem::Unknown)?;
        self.order_wipe(node).await;
        let mut mail = self.mail_for(node, link.taken, link.root).await?;
        if let Some(last) = link.last_receipt().filter(|_| confirm) {
            mail.messages.push(self.counter_receipt(node, last).await?);
        }
        if prove {
            mail.messages.extend(self.proof_for(node).await);
        }
        let served = self.view(|core| core.node(&node).is_some_and(crate::core::node::Node::is_served));
        mail.messages.extend(self.0.renewals.of(node).filter(|_| served));
        Ok(self.with_recovery(mail, link.root))
    }

    /// Takes what somebody brought in a file, and keeps the answer with the name of the request: the same again is
    /// answered the same, and another under its name is refused.
    pub async fn brought(
        &self,
        name: RequestName,
        by: Caller,
        node: NodeId,
        content: Parcel,
    ) -> Result<Vec<Verdict>, LinkProblem> {
        let outcome = match self.recall(&name).await? {
            Some(outcome) => outcome,
            None => {
                let (verdicts, parcel) = (self.parcel(node, content, Way::File).await?, name.request);
                self.submit(Some(name), Input::Brought { by, node, parcel, verdicts }).await?
            }
        };
        match outcome {
            Outcome::Brought(verdicts) => Ok(verdicts),
            _ => Err(SubmitError::KeyReused.into()),
        }
    }

    /// Takes what somebody brought from a node, message by message. An error means that the manager could not go on:
    /// bring it again.
    pub async fn parcel(&self, node: NodeId, parcel: Parcel, way: Way) -> Result<Vec<Verdict>, LinkProblem> {
        let turn = self.0.turns.of(node);
        let _turn = turn.lock().await;
        let record = self.view(|core| core.node(&node).map(|record| record.link.clone()));
        let link = record.ok_or(LinkProblem::Unknown)?;
        let mut verdicts = Vec::new();
        // What is of one moment comes in one parcel; so what is not later than all before it was brought before.
        let said_ms = link.spoke(self.now().utc_ms).0;
        for signed in parcel.messages {
            let (kind, message) = (signed.kind.clone(), signed.hash());
            let (fate, code, detail) = match claims(&signed) {
                Err(error) => refused("message", error),
                Ok((speaker, _)) if speaker != node => refused("other_node", "a message of another node"),
                Ok(_) if !proved(&signed, &link.key) => {
                    refused("message_signature", "not signed by this node")
                }
                Ok((_, Some(at))) if at <= said_ms => AGAIN,
                Ok((_, at)) => self.one(node, signed, at, way).await?,
            };
            verdicts.push(Verdict { kind, message, fate, code, detail });
        }
        Ok(verdicts)
    }

    async fn one(
        &self,
        node: NodeId,
        signed: Signed,
        at: Option<u64>,
        way: Way,
    ) -> Result<Judgement, LinkProblem> {
        let seen = match signed.kind.as_str() {
            StatusBeat::KIND => signed.peek::<StatusBeat>()?.checkpoint,
            Receipt::KIND => signed.peek::<Receipt>()?.checkpoint,
            _ => None,
        };
        let input = match signed.kind.as_str() {
            RootKekAccept::KIND => return self.agreed(node, signed).await,
            Renew::KIND => return self.renew_by_parcel(node, &signed).await,
            Pull::KIND => Input::Pull { node, pull: signed },
            StatusBeat::KIND => {
                let skew_ms = self.skew(node, at.unwrap_or_default(), way);
                Input::Beat { node, skew_ms, by_file: way == Way::File, beat: signed }
            }
            Refused::KIND => {
                let Refused { reason, message, .. } = signed.peek()?;
                self.0.offers.refused(node, message);
                let judged = self.judge(&signed).await?;
                let told = self.submit(None, Input::Said { node, signed, judged }).await;
                let (fate, code, detail) = judgement(told)?;
                return Ok((fate, code, detail.or(Some(format!("the node refused a message: {reason:?}")))));
            }
            _ => {
                if self.counted_before(node, &signed).await.is_some() {
                    return Ok(AGAIN);
                }
                let judged = self.judge(&signed).await?;
                Input::Said { node, signed, judged }
            }
        };
        let told = self.submit(None, input).await;
        if told.is_ok() {
            self.echoed(node, seen).await;
        }
        judgement(told)
    }

    // Of a beat in a file is known that it was written before now, and no more.
    fn skew(&self, node: NodeId, at: u64, way: Way) -> i64 {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let ahead = signed(at).saturating_sub(signed(self.now().utc_ms));
        match way {
            Way::File if ahead <= 0 => self.view(|core| core.node(&node).map_or(0, |record| record.skew_ms)),
            _ => ahead,
        }
    }

    async fn agreed(&self, node: NodeId, signed: Signed) -> Result<Judgement, LinkProblem> {
        let accept = signed.hash();
        match self.root_kek_accepted(node, signed).await {
            Ok(true) => return Ok(TAKEN),
            Ok(false) => {}
            // Ordered otherwise since it was offered.
            Err(LinkProblem::Refused(SubmitError::Refused(refusal))) => {
                return Ok(refused(refusal.code(), refusal));
            }
            Err(problem) => return Err(problem),
        }
        // It has led to the confirmation that waits, or there is nothing to agree any more.
        let again = self.view(|core| {
            core.node(&node).is_some_and(|record| {
                let confirm = record.kek_change.confirm().and_then(|c| c.peek::<RootKekConfirm>().ok());
                confirm.is_some_and(|confirm| confirm.accept == accept) || record.kek_to_agree().is_none()
            })
        });
        Ok(match again {
            true => AGAIN,
            false => refused("offer", "answers no open offer of a root KEK: the next package has another"),
        })
    }
}

// A signature that does not hold proves nothing about age or speaker.
fn proved(signed: &Signed, key: &keylink::PublicKey) -> bool {
    let message = keylink::envelope::pae(&signed.kind, &signed.payload);
    signed.key_id == key.id() && key.verify(&message, &signed.signature).is_ok()
}

fn judgement(told: Result<Outcome, SubmitProblem>) -> Result<Judgement, LinkProblem> {
    match told {
        Ok(Outcome::Counted { again: true, .. }) => Ok(AGAIN),
        Ok(Outcome::Quarantined(why)) => Ok(refused("node_quarantined", format!("{why:?}"))),
        Ok(_) => Ok(TAKEN),
        Err(SubmitError::Refused(refusal)) if refusal.code() == "message_replayed" => Ok(AGAIN),
        Err(SubmitError::Refused(refusal)) => Ok(refused(refusal.code(), refusal)),
        Err(problem) => Err(problem.into()),
    }
}
