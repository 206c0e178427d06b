//! Root KEKs of nodes, by agreement: what was ordered is offered, what a node has accepted is confirmed, and the
//! confirmation is there until the node has receipted it.

use super::keys::Held;
use super::link::{LinkProblem, MESSAGE_LIFE_MS};
use super::manager::Manager;
use crate::core::Refusal;
use crate::core::input::{Input, Judged};
use crate::core::node::{Node, RootKek};
use crate::vault::VaultError;
use crate::writer::SubmitError;
use hostcmd::managed::possession::{PossessionFault, open_throw_away};
use keylink::action::{Evidence, Grant};
use keylink::message::{
    Head, Possession, PossessionMethod, Receipt, RootKekAccept, RootKekConfirm, RootKekOffer,
};
use keylink::root_kek::{Transcript, formed_challenge};
use keylink::wire::{Blob, Hex, U64};
use keylink::{Body, NodeId, Signed};
use paytypes::CipherError;

/// How often a message is signed anew because another took its number.
const POST_TRIES: u32 = 16;

impl Manager {
    /// A node is offered the root KEK that it shall get, when officers have approved that. `taken` is what it has taken
    /// of what was sent.
    pub(super) async fn offer_root_kek(&self, node: NodeId, taken: (U64, U64)) {
        self.judge_told(node).await;
        if let Err(problem) = self.try_offer(node, taken.1).await {
            tracing::warn!(%node, %problem, "no root KEK offered");
        }
    }

    async fn try_offer(&self, node: NodeId, taken: U64) -> Result<(), LinkProblem> {
        let now = self.now().utc_ms;
        let found = self.view(|core| {
            let record = core.node(&node).filter(|record| record.is_served())?;
            let (number, rights) = record.kek_to_agree()?;
            if record.awaits_kek_receipt(number, taken, now) {
                return None;
            }
            let wanted = Grant::RootKek { node, number };
            let evidence = core.evidence(&rights, now, |grant| *grant == wanted)?;
            Some((number, evidence))
        });
        let Some((number, evidence)) = found else { return Ok(()) };
        if !self.0.offers.begin(node, now) {
            return Ok(());
        }
        match self.make_offer(node, number, evidence).await {
            Ok(offered) => self.0.offers.open(node, offered.hash(), number, now),
            Err(problem) => {
                self.0.offers.give_up(node);
                return Err(problem);
            }
        }
        Ok(())
    }

    async fn make_offer(&self, node: NodeId, number: u32, evidence: Evidence) -> Result<Signed, LinkProblem> {
        let public = self.vault().call(move |vault| vault.offer_root_kek(node)).await;
        let public = Blob(public.map_err(|error| LinkProblem::Unready(error.to_string()))?);
        let mut nonce = Hex([0; 32]);
        getrandom::fill(&mut nonce.0).map_err(|error| LinkProblem::Unready(error.to_string()))?;
        self.post_next(
            node,
            |head| {
                let (public, evidence) = (public.clone(), evidence.clone());
                RootKekOffer { head, number, public, nonce, evidence }
            },
            |signed| Input::Post { node, signed },
        )
        .await
    }

    // Another message may take the number that this one was signed with; then it is signed anew.
    pub(super) async fn post_next<B: Body>(
        &self,
        node: NodeId,
        body: impl Fn(Head) -> B,
        input: impl Fn(Signed) -> Input,
    ) -> Result<Signed, LinkProblem> {
        let _held = self.0.mail.hold(node);
        let mut tries = 0;
        loop {
            let head = self.next_head(node, self.now().utc_ms)?;
            let signed = self.sign(&body(head)).await?;
            match self.submit(None, input(signed.clone())).await {
                Ok(_) => {
                    self.0.mail.put(node, (head.epoch.0, head.seq.0), signed.clone());
                    return Ok(signed);
                }
                Err(SubmitError::Refused(Refusal::NotDue)) if tries < POST_TRIES => tries += 1,
                Err(problem) => return Err(problem.into()),
            }
        }
    }

    /// A node has accepted an offer. True when a root KEK is agreed by it, and the confirmation waits for the node.
    pub(super) async fn root_kek_accepted(&self, node: NodeId, signed: Signed) -> Result<bool, LinkProblem> {
        let (kmc, now) = (self.kmc()?, self.now().utc_ms);
        let record = self.view(|core| core.node(&node).cloned()).ok_or(LinkProblem::Unknown)?;
        let accept: RootKekAccept = signed.open(&record.link.key)?;
        let Some((offer, number)) = self.0.offers.take(node, accept.offer) else { return Ok(false) };
        let hash = signed.hash();
        let agreed = self
            .vault()
            .call(move |vault| {
                let public = accept.public.0.clone();
                let transcript = Transcript { kmc, node, number, offer, node_public: &public };
                vault.agree_root_kek(&transcript, &accept.confirm)
            })
            .await;
        let (sealed, confirm) = match agreed {
            Ok(agreed) => agreed,
            // The key pair of the offer is gone: the node is offered anew.
            Err(error @ VaultError::Backend) => return Err(LinkProblem::Unready(error.to_string())),
            Err(error) => {
                tracing::warn!(%node, %error, "a node's answer does not agree on a root KEK");
                return Ok(false);
            }
        };
        let kek =
            RootKek { number, strength_bits: 256, block: sealed.block, kcv: sealed.kcv, since_utc_ms: now };
        self.post_next(
            node,
            |head| RootKekConfirm { head, accept: hash, confirm },
            |confirm| Input::KekAgreed { node, kek: kek.clone(), confirm },
        )
        .await?;
        Ok(true)
    }

    fn next_head(&self, node: NodeId, now: u64) -> Result<Head, LinkProblem> {
        let found =
            self.view(|core| core.node(&node).map(|record: &Node| (record.link.clone(), core.epoch())));
        let (mut link, epoch) = found.ok_or(LinkProblem::Unknown)?;
        Ok(link.next_head(epoch, now + MESSAGE_LIFE_MS))
    }

    /// Puts the confirmation of an agreement into the node's box: boxes do not outlive the process.
    pub(super) fn post_confirmation(&self, node: NodeId, taken: (u64, u64)) {
        let open = |core: &crate::core::Core| core.node(&node)?.kek_change.confirm().cloned();
        let Some(signed) = self.view(open) else { return };
        let Ok(confirm) = signed.peek::<RootKekConfirm>() else { return };
        let place = (confirm.head.epoch.0, confirm.head.seq.0);
        let holds = self.now().utc_ms < confirm.head.not_after.0;
        if holds && place.1 > taken.1 && !self.0.mail.holds(node, place.1) {
            self.0.mail.put(node, place, signed);
        }
    }

    // What the backend says of a receipt for a root KEK that was formed at its node.
    pub(super) async fn judge_root_kek(&self, receipt: &Receipt) -> Result<Judged, LinkProblem> {
        let (Some(proof), Some(number)) = (receipt.possession.clone(), receipt.generation) else {
            return Ok(Judged::None);
        };
        let next = self.view(|core| Some(core.node(&receipt.node)?.kek_change.next.clone()?.kek));
        match next.filter(|kek| kek.number == number.0) {
            Some(kek) => self.judge_formed(receipt.node, &kek, &proof).await,
            // The centre has no such KEK yet; the proof is kept for when it has.
            None => Ok(Judged::None),
        }
    }

    /// Judges what a node has told of a root KEK before the centre had the same.
    pub(crate) async fn judge_told(&self, node: NodeId) {
        let waiting = self.view(|core| {
            let change = &core.node(&node)?.kek_change;
            let told = change.told.clone().filter(|told| !told.failed)?;
            let next = change.next.clone().filter(|next| next.confirm.is_none())?;
            (next.kek.number == told.number).then_some((next.kek, told.possession))
        });
        let Some((kek, proof)) = waiting else { return };
        let judged = match proof {
            // Our backend is away: it is judged when it is back.
            Some(proof) => match self.judge_formed(node, &kek, &proof).await {
                Ok(judged) => judged,
                Err(_) => return,
            },
            None => Judged::Fails,
        };
        // Refused where another request of the node has said the same.
        let _ = self.submit(None, Input::KekJudged { node, number: kek.number, judged }).await;
    }

    // Whether a node's proof holds for a root KEK that the centre has formed.
    async fn judge_formed(
        &self,
        node: NodeId,
        kek: &RootKek,
        proof: &Possession,
    ) -> Result<Judged, LinkProblem> {
        let Ok(kmc) = self.kmc() else { return Ok(Judged::None) };
        if proof.method != PossessionMethod::WrappedThrowAway {
            return Ok(Judged::Fails);
        }
        let held = Held::of_root_kek(kmc, node, kek);
        let challenge = formed_challenge(kmc, node, kek.number, &proof.nonce.0);
        let block = proof.answer.clone().into_bytes();
        let opened = self
            .vault()
            .call(move |vault| {
                vault.with_key(held.spec, &held.block, &held.label, |hsm, key| async move {
                    open_throw_away(&hsm, &key, &challenge, &block).await
                })
            })
            .await;
        match opened {
            Ok(Ok(_)) => Ok(Judged::Holds),
            Err(VaultError::Backend) | Ok(Err(PossessionFault::Cipher(CipherError::Backend))) => {
                Err(LinkProblem::Unready(VaultError::Backend.to_string()))
            }
            _ => Ok(Judged::Fails),
        }
    }
}
