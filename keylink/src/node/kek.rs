//! The root KEK: agreed in three messages, or formed from components at the node.

use super::effects::{Agreed, Effects, KekOrder};
use super::judge::Rights;
use super::machine::Machine;
use super::plan::{Halt, Refusal};
use super::receipts::About;
use super::state::{KekRecord, PendingKek};
use crate::action::Grant;
use crate::envelope::{NotSigned, Signed};
use crate::ids::Digest;
use crate::message::{
    Audience, Head, Possession, Reason, ReceiptKind, RootKekAccept, RootKekConfirm, RootKekOffer,
};
use crate::time::Instant3;
use crate::wire::U64;
use subtle::ConstantTimeEq;

impl Machine {
    pub(super) fn kek_offer(
        &mut self,
        now: Instant3,
        signed: &Signed,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let Some(offer) = self.open::<RootKekOffer>(now, signed, |o| &o.head, effects)? else {
            return Ok(());
        };
        let evidence = core::slice::from_ref(&offer.evidence);
        let rights = Rights::judge(self.state(), self.document(), evidence, now.utc_ms)?;
        if !rights.holds(&Grant::RootKek { node: self.state().node, number: offer.number }) {
            return Err(Reason::NotApproved.into());
        }
        if self.state().kek_floor() >= offer.number {
            return Err(Reason::Generation.into());
        }
        // The floors move only with the answer: an offer whose answer was lost may come again.
        effects.agree =
            Some(KekOrder { number: offer.number, public: offer.public.clone(), offer: signed.hash() });
        self.offered = Some(offer.head);
        Ok(())
    }

    /// The backend has agreed what [`Effects::agree`] asked for, or refused.
    pub fn agreed(
        &mut self,
        now: Instant3,
        offer: Digest,
        result: Result<Agreed, Reason>,
    ) -> Result<Effects, NotSigned> {
        let mut effects = Effects::default();
        let Some(head) = self.offered.take().filter(|head| head.seq > self.state().seq) else {
            return Ok(effects);
        };
        let agreed = match result {
            Ok(agreed) => agreed,
            Err(reason) => {
                effects.send.extend(self.refused(now, offer, head.seq.0, reason.into()));
                return Ok(effects);
            }
        };
        let accept = RootKekAccept {
            head: Head {
                audience: Audience::Kmc,
                not_after: U64(now.utc_ms.saturating_add(super::receipts::RECEIPT_LIFE_MS)),
                ..head
            },
            node: self.state().node,
            offer,
            public: agreed.public,
            confirm: agreed.confirm,
        };
        let accept = Signed::try_seal(&accept, self.signer())?;
        self.floors(&head, offer);
        let pending = PendingKek { kek: agreed.kek, accept: accept.hash(), confirm: agreed.expected };
        let state = self.state_mut();
        state.kek_pending = Some(pending);
        // The offer again is answered by the same acceptance.
        state.answered.push(accept.clone());
        effects.persist = true;
        effects.send.push(accept);
        Ok(effects)
    }

    pub(super) fn kek_confirm(
        &mut self,
        now: Instant3,
        signed: &Signed,
        effects: &mut Effects,
    ) -> Result<(), Halt> {
        let confirm = self.open::<RootKekConfirm>(now, signed, |c| &c.head, effects)?;
        let Some(confirm) = confirm else { return Ok(()) };
        let Some(pending) = self.state().kek_pending.clone() else { return Err(Reason::NoKek.into()) };
        let same = bool::from(pending.confirm.0.ct_eq(&confirm.confirm.0));
        if !same || pending.accept != confirm.accept {
            return Err(Reason::Evidence.into());
        }
        self.floors(&confirm.head, signed.hash());
        self.keep_kek(now, pending.kek, (confirm.head.seq, signed.hash()), None)?;
        effects.persist = true;
        Ok(())
    }

    /// A root KEK was formed from components at this node, by its own ceremony.
    pub fn kek_formed(
        &mut self,
        now: Instant3,
        kek: KekRecord,
        proof: Possession,
    ) -> Result<Effects, NotSigned> {
        if self.state().kek_floor() >= kek.number {
            return Ok(Effects::default());
        }
        self.wholly(|own| own.keep_kek(now, kek, (U64(0), Digest::default()), Some(proof)))?;
        Ok(Effects { persist: true, ..Effects::default() })
    }

    fn keep_kek(
        &mut self,
        now: Instant3,
        kek: KekRecord,
        asked: (U64, Digest),
        possession: Option<Possession>,
    ) -> Result<(), NotSigned> {
        let signer = self.signer_shared();
        let about = About {
            generation: Some(crate::Generation(kek.number)),
            usage: Some("K1".to_owned()),
            kcv: Some(kek.kcv.clone()),
            possession,
            ..About::default()
        };
        let state = self.state_mut();
        state.kek = Some(kek);
        state.kek_pending = None;
        state.receipt_of(now, signer.as_ref(), ReceiptKind::KekInstalled, asked, about)
    }
}
