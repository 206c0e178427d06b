//! Nodes that are let in, suspended and resumed.

use crate::alarm::AlarmKind;
use crate::centre::Centre;
use crate::ids::{ActionId, NodeId};
use crate::names;
use crate::node::{NewNode, Node, Reach, Traffic};
use crate::people::Standing;
use crate::refusal::Refusal;
use crate::table::Change;
use keylink::manager::Link;
use std::collections::BTreeSet;

/// Lets nodes in. A name stays with its node, whatever becomes of it, as the id does.
pub(super) fn enrol_nodes(tx: &mut Change<'_>, action: ActionId, new: &[NewNode]) -> Result<(), Refusal> {
    let ids = tx.keys_in::<Node>(..);
    let mut taken: BTreeSet<String> =
        ids.iter().filter_map(|id| tx.find::<Node>(id)).map(|node| node.name.clone()).collect();
    new.iter().try_for_each(|new| {
        names::take::<Node>(&mut taken, &new.name)?;
        enrol_node(tx, action, new)
    })
}

fn enrol_node(tx: &mut Change<'_>, action: ActionId, new: &NewNode) -> Result<(), Refusal> {
    let kmc = tx.get::<Centre>(&())?.kmc;
    tx.add(Node {
        id: NodeId::of(&new.key),
        name: new.name.clone(),
        csr: new.csr,
        class: new.class,
        kcv_only: false,
        rights: vec![action],
        standing: Standing::Active,
        traffic: Traffic::Drained,
        quarantined: None,
        suspended: false,
        resync: None,
        zones: BTreeSet::new(),
        root_kek: None,
        kek_change: Default::default(),
        certificate_until_utc_ms: 0,
        certificate_by: None,
        seen_utc_ms: 0,
        serving_utc_ms: 0,
        skew_ms: 0,
        link: Link::new(kmc, new.key),
        ordered: keylink::Digest::default(),
        wipe: None,
        reach: Reach::default(),
    })
}

pub(super) fn suspend_node(
    tx: &mut Change<'_>,
    action: ActionId,
    node: &NodeId,
    reason: &str,
    now: u64,
) -> Result<(), Refusal> {
    let record = tx.edit::<Node>(node)?;
    record.suspended = true;
    record.rights.push(action);
    tx.alarm(AlarmKind::Quarantined, node, reason.to_owned(), now);
    Ok(())
}

pub(super) fn resume_node(
    tx: &mut Change<'_>,
    action: ActionId,
    node: &NodeId,
    now: u64,
) -> Result<(), Refusal> {
    let record = tx.edit::<Node>(node)?;
    if record.is_served() || record.standing == Standing::Revoked {
        return Err(Refusal::Value("the node is not suspended"));
    }
    if record.link.quarantine.is_some() {
        return Err(Refusal::Value("its receipts do not follow: enrol the node anew, with another key"));
    }
    record.quarantined = None;
    record.suspended = false;
    // It comes back out of traffic, and returns when it has the keys.
    if record.traffic == Traffic::InTraffic {
        record.traffic = Traffic::Drained;
    }
    record.rights.push(action);
    tx.calm(AlarmKind::Quarantined, node, now);
    Ok(())
}
