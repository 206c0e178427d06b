//! Whether everything that needed approvals had them: each action by its exact bytes, counted at the entry that
//! carried it, by those who were officers then.

use super::centre::CentreKeys;
use super::entries::{Carried, Entries, Moment};
use super::finding::Report;
use super::register::Register;
use crate::core::action::Act;
use crate::core::approval::{Action, ActionState, persons_needed};
use crate::log::{LineError, Parts};
use crate::store::{Hash, Row, Table, key_text};
use keylink::action::{ActionClass, Approval, grant_bytes};
use keylink::envelope::{Signed, strict};
use keylink::ids::{ActionId, KeyId, PersonId};
use keylink::merkle;
use keylink::root::{RECOVERY_DELAY_MS, Succession};
use std::collections::{BTreeSet, HashMap};

/// An approval whose signature holds, and the row it is in.
struct Genuine {
    body: Approval,
    key: KeyId,
    row: Vec<u8>,
}

/// Entries, rows of people and actions, and approvals, until all is there.
#[derive(Default)]
pub(super) struct Approvals {
    entries: Entries,
    register: Register,
    actions: Vec<Action>,
    genuine: HashMap<Hash, Genuine>,
}

const KIND: &str = "unapproved";

impl Approvals {
    /// Notes an entry.
    pub fn line(&mut self, parts: &Parts<'_>) -> Result<(), LineError> {
        self.entries.take(parts)
    }

    /// Takes in a row of a person, a credential or an action.
    pub fn row(&mut self, row: &Row, report: &mut Report) {
        match row.table {
            Table::Persons => row.object().into_iter().for_each(|person| self.register.person(person)),
            Table::Credentials => row.object().into_iter().for_each(|own| self.register.credential(own)),
            Table::Actions => match row.object::<Action>() {
                Ok(action) if row.key == action.id.0 => self.actions.push(action),
                _ => report.find(
                    KIND,
                    row.table.name(),
                    key_text(&row.key),
                    "the row holds no action of its name",
                ),
            },
            _ => {}
        }
    }

    /// Takes in an approval whose signature holds.
    pub fn genuine(&mut self, signed: &Signed, row: &Row, report: &mut Report) {
        let mut wrong = |what: &str| report.find("signature", row.table.name(), key_text(&row.key), what);
        let Ok(body) = signed.peek::<Approval>() else { return wrong("the message is no approval") };
        let columns = [("person", &body.person.0), ("credential", &body.credential.0)];
        if columns.iter().any(|(name, id)| row.column(name).bytes() != Some(&id[..])) {
            return wrong("the message names another person or credential than the row");
        }
        let genuine = Genuine { body, key: signed.key_id, row: row.key.clone() };
        self.genuine.insert(signed.hash().0, genuine);
    }

    /// Judges all of it.
    pub fn judge(mut self, centre: &CentreKeys, report: &mut Report) -> u64 {
        self.bind(report);
        let mut events = self.documents(centre, report);
        let mut carried = HashMap::new();
        for action in std::mem::take(&mut self.actions) {
            if !matches!(action.state, ActionState::Pending | ActionState::Expired) {
                let hash = action.hash().0;
                let at = self.entries.carried.get(&hash).map_or(u64::MAX, |carried| carried.at.seq);
                events.push((at, Event::Action(action)));
            }
        }
        events.sort_by_key(|(seq, _)| *seq);
        for (_, event) in events {
            match event {
                Event::Document(document) => self.register.follow(&document),
                Event::Action(action) => match self.count(&action, centre) {
                    Ok(act) => {
                        if let Act::ChangeSigningKey(change) = &act
                            && change.said().is_none()
                        {
                            let what = "not both keys have signed that the one follows the other";
                            report.find("signature", Table::Actions.name(), key_text(&action.id.0), what);
                        }
                        carried.insert(action.hash().0, action.id);
                        if action.state == ActionState::Done {
                            self.register.apply(&act);
                        }
                    }
                    // Taken back before it was approved. One given up later had its approvals, and may have acted.
                    Err(_) if action.state == ActionState::Withdrawn => {}
                    Err(what) => {
                        report.find(KIND, Table::Actions.name(), key_text(&action.id.0), what);
                    }
                },
            }
        }
        for (seq, hash) in &self.entries.performed {
            if !carried.contains_key(hash) {
                let what = "the entry acts by right of an action that was not approved";
                report.find(KIND, "log", seq.to_string(), what);
            }
        }
        for credential in self.register.unexplained() {
            let what = "an officer whom neither a root document nor an approved action made one";
            report.find(KIND, Table::Credentials.name(), key_text(&credential.0), what);
        }
        carried.len() as u64
    }

    // Row, message and entry are of the same action.
    fn bind(&self, report: &mut Report) {
        let mut taken = HashMap::new();
        for named in &self.entries.named {
            let Some(genuine) = self.genuine.get(&named.approval) else { continue };
            if genuine.body.action.0 == named.action {
                taken.insert(named.approval, named.object.as_str());
            } else {
                let what = "the entry names an approval of another action";
                report.find(KIND, "log", named.seq.to_string(), what);
            }
        }
        let is_stray = |(hash, genuine): &(&Hash, &Genuine)| {
            let place = [genuine.row.get(..16).unwrap_or_default(), &hash[..]].concat();
            let id = genuine.row.first_chunk::<16>().map(|id| ActionId(*id).to_string());
            place != genuine.row || taken.get(*hash).copied() != id.as_deref()
        };
        let mut strays: Vec<_> =
            self.genuine.iter().filter(is_stray).map(|(_, genuine)| &genuine.row).collect();
        strays.sort_unstable();
        for row in strays {
            let what = "no entry takes this approval for the action of its row";
            report.find(KIND, Table::Approvals.name(), key_text(row), what);
        }
    }

    // When each root document took effect.
    fn documents(&mut self, centre: &CentreKeys, report: &mut Report) -> Vec<(u64, Event)> {
        let mut events = Vec::new();
        for (hash, document, succession) in centre.documents() {
            let Some(succession) = succession else {
                self.register.found(document);
                continue;
            };
            match self.effect(&hash.to_string(), *succession) {
                Some(at) => events.push((at.seq, Event::Document(Box::new(document.clone())))),
                None => {
                    let what = format!("no entry brought the root document {hash} into effect");
                    report.find(KIND, Table::Meta.name(), "centre", what);
                }
            }
        }
        events
    }

    fn effect(&self, document: &str, succession: Succession) -> Option<Moment> {
        let installed = *self.entries.installed.get(document)?;
        match succession {
            Succession::Officers => Some(installed),
            Succession::Recovery => {
                let due = installed.utc_ms + RECOVERY_DELAY_MS;
                self.entries.passing.iter().find(|at| at.seq > installed.seq && at.utc_ms >= due).copied()
            }
        }
    }

    // What was approved, if it was.
    fn count(&self, action: &Action, centre: &CentreKeys) -> Result<Act, String> {
        let act = sound(action, centre)?;
        let carried = self.entries.carried.get(&action.hash().0);
        let carried = carried.ok_or("no entry of the log approves the action that these bytes are")?;
        let seq = carried.at.seq;
        let given: Vec<Hash> = action.approvals.iter().map(|given| given.signed.hash().0).collect();
        if given != carried.approvals {
            return Err(format!("entry {seq} names other approvals than the action has"));
        }
        let (class, quorum) = (action.class, self.register.quorum(action.class));
        if quorum > action.quorum && !matches!(action.state, ActionState::Failed(_)) {
            return Err(format!(
                "asks for {} persons where {} decide",
                action.quorum.persons(),
                quorum.persons()
            ));
        }
        let persons = self.persons(action, carried);
        let needed = persons_needed(class, action.quorum);
        if persons.len() < needed {
            return Err(format!("{} of {needed} persons had approved at entry {seq}", persons.len()));
        }
        if class == ActionClass::Person && !self.register.lines_differ(&persons) {
            return Err(format!("all who had approved at entry {seq} are of one reporting line"));
        }
        Ok(act)
    }

    fn persons(&self, action: &Action, carried: &Carried) -> BTreeSet<PersonId> {
        let counts = |hash: &Hash| {
            let Genuine { body, key, .. } = self.genuine.get(hash)?;
            let this = body.action == action.hash() && body.kmc.0 == centre_of(action)?;
            let other = body.person != action.requester || action.class == ActionClass::SuspendNode;
            let timely = carried.at.utc_ms < body.not_after.0 && body.nonce == action.nonce;
            (this && other && timely && self.register.counts(body, key)).then_some(body.person)
        };
        carried.approvals.iter().filter_map(counts).collect()
    }
}

enum Event {
    Document(Box<keylink::root::RootDocument>),
    Action(Action),
}

fn centre_of(action: &Action) -> Option<Hash> {
    strict::<keylink::action::Action>(&action.bytes.0).ok().map(|bytes| bytes.kmc.0)
}

// The record says what its exact bytes say.
fn sound(action: &Action, centre: &CentreKeys) -> Result<Act, String> {
    let bytes: keylink::action::Action = strict(&action.bytes.0).map_err(|_| "its bytes are no action")?;
    if bytes.action != action.id || bytes.kmc != centre.kmc() {
        return Err("its bytes are of another action or centre".to_owned());
    }
    let details = action.details().ok_or("its bytes do not say what is to be done")?;
    let act = action.act().ok_or("its content is not the one in its bytes")?;
    let leaves = grant_bytes(&action.grants);
    let same = bytes.class == action.class
        && act.class() == action.class
        && bytes.requester == action.requester
        && details.quorum == action.quorum
        && merkle::root(&leaves) == bytes.grants_root
        && usize::try_from(bytes.grants) == Ok(leaves.len());
    if same { Ok(act) } else { Err("its record says other than its bytes".to_owned()) }
}
