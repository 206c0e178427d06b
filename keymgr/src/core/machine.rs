//! The machine: one request in, the records to write and the line for the log out. All it knows is in its
//! records; what it keeps besides them can be derived from them at any time.

use super::action::{Act, KeyRef};
use super::acts;
use super::alarm::{Alarm, AlarmKind};
use super::approval::{Action, ActionState, PENDING_MS, Proposal, Quorum};
use super::campaign::{Campaign, Phase, Source};
use super::centre::Centre;
use super::due::Due;
use super::enrolment;
use super::grants;
use super::ids::{ActionId, CampaignId, Digest, Fresh, KmcId, NodeId};
use super::input::{Caller, Input, Outcome, Told, WrappedFor};
use super::key::{Key, KeySet};
use super::kind;
use super::lifecycle::KeyState;
use super::node::{Copy, Node, Progress, Traffic};
use super::people::{Credential, Person, Role, Standing};
use super::planted;
use super::policy::Policy;
use super::receipts;
use super::refusal::Refusal;
use super::root;
use super::rows;
use super::steps;
use super::table::{Change, Record, State};
use super::target;
use super::tick::{self, Watch};
use super::verified::Verified;
use keylink::action::Approval;
use keylink::message::{Manifest, RootKekConfirm, RootKekOffer};
use keylink::root::RootDocument;
use keylink::root::SignedRoot;
use keylink::{Instant3, Signed};
use std::collections::BTreeSet;

/// What happened, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Person, node, or `centre`.
    pub actor: String,
    /// Credential, if a person acted.
    pub credential: String,
    /// What was done, in dotted words.
    pub word: &'static str,
    /// To what.
    pub objects: Vec<String>,
    /// Hash of the exact action, where one is concerned.
    pub action_hash: Option<Digest>,
    /// Hashes of the approvals that carried it.
    pub approvals: Vec<Digest>,
}

/// What follows from a request.
#[derive(Clone, Debug)]
pub struct Effects {
    /// Records to write, together with the note, or not at all.
    pub records: Vec<Record>,
    /// The line for the log.
    pub note: Note,
    /// The answer, once written.
    pub outcome: Outcome,
}

/// The core of the key management centre.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Core {
    pub(super) state: State,
    pub(super) watch: Watch,
    pub(super) due: Due,
}

impl Core {
    /// The core that a set of records makes.
    pub fn load(records: impl IntoIterator<Item = Record>) -> Self {
        let mut state = State::default();
        records.into_iter().for_each(|record| state.absorb(record));
        Self::of(state)
    }

    /// The core over these records.
    pub(super) fn of(state: State) -> Self {
        let (watch, due) = (Watch::of(&state), Due::of(&state));
        Self { state, watch, due }
    }

    /// Takes in a record that was not at hand.
    pub fn absorb(&mut self, record: Record) {
        self.take_in(record);
    }

    /// All records at hand.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// One request. After a refusal everything is as before.
    pub fn handle(&mut self, now: Instant3, told: Told) -> Result<Effects, Refusal> {
        let mut tx = Change::new(&self.state);
        let mut note = Note { actor: "centre".to_owned(), ..Note::default() };
        if !matches!(told.input, Input::Found(_)) && tx.find::<Centre>(&()).is_none() {
            return Err(Refusal::NotFounded);
        }
        let request = Request { now: now.utc_ms, fresh: told.fresh, watch: &self.watch };
        let outcome = request.handle(&mut tx, told.input, &mut note)?;
        let mut records = tx.into_records();
        records.iter().cloned().for_each(|record| self.take_in(record));
        if planted::campaign_not_written() {
            records.retain(|record| !matches!(record, Record::Campaign(c) if c.phase == Phase::Protecting));
        }
        Ok(Effects { records, note, outcome })
    }

    fn take_in(&mut self, record: Record) {
        match &record {
            Record::Action(new) => self.watch.action(self.state.actions.get(&new.id), new),
            Record::Campaign(new) => self.watch.campaign(new),
            Record::Node(new) => self.watch.node(self.state.nodes.get(&new.id), new),
            Record::Key(new) => self.watch.key(self.state.keys.get(&new.name()), new),
            _ => {}
        }
        self.due.note(&self.state, &record);
        self.state.absorb(record);
    }
}

/// Pending actions that a new one may build upon.
const SUPPOSED_MAX: usize = 64;

struct Request<'a> {
    now: u64,
    fresh: Fresh,
    watch: &'a Watch,
}

impl Request<'_> {
    fn handle(&self, tx: &mut Change<'_>, input: Input, note: &mut Note) -> Result<Outcome, Refusal> {
        let now = self.now;
        match input {
            Input::Found(founding) => {
                note.word = "centre.found";
                root::found(tx, &founding, now)?;
            }
            Input::TakeOver { epoch } => {
                note.word = "centre.take_over";
                let centre = tx.edit::<Centre>(&())?;
                if epoch <= centre.epoch {
                    return Err(Refusal::Outdated("the epoch only grows"));
                }
                centre.epoch = epoch;
            }
            Input::Propose { by, act } => {
                note.by(by);
                note.word = "action.propose";
                let mut random = [0; 10];
                random.copy_from_slice(&self.fresh.draw("action", 0).0[..10]);
                return self.propose(tx, by, ActionId::new(now, random), 1, act, note);
            }
            Input::Edit { by, action, act } => {
                note.by(by);
                note.word = "action.edit";
                let version = own_pending(tx, by, &action)?.details().map_or(1, |details| details.version);
                return self.propose(tx, by, action, version + 1, act, note);
            }
            Input::Withdraw { by, action } => {
                note.by(by);
                note.word = "action.withdraw";
                note.objects.push(action.to_string());
                own_pending(tx, by, &action)?;
                tx.edit::<Action>(&action)?.state = ActionState::Withdrawn;
            }
            Input::Abandon { by, action } => {
                note.by(by);
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                approved(tx, &action, note)?;
                note.word = "action.abandon";
                tx.edit::<Action>(&action)?.state = ActionState::Withdrawn;
            }
            Input::TokenUsed { token, node, csr } => enrolment::used(tx, note, (token, node, csr), now),
            Input::Approve(approval) => return self.approve(tx, &approval, note),
            Input::InstallRoot(document) => {
                note.word = "root.install";
                note.objects.push(document.hash().to_string());
                root::install(tx, &document, now)?;
            }
            Input::Pause { by, campaign } => {
                note.by(by);
                note.word = "campaign.pause";
                note.objects.push(campaign.to_string());
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                steps::pause(tx, &campaign)?;
            }
            Input::Quarantine { by, node, reason } => {
                note.by(by);
                note.word = "node.quarantine";
                note.objects.push(node.to_string());
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                tx.edit::<Node>(&node)?.quarantined = Some(reason.clone());
                tx.alarm(AlarmKind::Quarantined, &node, reason, now);
            }
            Input::Traffic { by, node, to } => {
                note.by(by);
                note.word = "node.traffic";
                note.objects.push(node.to_string());
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                traffic(tx, &node, to, now)?;
            }
            Input::RootKek { node, kek } => {
                note.word = "node.root_kek";
                note.objects.push(node.to_string());
                root_kek(tx, &node, kek)?;
            }
            Input::KekAgreed { node, kek, confirm } => {
                note.word = "node.root_kek";
                note.objects.push(node.to_string());
                root_kek(tx, &node, kek)?;
                post(tx, &node, &confirm)?;
            }
            Input::Generated { campaign, material } => {
                note.word = "key.generate";
                note.objects.push(campaign.to_string());
                steps::generated(tx, campaign, material, self.fresh.draw("challenge", 0), now)?;
            }
            Input::GenerateFailed { campaign, reason } => {
                note.word = "key.generate_failed";
                note.objects.push(campaign.to_string());
                if tx.get::<Campaign>(&campaign)?.phase != Phase::Generating {
                    return Err(Refusal::Phase);
                }
                tx.alarm(AlarmKind::Backend, &campaign, reason, now);
            }
            Input::Wrapped(copies) => {
                note.word = "key.wrap";
                for copy in copies {
                    note.objects.push(format!("{} {}", copy.node, copy.key));
                    wrapped(tx, copy)?;
                }
            }
            Input::Formed { action, origin, material } => {
                note.word = "key.form";
                let act = approved(tx, &action, note)?;
                let nonce = self.fresh.draw("challenge", 0);
                acts::formed(tx, action, &act, origin, material, nonce, now)?;
                tx.edit::<Action>(&action)?.state = ActionState::Done;
            }
            Input::FormedFrom { action, origin, material, transcript, evidence } => {
                note.objects.push(transcript.hash().to_string());
                note.objects.extend(evidence.iter().map(ToString::to_string));
                tx.keep(Record::Ceremony(rows::Ceremony { action, signed: transcript }));
                return self.handle(tx, Input::Formed { action, origin, material }, note);
            }
            Input::Exported { action, block } => {
                note.word = "key.export";
                let act = approved(tx, &action, note)?;
                note.objects.push(block.to_string());
                acts::exported(tx, action, &act)?;
                tx.edit::<Action>(&action)?.state = ActionState::Done;
            }
            Input::Post { node, signed } => {
                note.word = "node.message";
                note.objects.push(node.to_string());
                post(tx, &node, &signed)?;
            }
            Input::Issue(manifests) => {
                note.word = "manifest.issue";
                let offered = manifests.len();
                let mut issued = 0;
                for signed in manifests {
                    match issue(tx, signed) {
                        Ok(node) => {
                            note.objects.push(node.to_string());
                            issued += 1;
                        }
                        // Outdated meanwhile: the next draft is the right one.
                        Err(refusal) if offered == 1 => return Err(refusal),
                        Err(_) => {}
                    }
                }
                if issued == 0 {
                    return Err(Refusal::NotDue);
                }
                return Ok(Outcome::Issued(issued));
            }
            Input::Hello { node, hello } => {
                note.node("node.hello", &node);
                return receipts::hello(tx, &node, &hello, now);
            }
            Input::Pull { node, pull } => {
                note.node("node.pull", &node);
                return receipts::pull(tx, &node, &pull, now);
            }
            Input::Beat { node, beat, skew_ms } => {
                note.node("node.beat", &node);
                return receipts::beat(tx, &node, &beat, skew_ms, now);
            }
            Input::Said { node, signed, judged } => {
                note.node("node.said", &node);
                note.objects.push(signed.hash().to_string());
                return receipts::said(tx, &node, &signed, judged, now);
            }
            Input::Tick => {
                note.word = "centre.tick";
                tick::tick(tx, self.watch, now)?;
            }
        }
        Ok(Outcome::Done)
    }

    fn propose(
        &self,
        tx: &mut Change<'_>,
        by: Caller,
        id: ActionId,
        version: u32,
        act: Act,
        note: &mut Note,
    ) -> Result<Outcome, Refusal> {
        may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
        // What could not be done now is not asked for; what this person has asked for before may come first.
        let before = tx.mark();
        self.suppose_earlier(tx, by, &id);
        let (grants, quorum) = (grants::of(&act, tx)?, quorum(tx, &act)?);
        if !grants.iter().all(|grant| grant.belongs_to(act.class())) {
            return Err(Refusal::Unfit("nodes would not take that from an action of this class"));
        }
        acts::carry_out(tx, id, &act, self.now)?;
        tx.back_to(before);
        let action = Action::propose(Proposal {
            kmc: tx.get::<Centre>(&())?.kmc,
            id,
            requester: by.person,
            credential: by.credential,
            version,
            quorum,
            grants,
            act,
            nonce: self.fresh.draw("nonce", u64::from(version)),
            utc_ms: self.now,
        });
        note.objects.push(id.to_string());
        note.action_hash = Some(action.hash());
        let outcome = Outcome::Proposed {
            action: id,
            hash: action.hash(),
            nonce: action.nonce,
            quorum: action.quorum,
            expires: self.now + PENDING_MS,
        };
        tx.put(action);
        Ok(outcome)
    }

    // As if the pending actions of this person had been carried out, in the order in which they were asked for.
    fn suppose_earlier(&self, tx: &mut Change<'_>, by: Caller, id: &ActionId) {
        let own = |other: &&ActionId| **other < *id;
        let earlier: Vec<ActionId> = self.watch.pending.iter().filter(own).copied().collect();
        for other in earlier.iter().rev().take(SUPPOSED_MAX).rev() {
            let Some(action) = tx.find::<Action>(other).filter(|action| action.requester == by.person) else {
                continue;
            };
            let Some(act) = action.act() else { continue };
            let before = tx.mark();
            if acts::carry_out(tx, *other, &act, self.now).is_err() {
                tx.back_to(before);
            }
        }
    }

    fn approve(
        &self,
        tx: &mut Change<'_>,
        approval: &Verified<Approval>,
        note: &mut Note,
    ) -> Result<Outcome, Refusal> {
        let (body, kmc) = (approval.body(), tx.get::<Centre>(&())?.kmc);
        let id = tx
            .action_by_hash(&body.action, self.watch)
            .ok_or_else(|| Refusal::unknown::<Action>(&body.action))?;
        note.by(Caller { person: body.person, credential: body.credential });
        note.word = "action.approve";
        note.objects.push(id.to_string());
        note.action_hash = Some(body.action);
        note.approvals.push(approval.hash());
        let mut action = tx.get::<Action>(&id)?.clone();
        action.approve(approval, kmc, tx, self.now)?;
        tx.keep(Record::Approval(rows::Approval {
            action: id,
            person: body.person,
            credential: body.credential,
            signed: approval.signed().clone(),
        }));
        let standing = action.standing(tx, self.now).len();
        let carried = action.is_carried(tx, self.now);
        tx.put(action.clone());
        if carried {
            note.approvals = action.approvals.iter().map(|given| given.signed.hash()).collect();
            // It waits no more: what it does to people does not touch its own approvals.
            tx.edit::<Action>(&id)?.state = ActionState::Approved;
            let state = self.carry_out(tx, &action)?;
            tx.edit::<Action>(&id)?.state = state;
        }
        Ok(Outcome::Approved { standing, state: tx.get::<Action>(&id)?.state.clone() })
    }

    // Approved is approved; whether it can still be done is found now, and said.
    fn carry_out(&self, tx: &mut Change<'_>, action: &Action) -> Result<ActionState, Refusal> {
        let act = action.act().ok_or(Refusal::Unfit("the action's content is not the approved one"))?;
        let before = tx.mark();
        let fits = match quorum(tx, &act) {
            Ok(now) if now <= action.quorum => Ok(()),
            Ok(_) => Err(Refusal::Outdated("more approvals are needed now")),
            Err(refusal) => Err(refusal),
        };
        match fits.and_then(|()| acts::carry_out(tx, action.id, &act, self.now)) {
            Ok(()) if act.is_performed_outside() => Ok(ActionState::Approved),
            Ok(()) => Ok(ActionState::Done),
            Err(refusal) => {
                tx.back_to(before);
                tx.alarm(AlarmKind::ActionFailed, &action.id, refusal.to_string(), self.now);
                Ok(ActionState::Failed(refusal.to_string()))
            }
        }
    }
}

impl Note {
    fn by(&mut self, by: Caller) {
        self.actor = by.person.to_string();
        self.credential = by.credential.to_string();
    }

    fn node(&mut self, word: &'static str, node: &NodeId) {
        self.actor = node.to_string();
        self.word = word;
    }
}

impl Change<'_> {
    /// The pending action whose exact bytes have this hash.
    fn action_by_hash(&self, hash: &Digest, watch: &Watch) -> Option<ActionId> {
        watch.pending.iter().find(|id| self.find::<Action>(id).is_some_and(|a| a.hash() == *hash)).copied()
    }
}

/// Persons that must approve an act: of its class, and for rotations of the policies concerned.
pub fn quorum(tx: &Change<'_>, act: &Act) -> Result<Quorum, Refusal> {
    let of_class = tx.get::<Centre>(&())?.quorum(act.class());
    let of_policy = |key_set| -> Result<Quorum, Refusal> {
        Ok(tx.get::<Policy>(&tx.get::<KeySet>(key_set)?.policy)?.quorum)
    };
    match act {
        Act::Rotate(targets) | Act::RotateAtOnce { targets, .. } => {
            targets.iter().try_fold(of_class, |most, target| Ok(most.max(of_policy(&target.key_set)?)))
        }
        Act::ExceptNodes { campaign, .. }
        | Act::ResumeCampaign { campaign }
        | Act::AbortCampaign { campaign }
        | Act::RollBack { campaign } => {
            Ok(of_class.max(of_policy(&tx.get::<Campaign>(campaign)?.plan.key_set)?))
        }
        _ => Ok(of_class),
    }
}

fn may(tx: &Change<'_>, by: Caller, roles: &[Role]) -> Result<(), Refusal> {
    let own = |c: &&Credential| c.person == by.person && c.standing == Standing::Active;
    tx.find::<Credential>(&by.credential).filter(own).ok_or(Refusal::Forbidden)?;
    let person = tx.find::<Person>(&by.person).ok_or(Refusal::Forbidden)?;
    if roles.iter().any(|role| person.is(*role)) { Ok(()) } else { Err(Refusal::Forbidden) }
}

fn own_pending<'t>(tx: &'t Change<'_>, by: Caller, id: &ActionId) -> Result<&'t Action, Refusal> {
    may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
    let action = tx.get::<Action>(id)?;
    if action.requester != by.person {
        return Err(Refusal::NotRequester);
    }
    if action.state != ActionState::Pending {
        return Err(super::approval::ApprovalError::NotPending.into());
    }
    Ok(action)
}

fn approved(tx: &Change<'_>, id: &ActionId, note: &mut Note) -> Result<Act, Refusal> {
    let action = tx.get::<Action>(id)?;
    note.objects.push(id.to_string());
    note.action_hash = Some(action.hash());
    if action.state != ActionState::Approved {
        return Err(Refusal::Outdated("the action is not approved, or is done"));
    }
    action.act().ok_or(Refusal::Unfit("the action's content is not the approved one"))
}

fn traffic(tx: &mut Change<'_>, id: &NodeId, to: Traffic, now: u64) -> Result<(), Refusal> {
    if to == Traffic::InTraffic {
        acts::ready_for_traffic(tx, id)?;
        let zones = tx.get::<Node>(id)?.zones.clone();
        for zone in zones {
            back_into_gates(tx, id, &zone, now)?;
        }
    }
    tx.edit::<Node>(id)?.traffic = to;
    if to == Traffic::Offline {
        tx.calm(AlarmKind::NodeSilent, id, now);
    }
    Ok(())
}

// What serves hosts is waited for.
fn back_into_gates(
    tx: &mut Change<'_>,
    id: &NodeId,
    zone: &super::ids::ZoneId,
    now: u64,
) -> Result<(), Refusal> {
    for set in tx.get::<super::node::Zone>(zone)?.key_sets.clone() {
        let Some(campaign) = tx.get::<KeySet>(&set)?.live_campaign else { continue };
        let name = (campaign, *id);
        if tx.find::<super::campaign::Delivery>(&name).is_none() {
            continue;
        }
        let mut record = tx.get::<Campaign>(&campaign)?.clone();
        record.set_gated(tx.edit::<super::campaign::Delivery>(&name)?, true);
        tx.put(record);
        steps::advance(tx, campaign, now)?;
    }
    Ok(())
}

fn root_kek(tx: &mut Change<'_>, id: &NodeId, kek: super::node::RootKek) -> Result<(), Refusal> {
    let node = tx.edit::<Node>(id)?;
    let before = node.root_kek.as_ref().map_or(0, |kek| kek.number);
    if kek.number <= before {
        return Err(Refusal::Outdated("the number of a root KEK only grows"));
    }
    node.root_kek = Some(kek);
    Ok(())
}

fn wrapped(tx: &mut Change<'_>, new: WrappedFor) -> Result<(), Refusal> {
    let node = tx.get::<Node>(&new.node)?;
    let key = tx.get::<Key>(&new.key)?;
    if tx.find::<Copy>(&(new.node, new.key)).is_some() {
        return Err(Refusal::exists::<Copy>(&(new.node, new.key)));
    }
    if !key.is_live() {
        return Err(Refusal::Outdated("the key is out of use"));
    }
    let zone = match tx.get::<KeySet>(&new.key.key_set)?.definition.scope {
        keylink::message::Scope::Zone(zone) => zone,
        keylink::message::Scope::Node(_) => return Err(Refusal::NotMember),
    };
    if !node.zones.contains(&zone) {
        return Err(Refusal::NotMember);
    }
    let kek = node.root_kek.as_ref().filter(|kek| kek.number == new.root_kek);
    let kek = kek.ok_or(Refusal::Outdated("the node has another root KEK now"))?;
    if kek.strength_bits < kind::strength_bits(key.attributes().shape) {
        return Err(Refusal::Strength);
    }
    let kcv = key.material.as_ref().map(|m| m.kcv.clone()).unwrap_or_default();
    tx.add(Copy {
        node: new.node,
        key_set: new.key.key_set,
        generation: new.key.generation,
        block: new.block,
        throw_away: new.throw_away,
        root_kek: new.root_kek,
        kcv,
        progress: Progress::Wrapped,
        refused: None,
    })
}

// An offer or a confirmation of a root KEK takes the next number of its node.
fn post(tx: &mut Change<'_>, id: &NodeId, signed: &Signed) -> Result<(), Refusal> {
    let head = match signed.kind.as_str() {
        <RootKekOffer as keylink::Body>::KIND => signed.peek::<RootKekOffer>().map(|offer| offer.head),
        <RootKekConfirm as keylink::Body>::KIND => {
            signed.peek::<RootKekConfirm>().map(|confirm| confirm.head)
        }
        _ => return Err(Refusal::NotDue),
    };
    let head = head.map_err(|_| Refusal::NotDue)?;
    let epoch = tx.get::<Centre>(&())?.epoch;
    let node = tx.edit::<Node>(id)?;
    if node.standing == Standing::Revoked {
        return Err(Refusal::Suspended);
    }
    if node.link.next_head(epoch, head.not_after.0) != head {
        return Err(Refusal::NotDue);
    }
    node.link.sent(head.seq, signed);
    Ok(())
}

// A manifest that was drafted is taken only if it is still what is due.
fn issue(tx: &mut Change<'_>, signed: Signed) -> Result<NodeId, Refusal> {
    let body: Manifest = signed.peek().map_err(|_| Refusal::NotDue)?;
    let keylink::message::Audience::Node(id) = body.head.audience else { return Err(Refusal::NotDue) };
    let target = target::of(tx, &id)?;
    let centre = tx.get::<Centre>(&())?;
    let (epoch, kmc, root) = (centre.epoch, centre.kmc, centre.root.hash());
    let node = tx.get::<Node>(&id)?;
    let due = super::due::is_due(node, &target);
    let same = body.key_sets == target.key_sets && body.suspended == target.suspended && body.root == root;
    let head = node.link.clone().next_head(epoch, body.head.not_after.0);
    let connects = body.previous == node.link.previous() && body.resync == node.resync;
    if !due || !same || !connects || head != body.head || head.kmc != kmc || !target.missing.is_empty() {
        return Err(Refusal::NotDue);
    }
    let node = tx.edit::<Node>(&id)?;
    let head = node.link.next_head(epoch, body.head.not_after.0);
    node.link.sent(head.seq, &signed);
    node.ordered = target.digest;
    node.resync = None;
    tx.keep(Record::Manifest(rows::Manifest { node: id, epoch: head.epoch, seq: head.seq, signed }));
    Ok(id)
}

// ---- what can be read ----

impl Core {
    /// Alarms that last.
    pub fn alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.state.alarms.values().filter(|alarm| alarm.ended_utc_ms.is_none())
    }

    /// The centre's id; none before it is founded.
    pub fn kmc(&self) -> Option<KmcId> {
        self.state.centre.get(&()).map(|centre| centre.kmc)
    }

    /// The fencing epoch.
    pub fn epoch(&self) -> u64 {
        self.state.centre.get(&()).map_or(0, |centre| centre.epoch)
    }

    /// The root documents, oldest first.
    pub fn roots(&self) -> Vec<SignedRoot> {
        let all = |centre: &Centre| centre.former.iter().chain([&centre.root]).cloned().collect();
        self.state.centre.get(&()).map_or_else(Vec::new, all)
    }

    /// A node.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.state.nodes.get(id)
    }

    /// A key.
    pub fn key(&self, key: &KeyRef) -> Option<&Key> {
        self.state.keys.get(key)
    }

    /// A key as a node has it.
    pub fn copy(&self, node: &NodeId, key: &KeyRef) -> Option<&Copy> {
        self.state.copies.get(&(*node, *key))
    }

    /// A key set.
    pub fn key_set(&self, id: &super::ids::KeySetId) -> Option<&KeySet> {
        self.state.key_sets.get(id)
    }

    /// The challenge of a key at a node.
    pub fn challenge(&self, key: &KeyRef, node: &NodeId) -> Option<keylink::wire::Hex<32>> {
        self.state.keys.get(key).map(|key| target::challenge(key, *node))
    }

    /// The part of the first of these actions that concerns somebody, as they judge it.
    pub fn evidence(
        &self,
        actions: &[ActionId],
        utc_ms: u64,
        concerns: impl Fn(&keylink::action::Grant) -> bool,
    ) -> Option<keylink::action::Evidence> {
        let document = self.state.centre.get(&())?.root.document().ok()?;
        let mut shelf = super::evidence::Shelf::default();
        let show = |id| shelf.show(self.state.actions.get(id)?, &document, utc_ms, &concerns);
        actions.iter().find_map(show)
    }

    /// A campaign.
    pub fn campaign(&self, id: &CampaignId) -> Option<&Campaign> {
        self.state.campaigns.get(id)
    }

    /// The holders of a key, and how far it has come at each.
    pub fn holders(&self, key: &KeyRef) -> impl Iterator<Item = &Copy> {
        let key = *key;
        self.state.copies.values().filter(move |copy| copy.key() == key)
    }

    /// The next root document, by the register: to be signed by officers of the old and the new one.
    pub fn next_root(&self, now_utc_ms: u64) -> Result<RootDocument, Refusal> {
        root::draft(&Change::new(&self.state), now_utc_ms)
    }

    /// Campaigns whose key is to be made in the backend.
    pub fn to_generate(&self) -> Vec<CampaignId> {
        let wants = |id: &&CampaignId| {
            let campaign = self.state.campaigns.get(id);
            campaign.is_some_and(|c| c.phase == Phase::Generating && c.plan.source == Source::Generate)
        };
        self.watch.campaigns.iter().filter(wants).copied().collect()
    }

    /// Approved actions that the shell has to perform.
    pub fn to_perform(&self) -> BTreeSet<ActionId> {
        let approved = |action: &&Action| action.state == ActionState::Approved;
        self.state.actions.values().filter(approved).map(|action| action.id).collect()
    }

    /// States of the keys of a set, for lists.
    pub fn keys_in_state(&self, state: KeyState) -> impl Iterator<Item = &Key> {
        self.state.keys.values().filter(move |key| key.state() == state)
    }
}
