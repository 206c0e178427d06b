//! Records as rows of the store, and the core as the writer's machine.

use super::action::KeyRef;
use super::alarm::Alarm;
use super::approval::Action;
use super::campaign::{Campaign, Delivery};
use super::centre::Centre;
use super::ids::{Digest, Generation, KeySetId};
use super::input::{Input, Outcome, Told};
use super::key::{Key, KeySet};
use super::machine::{Core, Note};
use super::node::{Copy, Member, Node, Zone};
use super::people::{Credential, Person, Standing};
use super::policy::Policy;
use super::refusal::Refusal;
use super::rows::{Approval, Ceremony, Component, Manifest, Receipt, Token};
use super::table::{Record, State};
use crate::drive::{Decided, Machine};
use crate::log::Entry;
use crate::store::{Change, Packed, Stored, Table, Value};
use keylink::message::{Audience, Scope};
use keylink::{Instant3, Signed};
use serde::Serialize;
use serde::de::Error as _;

type Columns = Vec<(&'static str, Value)>;

fn bytes(id: &[u8]) -> Value {
    Value::Bytes(id.to_vec())
}

// The word that serde writes for a plain variant; of one with content, its name.
fn word(value: &impl Serialize) -> Value {
    let text = match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    Value::Text(text)
}

// Names come from people; one store cannot hold the character NUL.
fn name(text: &str) -> Value {
    Value::Text(text.replace('\0', " "))
}

macro_rules! stored {
    ($($record:ident in $table:ident, key $key:expr, columns $columns:expr;)*) => {$(
        impl Stored for $record {
            const TABLE: Table = Table::$table;
            fn key(&self) -> Vec<u8> {
                let key: fn(&Self) -> Vec<u8> = $key;
                key(self)
            }
            fn columns(&self) -> Columns {
                let columns: fn(&Self) -> Columns = $columns;
                columns(self)
            }
            // Not left to the trait: what is said here is compiled here, and not by whoever reads a row.
            fn body(&self) -> Vec<u8> {
                keylink::envelope::bytes_of(self)
            }
            fn from_body(body: &[u8]) -> Result<Self, serde_json::Error> {
                keylink::wire::read(body)
            }
        }
    )*};
}

stored! {
    Centre in Meta, key |_| b"centre".to_vec(), columns |_| vec![];
    Person in Persons, key |p| p.id.0.to_vec(), columns |p| {
        let roles: Vec<_> = p.roles.iter().filter_map(|role| word(role).text().map(str::to_owned)).collect();
        vec![("name", name(&p.name)), ("role", Value::Text(roles.join(" "))), ("state", word(&p.standing))]
    };
    Credential in Credentials, key |c| c.id.0.to_vec(), columns |c| vec![
        ("person", bytes(&c.person.0)), ("state", word(&c.standing)), ("public_key", bytes(&c.key.0)),
    ];
    Policy in Policies, key |p| [&p.id.0[..], &p.version.to_be_bytes()].concat(),
        columns |p| vec![("alias", name(&p.name))];
    Zone in Zones, key |z| z.id.0.to_vec(),
        columns |z| vec![("alias", name(&z.alias)), ("state", "active".into())];
    Member in ZoneMembers, key |m| [&m.zone.0[..], &m.node.0].concat(),
        columns |m| vec![("zone", bytes(&m.zone.0)), ("node", bytes(&m.node.0))];
    Node in Nodes, key |n| n.id.0.to_vec(), columns |n| vec![
        ("alias", name(&n.name)), ("state", node_state(n)), ("public_key", bytes(&n.link.key.0)),
    ];
    KeySet in KeySets, key |s| s.id().0.to_vec(), columns |s| vec![
        ("alias", name(&s.definition.name)),
        ("kind", word(&s.definition.kind)),
        ("scope", match s.definition.scope {
            Scope::Zone(zone) => bytes(&zone.0),
            Scope::Node(node) => bytes(&node.0),
        }),
        ("policy", bytes(&s.policy.0)),
        ("state", if s.live_campaign.is_some() { "changing" } else { "stable" }.into()),
    ];
    Key in Generations, key |k| row_key(&k.name()), columns |k| vec![
        ("key_set", bytes(&k.set().0)),
        ("number", k.generation().0.into()),
        ("state", word(&k.state())),
        ("kcv", k.material.as_ref().map(|m| m.kcv.as_str()).into()),
        // Of keys out of use nobody asks when they expire, and they become ever more.
        ("expires_ms", k.windows.originator_until.filter(|_| k.is_live()).into()),
    ];
    Copy in WrappedCopies, key |c| [&c.node.0[..], &row_key(&c.key())].concat(), columns |c| vec![
        ("key_set", bytes(&c.key_set.0)), ("number", c.generation.0.into()), ("node", bytes(&c.node.0)),
    ];
    Action in Actions, key |a| a.id.0.to_vec(), columns |a| vec![
        ("class", word(&a.class)), ("state", word(&a.state)), ("expires_ms", a.expires.0.into()),
    ];
    Campaign in Campaigns, key |c| c.id.0.to_vec(), columns |c| vec![
        ("zone", bytes(&c.zone.0)), ("state", word(&c.phase)), ("created_ms", c.began.into()),
    ];
    Delivery in Deliveries, key |d| [&d.campaign.0[..], &d.node.0].concat(), columns |d| vec![
        ("campaign", bytes(&d.campaign.0)),
        ("node", bytes(&d.node.0)),
        ("state", d.marks.last().map_or_else(|| "queued".into(), word)),
    ];
    Token in Enrolments, key |t| t.token.0.to_vec(), columns |t| vec![
        ("node", t.used.as_ref().map_or(Value::Null, |used| bytes(&used.node.0))),
        ("state", match (&t.void, &t.used) {
            (Some(_), _) => "void",
            (None, Some(_)) => "used",
            (None, None) => "open",
        }.into()),
        ("expires_ms", super::enrolment::until_ms(t.token).into()),
    ];
    Alarm in Alarms, key |a| [kind_of(a).as_bytes(), b" ", a.subject.as_bytes()].concat(), columns |a| vec![
        ("kind", word(&a.kind)),
        ("subject", bytes(a.subject.as_bytes())),
        ("state", if a.ended_utc_ms.is_some() { "ended" } else { "lasts" }.into()),
        ("raised_ms", a.raised_utc_ms.into()),
    ];
}

/// The key that the row of a generation names.
pub fn named(key: &[u8]) -> Option<KeyRef> {
    let (set, number) = key.split_first_chunk::<16>()?;
    let generation = Generation(u32::from_be_bytes(number.try_into().ok()?));
    Some(KeyRef { key_set: KeySetId(*set), generation })
}

/// The key of the row of a generation.
pub fn row_key(key: &KeyRef) -> Vec<u8> {
    [&key.key_set.0[..], &key.generation.0.to_be_bytes()].concat()
}

fn kind_of(alarm: &Alarm) -> String {
    word(&alarm.kind).text().unwrap_or_default().to_owned()
}

fn node_state(node: &Node) -> Value {
    match (node.standing, node.is_served()) {
        (Standing::Revoked, _) => "revoked".into(),
        (_, false) => "quarantined".into(),
        _ => word(&node.traffic),
    }
}

// Signed messages are kept as they came; what else the record says can be read in them.
fn message(body: &[u8]) -> Result<Signed, serde_json::Error> {
    Signed::parse(body).map_err(serde_json::Error::custom)
}

impl Stored for Manifest {
    const TABLE: Table = Table::Manifests;
    fn key(&self) -> Vec<u8> {
        [&self.node.0[..], &self.seq.0.to_be_bytes()].concat()
    }
    fn columns(&self) -> Columns {
        vec![("node", bytes(&self.node.0)), ("epoch", self.epoch.0.into()), ("seq", self.seq.0.into())]
    }
    fn body(&self) -> Vec<u8> {
        self.signed.to_bytes()
    }
    fn from_body(body: &[u8]) -> Result<Self, serde_json::Error> {
        let signed = message(body)?;
        let manifest: keylink::message::Manifest = signed.peek().map_err(serde_json::Error::custom)?;
        let Audience::Node(node) = manifest.head.audience else {
            return Err(serde_json::Error::custom("a manifest is for a node"));
        };
        Ok(Self { node, epoch: manifest.head.epoch, seq: manifest.head.seq, signed })
    }
}

impl Stored for Receipt {
    const TABLE: Table = Table::Receipts;
    fn key(&self) -> Vec<u8> {
        [&self.node.0[..], &self.seq.0.to_be_bytes()].concat()
    }
    fn columns(&self) -> Columns {
        vec![
            ("node", bytes(&self.node.0)),
            ("seq", self.seq.0.into()),
            ("campaign", self.campaign.map(|id| id.0.to_vec()).map_or(Value::Null, Value::Bytes)),
            ("kind", word(&self.kind)),
        ]
    }
    fn body(&self) -> Vec<u8> {
        self.signed.to_bytes()
    }
    fn from_body(body: &[u8]) -> Result<Self, serde_json::Error> {
        let signed = message(body)?;
        let receipt: keylink::message::Receipt = signed.peek().map_err(serde_json::Error::custom)?;
        let (seq, kind) = (receipt.head.seq, receipt.kind);
        Ok(Self { node: receipt.node, seq, campaign: receipt.campaign, kind, signed })
    }
}

// The action is named by its hash in the message, by its id in the key: so the row is read with its columns.
impl Stored for Approval {
    const TABLE: Table = Table::Approvals;
    fn key(&self) -> Vec<u8> {
        [&self.action.0[..], &self.signed.hash().0].concat()
    }
    fn columns(&self) -> Columns {
        vec![
            ("action", bytes(&self.action.0)),
            ("person", bytes(&self.person.0)),
            ("credential", bytes(&self.credential.0)),
        ]
    }
    fn body(&self) -> Vec<u8> {
        self.signed.to_bytes()
    }
    fn from_body(body: &[u8]) -> Result<Self, serde_json::Error> {
        let signed = message(body)?;
        let approval: keylink::action::Approval = signed.peek().map_err(serde_json::Error::custom)?;
        let (person, credential) = (approval.person, approval.credential);
        Ok(Self { action: super::ids::ActionId::default(), person, credential, signed })
    }
}

impl Stored for Ceremony {
    const TABLE: Table = Table::Ceremonies;
    fn key(&self) -> Vec<u8> {
        self.action.0.to_vec()
    }
    fn columns(&self) -> Columns {
        let made =
            self.signed.peek::<crate::ceremony::Transcript>().map_or(0, |transcript| transcript.utc_ms.0);
        vec![("state", "done".into()), ("created_ms", made.into())]
    }
    fn body(&self) -> Vec<u8> {
        self.signed.to_bytes()
    }
    fn from_body(body: &[u8]) -> Result<Self, serde_json::Error> {
        let signed = message(body)?;
        let transcript: crate::ceremony::Transcript = signed.peek().map_err(serde_json::Error::custom)?;
        Ok(Self { action: transcript.ceremony, signed })
    }
}

// Beside the transcript, under its ceremony's name and its own: one that its custodian replaced stays too.
impl Stored for Component {
    const TABLE: Table = Table::Ceremonies;
    fn key(&self) -> Vec<u8> {
        [&self.action.0[..], &self.signed.hash().0].concat()
    }
    fn columns(&self) -> Columns {
        vec![("state", "component".into()), ("created_ms", Value::Null)]
    }
    fn body(&self) -> Vec<u8> {
        self.signed.to_bytes()
    }
    fn from_body(body: &[u8]) -> Result<Self, serde_json::Error> {
        let signed = message(body)?;
        let said: crate::ceremony::ComponentMessage = signed.peek().map_err(serde_json::Error::custom)?;
        Ok(Self { action: said.ceremony, signed })
    }
}

impl Record {
    /// The change of the store that writes this record.
    pub fn to_change(&self) -> Change {
        match self {
            Self::Centre(r) => Change::put(&**r),
            Self::Person(r) => Change::put(&**r),
            Self::Credential(r) => Change::put(&**r),
            Self::Policy(r) => Change::put(&**r),
            Self::Zone(r) => Change::put(&**r),
            Self::Member(r) => Change::put(&**r),
            Self::Node(r) => Change::put(&**r),
            Self::KeySet(r) => Change::put(&**r),
            Self::Key(r) => Change::put(&**r),
            Self::Copy(r) => Change::put(&**r),
            Self::Action(r) => Change::put(&**r),
            Self::Campaign(r) => Change::put(&**r),
            Self::Delivery(r) => Change::put(&**r),
            Self::Alarm(r) => Change::put(&**r),
            Self::Manifest(r) => Change::put(r),
            Self::Receipt(r) => Change::put(r),
            Self::Approval(r) => Change::put(r),
            Self::Ceremony(r) => Change::put(r),
            Self::Component(r) => Change::put(r),
            Self::Token(r) => Change::put(&**r),
            Self::Forgotten(token) => Change::Delete { table: Table::Enrolments, key: token.0.to_vec() },
        }
    }

    /// The record of a row, from its key and its body; none for rows that are not the core's, or that it does not need
    /// at hand.
    pub fn of_row(table: Table, key: &[u8], body: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match table {
            Table::Meta if key == b"centre" => Self::Centre(boxed(body)?),
            Table::Persons => Self::Person(boxed(body)?),
            Table::Credentials => Self::Credential(boxed(body)?),
            Table::Policies => Self::Policy(boxed(body)?),
            Table::Zones => Self::Zone(boxed(body)?),
            Table::ZoneMembers => Self::Member(boxed(body)?),
            Table::Nodes => Self::Node(boxed(body)?),
            Table::KeySets => Self::KeySet(boxed(body)?),
            Table::Generations => Self::Key(boxed(body)?),
            Table::WrappedCopies => Self::Copy(boxed(body)?),
            Table::Actions => Self::Action(boxed(body)?),
            Table::Campaigns => Self::Campaign(boxed(body)?),
            Table::Deliveries => Self::Delivery(boxed(body)?),
            Table::Alarms => Self::Alarm(boxed(body)?),
            Table::Enrolments => Self::Token(boxed(body)?),
            _ => return Ok(None),
        }))
    }
}

fn boxed<S: Stored>(body: &[u8]) -> Result<Box<S>, serde_json::Error> {
    S::from_body(body).map(Box::new)
}

impl Machine for Core {
    type Input = Told;
    type Outcome = Outcome;
    type Refusal = Refusal;

    fn load(rows: &mut dyn Iterator<Item = Packed>) -> Result<Self, String> {
        let mut state = State::default();
        super::reading::each_record(rows, &mut |record| state.absorb(record))?;
        Ok(Self::of(state))
    }

    fn handle(&mut self, now: Instant3, told: Told) -> Result<Decided<Outcome>, Refusal> {
        // Time passes every second: the log says so when something came of it.
        let passes = matches!(told.input, Input::Tick);
        let effects = self.decide(now, told)?;
        let silent = passes && effects.records.is_empty();
        let changes = effects.records.iter().map(Record::to_change).collect();
        self.follow(effects.records);
        Ok(Decided { changes, entry: entry(effects.note), silent, outcome: effects.outcome })
    }
}

/// The entry of the log that a note makes.
pub(super) fn entry(note: Note) -> Entry {
    Entry {
        actor: note.actor,
        credential: note.credential,
        action: note.word.to_owned(),
        objects: note.objects,
        decision: "allowed".to_owned(),
        action_hash: note.action_hash.map(|Digest(hash)| hash),
        approvals: note.approvals.into_iter().map(|Digest(hash)| hash).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_that_is_read_again_is_read_at_a_start() {
        // A record of the core is evidence, or its table is read.
        for &table in Table::ALL {
            let is_read = !matches!(Record::of_row(table, b"centre", b"{}"), Ok(None));
            let of_the_store = matches!(table, Table::Leader | Table::CheckpointKeys);
            assert_eq!(is_read, Table::AT_HAND.contains(&table) && !of_the_store, "{}", table.name());
        }
    }

    #[test]
    fn the_key_of_a_generation_reads_again() {
        let key = KeyRef { key_set: KeySetId([7; 16]), generation: Generation(0x0102_0304) };
        assert_eq!(named(&row_key(&key)), Some(key));
        assert_eq!((named(b""), named(&[0; 19]), named(&[0; 21])), (None, None, None));
    }
}
