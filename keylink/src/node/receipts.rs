//! Receipts of a node: numbered, chained, kept until the manager confirms them.

use super::machine::Machine;
use super::state::NodeState;
use crate::envelope::{NotSigned, Signed, TrySign};
use crate::ids::{CampaignId, Digest, Generation, KeySetId};
use crate::message::{Audience, Head, Possession, Receipt, ReceiptKind, Step};
use crate::time::Instant3;
use crate::wire::U64;

/// Receipts may travel for so long; a node that was away for longer asks for a fresh start.
pub(super) const RECEIPT_LIFE_MS: u64 = 90 * 24 * 3600 * 1000;

/// What a receipt is about.
#[derive(Default)]
pub(super) struct About {
    pub(super) campaign: Option<CampaignId>,
    pub(super) key_set: Option<KeySetId>,
    pub(super) generation: Option<Generation>,
    pub(super) usage: Option<String>,
    pub(super) kcv: Option<String>,
    pub(super) block: Option<Digest>,
    pub(super) possession: Option<Possession>,
}

impl NodeState {
    /// Signs the next receipt and puts it into the outbox. One that is not signed leaves the chain as it was.
    pub(super) fn receipt_of(
        &mut self,
        now: Instant3,
        signer: &dyn TrySign,
        kind: ReceiptKind,
        asked: (U64, Digest),
        about: About,
    ) -> Result<(), NotSigned> {
        let number = U64(self.receipt.0.0.saturating_add(1));
        let receipt = Receipt {
            head: Head {
                version: self.protocol,
                kmc: self.kmc,
                audience: Audience::Kmc,
                epoch: self.epoch,
                seq: number,
                not_after: U64(now.utc_ms.saturating_add(RECEIPT_LIFE_MS)),
            },
            node: self.node,
            boot_id: U64(now.boot_id),
            previous: self.receipt.1,
            kind,
            campaign: about.campaign,
            key_set: about.key_set,
            generation: about.generation,
            usage: about.usage,
            kcv: about.kcv,
            block: about.block,
            message_seq: asked.0,
            message: asked.1,
            possession: about.possession,
            utc_ms: U64(now.utc_ms),
            checkpoint: self.checkpoint.as_ref().map(|c| (c.size, c.root)),
        };
        let signed = Signed::try_seal(&receipt, signer)?;
        self.receipt = (number, Some(signed.hash()));
        if self.last == Some(asked.1) {
            self.answered.push(signed.clone());
        }
        self.outbox.push(signed);
        Ok(())
    }

    fn about(&self, set: usize, generation: usize) -> Option<(About, (U64, Digest))> {
        let set = self.key_sets.get(set)?;
        let record = set.generations.get(generation)?;
        let usage = set.definition.kind.usage().0;
        let about = About {
            campaign: Some(record.campaign),
            key_set: Some(set.definition.key_set),
            generation: Some(record.generation),
            usage: Some(usage.iter().map(|c| char::from(*c)).collect()),
            kcv: Some(record.kcv.clone()),
            block: Some(record.block),
            possession: record.possession.clone(),
        };
        Some((about, record.asked))
    }

    fn places(&self) -> Vec<(usize, usize)> {
        let sets = self.key_sets.iter().enumerate();
        sets.flat_map(|(s, set)| (0..set.generations.len()).map(move |g| (s, g))).collect()
    }

    /// Signs `kind` for a generation.
    fn tell(
        &mut self,
        now: Instant3,
        signer: &dyn TrySign,
        place: (usize, usize),
        kind: ReceiptKind,
    ) -> Result<(), NotSigned> {
        match self.about(place.0, place.1) {
            Some((about, asked)) => self.receipt_of(now, signer, kind, asked, about),
            None => Ok(()),
        }
    }

    /// Receipts of the generations that the present message installed.
    pub(super) fn tell_proven(
        &mut self,
        now: Instant3,
        signer: &dyn TrySign,
        names: &[(KeySetId, Generation)],
    ) -> Result<(), NotSigned> {
        for (s, g) in self.places() {
            let name = self.key_sets.get(s).and_then(|set| {
                set.generations.get(g).map(|record| (set.definition.key_set, record.generation))
            });
            if name.is_some_and(|name| names.contains(&name)) {
                self.tell(now, signer, (s, g), ReceiptKind::Proven)?;
            }
        }
        Ok(())
    }

    /// Every core uses the present table: receipts of what began with it. True when there were any.
    pub(super) fn tell_switched(&mut self, now: Instant3, signer: &dyn TrySign) -> Result<bool, NotSigned> {
        let before = self.receipt.0;
        for (s, g) in self.places() {
            let Some(record) = self.key_sets.get_mut(s).and_then(|set| set.generations.get_mut(g)) else {
                continue;
            };
            let (from, to) = (record.announced, record.step);
            if to > Step::Protect || from == to {
                continue;
            }
            record.announced = to;
            let rolled_back = core::mem::take(&mut record.rolled_back);
            if from == Step::Stage {
                self.tell(now, signer, (s, g), ReceiptKind::Accepting)?;
            }
            if to == Step::Protect {
                let kind = if rolled_back { ReceiptKind::RolledBack } else { ReceiptKind::Activated };
                self.tell(now, signer, (s, g), kind)?;
            }
        }
        Ok(self.receipt.0 != before)
    }

    /// Nothing older than the present table is left: receipts of what ended with it, and erasure. True when there
    /// were any.
    pub(super) fn tell_released(&mut self, now: Instant3, signer: &dyn TrySign) -> Result<bool, NotSigned> {
        let before = self.receipt.0;
        for (s, g) in self.places() {
            let Some(record) = self.key_sets.get_mut(s).and_then(|set| set.generations.get_mut(g)) else {
                continue;
            };
            let (from, to) = (record.announced, record.step);
            if to < Step::Retire || from == to {
                continue;
            }
            record.announced = to;
            if to == Step::Destroy {
                zeroize::Zeroize::zeroize(&mut record.token);
            }
            if from < Step::Retire && from != Step::Stage {
                self.tell(now, signer, (s, g), ReceiptKind::Retired)?;
            }
            if to == Step::Destroy {
                self.tell(now, signer, (s, g), ReceiptKind::Destroyed)?;
            } else if from == Step::Stage {
                self.tell(now, signer, (s, g), ReceiptKind::Retired)?;
            }
        }
        if !self.has_untold()
            && let Some(asked) = self.zeroising.take()
        {
            self.receipt_of(now, signer, ReceiptKind::Zeroised, asked, About::default())?;
        }
        Ok(self.receipt.0 != before)
    }

    /// True when a receipt waits for the cores.
    pub(super) fn has_untold(&self) -> bool {
        self.key_sets.iter().flat_map(|set| &set.generations).any(|g| g.step != g.announced)
    }
}

impl Machine {
    /// Receipts that the manager has not confirmed, oldest first.
    pub fn outbox(&self) -> &[Signed] {
        &self.state().outbox
    }
}
