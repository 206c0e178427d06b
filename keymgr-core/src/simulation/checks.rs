//! What must hold after every step, checked by code that does not ask the machine.

use super::node::Told;
use super::world::{SKEW_MS, World};
use crate::action::{Act, KeyRef};
use crate::alarm::{Alarm, AlarmKind};
use crate::approval::{Action, ActionState};
use crate::campaign::{Delivery, Mark, Phase};
use crate::key::Key;
use crate::lifecycle::{Edge, KeyState, TABLE};
use crate::machine::{Core, Effects};
use crate::node::Progress;
use crate::people::{Role, Standing};
use crate::table::{Change, Record};
use crate::target;
use keylink::action::Approval;
use keylink::message::{ReceiptKind, Step};
use std::collections::{BTreeMap, BTreeSet};

const MARKS: [Mark; 6] =
    [Mark::Proven, Mark::Accepting, Mark::Activated, Mark::Retired, Mark::Withdrawn, Mark::Returned];

impl World {
    /// Before a commit: the store still has what was.
    pub fn check_commit(&mut self, core: &Core, effects: &Effects) {
        for record in &effects.records {
            match record {
                Record::Key(key) => self.check_key(key),
                Record::Action(action) => self.check_action(core, action),
                _ => {}
            }
        }
    }

    fn stored(&self, record: &Record) -> Option<Record> {
        let change = record.to_change();
        let (table, key) = change.place();
        self.disk.row(table, key).and_then(|row| Record::of_row(table, key, &row.body).ok().flatten())
    }

    fn check_key(&mut self, key: &Key) {
        let before = match self.stored(&Record::Key(Box::new(key.clone()))) {
            Some(Record::Key(before)) => Some(before),
            _ => None,
        };
        let name = key.name();
        if let Some(before) = &before
            && before.attributes() != key.attributes()
        {
            self.violated(format!("attributes of {name} changed"));
        }
        if let (None, Some(material)) = (&before, &key.material) {
            self.born(name, material);
        } else if let (Some(before), Some(now)) =
            (before.as_ref().and_then(|k| k.material.as_ref()), &key.material)
            && before.block != now.block
        {
            self.violated(format!("the number of {name} was given to two keys"));
        }
        if before
            .as_ref()
            .is_some_and(|b| b.state() == KeyState::Destroyed && key.state() != KeyState::Destroyed)
        {
            self.violated(format!("the number of {name} was given to two keys"));
        }
        self.follow_edges(before.as_deref(), key.state(), &name.to_string());
    }

    // Two moves may fall into one request: there must be a way along the edges. A hold is waited for by one that was set
    // before.
    fn follow_edges(&mut self, before: Option<&Key>, to: KeyState, name: &str) {
        let from = before.map(Key::state);
        if from == Some(to) {
            return;
        }
        let held = before.and_then(|key| key.destroy_hold_until).is_some_and(|until| until <= self.now);
        let leads = |edge: &&Edge, first: bool| !edge.through_hold || (first && held);
        let out_of = |state: Option<KeyState>| TABLE.iter().filter(move |edge| edge.from == state);
        let direct = out_of(from).filter(|edge| leads(edge, true)).map(|edge| vec![edge]);
        let mut ways = direct.clone().chain(direct.flat_map(|way| {
            let further = out_of(Some(way[0].to)).filter(|next| leads(next, false));
            further.map(move |next| vec![way[0], next])
        }));
        match ways.find(|way| way.last().is_some_and(|edge| edge.to == to)) {
            Some(way) => {
                way.iter().for_each(|edge| self.cover.hit("edge", format!("{:?}", edge.transition)));
            }
            None => self.violated(format!("{name} went from {from:?} to {to:?}, hold over: {held}")),
        }
    }

    // Counted anew, from the signatures.
    fn check_action(&mut self, core: &Core, action: &Action) {
        let carried =
            matches!(action.state, ActionState::Done | ActionState::Approved | ActionState::Failed(_));
        let before = match self.stored(&Record::Action(Box::new(action.clone()))) {
            Some(Record::Action(before)) => before.state,
            _ => ActionState::Pending,
        };
        if !carried || before != ActionState::Pending {
            return;
        }
        self.cover.hit("carried", action.act().map_or("?", |act| act.word()));
        let fail_safe = action.class.minimum() == 1;
        let persons: BTreeSet<_> = action
            .approvals
            .iter()
            .filter_map(|given| {
                let human = self.humans.iter().find(|h| h.by.credential == given.credential)?;
                let body: Approval = given.signed.open(&human.key()).ok()?;
                let officer = human.role == Role::SecurityOfficer;
                let fits = body.action == action.hash() && body.person == human.by.person && officer;
                let other = fail_safe || human.by.person != action.requester;
                (fits && other && body.not_after.0 > self.now).then_some(human.by.person)
            })
            .collect();
        // Who has just been revoked by this very action counted until now.
        let mut needed = usize::from(action.class.minimum()).max(1);
        if let Some(Act::Rotate(targets)) = action.act() {
            for target in &targets {
                let set = core.state().key_set(&target.key_set);
                let policy = set.and_then(|set| core.state().policy(&set.policy));
                needed = needed.max(policy.map_or(2, |policy| policy.quorum.persons()));
            }
        }
        if persons.len() < needed {
            self.violated(format!("{} persons carried an action that needs {needed}", persons.len()));
        }
    }

    /// After every step.
    pub fn check(&mut self) {
        if let Err(error) = self.disk.verify_new() {
            self.violated(error);
        }
        self.check_nodes();
        self.check_traffic();
        self.check_counts();
        self.check_root_keks();
    }

    fn check_nodes(&mut self) {
        let mut wrong = None;
        for node in &self.nodes {
            let Some(machine) = &node.machine else { continue };
            for set in &machine.state().key_sets {
                let protecting = set.generations.iter().filter(|g| g.step == Step::Protect).count();
                if protecting > 1 {
                    wrong = Some(format!("{} protects with {protecting} generations", node.name));
                }
            }
        }
        if let Some(wrong) = wrong {
            self.violated(wrong);
        }
    }

    /// What one node protects, every other that serves can process, for as long as it may be on its way: twice the
    /// clocks' difference whatever happens, and for as long as the plan has promised to hosts.
    fn check_traffic(&mut self) {
        self.note_traffic();
        let mut wrong = None;
        for zone in self.zones.iter().filter(|zone| !self.disturbed.contains(&zone.key_set)) {
            let late = |at: &u64| self.now - *at <= 2 * SKEW_MS;
            let recent = self.protected.iter().filter(|(_, at)| late(at)).map(|(key, _)| key);
            let promised = self.promised.iter().filter(|(_, until)| self.now < **until).map(|(key, _)| key);
            let on_its_way: BTreeSet<_> =
                recent.chain(promised).filter(|key| key.key_set == zone.key_set).collect();
            let in_zone = |n: &&super::node::Node| self.members.contains(&(zone.id, n.id));
            for node in self.nodes.iter().filter(|n| n.serving && n.machine.is_some()).filter(in_zone) {
                let lost = on_its_way.iter().find(|key| !node.processes(&zone.key_set, key.generation));
                if let Some(key) = lost {
                    wrong = Some(format!("{} cannot process {key}, which is on its way", node.name));
                }
            }
        }
        if let Some(wrong) = wrong {
            self.violated(wrong);
        }
    }

    // What is protected now, and until when the plan lets blocks under the key before be on their way.
    fn note_traffic(&mut self) {
        if let Some(core) = &self.core {
            let zones = self.zones.iter().flat_map(|zone| core.state().members(&zone.id));
            self.members = zones.map(|member| (member.zone, member.node)).collect();
        }
        for node in self.nodes.iter().filter(|n| n.serving && n.machine.is_some()) {
            for zone in &self.zones {
                if let Some(generation) = node.protects(&zone.key_set) {
                    self.protected.insert(KeyRef { key_set: zone.key_set, generation }, self.now);
                }
            }
            for (key_set, generation, campaign, from) in node.armed() {
                let Some(overlap_ms) = self.overlaps.get(&campaign) else { continue };
                self.promised.insert(KeyRef { key_set, generation }, from + overlap_ms);
            }
        }
    }

    /// Every count is backed by deliveries, and every delivery by what the node has signed.
    fn check_counts(&mut self) {
        let Some(core) = &self.core else { return };
        let told: BTreeMap<_, &Told> = self.nodes.iter().map(|node| (node.id, &node.told)).collect();
        let mut wrong = None;
        for campaign in core.state().campaigns() {
            let deliveries: Vec<_> = core.state().deliveries(&campaign.id).collect();
            for mark in MARKS {
                let having = deliveries.iter().filter(|d| d.gated && d.marks.contains(&mark)).count();
                if having != campaign.counts.of(mark) as usize {
                    wrong = Some(format!(
                        "{mark:?} is counted {} times, {having} have it",
                        campaign.counts.of(mark)
                    ));
                }
            }
            for delivery in deliveries {
                for mark in &delivery.marks {
                    if !is_backed(core, campaign, delivery, *mark, told.get(&delivery.node).copied()) {
                        wrong = Some(format!("{mark:?} of a node that never signed it"));
                    }
                }
                let lies = self.nodes.iter().find(|n| n.id == delivery.node).map(|n| &n.lies);
                let key = (campaign.plan.key_set, campaign.plan.generation);
                if delivery.marks.contains(&Mark::Proven) && lies.is_some_and(|lies| lies.contains(&key)) {
                    wrong = Some("a proof that does not hold was counted".to_owned());
                }
            }
            if campaign.phase == Phase::Completed && campaign.counts.excepted > 0 {
                wrong = Some("a campaign completed with nodes that owe".to_owned());
            }
        }
        if let Some(wrong) = wrong {
            self.violated(wrong);
        }
    }

    /// At the end: the log holds, and what did not end says so.
    pub fn check_end(&mut self) {
        if let Err(error) = self.disk.verify() {
            self.violated(error);
        }
        let Some(core) = &self.core else { return self.violated("the manager does not run".into()) };
        let mut silent = Vec::new();
        let mut ended = Vec::new();
        for campaign in core.state().campaigns() {
            ended.push(format!("{:?}", campaign.phase));
            if campaign.phase.is_live()
                && !core.alarms().any(|alarm| alarm.subject == campaign.id.to_string())
            {
                silent.push(format!(
                    "campaign {} stands at {:?} and nobody is told",
                    campaign.id, campaign.phase
                ));
            }
        }
        silent.extend(self.who_refuses());
        silent.extend(self.who_is_misjudged());
        silent.extend(self.who_is_waited_for());
        for node in core.state().nodes().filter(|node| node.is_served() && !node.kek_change.is_idle()) {
            let told =
                |alarm: &Alarm| alarm.kind == AlarmKind::RootKek && alarm.subject == node.id.to_string();
            if !core.alarms().any(told) {
                silent.push(format!("the root KEK of {} is being changed and nobody is told", node.name));
            }
        }
        for phase in ended {
            self.cover.hit("end", phase);
        }
        for what in silent {
            self.violated(what);
        }
    }

    /// What goes out under a root KEK goes to a node that holds this one.
    pub fn check_root_keks(&mut self) {
        let Some(core) = &self.core else { return };
        let differs = self.nodes.iter().find(|node| {
            let used = core.state().node(&node.id).and_then(|record| record.kek_in_use());
            let held = node.machine.as_ref().map(|machine| machine.state().kek.as_ref());
            let (Some(used), Some(held)) = (used, held) else { return false };
            held.is_none_or(|held| (held.number, &held.token) != (used.number, &used.block))
        });
        if let Some(name) = differs.map(|node| node.name.clone()) {
            self.violated(format!("the centre uses a root KEK that {name} does not hold"));
        }
    }

    /// A node that does not do what it is told although it is served. One that lies does not, in the end.
    pub fn who_refuses(&self) -> Option<String> {
        let core = self.core.as_ref()?;
        let mut nodes = self.nodes.iter().filter(|node| !node.liar);
        nodes.find_map(|node| {
            let served = core.state().node(&node.id).is_some_and(|node| node.is_served());
            let refuses =
                |alarm: &&Alarm| alarm.kind == AlarmKind::NodeRefuses && alarm.subject == node.id.to_string();
            let alarm = core.alarms().find(refuses).filter(|_| served)?;
            let record = core.state().node(&node.id)?;
            let (change, waits) = (&record.kek_change, core.owes(&node.id));
            Some(format!("{} cannot do what it is told: {}; {change:?}, {waits}", node.name, alarm.text))
        })
    }

    /// A node that uses a key, has said so and was heard, and of which the centre thinks that it has yet to take it:
    /// nothing that the node says of this key counts any more.
    fn who_is_misjudged(&self) -> Option<String> {
        let core = self.core.as_ref()?;
        let served =
            |node: &&super::node::Node| core.state().node(&node.id).is_some_and(|node| node.is_served());
        self.nodes.iter().filter(|node| !node.liar).filter(served).find_map(|node| {
            let machine = node.machine.as_ref().filter(|machine| machine.outbox().is_empty())?;
            let uses = [Step::Accept, Step::Protect];
            let sets = &machine.state().key_sets;
            let generations = sets.iter().flat_map(|set| {
                let key_set = set.definition.key_set;
                set.generations.iter().map(move |g| (KeyRef { key_set, generation: g.generation }, g.step))
            });
            let said =
                |key: &KeyRef| node.told.contains(&(key.key_set, key.generation, ReceiptKind::Accepting));
            let mut used =
                generations.filter(|(key, step)| uses.contains(step) && said(key)).map(|(key, _)| key);
            let thought = |key: &KeyRef| core.state().copy(&node.id, key).map(|copy| copy.progress);
            let key = used.find(|key| thought(key).is_some_and(|thought| thought < Progress::Accepting))?;
            Some(format!("{} uses {key}, and the centre thinks it is {:?}", node.name, thought(&key)))
        })
    }

    /// A campaign that waits for a node which does what it is told and has nothing more to say: it waits for ever.
    fn who_is_waited_for(&self) -> Option<String> {
        let core = self.core.as_ref()?;
        let at_rest = |node: &super::node::Node| {
            let said = node.machine.as_ref().is_some_and(|machine| machine.outbox().is_empty());
            let record =
                core.state().node(&node.id).filter(|record| record.is_served() && record.has_answered());
            // A key that waits for the node's root KEK is told as that.
            let wanted = target::of(&Change::new(core.state()), &node.id).ok();
            let wanted = wanted.filter(|wanted| wanted.missing.is_empty()).map(|wanted| wanted.digest);
            said && !node.liar && record.is_some_and(|record| wanted == Some(record.ordered))
        };
        let live = core.state().campaigns().filter(|campaign| campaign.phase.is_live() && !campaign.paused);
        live.filter_map(|campaign| Some((campaign, campaign.phase.awaits()?))).find_map(|(campaign, mark)| {
            let mut owed =
                core.state().deliveries(&campaign.id).filter(|d| d.gated && !d.marks.contains(&mark));
            let node =
                owed.find_map(|owed| self.nodes.iter().find(|node| node.id == owed.node && at_rest(node)))?;
            Some(format!(
                "campaign {} waits at {:?} for {}, which has done all",
                campaign.id, campaign.phase, node.name
            ))
        })
    }

    pub fn active_officers(&self) -> Vec<usize> {
        let Some(core) = &self.core else { return vec![] };
        let active = |h: &super::people::Human| {
            h.role == Role::SecurityOfficer
                && core.state().credential(&h.by.credential).is_some_and(|c| c.standing == Standing::Active)
        };
        (0..self.humans.len()).filter(|n| active(&self.humans[*n])).collect()
    }
}

fn is_backed(
    core: &Core,
    campaign: &crate::campaign::Campaign,
    delivery: &Delivery,
    mark: Mark,
    told: Option<&Told>,
) -> bool {
    let Some(told) = told else { return false };
    let set = campaign.plan.key_set;
    let has = |generation, kind| told.contains(&(set, generation, kind));
    let new = campaign.plan.generation;
    let never_had = |generation| {
        let key = KeyRef { key_set: set, generation };
        let copy = core.state().copy(&delivery.node, &key);
        copy.is_none_or(|copy| matches!(copy.progress, Progress::Wrapped | Progress::Destroyed))
    };
    match mark {
        Mark::Proven => has(new, ReceiptKind::Proven),
        Mark::Accepting => has(new, ReceiptKind::Accepting),
        Mark::Activated => has(new, ReceiptKind::Activated),
        Mark::Retired => campaign.retiring.is_some_and(|old| {
            has(old, ReceiptKind::Retired) || has(old, ReceiptKind::Destroyed) || never_had(old)
        }),
        Mark::Withdrawn => {
            has(new, ReceiptKind::Retired) || has(new, ReceiptKind::Destroyed) || never_had(new)
        }
        // A node that had not switched has nothing to give back, and says that it took the order.
        Mark::Returned => true,
    }
}
