//! Signatures of people, nodes and the centre: every approval by its credential, every receipt by its node, every
//! manifest and every transcript of a ceremony by the centre, every component by its custodian, and every approval that
//! the log names. Where the store is a centre's, also whether each action that was approved had its approvals.

use super::approved::Approvals;
use super::centre::{CENTRE, CentreKeys};
use super::custody::{Custody, is_component};
use super::echoes::Seen;
use super::finding::{Report, SignatureCounts};
use crate::log::{LineError, Parts};
use crate::store::{Hash, Row, Table, key_text};
use keylink::envelope::{Signed, pae};
use keylink::ids::{KeyId, PublicKey};
use keylink::message::Receipt;
use keylink::verifying::Verifying;
use std::collections::HashMap;

/// Keys seen so far, and what the log wants to be there.
#[derive(Default)]
pub(super) struct Signatures {
    keys: HashMap<(Table, KeyId), (Verifying, Vec<u8>)>,
    centre: CentreKeys,
    custody: Custody,
    /// A store without the row of a centre has approvals of nothing.
    founded: bool,
    approvals: Approvals,
    wanted: HashMap<Hash, u64>,
    counts: SignatureCounts,
}

impl Signatures {
    /// Notes the approvals that an entry names.
    pub fn line(&mut self, parts: &Parts<'_>) -> Result<(), LineError> {
        for hash in parts.approvals() {
            self.wanted.entry(hash?).or_insert(parts.seq);
        }
        self.approvals.line(parts)
    }

    /// Learns a key, or checks a signed row. Rows come in the order of the list of tables: keys first. Gives the state
    /// of the log that a node's receipt names.
    pub fn row(&mut self, row: &Row, report: &mut Report) -> Option<Seen> {
        if self.founded {
            self.approvals.row(row, report);
        }
        match row.table {
            Table::Meta if row.key == CENTRE => {
                self.founded = true;
                self.centre.learn(row, report);
            }
            Table::Nodes => self.learn(row),
            Table::Credentials => {
                self.learn(row);
                self.custody.learn(row);
            }
            Table::Approvals => {
                if let Some(signed) = self.check(row, Table::Credentials, "credential", report) {
                    self.wanted.remove(&signed.hash().0);
                    if self.founded {
                        self.approvals.genuine(&signed, row, report);
                    }
                    self.counts.approvals += 1;
                }
            }
            Table::Receipts => {
                let signed = self.check(row, Table::Nodes, "node", report)?;
                self.counts.receipts += 1;
                return signed.peek::<Receipt>().ok()?.checkpoint.map(|(size, root)| (size.0, root.0));
            }
            Table::Manifests => match self.centre.issued(row) {
                Ok(()) => self.counts.manifests += 1,
                Err(what) => report.find("signature", row.table.name(), key_text(&row.key), what),
            },
            Table::Ceremonies if is_component(row) => match self.custody.component(row) {
                Ok(()) => self.counts.components += 1,
                Err(what) => report.find("signature", row.table.name(), key_text(&row.key), what),
            },
            Table::Ceremonies => match self.centre.signed(row) {
                Ok(()) => {
                    self.custody.transcript(row);
                    self.counts.ceremonies += 1;
                }
                Err(what) => report.find("signature", row.table.name(), key_text(&row.key), what),
            },
            _ => {}
        }
        None
    }

    // Unpacked once: a node signs many receipts with one key.
    fn learn(&mut self, row: &Row) {
        let Some(bytes) = row.column("public_key").bytes().and_then(|key| key.try_into().ok()) else {
            return;
        };
        if let Some(key) = Verifying::of(&PublicKey(bytes)) {
            self.keys.insert((row.table, PublicKey(bytes).id()), (key, row.key.clone()));
        }
    }

    fn check(&self, row: &Row, signers: Table, column: &str, report: &mut Report) -> Option<Signed> {
        let mut wrong = |what: &str| report.find("signature", row.table.name(), key_text(&row.key), what);
        let Ok(signed) = Signed::parse(&row.body) else {
            wrong("the body is no signed message");
            return None;
        };
        let Some((key, owner)) = self.keys.get(&(signers, signed.key_id)) else {
            wrong("signed by a key that nobody here has");
            return None;
        };
        if row.column(column).bytes() != Some(owner) {
            wrong("signed by the key of another");
            return None;
        }
        if key.judge(&pae(&signed.kind, &signed.payload), &signed.signature).is_err() {
            wrong("the signature does not hold");
            return None;
        }
        Some(signed)
    }

    /// The approvals that are not there, and what was not approved.
    pub fn rest(mut self, report: &mut Report) {
        if self.founded {
            self.counts.actions = self.approvals.judge(&self.centre, report);
        }
        let mut wanted: Vec<_> = self.wanted.into_iter().collect();
        wanted.sort_unstable_by_key(|(_, seq)| *seq);
        for (hash, seq) in wanted {
            let what = format!("entry {seq} names an approval that is not there or does not hold");
            report.find("missing", Table::Approvals.name(), hex::encode(hash), what);
        }
        self.custody.rest(report);
        report.signatures = Some(self.counts);
    }
}
