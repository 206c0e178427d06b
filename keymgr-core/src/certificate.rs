//! Transport certificates: until when each node has one, of which authority, and that people are told before it ends, or
//! the authority does.

use super::alarm::{Alarm, AlarmKind};
use super::centre::Centre;
use super::ids::NodeId;
use super::node::Node;
use super::people::Standing;
use super::refusal::Refusal;
use super::table::Change;
use keylink::PublicKey;
use keylink::message::CERTIFICATE_WARN_MS;
use keylink::succession::CentreKey;
use std::collections::BTreeSet;

const ENDS: &str = "its transport certificate ends within 60 days and was not made anew";
const ENDED: &str = "its transport certificate has ended: it is enrolled anew, as another node";

/// Days for which an authority's own certificate is valid.
pub const AUTHORITY_DAYS: u32 = 3650;
/// People are told so many days before: no certificate of a node has to end with it by then.
const AUTHORITY_WARN_DAYS: u32 = 430;
const DAY_MS: u64 = 24 * 3_600_000;
const AUTHORITY: &str = "transport authority";

/// A node is given a certificate of this authority that is valid until then, UTC milliseconds. Only its first one counts
/// as its own at once: whether it has taken another is seen when it shows it.
pub fn issued(tx: &mut Change<'_>, id: &NodeId, (authority, until): (PublicKey, u64)) -> Result<(), Refusal> {
    let node = tx.get::<Node>(id)?;
    if !node.is_served() {
        return Err(Refusal::Suspended);
    }
    if node.certificate_until_utc_ms == 0 {
        let node = tx.edit::<Node>(id)?;
        (node.certificate_until_utc_ms, node.certificate_by) = (until, Some(authority));
    }
    Ok(())
}

/// Whether a certificate of `authority` until `until` says more than the one on record: it is of the authority that
/// issues now and that one is not, or it ends later than one of the same standing.
pub fn is_news(centre: &Centre, node: &Node, (authority, until): (PublicKey, u64)) -> bool {
    let issues = centre.signing_key(CentreKey::Transport).map(|(key, _)| key);
    let counts = |by: Option<PublicKey>| by.is_some() && by == issues;
    match (counts(Some(authority)), counts(node.certificate_by)) {
        (true, false) => true,
        (false, true) => false,
        _ => until > node.certificate_until_utc_ms,
    }
}

/// A node has shown a certificate.
pub fn shown(
    tx: &mut Change<'_>,
    id: &NodeId,
    (authority, until): (PublicKey, u64),
    now: u64,
) -> Result<(), Refusal> {
    if !is_news(tx.get::<Centre>(&())?, tx.get::<Node>(id)?, (authority, until)) {
        return Err(Refusal::NotDue);
    }
    let node = tx.edit::<Node>(id)?;
    (node.certificate_until_utc_ms, node.certificate_by) = (until, Some(authority));
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

/// Tells people that the authority which issues certificates is to be followed by another.
pub fn tell_of_authority(tx: &mut Change<'_>, now: u64) {
    let issues = tx.find::<Centre>(&()).and_then(|centre| centre.signing_key(CentreKey::Transport));
    let left = |(_, since): (PublicKey, u64)| {
        since.saturating_add(u64::from(AUTHORITY_DAYS) * DAY_MS).saturating_sub(now) / DAY_MS
    };
    match issues.map(left).filter(|left| *left < u64::from(AUTHORITY_WARN_DAYS)) {
        Some(_) => {
            let text = "the transport authority's certificate ends within 430 days, and no certificate of a node outlives \
                        it: `kmc key rotate transport`";
            tx.alarm(AlarmKind::CertificateEnds, &AUTHORITY, text.to_owned(), now);
        }
        None => tx.calm(AlarmKind::CertificateEnds, &AUTHORITY, now),
    }
}
