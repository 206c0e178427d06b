//! What the centre knows, as tables of records, and a change of it that is made as a whole or not at all.
//!
//! A machine reads and writes through a [`Change`]: what it wrote lies above what is, and becomes what is by
//! [`State::absorb`] only. So a refused request leaves nothing behind, and the records to be written are exactly
//! those that were touched.

use super::action::KeyRef;
use super::alarm::{Alarm, AlarmKind};
use super::approval::{Action, Registry};
use super::campaign::{Campaign, Delivery};
use super::centre::Centre;
use super::held::Held;
use super::ids::{ActionId, CampaignId, CredentialId, KeySetId, NodeId, PersonId, PolicyId, ZoneId};
use super::key::{Key, KeySet};
use super::node::{Copy, Member, Node, Zone};
use super::people::{Credential, Person};
use super::policy::Policy;
use super::refusal::Refusal;
use super::rows::{Approval, Ceremony, Component, Manifest, Receipt, Token};
use keylink::TokenId;

macro_rules! tables {
    ($($name:ident: $key:ty => $record:ident, by $key_of:expr;)*) => {
        /// All records at hand.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct State {
            $(pub(super) $name: Held<$key, $record>,)*
        }

        /// One record of any table.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "named by what they hold")]
        #[allow(clippy::large_enum_variant, reason = "short-lived")]
        pub enum Record { $($record(Box<$record>),)* Manifest(Manifest), Receipt(Receipt), Approval(Approval), Ceremony(Ceremony), Component(Component), Forgotten(TokenId) }

        impl State {
            /// Takes a record in, over an older one.
            pub fn absorb(&mut self, record: Record) {
                match record {
                    $(Record::$record(record) => {
                        let key_of: fn(&$record) -> $key = $key_of;
                        self.$name.insert(key_of(&record), record);
                    })*
                    // Evidence: kept by the store, not needed to decide.
                    Record::Manifest(_) | Record::Receipt(_) | Record::Approval(_) => {}
                    Record::Ceremony(_) | Record::Component(_) => {}
                    // The one record that goes: a token by which nobody asked.
                    Record::Forgotten(token) => _ = self.tokens.remove(&token),
                }
            }
        }

        impl Change<'_> {
            /// The records that were touched, table by table.
            pub fn into_records(self) -> Vec<Record> {
                let mut records = Vec::new();
                $(records.extend(self.over.$name.into_values().map(Record::$record));)*
                records.extend(self.evidence);
                records
            }
        }

        $(impl Table<$record> for State {
            type Key = $key;
            fn rows(&self) -> &Held<$key, $record> { &self.$name }
            fn rows_mut(&mut self) -> &mut Held<$key, $record> { &mut self.$name }
            fn key_of(record: &$record) -> $key {
                let key_of: fn(&$record) -> $key = $key_of;
                key_of(record)
            }
        })*
    };
}

/// Access to one table by the type of its records.
pub trait Table<R> {
    /// What names a record.
    type Key: Ord + Clone + std::fmt::Debug;
    /// The records.
    fn rows(&self) -> &Held<Self::Key, R>;
    /// The records, to be written.
    fn rows_mut(&mut self) -> &mut Held<Self::Key, R>;
    /// The name of a record.
    fn key_of(record: &R) -> Self::Key;
}

tables! {
    centre: () => Centre, by |_| ();
    persons: PersonId => Person, by |r| r.id;
    credentials: CredentialId => Credential, by |r| r.id;
    policies: PolicyId => Policy, by |r| r.id;
    zones: ZoneId => Zone, by |r| r.id;
    members: (ZoneId, NodeId) => Member, by |r| (r.zone, r.node);
    nodes: NodeId => Node, by |r| r.id;
    key_sets: KeySetId => KeySet, by |r| r.id();
    keys: KeyRef => Key, by |r| r.name();
    copies: (NodeId, KeyRef) => Copy, by |r| (r.node, r.key());
    actions: ActionId => Action, by |r| r.id;
    campaigns: CampaignId => Campaign, by |r| r.id;
    deliveries: (CampaignId, NodeId) => Delivery, by |r| (r.campaign, r.node);
    tokens: TokenId => Token, by |r| r.token;
    alarms: (AlarmKind, String) => Alarm, by |r| (r.kind, r.subject.clone());
}

/// A change in the making.
pub struct Change<'a> {
    base: &'a State,
    over: State,
    evidence: Vec<Record>,
}

impl<'a> Change<'a> {
    /// Nothing changed yet.
    pub fn new(base: &'a State) -> Self {
        Self { base, over: State::default(), evidence: Vec::new() }
    }

    /// What is, before the change.
    pub fn base(&self) -> &'a State {
        self.base
    }

    /// What has been changed so far, to return to.
    pub fn mark(&self) -> (State, usize) {
        (self.over.clone(), self.evidence.len())
    }

    /// Forgets what was changed since the mark.
    pub fn back_to(&mut self, (over, evidence): (State, usize)) {
        self.over = over;
        self.evidence.truncate(evidence);
    }

    /// A record.
    pub fn find<R>(&self, key: &<State as Table<R>>::Key) -> Option<&R>
    where
        State: Table<R>,
    {
        Table::<R>::rows(&self.over).get(key).or_else(|| Table::<R>::rows(self.base).get(key))
    }

    /// A record that must be there.
    pub fn get<R>(&self, key: &<State as Table<R>>::Key) -> Result<&R, Refusal>
    where
        State: Table<R>,
    {
        self.find(key).ok_or_else(|| Refusal::unknown::<R>(key))
    }

    /// A record to be changed.
    pub fn edit<R: Clone>(&mut self, key: &<State as Table<R>>::Key) -> Result<&mut R, Refusal>
    where
        State: Table<R>,
    {
        let base = self.base;
        if !Table::<R>::rows(&self.over).contains_key(key) {
            let record = Table::<R>::rows(base).get(key).ok_or_else(|| Refusal::unknown::<R>(key))?;
            Table::<R>::rows_mut(&mut self.over).insert(key.clone(), Box::new(record.clone()));
        }
        Table::<R>::rows_mut(&mut self.over).get_mut(key).ok_or_else(|| Refusal::unknown::<R>(key))
    }

    /// Writes a record, new or over an older one.
    pub fn put<R>(&mut self, record: R)
    where
        State: Table<R>,
    {
        Table::<R>::rows_mut(&mut self.over).insert(<State as Table<R>>::key_of(&record), Box::new(record));
    }

    /// Writes a record that must be new.
    pub fn add<R>(&mut self, record: R) -> Result<(), Refusal>
    where
        State: Table<R>,
    {
        let key = <State as Table<R>>::key_of(&record);
        if self.find::<R>(&key).is_some() {
            return Err(Refusal::exists::<R>(&key));
        }
        self.put(record);
        Ok(())
    }

    /// Keeps evidence that is not needed to decide, or says what is forgotten.
    pub fn keep(&mut self, record: Record) {
        self.evidence.push(record);
    }

    /// Names of the records within a range, those of this change included, in order.
    pub fn keys_in<R>(
        &self,
        range: impl std::ops::RangeBounds<<State as Table<R>>::Key> + Clone,
    ) -> Vec<<State as Table<R>>::Key>
    where
        State: Table<R>,
    {
        let mut keys: Vec<_> =
            Table::<R>::rows(self.base).range(range.clone()).map(|(k, _)| k.clone()).collect();
        let fresh = Table::<R>::rows(&self.over).range(range).map(|(k, _)| k.clone());
        let before = keys.len();
        keys.extend(fresh.filter(|key| !Table::<R>::rows(self.base).contains_key(key)));
        if keys.len() > before {
            keys.sort();
        }
        keys
    }

    /// The nodes that are members of a zone.
    pub fn members_of(&self, zone: ZoneId) -> Vec<NodeId> {
        let range = (zone, NodeId([0; 32]))..=(zone, NodeId([0xFF; 32]));
        let stays = |key: &(ZoneId, NodeId)| self.find::<Member>(key).is_some_and(|member| !member.left);
        self.keys_in::<Member>(range).into_iter().filter(stays).map(|(_, node)| node).collect()
    }

    /// Raises an alarm, or leaves it as it is when it lasts already.
    pub fn alarm(&mut self, kind: AlarmKind, subject: &dyn std::fmt::Display, text: String, utc_ms: u64) {
        let key = (kind, subject.to_string());
        if self.find::<Alarm>(&key).is_some_and(|alarm| alarm.ended_utc_ms.is_none()) {
            return;
        }
        self.put(Alarm { kind, subject: key.1, text, raised_utc_ms: utc_ms, ended_utc_ms: None });
    }

    /// Ends an alarm, if it lasts.
    pub fn calm(&mut self, kind: AlarmKind, subject: &dyn std::fmt::Display, utc_ms: u64) {
        let key = (kind, subject.to_string());
        if self.find::<Alarm>(&key).is_some_and(|alarm| alarm.ended_utc_ms.is_none())
            && let Ok(alarm) = self.edit::<Alarm>(&key)
        {
            alarm.ended_utc_ms = Some(utc_ms);
        }
    }
}

impl Registry for Change<'_> {
    fn person(&self, id: &PersonId) -> Option<&Person> {
        self.find(id)
    }

    fn credential(&self, id: &CredentialId) -> Option<&Credential> {
        self.find(id)
    }
}

/// A range over the keys of a set.
pub fn keys_of(set: KeySetId) -> std::ops::RangeInclusive<KeyRef> {
    use super::ids::Generation;
    KeyRef { key_set: set, generation: Generation(0) }..=KeyRef {
        key_set: set,
        generation: Generation(u32::MAX),
    }
}

/// Reading what is at hand.
impl State {
    /// The centre, once founded.
    pub fn centre(&self) -> Option<&Centre> {
        self.centre.get(&())
    }

    /// A person.
    pub fn person(&self, id: &PersonId) -> Option<&Person> {
        self.persons.get(id)
    }

    /// Every person.
    pub fn persons(&self) -> impl Iterator<Item = &Person> {
        self.persons.values()
    }

    /// A credential.
    pub fn credential(&self, id: &CredentialId) -> Option<&Credential> {
        self.credentials.get(id)
    }

    /// Every credential.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.credentials.values()
    }

    /// The version of a policy that is in force.
    pub fn policy(&self, id: &PolicyId) -> Option<&Policy> {
        self.policies.get(id)
    }

    /// Every policy in force.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values()
    }

    /// A zone.
    pub fn zone(&self, id: &ZoneId) -> Option<&Zone> {
        self.zones.get(id)
    }

    /// Every zone.
    pub fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.zones.values()
    }

    /// The members of a zone.
    pub fn members(&self, zone: &ZoneId) -> impl Iterator<Item = &Member> {
        let range = (*zone, NodeId([0; 32]))..=(*zone, NodeId([0xFF; 32]));
        self.members.range(range).map(|(_, member)| member).filter(|member| !member.left)
    }

    /// A node.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// Every node.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// A key set.
    pub fn key_set(&self, id: &KeySetId) -> Option<&KeySet> {
        self.key_sets.get(id)
    }

    /// Every key set.
    pub fn key_sets(&self) -> impl Iterator<Item = &KeySet> {
        self.key_sets.values()
    }

    /// A key.
    pub fn key(&self, name: &KeyRef) -> Option<&Key> {
        self.keys.get(name)
    }

    /// The keys of a set, oldest first.
    pub fn keys(&self, set: &KeySetId) -> impl DoubleEndedIterator<Item = &Key> {
        self.keys.range(keys_of(*set)).map(|(_, key)| key)
    }

    /// A key as a node has it.
    pub fn copy(&self, node: &NodeId, key: &KeyRef) -> Option<&Copy> {
        self.copies.get(&(*node, *key))
    }

    /// An action.
    pub fn action(&self, id: &ActionId) -> Option<&Action> {
        self.actions.get(id)
    }

    /// Every action.
    pub fn actions(&self) -> impl DoubleEndedIterator<Item = &Action> {
        self.actions.values()
    }

    /// A campaign.
    pub fn campaign(&self, id: &CampaignId) -> Option<&Campaign> {
        self.campaigns.get(id)
    }

    /// Every campaign at hand.
    pub fn campaigns(&self) -> impl DoubleEndedIterator<Item = &Campaign> {
        self.campaigns.values()
    }

    /// What the nodes owe a campaign.
    pub fn deliveries(&self, campaign: &CampaignId) -> impl Iterator<Item = &Delivery> {
        let range = (*campaign, NodeId([0; 32]))..=(*campaign, NodeId([0xFF; 32]));
        self.deliveries.range(range).map(|(_, delivery)| delivery)
    }

    /// Every alarm, ended ones included.
    pub fn alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.values()
    }
}
