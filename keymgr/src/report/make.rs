//! The reports, each from a few lists of the interface.

use super::Report;
use crate::api::{HolderView, KeyView, NodeView as Node, SigningKeyView};
use crate::client::{Client, ClientProblem};
use crate::core::approval::Given;
use crate::core::campaign::{Campaign, Delivery};
use crate::core::key::{Holders, KeySet};
use crate::core::node::{Progress, Zone};
use crate::core::people::{Person, Standing};
use keylink::action::Approval;
use keylink::message::{CERTIFICATE_WARN_MS, Scope};
use keylink::{CampaignId, NodeId, PersonId};
use serde_json::Value;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn when(utc_ms: u64) -> String {
    let seconds = i64::try_from(utc_ms / 1000).unwrap_or_default();
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|t| t.format(&Rfc3339).ok());
    moment.unwrap_or_else(|| utc_ms.to_string())
}

fn maybe(utc_ms: Option<u64>) -> String {
    utc_ms.map_or_else(|| "-".to_owned(), when)
}

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

// What every report says about where it comes from.
async fn facts(client: &Client) -> Result<Vec<(String, String)>, ClientProblem> {
    let status: Value = client.get("/status").await?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut facts = vec![
        ("centre".to_owned(), text(&status["counts"]["kmc"])),
        ("made".to_owned(), when(crate::client::utc_ms())),
        ("made by".to_owned(), client.identity().name.clone()),
        ("backend class".to_owned(), text(&status["backend_class"])),
        ("master key in".to_owned(), text(&status["master_key_place"])),
        (
            "master key".to_owned(),
            format!(
                "LMK {:0>2}, check value {}",
                text(&status["master_key_lmk"]),
                text(&status["master_key_check_value"])
            ),
        ),
        ("manifest, checkpoint and authority keys in".to_owned(), text(&status["signing_keys_place"])),
        ("test master key".to_owned(), text(&status["test_master_key"])),
        ("log entries".to_owned(), text(&status["log_size"])),
    ];
    let keys: Vec<SigningKeyView> =
        serde_json::from_value(status["signing_keys"].clone()).unwrap_or_default();
    for key in keys {
        let since = format!("{} since {}", key.public, when(key.since_ms.0));
        let change =
            key.change.map_or_else(String::new, |change| format!(", is being changed to {}", change.new));
        facts.push((format!("{} key", key.key), since + &change));
    }
    Ok(facts)
}

async fn keys(client: &Client, title: &str, path: &str) -> Result<Report, ClientProblem> {
    let keys: Vec<KeyView> = client.all(path).await?;
    let sets: Vec<KeySet> = client.all("/key-sets").await?;
    let zones: Vec<Zone> = client.all("/zones").await?;
    let holders: Vec<HolderView> = client.all("/holders").await?;
    let sets: BTreeMap<_, _> = sets.iter().map(|set| (set.id(), set)).collect();
    let mut held: BTreeMap<_, BTreeMap<String, usize>> = BTreeMap::new();
    for holder in &holders {
        let counts = held.entry((holder.key_set, holder.generation)).or_default();
        *counts.entry(format!("{:?}", holder.progress)).or_default() += 1;
    }
    let zone = |set: &KeySet| match set.definition.scope {
        Scope::Zone(id) => {
            zones.iter().find(|z| z.id == id).map_or_else(|| id.to_string(), |z| z.alias.clone())
        }
        Scope::Node(id) => id.to_string(),
    };
    let row = |key: &KeyView| {
        let set = sets.get(&key.key_set).copied();
        let held = held.get(&(key.key_set, key.generation)).into_iter().flatten();
        let held: Vec<String> = held.map(|(progress, count)| format!("{progress} {count}")).collect();
        vec![
            set.map_or_else(|| key.key_set.to_string(), |set| set.definition.name.clone()),
            key.generation.to_string(),
            set.map(&zone).unwrap_or_default(),
            set.map_or_else(String::new, |s| {
                format!("{} {:?}", s.definition.kind.name(), s.definition.shape)
            }),
            set.map_or("", |set| if set.live { "live" } else { "test" }).to_owned(),
            format!("{:?}", key.state),
            key.kcv.clone().unwrap_or_default(),
            maybe(key.windows.originator_until),
            maybe(key.windows.recipient_until),
            held.join(", "),
        ]
    };
    Ok(Report {
        title: title.to_owned(),
        facts: facts(client).await?,
        columns: columns(&[
            "key set",
            "generation",
            "zone",
            "kind",
            "keys",
            "state",
            "KCV",
            "protects until",
            "processes until",
            "nodes by receipts",
        ]),
        rows: keys.iter().map(row).collect(),
    })
}

/// Every key, and how many nodes hold it.
pub async fn inventory(client: &Client) -> Result<Report, ClientProblem> {
    keys(client, "Key inventory", "/keys").await
}

/// Keys that stop to protect within so many days.
pub async fn expiring(client: &Client, days: u64) -> Result<Report, ClientProblem> {
    let title = format!("Keys that stop to protect within {days} days");
    keys(client, &title, &format!("/keys/expiring?days={days}")).await
}

/// One campaign: what each node has receipted.
pub async fn campaign(client: &Client, id: CampaignId) -> Result<Report, ClientProblem> {
    let path = format!("/campaigns/{id}");
    let campaign: Campaign = client.get(&path).await?;
    let owed: Vec<Delivery> = client.all(&format!("{path}/deliveries")).await?;
    let nodes: Vec<Node> = client.all("/nodes").await?;
    let holders: Vec<HolderView> = client.all(&format!("/holders?key_set={}", campaign.plan.key_set)).await?;
    let name =
        |id: &NodeId| nodes.iter().find(|n| n.id == *id).map_or_else(|| id.to_string(), |n| n.name.clone());
    let progress = |node: &NodeId, generation| {
        let copy = holders.iter().find(|h| h.node == *node && Some(h.generation) == generation);
        copy.map_or_else(|| "-".to_owned(), |h| format!("{:?}", h.progress))
    };
    let row = |delivery: &Delivery| {
        let node = &delivery.node;
        let waited = if delivery.gated { "yes" } else { "excepted" };
        vec![
            name(node),
            waited.to_owned(),
            progress(node, Some(campaign.new_generation())),
            progress(node, campaign.old),
            node.to_string(),
        ]
    };
    let mut facts = facts(client).await?;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let who = who(client, &campaign).await?;
    let times = times(client, &campaign).await?;
    facts.extend([
        fact("campaign", id.to_string()),
        fact("zone", who.zone),
        fact("key set", who.key_set),
        fact("action", campaign.action.to_string()),
        fact("asked for by", who.requester),
        fact("approved by", who.approvers),
        fact("phase", format!("{:?}", campaign.phase)),
        fact("emergency", campaign.emergency.clone().unwrap_or_else(|| "no".to_owned())),
        fact(
            "generation",
            format!(
                "{} after {}",
                campaign.new_generation(),
                campaign.old.map_or_else(|| "none".to_owned(), |g| g.to_string())
            ),
        ),
        fact("began", when(campaign.began)),
        fact("nodes process from", maybe(times.accept)),
        fact("protects from", maybe(campaign.protect_from)),
        fact("overlap until", maybe(campaign.overlap_until)),
        fact("old key taken back", maybe(times.retire)),
        fact("ended", maybe(campaign.ended)),
    ]);
    Ok(Report {
        title: "Campaign".to_owned(),
        facts,
        columns: columns(&["node", "waited for", "new key by receipts", "old key by receipts", "id"]),
        rows: owed.iter().map(row).collect(),
    })
}

// What a campaign is about, and by whose word.
struct Who {
    zone: String,
    key_set: String,
    requester: String,
    approvers: String,
}

async fn who(client: &Client, campaign: &Campaign) -> Result<Who, ClientProblem> {
    let zones: Vec<Zone> = client.all("/zones").await?;
    let sets: Vec<KeySet> = client.all("/key-sets").await?;
    let persons: Vec<Person> = client.all("/persons").await?;
    let action = client.action(campaign.action).await?.action;
    let zone = zones.iter().find(|zone| zone.id == campaign.zone).map(|zone| zone.alias.clone());
    let set =
        sets.iter().find(|set| set.id() == campaign.plan.key_set).map(|set| set.definition.name.clone());
    let name = |id: &PersonId| {
        persons.iter().find(|p| p.id == *id).map_or_else(|| id.to_string(), |p| p.name.clone())
    };
    let given = |given: &Given| {
        let signed =
            given.signed.peek::<Approval>().map_or_else(|_| "-".to_owned(), |own| when(own.signed_ms.0));
        format!("{} at {signed}", name(&given.person))
    };
    Ok(Who {
        zone: zone.unwrap_or_else(|| campaign.zone.to_string()),
        key_set: set.unwrap_or_else(|| campaign.plan.key_set.to_string()),
        requester: name(&action.requester),
        approvers: action.approvals.iter().map(given).collect::<Vec<_>>().join(", "),
    })
}

// When steps were taken that the campaign itself does not note.
struct Times {
    accept: Option<u64>,
    retire: Option<u64>,
}

async fn times(client: &Client, campaign: &Campaign) -> Result<Times, ClientProblem> {
    let keys: Vec<KeyView> = client.all(&format!("/keys?key_set={}", campaign.plan.key_set)).await?;
    let windows =
        |generation| keys.iter().find(|key| Some(key.generation) == generation).map(|key| &key.windows);
    Ok(Times {
        accept: windows(Some(campaign.new_generation())).and_then(|windows| windows.recipient_from),
        retire: windows(campaign.retiring).and_then(|windows| windows.recipient_until),
    })
}

/// Every node and key set that it should hold: what it protects with by its receipts, and whether that is what the
/// centre has ordered.
pub async fn compliance(client: &Client) -> Result<Report, ClientProblem> {
    let nodes: Vec<Node> = client.all("/nodes").await?;
    let sets: Vec<KeySet> = client.all("/key-sets").await?;
    let zones: Vec<Zone> = client.all("/zones").await?;
    let holders: Vec<HolderView> = client.all("/holders").await?;
    let mut held: BTreeMap<_, Vec<&HolderView>> = BTreeMap::new();
    for holder in &holders {
        held.entry((holder.node, holder.key_set)).or_default().push(holder);
    }
    let now = crate::client::utc_ms();
    let (mut rows, mut behind) = (Vec::new(), 0);
    for node in &nodes {
        let age = node.root_kek.as_ref().map(|kek| now.saturating_sub(kek.since_utc_ms) / 86_400_000);
        for zone in zones.iter().filter(|zone| node.zones.contains(&zone.id)) {
            let own = |set: &&KeySet| zone.key_sets.contains(&set.id()) && set.holders == Holders::Members;
            for set in sets.iter().filter(own) {
                let copies = held.get(&(node.id, set.id())).map(Vec::as_slice).unwrap_or_default();
                let used =
                    copies.iter().filter(|c| c.progress == Progress::Activated).map(|c| c.generation).max();
                let old = copies
                    .iter()
                    .filter(|c| c.progress == Progress::Accepting || c.progress == Progress::Activated);
                let processes: Vec<String> = old.map(|c| c.generation.to_string()).collect();
                let standing = match node.stopped() {
                    Some(stopped) => stopped,
                    None if used == set.protecting => "as ordered",
                    None => "behind",
                };
                behind += usize::from(standing == "behind");
                rows.push(vec![
                    node.name.clone(),
                    format!("{:?}", node.class),
                    format!("{:?}", node.traffic),
                    zone.alias.clone(),
                    set.definition.name.clone(),
                    set.protecting.map_or_else(|| "none".to_owned(), |g| g.to_string()),
                    used.map_or_else(|| "none".to_owned(), |g| g.to_string()),
                    processes.join(" "),
                    standing.to_owned(),
                    age.map_or_else(|| "none".to_owned(), |days| days.to_string()),
                    certificate_days(node, now),
                ]);
            }
        }
    }
    let mut facts = facts(client).await?;
    facts.push(("nodes".to_owned(), nodes.len().to_string()));
    facts.push(("behind".to_owned(), behind.to_string()));
    facts.extend(stopped(&nodes));
    let ends = |node: &&Node| {
        let until = node.certificate_until_utc_ms;
        until > 0 && until.saturating_sub(now) <= CERTIFICATE_WARN_MS
    };
    let ending = nodes.iter().filter(|node| node.standing == Standing::Active).filter(ends).count();
    facts.push(("certificates that end within 60 days".to_owned(), ending.to_string()));
    Ok(Report {
        title: "Nodes against orders".to_owned(),
        facts,
        columns: columns(&[
            "node",
            "class",
            "traffic",
            "zone",
            "key set",
            "ordered",
            "protects",
            "processes",
            "standing",
            "root KEK days",
            "certificate days left",
        ]),
        rows,
    })
}

// How many nodes hold no orders to be judged by, by why.
fn stopped(nodes: &[Node]) -> impl Iterator<Item = (String, String)> {
    ["suspended", "quarantined", "revoked"].into_iter().map(|why| {
        let count = nodes.iter().filter(|node| node.stopped() == Some(why)).count();
        (format!("{why} nodes"), count.to_string())
    })
}

// Days for which a node's transport certificate is still valid.
fn certificate_days(node: &Node, now: u64) -> String {
    match node.certificate_until_utc_ms {
        0 => "unknown".to_owned(),
        until => (until.saturating_sub(now) / 86_400_000).to_string(),
    }
}

/// Every node: what it is and how far it is behind.
pub async fn nodes(client: &Client) -> Result<Report, ClientProblem> {
    let nodes: Vec<Node> = client.all("/nodes").await?;
    let zones: Vec<Zone> = client.all("/zones").await?;
    let row = |node: &Node| {
        let of = |zone: &&Zone| node.zones.contains(&zone.id);
        let zones: Vec<_> = zones.iter().filter(of).map(|zone| zone.alias.clone()).collect();
        let kek = node.root_kek.as_ref();
        vec![
            node.name.clone(),
            format!("{:?}", node.class),
            match (node.stopped(), &node.quarantined) {
                (Some(stopped), Some(why)) => format!("{stopped}: {why}"),
                (Some(stopped), None) => stopped.to_owned(),
                (None, _) => "active".to_owned(),
            },
            format!("{:?}", node.traffic),
            zones.join(", "),
            if node.seen_utc_ms == 0 { "never".to_owned() } else { when(node.seen_utc_ms) },
            node.skew_ms.to_string(),
            kek.map_or_else(
                || "none".to_owned(),
                |kek| format!("{} since {}", kek.number, when(kek.since_utc_ms)),
            ),
            node.id.to_string(),
        ]
    };
    let mut facts = facts(client).await?;
    facts.push(("nodes".to_owned(), nodes.len().to_string()));
    facts.extend(stopped(&nodes));
    Ok(Report {
        title: "Nodes".to_owned(),
        facts,
        columns: columns(&[
            "node", "class", "standing", "traffic", "zones", "seen", "skew ms", "root KEK", "id",
        ]),
        rows: nodes.iter().map(row).collect(),
    })
}
