//! What people do, rightly and wrongly: ask, approve, approve again, approve their own request, change their mind,
//! take nodes out of traffic and put them back, revoke each other.

use super::people::Human;
use super::world::{Letter, World};
use crate::action::{Act, KeyRef, Reaffirmed};
use crate::alarm::{Alarm, AlarmKind};
use crate::approval::ActionState;
use crate::campaign::{Phase, RotateTarget, Source};
use crate::ids::{CampaignId, Digest};
use crate::input::{Input, Outcome};
use crate::key::KeySet;
use crate::lifecycle::KeyState;
use crate::node::Traffic;
use crate::people::Role;
use crate::refusal::Refusal;
use crate::root_kek::KekTarget;
use crate::verified::Verified;
use keylink::NodeId;
use keylink::root::SignedRoot;
use keylink::wire::{Hex, U64};
use std::collections::BTreeSet;

impl World {
    pub fn people_act(&mut self) {
        if self.core.is_none() {
            return;
        }
        self.forget_old_proposals();
        if self.rough && self.rng.chance(200) {
            return self.key_is_handled();
        }
        match self.rng.below(100) {
            0..50 => self.somebody_approves(),
            50..60 => self.somebody_rotates(),
            60..68 => self.node_leaves_traffic(),
            68..80 => self.node_returns(),
            80..90 => self.campaign_is_steered(),
            90..93 => self.somebody_changes_their_mind(),
            93..95 => self.officer_is_replaced(),
            95..97 => self.node_is_suspended(),
            97..99 => self.members_change(),
            _ => self.root_keks_change(),
        }
        self.root_follows();
    }

    fn forget_old_proposals(&mut self) {
        let Some(core) = &self.core else { return };
        let state = core.state();
        self.proposals
            .retain(|(id, ..)| state.action(id).is_some_and(|action| action.state == ActionState::Pending));
    }

    fn anybody(&mut self) -> Human {
        let n = self.rng.index(self.humans.len());
        self.humans[n].clone()
    }

    fn propose(&mut self, act: Act) {
        let by = match self.rng.below(10) {
            0..7 => self.operator(),
            _ => self.anybody().by,
        };
        self.say(|| format!("somebody asks: {act:?}"));
        if let Some(Ok(Outcome::Proposed { action, hash, nonce, .. })) = self.tell(Input::Propose { by, act })
        {
            self.proposals.push((action, hash, nonce));
        }
    }

    // ---- approvals ----

    fn somebody_approves(&mut self) {
        let Some(&(_, hash, nonce)) = self.rng.pick(&self.proposals.clone()) else { return };
        let human = match self.rng.below(10) {
            0..8 => {
                let active = self.active_officers();
                let Some(&n) = self.rng.pick(&active) else { return };
                self.humans[n].clone()
            }
            // Anybody: the requester, the operator, an auditor, one who was revoked.
            _ => self.anybody(),
        };
        let signed = human.approve(self.kmc, hash, nonce, self.now);
        let twice = self.rng.chance(150);
        for _ in 0..=usize::from(twice) {
            let Ok(approval) = Verified::open(signed.clone(), &human.key()) else { continue };
            match self.tell(Input::Approve(approval)) {
                Some(Ok(Outcome::Approved { state, .. })) if state != ActionState::Pending => self.carried(),
                Some(_) => {}
                None => return,
            }
        }
    }

    // People in the field follow what was decided: a node that is suspended serves nobody.
    pub fn carried(&mut self) {
        let Some(core) = &self.core else { return };
        let lists: Vec<_> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| {
                core.state().node(&node.id).is_some_and(|n| !n.is_served() || n.traffic != Traffic::InTraffic)
            })
            .map(|(n, _)| n)
            .collect();
        for n in lists {
            self.nodes[n].serving = false;
        }
        let emergency: Vec<_> = core
            .state()
            .campaigns()
            .filter(|campaign| campaign.emergency.is_some())
            .map(|campaign| campaign.plan.key_set)
            .collect();
        self.disturbed.extend(emergency);
    }

    /// The operator asks, and nobody has approved yet.
    pub fn asked(&mut self, act: Act) -> (Digest, Hex<16>) {
        let by = self.operator();
        match self.tell(Input::Propose { by, act }) {
            Some(Ok(Outcome::Proposed { hash, nonce, .. })) => (hash, nonce),
            other => panic!("{other:?}"),
        }
    }

    /// The first person of a role approves.
    pub fn approved_by(&mut self, role: Role, (hash, nonce): (Digest, Hex<16>)) -> Result<Outcome, Refusal> {
        let human = self.humans.iter().find(|human| human.role == role).expect("there is one").clone();
        let signed = human.approve(self.kmc, hash, nonce, self.now);
        let approval = Verified::open(signed, &human.key()).expect("own signature");
        self.tell(Input::Approve(approval)).expect("nothing fails")
    }

    // ---- campaigns ----

    fn is_out(&self, node: &crate::node::Node) -> bool {
        node.is_out_of_traffic(self.now, super::world::SILENT_MS)
    }

    pub fn target(&mut self, set: &KeySet, careless: bool) -> Option<RotateTarget> {
        let core = self.core.as_ref()?;
        let zone = self.zones.iter().find(|z| z.key_set == set.id())?.id;
        let members: Vec<NodeId> = core.state().members(&zone).map(|member| member.node).collect();
        let out = |id: &&NodeId| core.state().node(id).is_some_and(|node| self.is_out(node));
        let mut excepted: BTreeSet<_> = members.iter().filter(out).copied().collect();
        if careless {
            excepted.insert(members[0]);
        }
        let campaign = CampaignId::new(self.now, self.rng.bytes());
        let overlap_ms = 6_000 + self.rng.below(6_000);
        self.overlaps.insert(campaign, overlap_ms);
        Some(RotateTarget {
            campaign,
            key_set: set.id(),
            generation: set.next_generation,
            source: Source::Generate,
            members: members.len() as u32,
            excepted,
            protect_not_before: U64(0),
            overlap_ms: U64(overlap_ms),
            deadline: U64(self.now + 150_000),
        })
    }

    fn somebody_rotates(&mut self) {
        let Some(core) = &self.core else { return };
        let sets: Vec<_> = core.state().key_sets().cloned().collect();
        let both = self.rng.chance(400);
        let one = self.rng.index(sets.len());
        let careless = self.rng.chance(50);
        let mut targets = Vec::new();
        for (n, set) in sets.iter().enumerate() {
            if both || n == one {
                targets.extend(self.target(set, careless));
            }
        }
        let act = if self.rng.chance(60) {
            self.cover.hit("fault", "emergency asked for");
            Act::RotateAtOnce { targets, reason: "key seen elsewhere".into() }
        } else {
            Act::Rotate(targets)
        };
        self.propose(act);
    }

    fn campaign_is_steered(&mut self) {
        let Some(core) = &self.core else { return };
        let live: Vec<_> = core.state().campaigns().filter(|c| c.phase.is_live()).cloned().collect();
        let Some(campaign) = self.rng.pick(&live).cloned() else { return };
        let id = campaign.id;
        let late = matches!(campaign.phase, Phase::Protecting | Phase::Overlap);
        match self.rng.below(10) {
            0..3 => {
                let by = self.anybody().by;
                self.tell(Input::Pause { by, campaign: id });
            }
            3..6 => self.propose(Act::ResumeCampaign { campaign: id }),
            6..8 if late => self.propose(Act::RollBack { campaign: id }),
            6..8 => self.propose(Act::AbortCampaign { campaign: id }),
            _ => {
                let out = |node: &&super::node::Node| {
                    self.core
                        .as_ref()
                        .is_some_and(|core| core.state().node(&node.id).is_some_and(|node| self.is_out(node)))
                };
                let in_zone: BTreeSet<_> = self
                    .core
                    .iter()
                    .flat_map(|core| core.state().members(&campaign.zone))
                    .map(|m| m.node)
                    .collect();
                let nodes: BTreeSet<_> = self
                    .nodes
                    .iter()
                    .filter(out)
                    .map(|node| node.id)
                    .filter(|id| in_zone.contains(id))
                    .collect();
                if !nodes.is_empty() {
                    self.propose(Act::ExceptNodes { campaign: id, nodes });
                }
            }
        }
    }

    // ---- nodes ----

    fn node_leaves_traffic(&mut self) {
        let n = self.rng.index(self.nodes.len());
        let serving = self.nodes.iter().filter(|node| node.serving).count();
        if serving <= 3 || !self.nodes[n].serving {
            return;
        }
        // First it stops serving, then people say so.
        self.nodes[n].serving = false;
        let (by, node) = (self.operator(), self.nodes[n].id);
        let to = if self.rng.chance(500) { Traffic::Drained } else { Traffic::Offline };
        self.tell(Input::Traffic { by, node, to });
        if to == Traffic::Offline && self.rng.chance(500) {
            self.cover.hit("fault", "node switched off");
            self.nodes[n].die();
        }
    }

    pub fn node_returns(&mut self) {
        let away: Vec<_> = (0..self.nodes.len()).filter(|n| !self.nodes[*n].serving).collect();
        let Some(&n) = self.rng.pick(&away) else { return };
        let now = self.now;
        if self.nodes[n].machine.is_none() {
            let mut rng = super::rng::Rng::new(self.rng.next());
            self.nodes[n].boot(&mut rng, now);
            self.post(n);
            return;
        }
        let (by, node) = (self.operator(), self.nodes[n].id);
        let quarantined =
            self.core.as_ref().and_then(|c| c.state().node(&node)).is_some_and(|n| !n.is_served());
        if quarantined {
            return self.propose(Act::ResumeNode { node });
        }
        if let Some(Ok(_)) = self.tell(Input::Traffic { by, node, to: Traffic::InTraffic }) {
            self.nodes[n].serving = true;
        }
    }

    fn node_is_suspended(&mut self) {
        let n = self.rng.index(self.nodes.len());
        let node = self.nodes[n].id;
        if self.rng.chance(500) {
            self.nodes[n].serving = false;
            let by = self.operator();
            self.tell(Input::Quarantine { by, node, reason: "looks odd".into() });
        } else {
            self.propose(Act::SuspendNode { node, reason: "looks odd".into() });
        }
    }

    fn members_change(&mut self) {
        let Some(core) = &self.core else { return };
        let (Some(zone), n) = (self.zones.last().map(|zone| zone.id), self.rng.index(self.nodes.len()))
        else {
            return;
        };
        let node = self.nodes[n].id;
        let nodes = BTreeSet::from([node]);
        let member = core.state().node(&node).is_some_and(|node| node.zones.contains(&zone));
        self.propose(if member {
            Act::RemoveMembers { zone, nodes }
        } else {
            Act::AddMembers { zone, nodes }
        });
    }

    // Every node's, or one's; now and then with a number that is not the next.
    fn root_keks_change(&mut self) {
        let Some(core) = &self.core else { return };
        let all: Vec<_> = core
            .state()
            .nodes()
            .filter(|node| node.is_served())
            .map(|node| KekTarget { node: node.id, number: node.next_kek_number() })
            .collect();
        let Some(mut one) = self.rng.pick(&all).copied() else { return };
        if self.rng.chance(100) {
            one.number += 1;
        }
        let targets = if self.rng.chance(500) { all } else { vec![one] };
        self.cover.hit("fault", "root KEKs changed");
        let act = match self.rng.chance(200) {
            true => Act::RekeySuspect { targets, reason: "seen".into() },
            false => Act::RekeyNodes(targets),
        };
        if self.rng.chance(500) {
            self.propose(act);
        } else {
            self.by_quorum(act);
        }
    }

    // ---- people ----

    fn somebody_changes_their_mind(&mut self) {
        let Some(&(action, ..)) = self.rng.pick(&self.proposals.clone()) else { return };
        let Some(record) = self.core.as_ref().and_then(|core| core.state().action(&action)).cloned() else {
            return;
        };
        let owner = self.humans.iter().find(|h| h.by.person == record.requester).map(|h| h.by);
        let by = if self.rng.chance(800) { owner } else { Some(self.anybody().by) };
        let Some(by) = by else { return };
        if self.rng.chance(500) {
            self.tell(Input::Withdraw { by, action });
        } else if let Some(act) = record.act()
            && let Some(Ok(Outcome::Proposed { hash, nonce, .. })) =
                self.tell(Input::Edit { by, action, act })
        {
            // Some officers have the old text before them, others the new.
            self.cover.hit("fault", "request edited while officers read");
            self.proposals.push((action, hash, nonce));
        }
    }

    fn officer_is_replaced(&mut self) {
        let active = self.active_officers();
        let Some(&n) = self.rng.pick(&active) else { return };
        let person = self.humans[n].by.person;
        let number = self.humans.len();
        let new = Human::new(&mut self.rng, &format!("officer {number}"), Role::SecurityOfficer);
        let replacement = self.rng.chance(700).then(|| new.registration());
        // Registered in the world at once: who is not in the manager's register cannot do anything.
        self.humans.push(new);
        if self.rng.chance(700) {
            self.propose(Act::RevokePerson { person, replacement });
        } else {
            let credential = self.humans[n].by.credential;
            self.propose(Act::RevokeCredential { credential });
        }
    }

    // When the officers have changed, the old and the new sign the next root document.
    pub fn root_follows(&mut self) {
        let Some(core) = &self.core else { return };
        let behind = core.alarms().any(|a| a.kind == AlarmKind::RootBehind);
        if !behind {
            return;
        }
        let Ok(document) = core.next_root(self.now) else { return };
        let mut root = SignedRoot::new(&document);
        self.humans
            .iter()
            .filter(|h| h.role == Role::SecurityOfficer)
            .for_each(|h| root.sign(h.signer.as_ref()));
        if self.roots.len() + 1 == document.number as usize {
            self.roots.push(root.clone());
        } else if let Some(last) = self.roots.last_mut() {
            *last = root.clone();
        }
        self.cover.hit("fault", "officers replaced");
        let clerk = self.humans.iter().find(|human| human.role == Role::Operator).map(|human| human.by);
        let Some(by) = clerk else { return };
        self.tell(Input::InstallRoot { by, root });
    }

    /// When the dust has settled, people put things in order: nodes resume, campaigns go on, and what officers who
    /// have left had approved is approved again.
    pub fn people_tidy(&mut self) {
        self.root_follows();
        let Some(core) = &self.core else { return };
        let state = core.state();
        let mut acts = Vec::new();
        for node in state.nodes().filter(|node| !node.is_served() && node.link.quarantine.is_none()) {
            acts.push(Act::ResumeNode { node: node.id });
        }
        for campaign in state.campaigns().filter(|campaign| campaign.phase.is_live()) {
            if campaign.paused {
                acts.push(Act::ResumeCampaign { campaign: campaign.id });
            }
        }
        // A change of a root KEK that does not come to its end is ordered again: who approved it may have left.
        for node in state.nodes().filter(|node| node.is_served() && !node.kek_change.is_idle()) {
            let waits = |alarm: &Alarm| {
                matches!(alarm.kind, AlarmKind::NodeRefuses | AlarmKind::RootKek)
                    && alarm.subject == node.id.to_string()
            };
            if core.alarms().any(waits) {
                let number = node.next_kek_number();
                acts.push(Act::RekeyNodes(vec![KekTarget { node: node.id, number }]));
            }
        }
        if core.alarms().any(|alarm| alarm.kind == AlarmKind::NodeRefuses) {
            for zone in state.zones() {
                acts.push(Act::Reaffirm(Reaffirmed::Zone(zone.id)));
            }
            for set in state.key_sets() {
                acts.push(Act::Reaffirm(Reaffirmed::KeySet(set.id())));
                for key in state.keys(&set.id()) {
                    let name = key.name();
                    acts.extend(
                        [
                            Reaffirmed::Key(name),
                            Reaffirmed::End(name),
                            Reaffirmed::RollBack(name),
                            Reaffirmed::Suspension(name),
                            Reaffirmed::Resumption(name),
                        ]
                        .map(Act::Reaffirm),
                    );
                }
            }
            // What was approved about a node itself is approved again by doing it again.
            for node in state.nodes().filter(|node| node.is_served()) {
                let refuses = |alarm: &&Alarm| {
                    alarm.kind == AlarmKind::NodeRefuses && alarm.subject == node.id.to_string()
                };
                if core.alarms().any(|alarm| refuses(&alarm)) && node.rights.len() > 1 {
                    acts.push(Act::SuspendNode { node: node.id, reason: "to begin anew".into() });
                    acts.push(Act::ResumeNode { node: node.id });
                }
            }
        }
        for act in acts {
            self.by_quorum(act);
        }
    }

    // ---- keys ----

    fn key_is_handled(&mut self) {
        let Some(core) = &self.core else { return };
        let keys: Vec<_> = core
            .state()
            .key_sets()
            .flat_map(|set| core.state().keys(&set.definition.key_set))
            .cloned()
            .collect();
        // A suspended key waits for somebody to decide.
        let suspended: Vec<_> =
            keys.iter().filter(|key| key.state() == KeyState::Suspended).cloned().collect();
        let among = if self.rng.chance(700) && !suspended.is_empty() { &suspended } else { &keys };
        let Some(key) = self.rng.pick(among).cloned() else { return };
        let name: KeyRef = key.name();
        let known = || Act::RevokeKey { key: name, reason: "seen on paper".into() };
        let act = match (key.state(), self.rng.below(12)) {
            (KeyState::Suspended, 0..3) => Act::ResumeKey(name),
            (KeyState::Suspended, 3..5) => Act::DeactivateKey(name),
            (KeyState::Suspended, 5..8) => known(),
            (KeyState::Suspended, _) => Act::DestroyKey(name),
            (KeyState::Active, 0..6) => Act::SuspendKey(name),
            (KeyState::Active, 6..8) => Act::DeactivateKey(name),
            (_, 8..10) => known(),
            _ => Act::DestroyKey(name),
        };
        self.disturbed.insert(name.key_set);
        if self.rng.chance(500) {
            self.propose(act);
        } else {
            self.by_quorum(act);
        }
    }

    /// A captured message comes again, to somebody else or much later.
    pub fn somebody_replays(&mut self) {
        let n = self.rng.index(self.nodes.len());
        let node = self.rng.index(self.nodes.len());
        let to_node = self.rng.chance(500);
        let table = if to_node { crate::store::Table::Manifests } else { crate::store::Table::Receipts };
        let rows = self.disk.rows_of(table);
        if let Some(row) = self.rng.pick(&rows)
            && let Ok(signed) = keylink::Signed::parse(&row.body)
        {
            self.cover.hit("fault", "captured message replayed");
            let letter = if to_node { Letter::Message(signed) } else { Letter::Said(signed) };
            self.send(if to_node { n } else { node }, to_node, letter);
        }
    }
}
