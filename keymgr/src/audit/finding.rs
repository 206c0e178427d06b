//! What a verification found.

use serde::Serialize;

/// One thing that does not hold, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind: `edited`, `missing`, `inserted`, `unreadable`, `uncovered`, `rolled_back`, `forked`,
    /// `signature`, `unapproved`, `key`, `head`.
    pub kind: &'static str,
    /// Table.
    pub table: String,
    /// Key of the row: text where it is text, else hex.
    pub key: String,
    /// One line for people.
    pub what: String,
}

/// Signed objects checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SignatureCounts {
    /// Approvals whose signatures hold.
    pub approvals: u64,
    /// Receipts whose signatures hold.
    pub receipts: u64,
    /// Transcripts of ceremonies whose signatures hold.
    pub ceremonies: u64,
    /// Components whose custodians' signatures hold.
    pub components: u64,
    /// Manifests whose signatures hold.
    pub manifests: u64,
    /// Approved actions that had enough approvals.
    pub actions: u64,
}

/// What was verified, and what of it does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether everything holds.
    pub holds: bool,
    /// Whether a head from outside agrees. Without one, a tail that was cut with its checkpoints, or a whole
    /// store that was put back, is not seen.
    pub anchored: bool,
    /// Which log.
    pub origin: String,
    /// Log entries.
    pub entries: u64,
    /// Rows of state.
    pub rows: u64,
    /// Checkpoints in the store or export.
    pub checkpoints: u64,
    /// Entries that the last checkpoint covers.
    pub covered: u64,
    /// Root over all entries, hex.
    pub root: String,
    /// Heads that agree.
    pub heads: u64,
    /// What `--signatures` checked; absent without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures: Option<SignatureCounts>,
    /// What does not hold, in the order found; the first thousand.
    pub findings: Vec<Finding>,
    /// How many there are.
    pub findings_total: u64,
}

// More are counted only: whoever has a thousand needs another copy, not a longer list.
const LISTED: usize = 1000;

impl Report {
    pub(super) fn find(
        &mut self,
        kind: &'static str,
        table: impl Into<String>,
        key: impl Into<String>,
        what: impl Into<String>,
    ) {
        self.findings_total += 1;
        if self.findings.len() < LISTED {
            let (table, key, what) = (table.into(), key.into(), what.into());
            self.findings.push(Finding { kind, table, key, what });
        }
    }
}
