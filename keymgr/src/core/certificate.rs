//! Transport certificates of nodes: until when each node has one, and who is told before it ends.

use super::alarm::{Alarm, AlarmKind};
use super::ids::NodeId;
use super::node::Node;
use super::people::Standing;
use super::refusal::Refusal;
use super::table::Change;
use keylink::message::CERTIFICATE_WARN_MS;
use std::collections::BTreeSet;

const ENDS: &str = "its transport certificate ends within 60 days and was not made anew";
const ENDED: &str = "its transport certificate has ended: it is enrolled anew, as another node";

/// A node is given a certificate that is valid until then, UTC milliseconds. Only its first one counts as its own at
/// once: whether it has taken another is seen when it shows it.
pub fn issued(tx: &mut Change<'_>, id: &NodeId, until: u64) -> Result<(), Refusal> {
    let node = tx.get::<Node>(id)?;
    if !node.is_served() {
        return Err(Refusal::Suspended);
    }
    if node.certificate_until_utc_ms == 0 {
        tx.edit::<Node>(id)?.certificate_until_utc_ms = until;
    }
    Ok(())
}

/// A node has shown a certificate that ends later than the one on record.
pub fn shown(tx: &mut Change<'_>, id: &NodeId, until: u64, now: u64) -> Result<(), Refusal> {
    if tx.get::<Node>(id)?.certificate_until_utc_ms >= until {
        return Err(Refusal::NotDue);
    }
    tx.edit::<Node>(id)?.certificate_until_utc_ms = until;
    if until.saturating_sub(now) > CERTIFICATE_WARN_MS {
        tx.calm(AlarmKind::CertificateEnds, id, now);
    }
    Ok(())
}

/// When people are to be told, if ever.
pub fn due(node: &Node) -> Option<u64> {
    let until = node.certificate_until_utc_ms;
    (until > 0 && node.standing == Standing::Active).then(|| until.saturating_sub(CERTIFICATE_WARN_MS))
}

/// Tells people of nodes whose certificate ends soon, and again when it has ended.
pub fn tell(tx: &mut Change<'_>, watch: &BTreeSet<(u64, NodeId)>, now: u64) {
    for (_, id) in watch.iter().take_while(|(due, _)| *due <= now) {
        let Some(node) = tx.find::<Node>(id) else { continue };
        let text = if node.certificate_until_utc_ms <= now { ENDED } else { ENDS };
        let told = tx.find::<Alarm>(&(AlarmKind::CertificateEnds, id.to_string()));
        if told.is_some_and(|alarm| alarm.text != text) {
            tx.calm(AlarmKind::CertificateEnds, id, now);
        }
        tx.alarm(AlarmKind::CertificateEnds, id, text.to_owned(), now);
    }
}
