//! The schema as data: one list of tables. Everything else (statements of both dialects, migrations, pages,
//! export, verification) is made from it.
//!
//! Every table has `key` (bytes, primary), the columns named here, `body` (the exact bytes of the object)
//! and `log_seq` (the log entry that wrote the row). Columns exist to be searched; the truth is the body.

use super::value::Kind::{self, Bytes, Int, Text};

/// One table of state.
#[derive(Debug)]
pub struct Definition {
    /// Its name in both stores.
    pub name: &'static str,
    /// Columns between `key` and `body`.
    pub columns: &'static [(&'static str, Kind)],
    /// Columns searched by; each has an index over the column and the key.
    pub indexed: &'static [&'static str],
}

macro_rules! tables {
    ($($(#[$doc:meta])* $variant:ident $name:literal { $($column:ident: $kind:ident),* } by [$($indexed:ident),*];)*) => {
        /// The tables of state.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Table { $($(#[$doc])* $variant,)* }

        impl Table {
            /// Every table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its row of the list.
            pub fn definition(self) -> &'static Definition {
                match self {
                    $(Self::$variant => &Definition {
                        name: $name,
                        columns: &[$((stringify!($column), $kind),)*],
                        indexed: &[$(stringify!($indexed),)*],
                    },)*
                }
            }
        }
    };
}

tables! {
    /// Facts of this store: the log's origin, the version of the schema.
    Meta "meta" {} by [];
    /// Who leads, and the fencing epoch.
    Leader "leader" { epoch: Int, holder: Text } by [];
    /// Public keys of checkpoints, each valid from a tree size.
    CheckpointKeys "checkpoint_keys" { vkey: Text, from_size: Int } by [];
    /// Answers by Idempotency-Key.
    Idempotency "idempotency" { request: Bytes, expires_ms: Int } by [expires_ms];
    /// Key sets: one key of the field with all its generations.
    KeySets "key_sets" { alias: Text, kind: Text, scope: Bytes, policy: Bytes, state: Text } by [alias, scope];
    /// Generations; `expires_ms` is the end of the originator period, of those that nodes may hold.
    Generations "generations" { key_set: Bytes, number: Int, state: Text, kcv: Text, expires_ms: Int }
        by [key_set, state, expires_ms];
    /// Key blocks under the master key or a node's root KEK.
    WrappedCopies "wrapped_copies" { key_set: Bytes, number: Int, node: Bytes } by [key_set, node];
    /// Zones.
    Zones "zones" { alias: Text, state: Text } by [alias];
    /// Which node is a member of which zone.
    ZoneMembers "zone_members" { zone: Bytes, node: Bytes } by [zone, node];
    /// Nodes; `public_key` checks their receipts.
    Nodes "nodes" { alias: Text, state: Text, public_key: Bytes } by [alias, state];
    /// Enrolment tokens.
    Enrolments "enrolments" { node: Bytes, state: Text, expires_ms: Int } by [state, expires_ms];
    /// Persons.
    Persons "persons" { name: Text, role: Text, state: Text } by [name];
    /// Credentials of persons; `public_key` checks their approvals.
    Credentials "credentials" { person: Bytes, state: Text, public_key: Bytes } by [person];
    /// Policies.
    Policies "policies" { alias: Text } by [alias];
    /// Campaigns.
    Campaigns "campaigns" { zone: Bytes, state: Text, created_ms: Int } by [zone, state];
    /// What one node owes one campaign.
    Deliveries "deliveries" { campaign: Bytes, node: Bytes, state: Text } by [campaign, node];
    /// Actions that wait for approvals or had them.
    Actions "actions" { class: Text, state: Text, expires_ms: Int } by [state, expires_ms];
    /// Approvals: the body is the signed envelope as received.
    Approvals "approvals" { action: Bytes, person: Bytes, credential: Bytes } by [action];
    /// Manifests: the body is the signed envelope as sent. Keys begin with the node.
    Manifests "manifests" { node: Bytes, epoch: Int, seq: Int } by [];
    /// Receipts: the body is the signed envelope as received. Keys begin with the node.
    Receipts "receipts" { node: Bytes, seq: Int, campaign: Bytes, kind: Text } by [campaign];
    /// Messages to send.
    Outbox "outbox" { node: Bytes, due_ms: Int } by [node, due_ms];
    /// Ceremonies.
    Ceremonies "ceremonies" { state: Text, created_ms: Int } by [state];
    /// Alarms.
    Alarms "alarms" { kind: Text, subject: Bytes, state: Text, raised_ms: Int } by [state, raised_ms];
}

impl Table {
    /// The tables by whose rows a manager decides: it has them at hand from its start on. The others are evidence
    /// and answers, which are kept.
    pub const AT_HAND: &'static [Self] = &[
        Self::Meta,
        Self::Leader,
        Self::CheckpointKeys,
        Self::Persons,
        Self::Credentials,
        Self::Policies,
        Self::Zones,
        Self::ZoneMembers,
        Self::Nodes,
        Self::Enrolments,
        Self::KeySets,
        Self::Generations,
        Self::WrappedCopies,
        Self::Actions,
        Self::Campaigns,
        Self::Deliveries,
        Self::Alarms,
    ];

    /// Whether its rows commonly have more than a kilobyte: those with signed messages, and those of nodes.
    pub const fn is_wide(self) -> bool {
        matches!(self, Self::Nodes | Self::Receipts | Self::Manifests | Self::Approvals | Self::Actions)
    }

    /// Its name in both stores.
    pub fn name(self) -> &'static str {
        self.definition().name
    }

    /// The table of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|table| table.name() == name)
    }

    /// The place of a column among the columns of the table.
    pub fn column(self, name: &str) -> Option<usize> {
        self.definition().columns.iter().position(|(column, _)| *column == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_names_a_column_and_every_name_its_table() {
        for &table in Table::ALL {
            assert_eq!(Table::named(table.name()), Some(table));
            for indexed in table.definition().indexed {
                assert!(table.column(indexed).is_some(), "{}.{indexed}", table.name());
            }
        }
        assert_eq!(Table::named("log"), None);
    }
}
