//! The machine: one request in, the records to write and the line for the log out. All it knows is in its
//! records; what it keeps besides them can be derived from them at any time.

mod approve;
mod deliver;
mod read;

pub use approve::quorum;

use crate::action::Act;
use crate::alarm::AlarmKind;
use crate::approval::{Action, ActionState};
use crate::campaign::{Campaign, Phase};
use crate::centre::Centre;
use crate::due::Due;
use crate::ids::{ActionId, Digest, Fresh, NodeId};
use crate::input::{Caller, Input, Outcome, Told};
use crate::key::Origin;
use crate::node::Node;
use crate::people::Role;
use crate::refusal::Refusal;
use crate::table::{Change, Record, State};
use crate::tick::Watch;
use crate::traffic;
use crate::{
    acts, certificate, enrolment, names, planted, receipts, root, root_kek, rows, signing, steps, tick,
};
use approve::{may, own_pending, performable};
use deliver::{carry, issue, post, push_to, wrapped};
use keylink::Instant3;

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
    pub(crate) state: State,
    pub(crate) watch: Watch,
    pub(crate) due: Due,
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
        let mut effects = self.decide(now, told)?;
        self.follow(effects.records.iter().cloned());
        if planted::campaign_not_written() {
            let written =
                |record: &Record| !matches!(record, Record::Campaign(c) if c.phase == Phase::Protecting);
            effects.records.retain(written);
        }
        Ok(effects)
    }

    /// What follows from a request; taken in by [`Core::follow`], and before the next one.
    pub(crate) fn decide(&self, now: Instant3, told: Told) -> Result<Effects, Refusal> {
        let mut tx = Change::new(&self.state);
        let mut note = Note { actor: "centre".to_owned(), ..Note::default() };
        if !matches!(told.input, Input::Found(_)) && tx.find::<Centre>(&()).is_none() {
            return Err(Refusal::NotFounded);
        }
        let request = Request { now: now.utc_ms, fresh: told.fresh, watch: &self.watch };
        let outcome = request.handle(&mut tx, told.input, &mut note)?;
        Ok(Effects { records: tx.into_records(), note, outcome })
    }

    /// Takes in what was decided.
    pub(crate) fn follow(&mut self, records: impl IntoIterator<Item = Record>) {
        records.into_iter().for_each(|record| self.take_in(record));
    }

    /// What an approved action does, if it may be performed now: nothing that leaves by its right is made ready before.
    pub fn performable(&self, id: &ActionId, utc_ms: u64) -> Result<Act, Refusal> {
        performable(&Change::new(&self.state), id, utc_ms, &mut Note::default())
    }

    fn take_in(&mut self, record: Record) {
        match &record {
            Record::Action(new) => self.watch.action(self.state.actions.get(&new.id), new),
            Record::Campaign(new) => self.watch.campaign(new),
            Record::Node(new) => self.watch.node(self.state.nodes.get(&new.id), new),
            Record::Key(new) => self.watch.key(self.state.keys.get(&new.name()), new),
            Record::Token(new) => self.watch.token(new),
            Record::Forgotten(token) => _ = self.watch.tokens.remove(token),
            _ => {}
        }
        self.due.note(&self.state, &record);
        self.state.absorb(record);
    }
}

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
                // Sorted by id, actions stand in the order in which they were asked for.
                let last = tx.base().actions.keys().next_back().copied();
                return self.propose(tx, by, ActionId::after(last, now, random), 1, act, note);
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
            Input::MakeTokens { by, count } => {
                note.by(by);
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                return enrolment::make(tx, note, &self.fresh, (by, count), now);
            }
            Input::VoidToken { by, token } => {
                note.by(by);
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                enrolment::void(tx, note, by, token)?;
            }
            Input::TurnAway { by, node, token, reason } => {
                note.by(by);
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                enrolment::turn_away(tx, note, by, (token, node), reason)?;
            }
            Input::TokenUsed { token, node, csr } => enrolment::used(tx, note, (token, node, csr), now),
            Input::Certified { node, certificate: hash, authority, until_utc_ms } => {
                note.word = "node.certificate";
                note.objects.push(node.to_string());
                note.objects.push(hash.to_string());
                certificate::issued(tx, &node, (authority, until_utc_ms))?;
            }
            Input::CertificateShown { node, authority, until_utc_ms } => {
                note.word = "node.certificate_shown";
                note.objects.push(node.to_string());
                certificate::shown(tx, &node, (authority, until_utc_ms), now)?;
            }
            Input::Approve(approval) => return self.approve(tx, &approval, note),
            Input::SignDocuments { by, action, signatures } => {
                note.by(by);
                note.word = "action.documents";
                note.objects.push(action.to_string());
                may(tx, by, &[Role::SecurityOfficer])?;
                signing::sign(tx, by, &action, signatures)?;
            }
            Input::KeyStep { checkpoints } => {
                let stepped = signing::step(tx, checkpoints, now)?;
                note.word = stepped.word;
                note.objects.push(stepped.object);
            }
            Input::InstallRoot { by, root: document } => {
                note.by(by);
                may(tx, by, Role::ALL)?;
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
                names::text(&reason)?;
                if let Some(before) = &tx.get::<Node>(&node)?.quarantined {
                    return Err(Refusal::InQuarantine(before.clone()));
                }
                tx.edit::<Node>(&node)?.quarantined = Some(reason.clone());
                tx.alarm(AlarmKind::Quarantined, &node, reason, now);
            }
            Input::Traffic { by, node, to } => {
                note.by(by);
                note.word = "node.traffic";
                note.objects.push(node.to_string());
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                traffic::traffic(tx, &node, to, now)?;
            }
            Input::Carry { by, node } => {
                note.by(by);
                note.word = "node.package";
                note.objects.push(node.to_string());
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                carry(tx, &node, now)?;
            }
            Input::Brought { by, node, parcel, verdicts } => {
                note.by(by);
                note.word = "node.parcel";
                note.objects.extend([node.to_string(), parcel.to_string()]);
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                tx.get::<Node>(&node)?;
                return Ok(Outcome::Brought(verdicts));
            }
            Input::PushTo { by, node, address } => {
                note.by(by);
                note.word = "node.push";
                note.objects.push(node.to_string());
                note.objects.extend(address.clone());
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                push_to(tx, &node, address)?;
            }
            Input::KekAgreed { node, kek, confirm } => {
                note.word = "node.root_kek";
                note.objects.push(node.to_string());
                root_kek::agreed(tx, &node, kek, &confirm)?;
                post(tx, &node, &confirm, now)?;
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
            Input::Component(message) => {
                let said = message.body();
                note.by(Caller { person: said.person, credential: said.credential });
                note.word = "ceremony.component";
                let act = performable(tx, &said.ceremony, now, note)?;
                note.objects.push(format!("component {}", said.number));
                note.objects.push(message.hash().to_string());
                acts::component(tx, &act, &message)?;
                let (action, signed) = (said.ceremony, message.signed().clone());
                tx.keep(Record::Component(rows::Component { action, signed }));
            }
            Input::Formed { by, key } => {
                note.by(by);
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                note.word = if key.origin == Origin::Imported { "key.import" } else { "key.form" };
                let (action, act) = (key.action, performable(tx, &key.action, now, note)?);
                acts::formed(tx, &act, key, self.fresh.draw("challenge", 0), now)?;
                tx.edit::<Action>(&action)?.state = ActionState::Done;
            }
            Input::FormedFrom { by, key, transcript, evidence } => {
                note.objects.push(transcript.hash().to_string());
                note.objects.extend(evidence.iter().map(ToString::to_string));
                tx.keep(Record::Ceremony(rows::Ceremony { action: key.action, signed: transcript }));
                return self.handle(tx, Input::Formed { by, key }, note);
            }
            Input::RootKekFormed { by, action, kek, transcript, evidence } => {
                note.by(by);
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                note.word = "node.form_root_kek";
                let Act::FormRootKek { target, custodians } = performable(tx, &action, now, note)? else {
                    return Err(Refusal::Unfit("the action is for something else"));
                };
                note.objects.push(target.node.to_string());
                note.objects.push(transcript.hash().to_string());
                note.objects.extend(evidence.iter().map(ToString::to_string));
                root_kek::formed(tx, &target, &custodians, kek, now)?;
                tx.keep(Record::Ceremony(rows::Ceremony { action, signed: transcript }));
                tx.edit::<Action>(&action)?.state = ActionState::Done;
            }
            Input::KekJudged { node, number, judged } => {
                note.word = "node.root_kek";
                note.objects.push(node.to_string());
                root_kek::judged(tx, &node, number, judged, now)?;
            }
            Input::Exported { by, action, block, kcv } => {
                note.by(by);
                may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
                note.word = "key.export";
                let act = performable(tx, &action, now, note)?;
                note.objects.push(Digest::of(block.as_bytes()).to_string());
                acts::exported(tx, action, &act)?;
                tx.edit::<Action>(&action)?.state = ActionState::Done;
                return Ok(Outcome::Exported { block, kcv });
            }
            Input::Post { node, signed } => {
                note.word = "node.message";
                note.objects.push(node.to_string());
                post(tx, &node, &signed, now)?;
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
            Input::Beat { node, beat, skew_ms, by_file } => {
                note.node("node.beat", &node);
                return receipts::beat(tx, &node, &beat, (skew_ms, by_file), now);
            }
            Input::Said { node, signed, judged } => {
                note.node("node.said", &node);
                note.objects.push(signed.hash().to_string());
                return receipts::said(tx, &node, &signed, judged, now);
            }
            Input::Tick => {
                note.word = "centre.tick";
                tick::tick(tx, self.watch, now);
            }
            Input::LogDiffers { node, text } => {
                note.node("log.differs", &node);
                tx.alarm(AlarmKind::LogDiffers, &node, text, now);
            }
            Input::KeysAway { away } => {
                note.word = "centre.keys";
                let subject = crate::alarm::OWN_KEYS;
                if away {
                    let text =
                        "the token with the centre's own keys does not sign: manifests and checkpoints wait";
                    tx.alarm(AlarmKind::Backend, &subject, text.to_owned(), now);
                } else {
                    tx.calm(AlarmKind::Backend, &subject, now);
                }
            }
            Input::Clock { step_ms } => {
                note.word = "centre.clock";
                if step_ms == 0 {
                    tx.calm(AlarmKind::Clock, &"centre", now);
                } else {
                    // It has stepped, or was behind the log at the start.
                    let text = format!(
                        "the machine's clock is {step_ms} ms from the time that is told; it is followed after an hour"
                    );
                    tx.alarm(AlarmKind::Clock, &"centre", text, now);
                }
            }
        }
        Ok(Outcome::Done)
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
