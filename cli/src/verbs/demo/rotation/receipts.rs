//! The receipts of a run, counted from the exported log by keys that the run has from the nodes themselves: the
//! manager's word is not taken for any of them.

use super::fleet::Member;
use keylink::message::{Receipt, ReceiptKind};
use keylink::{Generation, KeySetId, NodeId, PublicKey, Signed};
use keymgr::core::campaign::Campaign;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a node owes a campaign.
pub const KINDS: [(ReceiptKind, &str); 4] = [
    (ReceiptKind::Proven, "proven"),
    (ReceiptKind::Accepting, "accepting"),
    (ReceiptKind::Activated, "activated"),
    (ReceiptKind::Retired, "retired"),
];

// The generation of which a campaign wants a receipt: the old one is what retires.
fn meant(campaign: &Campaign, kind: ReceiptKind) -> Option<(KeySetId, Generation)> {
    let generation = if kind == ReceiptKind::Retired { campaign.retiring? } else { campaign.new_generation() };
    Some((campaign.plan.key_set, generation))
}

/// What an export holds.
#[derive(Debug, Default)]
pub struct Receipts {
    counts: BTreeMap<(NodeId, usize, &'static str), u32>,
    numbers: BTreeMap<NodeId, Vec<(u64, ReceiptKind)>>,
    /// Those that do not hold, with why.
    pub bad: Vec<String>,
}

// The text of a row's body, `%xx` undone.
fn body(line: &str) -> Option<Vec<u8>> {
    let written = line.split(' ').find_map(|word| word.strip_prefix("body="))?;
    let (kind, rest) = written.split_at_checked(1)?;
    if kind == "x" {
        return hex::decode(rest).ok();
    }
    let mut pieces = rest.split('%');
    let mut out = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (code, text) = piece.split_at_checked(2)?;
        out.push(u8::from_str_radix(code, 16).ok()?);
        out.extend_from_slice(text.as_bytes());
    }
    Some(out)
}

impl Receipts {
    /// Opens every receipt of an export with the key of the node that it names, and counts those of campaigns.
    pub fn of(export: &str, members: &[Member], campaigns: &[Campaign]) -> Self {
        let keys: HashMap<NodeId, &PublicKey> = members.iter().map(|member| (member.id, &member.key)).collect();
        let mut all = Self::default();
        for line in export.lines().filter(|line| line.starts_with("row receipts ")) {
            match Self::open(line, &keys) {
                Ok(receipt) => all.count(&receipt, campaigns),
                Err(why) => all.bad.push(why),
            }
        }
        all
    }

    fn open(line: &str, keys: &HashMap<NodeId, &PublicKey>) -> Result<Receipt, String> {
        let body = body(line).ok_or("a row has no body")?;
        let signed = Signed::parse(&body).map_err(|error| error.to_string())?;
        let node = signed.peek::<Receipt>().map_err(|error| error.to_string())?.node;
        let key = keys.get(&node).ok_or_else(|| format!("{node} is no node of this run"))?;
        signed.open(key).map_err(|error| format!("{node}: {error}"))
    }

    fn count(&mut self, receipt: &Receipt, campaigns: &[Campaign]) {
        self.numbers.entry(receipt.node).or_default().push((receipt.head.seq.0, receipt.kind));
        let kind = KINDS.iter().find(|(kind, _)| *kind == receipt.kind);
        let of = receipt.key_set.zip(receipt.generation);
        let zone = campaigns.iter().position(|campaign| of.is_some() && meant(campaign, receipt.kind) == of);
        if let (Some((_, name)), Some(zone)) = (kind, zone) {
            *self.counts.entry((receipt.node, zone, name)).or_default() += 1;
        }
    }

    /// How many of a kind there are.
    pub fn of_kind(&self, kind: &str) -> u32 {
        self.counts.iter().filter(|((_, _, name), _)| *name == kind).map(|(_, count)| count).sum()
    }

    /// What is missing, or there more than once, the furthest behind first.
    pub fn wrong(&self, members: &[Member], zones: usize) -> Vec<String> {
        let mut all = Vec::new();
        for (at, (_, name)) in KINDS.iter().enumerate() {
            for member in members {
                for zone in 0..zones {
                    match self.counts.get(&(member.id, zone, *name)).copied().unwrap_or_default() {
                        1 => {}
                        0 => all.push((at, format!("{} owes {name} for zone-{zone}", member.name))),
                        n => all.push((at, format!("{} has {n} × {name} for zone-{zone}", member.name))),
                    }
                }
            }
        }
        all.sort_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, what)| what).collect()
    }

    /// The kind of a node's receipt with this number.
    pub fn kind(&self, node: NodeId, number: u64) -> Option<ReceiptKind> {
        let all = self.numbers.get(&node)?;
        all.iter().find(|(at, _)| *at == number).map(|(_, kind)| *kind)
    }

    /// The highest number of a node's receipts, when each up to it is there once.
    pub fn unbroken(&self, node: NodeId) -> Option<u64> {
        let all = self.numbers.get(&node)?;
        let distinct: BTreeSet<u64> = all.iter().map(|(number, _)| *number).collect();
        let last = *distinct.last()?;
        (distinct.len() == all.len() && distinct.len() as u64 == last).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::body;

    #[test]
    fn bodies_are_read_as_they_were_written() {
        assert_eq!(body("row receipts 00 1 seq=i1 body=ta%20b%25").unwrap(), b"a b%");
        assert_eq!(body("row receipts 00 1 body=xff00").unwrap(), [255, 0]);
        assert!(body("row receipts 00 1 seq=i1").is_none() && body("row receipts 00 1 body=ta%2").is_none());
    }
}
