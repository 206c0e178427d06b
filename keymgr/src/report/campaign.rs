//! One campaign: what it is about, by whose word, when its steps were taken, and what each node has receipted.

use super::Fact;
use super::words::{maybe, when};
use crate::core::Core;
use crate::core::action::KeyRef;
use crate::core::approval::Given;
use crate::core::campaign::{Campaign, Delivery};
use crate::core::ids::{Generation, PersonId};
use crate::core::key::Windows;
use crate::core::node::Node;
use keylink::action::Approval;
use keylink::message::Overlap;

/// Heads of the columns.
pub const COLUMNS: &[&str] =
    &["node", "class", "proof", "waited for", "new key by receipts", "old key by receipts", "id"];

/// What a report says of traffic that does not name the generation of its key.
const MAY_FAIL: &str = "by time: blocks in flight at the switch may fail";

/// A row for each of these nodes.
pub fn rows(core: &Core, campaign: &Campaign, owed: &[Delivery]) -> Vec<Vec<String>> {
    let row = |delivery: &Delivery| {
        let id = &delivery.node;
        let progress = |generation: Option<Generation>| {
            let copy = generation.and_then(|generation| core.copy(id, &key(campaign, generation)));
            copy.map_or_else(|| "-".to_owned(), |copy| format!("{:?}", copy.progress))
        };
        let node = core.node(id);
        let says = |said: fn(&Node) -> String| node.map_or_else(|| "-".to_owned(), said);
        vec![
            node.map_or_else(|| id.to_string(), |node| node.name.clone()),
            says(|node| format!("{:?}", node.class)),
            says(|node| if node.kcv_only { "kcv_only" } else { "possession" }.to_owned()),
            if delivery.gated { "yes" } else { "excepted" }.to_owned(),
            progress(Some(campaign.new_generation())),
            progress(campaign.old),
            id.to_string(),
        ]
    };
    owed.iter().map(row).collect()
}

const fn key(campaign: &Campaign, generation: Generation) -> KeyRef {
    KeyRef { key_set: campaign.plan.key_set, generation }
}

/// What is said about it as a whole.
pub fn facts(core: &Core, campaign: &Campaign) -> Vec<Fact> {
    let state = core.state();
    let zone = state.zone(&campaign.zone).map(|zone| zone.alias.clone());
    let set = core.key_set(&campaign.plan.key_set).map(|set| set.definition.name.clone());
    let overlap = core.key_set(&campaign.plan.key_set).map(|set| set.definition.overlap);
    let selects = match overlap {
        Some(Overlap::Selector) => "by selector: each command names the generation of its key",
        _ => MAY_FAIL,
    };
    let old = campaign.old.map_or_else(|| "none".to_owned(), |old| old.to_string());
    let (requester, approvers) = people(core, campaign);
    // When steps were taken that the campaign itself does not note.
    let windows = |generation| core.key(&key(campaign, generation)).map(|key| key.windows);
    let accepted = windows(campaign.new_generation()).and_then(|windows: Windows| windows.recipient_from);
    // As long as a key is in use its window says when that may end.
    let over =
        |generation: &Generation| core.key(&key(campaign, *generation)).is_some_and(|key| !key.is_live());
    let retired =
        campaign.retiring.filter(over).and_then(windows).and_then(|windows| windows.recipient_until);
    [
        ("campaign", campaign.id.to_string()),
        ("zone", zone.unwrap_or_else(|| campaign.zone.to_string())),
        ("key set", set.unwrap_or_else(|| campaign.plan.key_set.to_string())),
        ("action", campaign.action.to_string()),
        ("asked for by", requester),
        ("approved by", approvers),
        ("phase", format!("{:?}", campaign.phase)),
        ("generations told apart", selects.to_owned()),
        ("emergency", campaign.emergency.clone().unwrap_or_else(|| "no".to_owned())),
        ("generation", format!("{} after {old}", campaign.new_generation())),
        ("began", when(campaign.began)),
        ("nodes process from", maybe(accepted)),
        ("protects from", maybe(campaign.protect_from)),
        ("overlap until", maybe(campaign.overlap_until)),
        ("old key taken back", maybe(retired)),
        ("ended", maybe(campaign.ended)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

// Who asked for it, and who approved it when.
fn people(core: &Core, campaign: &Campaign) -> (String, String) {
    let name =
        |id: &PersonId| core.state().person(id).map_or_else(|| id.to_string(), |person| person.name.clone());
    let given = |given: &Given| {
        let signed =
            given.signed.peek::<Approval>().map_or_else(|_| "-".to_owned(), |own| when(own.signed_ms.0));
        format!("{} at {signed}", name(&given.person))
    };
    core.state().action(&campaign.action).map_or_else(
        || ("-".to_owned(), "-".to_owned()),
        |action| {
            let approvers: Vec<String> = action.approvals.iter().map(given).collect();
            (name(&action.requester), approvers.join(", "))
        },
    )
}
