//! The manager: it is told, dies, comes back, and does what is due.

use super::World;
use crate::Core;
use crate::ids::{Digest, Fresh};
use crate::input::{Input, Outcome, Told, WrappedFor};
use crate::key::{KcvMethod, Material, Wrapper};
use crate::simulation::node;
use keylink::message::Audience;
use keylink::{Instant3, Signed};

impl World {
    /// Tells the manager. None: it died, and nobody knows what became of it.
    pub fn tell(&mut self, input: Input) -> Option<Result<Outcome, crate::Refusal>> {
        let fresh = Fresh(Digest(self.rng.bytes()));
        let now = Instant3 { utc_ms: self.now, mono_ms: self.now, boot_id: self.epoch };
        let mut core = self.core.take()?;
        let effects = match core.handle(now, Told { fresh, request: None, input }) {
            Ok(effects) => effects,
            Err(refusal) => {
                self.cover.hit("refusal", refusal.code());
                self.core = Some(core);
                return Some(Err(refusal));
            }
        };
        let note = &effects.note;
        if !self.calm && self.rng.chance(6) {
            self.say(|| "manager dies before it persists".to_owned());
            self.cover.hit("fault", "manager crash before persist");
            self.restart_at = self.now + 1_000 + self.rng.below(6_000);
            return None;
        }
        if !self.calm && self.rng.chance(6) {
            self.say(|| "manager's store fails; it steps down".to_owned());
            self.cover.hit("fault", "manager disk error");
            self.restart_at = self.now + 200;
            return None;
        }
        if note.word != "centre.tick" && note.word != "node.beat" {
            self.say(|| {
                format!("{} {:?} {:?} by {:.12}", note.word, note.objects, effects.outcome, note.actor)
            });
        }
        self.check_commit(&core, &effects);
        self.disk.commit(self.now, &effects.records, effects.note);
        if !self.calm && self.rng.chance(6) {
            self.say(|| "manager dies after it persisted".to_owned());
            self.cover.hit("fault", "manager crash after persist");
            self.check_reload(&core);
            self.restart_at = self.now + 1_000 + self.rng.below(6_000);
            return None;
        }
        self.core = Some(core);
        Some(Ok(effects.outcome))
    }

    fn check_reload(&mut self, core: &Core) {
        match self.loaded() {
            Ok(loaded) if loaded.state() == core.state() => {}
            Ok(_) => self.violated("the records do not make the state that wrote them".into()),
            Err(error) => self.violated(format!("the records do not load: {error}")),
        }
    }

    fn loaded(&self) -> Result<Core, String> {
        <Core as crate::drive::Machine>::load(&mut self.disk.packed())
    }

    pub fn manager_dies(&mut self) {
        if let Some(core) = self.core.take() {
            self.check_reload(&core);
            self.cover.hit("fault", "manager crash between");
            self.restart_at = self.now + 2_000 + self.rng.below(8_000);
        }
    }

    pub fn drive_manager(&mut self) {
        if self.core.is_none() && self.restart_at <= self.now {
            match self.loaded() {
                Ok(core) => self.core = Some(core),
                Err(error) => return self.violated(format!("the records do not load: {error}")),
            }
            self.epoch += 1;
            self.offers.clear();
            let epoch = self.epoch;
            self.say(|| format!("manager starts, epoch {epoch}"));
            self.tell(Input::TakeOver { epoch });
            // What was decided is known in the field, even if the manager died on its answer.
            self.carried();
        }
        self.tell(Input::Tick);
        let Some(core) = &self.core else { return };
        for campaign in core.to_generate() {
            if self.core.as_ref().and_then(|core| core.campaign(&campaign)).is_none() {
                return;
            }
            if !self.calm && self.rng.chance(100) {
                self.cover.hit("fault", "backend cannot generate");
                self.tell(Input::GenerateFailed { campaign, reason: "no session".into() });
                continue;
            }
            let secret = self.next_secret;
            self.next_secret += 1;
            let material = Material {
                block: format!("master|{secret}"),
                kcv: node::kcv(secret),
                kcv_method: KcvMethod::Zeros,
                wrapped_by: Wrapper::Master,
                wrapper_strength_bits: 256,
                arrived_under: None,
            };
            self.tell(Input::Generated { campaign, material });
        }
        self.wrap_and_sign();
    }

    fn wrap_and_sign(&mut self) {
        let now = self.now;
        let Some(work) = self.core.as_mut().map(|core| core.work(now, None, 16)) else { return };
        let wrapped: Vec<_> = work
            .wrap
            .iter()
            .filter_map(|(node, key)| {
                let secret = *self.secrets.get(key)?;
                let kek = self.core.as_ref()?.state().node(node)?.kek_in_use()?;
                let block = node::block(secret, node, &key.key_set, key.generation, &kek.block);
                Some(WrappedFor { node: *node, key: *key, block, throw_away: None, root_kek: kek.number })
            })
            .collect();
        if !wrapped.is_empty() {
            self.tell(Input::Wrapped(wrapped));
        }
        let signed: Vec<_> = work.sign.iter().map(|draft| Signed::seal(&draft.body, &self.signer)).collect();
        if signed.is_empty() {
            return;
        }
        let issued = self.tell(Input::Issue(signed));
        if matches!(issued, Some(Ok(_))) {
            work.sign.iter().for_each(|draft| self.say_order(&draft.body));
        }
        if self.prompt && matches!(issued, Some(Ok(_))) {
            let told: Vec<_> = work.sign.iter().map(|draft| draft.node).collect();
            for n in 0..self.nodes.len() {
                if told.contains(&self.nodes[n].id) {
                    self.send_newest(n);
                }
            }
        }
    }

    // What a node is told, in short: its keys, their steps, and what it is shown for them.
    fn say_order(&mut self, order: &keylink::message::Manifest) {
        if !self.telling {
            return;
        }
        let name = self.nodes.iter().find(|n| Audience::Node(n.id) == order.head.audience).map(|n| &n.name);
        let mut text = format!("{} is told", name.map_or("?", String::as_str));
        if order.suspended {
            text += " to be suspended";
        }
        for set in &order.key_sets {
            text += &format!("; {}{}", set.definition.name, if set.suspended { " suspended" } else { "" });
            for one in &set.generations {
                let block = if one.block.is_some() { "+block" } else { "" };
                text += &format!(" {}={:?}{block}", one.generation, one.step);
            }
        }
        for shown in &order.evidence {
            for grant in &shown.grants {
                text += &format!("; {}", String::from_utf8_lossy(&grant.grant.0));
            }
        }
        self.say(|| text);
    }
}
