//! What the manager and a node say to each other: mail, receipts and their confirmations, root KEKs.

use super::{Letter, World};
use crate::Core;
use crate::action::KeyRef;
use crate::ids::Digest;
use crate::input::{Input, Judged, Outcome};
use crate::node::RootKek;
use crate::simulation::node;
use crate::store::Table;
use keylink::action::Grant;
use keylink::manager::possession_holds;
use keylink::message::{
    Audience, CounterReceipt, Head, PossessionMethod, Receipt, RootKekAccept, RootKekConfirm, RootKekOffer,
};
use keylink::wire::{Hex, U64};
use keylink::{Body, Signed};

impl World {
    pub(super) fn answer_pull(&mut self, n: usize, root: u32, taken: u64) {
        let Some(core) = &self.core else { return };
        let installed = core.state().centre().map_or(0, |c| c.root.document().map_or(0, |d| d.number));
        let behind: Vec<_> = self
            .roots
            .iter()
            .skip(root as usize)
            .take((installed - root.min(installed)) as usize)
            .cloned()
            .collect();
        let waits = self.core.as_ref().and_then(Core::recovery);
        for root in behind.into_iter().chain(waits) {
            self.send(n, true, Letter::Root(root));
        }
        self.offer_root_kek(n, taken);
        self.send_newest(n);
    }

    // The last manifest of a node, as it is stored, unless the node has receipted it.
    pub(super) fn send_newest(&mut self, n: usize) {
        let Some(node) = self.core.as_ref().and_then(|core| core.state().node(&self.nodes[n].id)) else {
            return;
        };
        let mail = (!node.has_answered()).then(|| node.link.sent.iter().rev().find(|s| s.manifest)).flatten();
        let key = mail.map(|sent| [&node.id.0[..], &sent.seq.0.to_be_bytes()].concat());
        let row = key.and_then(|key| self.disk.row(Table::Manifests, &key));
        if let Some(signed) = row.and_then(|row| Signed::parse(&row.body).ok()) {
            self.send(n, true, Letter::Message(signed));
        }
    }

    pub(super) fn receive(&mut self, n: usize, signed: &Signed) {
        let node = self.nodes[n].id;
        if signed.kind == RootKekAccept::KIND {
            return self.root_kek_accepted(n, signed);
        }
        let judged = self.judge(signed);
        let Some(Ok(Outcome::Counted { last: Some((number, hash)), .. })) =
            self.tell(Input::Said { node, signed: signed.clone(), judged })
        else {
            return;
        };
        let counter = self.confirmation(n, number, hash);
        self.send(n, true, Letter::Message(counter));
    }

    // As the service does: what was ordered is offered, one offer at a time; a confirmation is sent until it is taken.
    fn offer_root_kek(&mut self, n: usize, taken: u64) {
        let (now, id) = (self.now, self.nodes[n].id);
        let Some(core) = &self.core else { return };
        let Some(node) = core.state().node(&id).filter(|node| node.is_served()) else { return };
        if let Some(confirm) = node.kek_change.confirm().cloned() {
            let seq = confirm.peek::<RootKekConfirm>().map_or(0, |body| body.head.seq.0);
            if seq > taken {
                return self.send(n, true, Letter::Message(confirm));
            }
            if node.kek_change.next.as_ref().is_some_and(|next| now - next.kek.since_utc_ms < 20_000) {
                return;
            }
        }
        let Some((number, rights)) = node.kek_to_agree() else { return };
        if self.offers.get(&n).is_some_and(|(_, _, since)| now - since < 10_000) {
            return;
        }
        let wanted = Grant::RootKek { node: id, number };
        let Some(evidence) = core.evidence(&rights, now, |grant| *grant == wanted) else { return };
        let head = node.link.clone().next_head(core.epoch(), now + 600_000);
        let public = keylink::wire::Blob(vec![]);
        let offer = RootKekOffer { head, number, public, nonce: Hex(self.rng.bytes()), evidence };
        let signed = Signed::seal(&offer, &self.signer);
        if matches!(self.tell(Input::Post { node: id, signed: signed.clone() }), Some(Ok(_))) {
            self.offers.insert(n, (signed.hash(), number, now));
            self.send(n, true, Letter::Message(signed));
        }
    }

    fn root_kek_accepted(&mut self, n: usize, signed: &Signed) {
        let Ok(accept) = signed.peek::<RootKekAccept>() else { return };
        let Some((offer, number, _)) = self.offers.get(&n).copied() else { return };
        let (kek, of_node, of_manager) = node::agreement(&offer);
        if accept.offer != offer || accept.confirm != of_node || accept.node != self.nodes[n].id {
            return;
        }
        let Some(core) = &self.core else { return };
        let Some(node) = core.state().node(&accept.node) else { return };
        let head = node.link.clone().next_head(core.epoch(), self.now + 600_000);
        let confirm = RootKekConfirm { head, accept: signed.hash(), confirm: of_manager };
        let confirm = Signed::seal(&confirm, &self.signer);
        let kcv = node::kek_kcv(&kek);
        let kek = RootKek { number, strength_bits: 256, block: kek, kcv, since_utc_ms: self.now };
        let input = Input::KekAgreed { node: accept.node, kek, confirm: confirm.clone() };
        if matches!(self.tell(input), Some(Ok(_))) {
            // Answered once; another offer is due when this comes to nothing.
            self.offers.insert(n, (Digest::default(), 0, self.now));
            self.send(n, true, Letter::Message(confirm));
        }
    }

    // The same receipt is confirmed by the same message.
    fn confirmation(&mut self, n: usize, number: U64, hash: Digest) -> Signed {
        let what = (self.epoch, number, hash);
        if let Some((_, signed)) = self.confirmed.get(&n).filter(|(said, _)| *said == what) {
            return signed.clone();
        }
        let head = Head {
            version: keylink::message::PROTOCOL,
            kmc: self.kmc,
            audience: Audience::Node(self.nodes[n].id),
            epoch: U64(self.epoch),
            seq: number,
            not_after: U64(self.now + 600_000),
        };
        let counter = Signed::seal(&CounterReceipt { head, receipt: hash, checkpoint: None }, &self.signer);
        self.confirmed.insert(n, (what, counter.clone()));
        counter
    }

    fn judge(&self, signed: &Signed) -> Judged {
        let Ok(receipt) = signed.peek::<Receipt>() else { return Judged::None };
        let (Some(key_set), Some(generation)) = (receipt.key_set, receipt.generation) else {
            return Judged::None;
        };
        let secret = self.secrets.get(&KeyRef { key_set, generation });
        let (Some(possession), Some(secret)) = (&receipt.possession, secret) else { return Judged::None };
        let Some(answer) = node::expected(&receipt, *secret) else { return Judged::None };
        let holds = possession_holds(possession, PossessionMethod::PinBlock, &possession.nonce.0, &answer);
        if holds { Judged::Holds } else { Judged::Fails }
    }
}
