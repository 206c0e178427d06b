//! The network: what is sent gets lost, doubled or late, and what arrives is heard.

use super::{Letter, Packet, World};
use crate::campaign::Phase;
use crate::input::Input;
use crate::store::Table;
use keylink::message::{Audience, Manifest, Step};
use keylink::wire::U64;
use keylink::{Body, Signed};

impl World {
    pub fn send(&mut self, node: usize, to_node: bool, letter: Letter) {
        let letter = std::rc::Rc::new(letter);
        if !self.calm && self.rng.chance(60) {
            self.cover.hit("fault", "message dropped");
            return;
        }
        let mut copies = 1;
        if !self.calm && self.rng.chance(60) {
            self.cover.hit("fault", "message duplicated");
            copies = 2;
        }
        for _ in 0..copies {
            let mut due = self.now + 5 + self.rng.below(300);
            if !self.calm && self.rng.chance(80) {
                self.cover.hit("fault", "message delayed, reordered");
                due += self.rng.below(15_000);
            }
            self.net.push(Packet { due, node, to_node, letter: letter.clone() });
        }
    }

    pub fn deliver(&mut self) {
        let mut due: Vec<_> = Vec::new();
        let now = self.now;
        self.net.retain(|packet| {
            let arrives = packet.due <= now;
            if arrives {
                due.push((packet.due, packet.node, packet.to_node, packet.letter.clone()));
            }
            !arrives
        });
        due.sort_by_key(|packet| packet.0);
        for (_, node, to_node, letter) in due {
            if self.cut.contains_key(&node) {
                self.cover.hit("fault", "message lost in a partition");
                continue;
            }
            if to_node {
                self.at_node(node, &letter)
            } else {
                self.at_manager(node, &letter)
            }
            if self.violation.is_some() {
                return;
            }
        }
    }

    fn at_node(&mut self, n: usize, letter: &Letter) {
        let (now, fresh) = (self.now, self.rng.bytes());
        match letter {
            Letter::Message(signed) => self.nodes[n].message(signed, fresh, now),
            Letter::Root(root) => self.nodes[n].root(root, now),
            _ => {}
        }
        self.post(n);
    }

    fn at_manager(&mut self, n: usize, letter: &Letter) {
        let node = self.nodes[n].id;
        match letter {
            Letter::Said(signed) => self.receive(n, signed),
            Letter::Beat(signed, sent_at) => {
                // The middle of request and answer, as far as one can know it.
                let middle = (sent_at + self.now) / 2;
                let said = signed.peek::<keylink::message::StatusBeat>().map(|beat| beat.utc_ms.0);
                let skew_ms = said.map_or(0, |utc| utc.wrapping_sub(middle).cast_signed());
                // A beat that was long under way says nothing about a clock.
                let skew_ms = if self.now - sent_at > 500 { 0 } else { skew_ms };
                let beat = signed.clone();
                self.tell(Input::Beat { node, beat, skew_ms, by_file: false });
            }
            Letter::Pull(root, taken) => self.answer_pull(n, *root, *taken),
            _ => {}
        }
    }

    /// What a node has to say goes on its way.
    pub fn post(&mut self, n: usize) {
        for signed in std::mem::take(&mut self.nodes[n].out) {
            if signed.kind == keylink::message::Refused::KIND
                && let Ok(refused) = signed.peek::<keylink::message::Refused>()
            {
                self.cover.hit("node says", format!("{:?}", refused.reason));
                let name = self.nodes[n].name.clone();
                self.say(|| format!("{name} refuses: {:?} {:?}", refused.reason, refused.generation));
            }
            self.send(n, false, Letter::Said(signed));
        }
        if self.prompt {
            self.send_outbox(n);
        }
    }

    // Receipts that were not sent before by this node; those that get lost are sent again by `poll`.
    fn send_outbox(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let Some(machine) = &node.machine else { return };
        let last = machine.state().receipt.0.0;
        let fresh = (last - node.sent_up_to) as usize;
        node.sent_up_to = last;
        let outbox = machine.outbox();
        let fresh: Vec<_> = outbox[outbox.len() - fresh.min(outbox.len())..].to_vec();
        for signed in fresh {
            self.send(n, false, Letter::Said(signed));
        }
    }

    /// A node speaks up: its receipts, its mail, sometimes how it is.
    pub fn poll(&mut self, n: usize) {
        let Some(machine) = &self.nodes[n].machine else { return };
        let (root, taken) = (machine.document().number, machine.state().seq.0);
        let outbox = machine.outbox().iter().take(4).cloned().collect::<Vec<_>>();
        for signed in outbox {
            self.send(n, false, Letter::Said(signed));
        }
        self.send(n, false, Letter::Pull(root, taken));
        if self.rng.chance(200) {
            let now = self.now;
            if let Some(beat) = self.nodes[n].beat(now) {
                self.send(n, false, Letter::Beat(beat, now));
            }
        }
    }

    /// A thief of the manager's key orders a node back to the key before, which officers have not approved. The numbers
    /// fit, and the signature holds.
    pub fn somebody_forges(&mut self, n: usize) {
        let Some(core) = &self.core else { return };
        let Some(machine) = &self.nodes[n].machine else { return };
        let own = Audience::Node(self.nodes[n].id);
        let orders = self.disk.rows_of(Table::Manifests).into_iter().rev();
        let mut orders = orders.filter_map(|row| Signed::parse(&row.body).ok());
        let newest =
            orders.find_map(|order| order.peek::<Manifest>().ok().filter(|m| m.head.audience == own));
        let Some(mut order) = newest else { return };
        let returned = |campaign: &&crate::campaign::Campaign| {
            matches!(campaign.phase, Phase::RollingBack | Phase::RolledBack)
        };
        let returned: Vec<_> = core.state().campaigns().filter(returned).map(|c| c.plan.key_set).collect();
        let mut changed = false;
        for set in order.key_sets.iter_mut().filter(|set| !returned.contains(&set.definition.key_set)) {
            // Where the node has not switched yet it is none, and may be believed.
            let switched = self.nodes[n].protects(&set.definition.key_set);
            if let [.., before, last] = &mut set.generations[..]
                && (before.step, last.step) == (Step::Accept, Step::Protect)
                && switched == Some(last.generation)
            {
                (before.step, last.step) = (Step::Protect, Step::Accept);
                (before.protect_from, changed) = (None, true);
            }
        }
        if !changed {
            return;
        }
        order.head.epoch = machine.state().epoch;
        order.head.seq = U64(machine.state().seq.0 + 1);
        order.resync = None;
        order.previous = machine.state().manifests.last().copied();
        self.cover.hit("fault", "order forged with the manager's key");
        let forged = Signed::seal(&order, &self.signer);
        self.send(n, true, Letter::Message(forged));
    }
}
