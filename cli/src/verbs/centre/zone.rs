//! `payhsm zone new|list|show`: virtual networks with the keys that their members share.

use super::place::{Place, block_on, named, show, table};
use super::{node, reaffirm, span_ms};
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand, ValueEnum};
use keylink::NodeId;
use keylink::message::{KeyKind, Overlap, Shape};
use keymgr::api::NodeView as Node;
use keymgr::client::{ZoneWishes, plan_zone};
use keymgr::core::key::KeySet;
use keymgr::core::node::Zone as Record;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Zones.
#[derive(Debug, Subcommand)]
pub enum Zone {
    /// Asks for a zone with its members and a key set.
    New(Box<New>),
    /// Asks for nodes to become members.
    Add(Members),
    /// Asks for nodes to leave.
    Remove(Members),
    /// Asks again for all that was approved about a zone and its keys, because officers who had approved it have
    /// left.
    Reaffirm(One),
    /// Lists zones.
    List(Place),
    /// Shows one zone.
    Show(One),
}

/// A kind of key, as it is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KindName {
    /// Zone master key; stays at the centre.
    Zmk,
    /// Zone PIN key.
    Zpk,
    /// Terminal master key.
    Tmk,
    /// Terminal PIN key.
    Tpk,
}

impl From<KindName> for KeyKind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Zmk => Self::Zmk,
            KindName::Zpk => Self::Zpk,
            KindName::Tmk => Self::Tmk,
            KindName::Tpk => Self::Tpk,
        }
    }
}

/// Arguments of `zone new`.
#[derive(Debug, Args)]
pub struct New {
    /// Name.
    zone: String,
    /// Members, by name or id; those who have asked and are about to be let in count as well.
    #[arg(long, value_delimiter = ',')]
    nodes: Vec<String>,
    /// Node that asks to be let in, as NAME=FINGERPRINT, repeatable: it is let in and becomes a member.
    #[arg(long, value_name = "NAME=FINGERPRINT")]
    enrol: Vec<String>,
    /// Kind of its key set.
    #[arg(long, value_enum, default_value = "zpk")]
    kind: KindName,
    /// Cipher and length: TDES-2, TDES-3, AES-128, AES-192 or AES-256.
    #[arg(long, default_value = "TDES-2", value_parser = shape)]
    shape: Shape,
    /// First of three indices in a row of user storage, hexadecimal; the lowest free ones when missing.
    #[arg(long, value_parser = index)]
    base: Option<u16>,
    /// Hosts say which generation they mean, so that several may be processed.
    #[arg(long)]
    selector: bool,
    /// How long the old key is processed after a switch.
    #[arg(long, value_parser = span_ms, value_name = "SPAN")]
    overlap: Option<u64>,
    /// Time between the order to protect and the moment of it.
    #[arg(long, value_parser = span_ms, value_name = "SPAN")]
    lead: Option<u64>,
    /// Keys may leave under a ZMK.
    #[arg(long)]
    exportable: bool,
    /// Production keys.
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    place: Place,
}

/// A zone and nodes.
#[derive(Debug, Args)]
pub struct Members {
    /// Name or id of the zone.
    zone: String,
    /// Nodes, by name or id.
    #[arg(required = true)]
    nodes: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// One zone.
#[derive(Debug, Args)]
pub struct One {
    /// Name or id.
    pub(super) zone: String,
    #[command(flatten)]
    pub(super) place: Place,
}

pub(super) fn shape(text: &str) -> Result<Shape, String> {
    serde_json::from_value(Value::String(text.to_ascii_uppercase()))
        .map_err(|_| "one of TDES-2, TDES-3, AES-128, AES-192, AES-256".to_owned())
}

pub(super) fn index(text: &str) -> Result<u16, String> {
    u16::from_str_radix(text.trim_start_matches(['K', 'k']), 16)
        .map_err(|_| "three hexadecimal digits".to_owned())
}

/// Runs the verb.
pub fn run(verb: Zone) -> Exit {
    match verb {
        Zone::New(args) => new(&args),
        Zone::Add(args) => {
            members(&args, |zone, nodes| keymgr::core::action::Act::AddMembers { zone, nodes })
        }
        Zone::Remove(args) => {
            members(&args, |zone, nodes| keymgr::core::action::Act::RemoveMembers { zone, nodes })
        }
        Zone::Reaffirm(args) => reaffirm::zone(&args),
        Zone::List(place) => list(&place),
        Zone::Show(args) => one(&args),
    }
}

fn new(args: &New) -> Exit {
    let client = args.place.client()?;
    let known: Vec<Node> = block_on(client.all("/nodes"))?;
    let asking: Vec<Value> = block_on(client.all("/enrolments"))?;
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    // One that has been let in asks on until it has its certificate.
    let all: BTreeSet<(String, String)> = known
        .iter()
        .map(|n| (n.name.clone(), n.id.to_string()))
        .chain(asking.iter().map(|one| (text(one, "name"), text(one, "node"))))
        .collect();
    let by_name = |name: &String| -> Result<NodeId, Failure> {
        let (_, id) = named(&all, "node", name, |one| (&one.0, one.1.clone()))?;
        id.parse().map_err(|_| Failure::environment("the manager's list of nodes cannot be read"))
    };
    let mut nodes = args.nodes.iter().map(by_name).collect::<Result<BTreeSet<_>, _>>()?;
    let let_in = if args.enrol.is_empty() { Vec::new() } else { node::chosen(&asking, &args.enrol, false)? };
    nodes.extend(let_in.iter().map(|new| NodeId::of(&new.key)));
    let wishes = ZoneWishes {
        alias: args.zone.clone(),
        nodes,
        live: args.live,
        kind: args.kind.into(),
        shape: args.shape,
        base: args.base,
        overlap: if args.selector { Overlap::Selector } else { Overlap::Time },
        overlap_ms: args.overlap,
        lead_ms: args.lead,
        exportable: args.exportable,
    };
    let (_, mut acts) = block_on(plan_zone(&client, &wishes))?;
    if !let_in.is_empty() {
        acts.insert(0, keymgr::core::action::Act::EnrolNodes(let_in));
    }
    super::ask(&args.place, &client, &acts)
}

/// A zone by name or id.
pub fn find(client: &keymgr::client::Client, name: &str) -> Result<Record, Failure> {
    let zones: Vec<Record> = block_on(client.all("/zones"))?;
    named(zones, "zone", name, |zone| (&zone.alias, zone.id.to_string()))
}

fn members(
    args: &Members,
    act: impl FnOnce(keylink::ZoneId, BTreeSet<NodeId>) -> keymgr::core::action::Act,
) -> Exit {
    let client = args.place.client()?;
    let zone = find(&client, &args.zone)?;
    let nodes = args.nodes.iter().map(|name| node::find(&client, name).map(|node| node.id));
    let act = act(zone.id, nodes.collect::<Result<_, _>>()?);
    super::ask(&args.place, &client, &[act])
}

fn list(place: &Place) -> Exit {
    let client = place.client()?;
    let zones: Vec<Record> = block_on(client.all("/zones"))?;
    show(place.json, &zones, |zones| {
        let row = |z: &Record| {
            let live = if z.live { "live" } else { "test" };
            vec![
                z.alias.clone(),
                live.into(),
                z.members.to_string(),
                z.key_sets.len().to_string(),
                z.id.to_string(),
            ]
        };
        table(&["zone", "keys", "members", "key sets", "id"], &zones.iter().map(row).collect::<Vec<_>>())
    })
}

fn one(args: &One) -> Exit {
    let client = args.place.client()?;
    let zone = find(&client, &args.zone)?;
    let (nodes, sets): (Vec<Node>, Vec<KeySet>) =
        block_on(async { Ok((client.all("/nodes").await?, client.all("/key-sets").await?)) })?;
    let nodes: Vec<Node> = nodes.into_iter().filter(|node| node.zones.contains(&zone.id)).collect();
    let sets: Vec<KeySet> = sets.into_iter().filter(|set| zone.key_sets.contains(&set.id())).collect();
    show(args.place.json, &json!({ "zone": zone, "members": nodes, "key_sets": sets }), |_| {
        let node = |n: &Node| vec![n.name.clone(), format!("{:?}", n.traffic), n.id.to_string()];
        let set = |s: &KeySet| {
            let i = s.definition.indices;
            vec![
                s.definition.name.clone(),
                format!("{} {:?}", s.definition.kind.name(), s.definition.shape),
                format!("K{:03X} K{:03X} K{:03X}", i.base, i.odd, i.even),
                s.protecting.map_or_else(|| "none".to_owned(), |g| g.to_string()),
            ]
        };
        format!(
            "{} ({})\n\n{}\n{}",
            zone.alias,
            zone.id,
            table(&["member", "state", "id"], &nodes.iter().map(node).collect::<Vec<_>>()),
            table(&["key set", "kind", "indices", "protects"], &sets.iter().map(set).collect::<Vec<_>>())
        )
    })
}
