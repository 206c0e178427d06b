//! What a node says of itself: unchained messages, numbered within a boot.

use super::machine::Machine;
use super::plan::Refusal;
use crate::envelope::{NotSigned, Signed};
use crate::ids::{Digest, Generation};
use crate::message::{
    Alarm, Audience, GenerationUse, Head, Hello, Pull, Reason, Refused, Resync, StatusBeat,
};
use crate::message::{Held, PROTOCOL};
use crate::time::Instant3;
use crate::wire::{Hex, U64};

/// Unchained messages are worthless after this, unless a file carries them.
pub(super) const MESSAGE_LIFE_MS: u64 = 120_000;

/// What does not change while a node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Software and version.
    pub software: String,
    /// `A`, `B` or `C`.
    pub backend_class: String,
}

/// What the shell counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Traffic is served.
    pub ready: bool,
    /// Number of the table that every core uses.
    pub table: u64,
    /// Uses of each generation since the boot.
    pub uses: Vec<GenerationUse>,
    /// What the shell has found wrong.
    pub alarms: Vec<Alarm>,
}

impl Machine {
    fn head_to_manager(&mut self, now: Instant3, seq: u64) -> Head {
        let state = self.state();
        Head {
            version: state.protocol.max(1),
            kmc: state.kmc,
            audience: Audience::Kmc,
            epoch: state.epoch,
            seq: U64(seq),
            not_after: U64(now.utc_ms.saturating_add(self.life_ms)),
        }
    }

    fn next_said(&mut self) -> u64 {
        self.said = self.said.saturating_add(1);
        self.said
    }

    fn root_number(&self) -> u32 {
        self.document().number
    }

    /// Begin of a session. `exporter` binds it to the transport session.
    pub fn hello(
        &mut self,
        now: Instant3,
        about: &About,
        exporter: Option<[u8; 32]>,
    ) -> Result<Signed, NotSigned> {
        let seq = self.next_said();
        let head = self.head_to_manager(now, seq);
        let state = self.state();
        let hello = Hello {
            head,
            node: state.node,
            boot_id: U64(now.boot_id),
            protocol: PROTOCOL,
            software: about.software.clone(),
            backend_class: about.backend_class.clone(),
            root: self.root_number(),
            taken: (state.epoch, state.seq),
            receipt: state.receipt,
            exporter: exporter.map(Hex),
            utc_ms: U64(now.utc_ms),
        };
        Signed::try_seal(&hello, self.signer())
    }

    /// Asks for mail.
    pub fn pull(&mut self, now: Instant3, wait_s: u16) -> Result<Signed, NotSigned> {
        let seq = self.next_said();
        let head = self.head_to_manager(now, seq);
        let state = self.state();
        let pull = Pull {
            head,
            node: state.node,
            boot_id: U64(now.boot_id),
            taken: (state.epoch, state.seq),
            root: self.root_number(),
            proved: state.proved,
            wait_s,
        };
        Signed::try_seal(&pull, self.signer())
    }

    /// How the node is.
    pub fn beat(&mut self, now: Instant3, counts: &Counts) -> Result<Signed, NotSigned> {
        let seq = self.next_said();
        let head = self.head_to_manager(now, seq);
        let mut alarms = self.alarms(now);
        alarms.extend(counts.alarms.iter().filter(|alarm| !self.alarms(now).contains(alarm)));
        let state = self.state();
        let beat = StatusBeat {
            head,
            node: state.node,
            boot_id: U64(now.boot_id),
            utc_ms: U64(now.utc_ms),
            mono_ms: U64(now.mono_ms),
            ready: counts.ready,
            suspended: state.suspended,
            manifest: state.manifests.last().copied(),
            table: U64(counts.table),
            uses: counts.uses.clone(),
            alarms,
            checkpoint: state.checkpoint.as_ref().map(|c| (c.size, c.root)),
        };
        Signed::try_seal(&beat, self.signer())
    }

    pub(super) fn refused(
        &mut self,
        now: Instant3,
        message: Digest,
        seq: u64,
        refusal: Refusal,
    ) -> Result<Signed, NotSigned> {
        let head = self.head_to_manager(now, seq);
        let (key_set, generation): (_, Option<Generation>) =
            refusal.about.map_or((None, None), |(set, generation)| (Some(set), generation));
        let refused = Refused {
            head,
            node: self.state().node,
            message,
            reason: refusal.reason,
            key_set,
            generation,
            utc_ms: U64(now.utc_ms),
        };
        Signed::try_seal(&refused, self.signer())
    }

    /// A refusal of bytes that are no message.
    pub fn malformed(&mut self, now: Instant3, bytes: &[u8]) -> Result<Signed, NotSigned> {
        self.refused(now, Digest::of(bytes), 0, Reason::Malformed.into())
    }

    pub(super) fn resync(&mut self, now: Instant3, nonce: [u8; 16]) -> Result<Signed, NotSigned> {
        let head = self.head_to_manager(now, self.state().seq.0);
        let root = self.root_number();
        let state = self.state();
        let held = state.key_sets.iter().flat_map(|set| {
            let key_set = set.definition.key_set;
            set.generations.iter().map(move |g| Held { key_set, generation: g.generation, step: g.step })
        });
        let resync = Resync {
            head,
            node: state.node,
            nonce: Hex(nonce),
            manifest: state.manifests.last().copied(),
            root,
            held: held.collect(),
            utc_ms: U64(now.utc_ms),
        };
        Signed::try_seal(&resync, self.signer())
    }
}
