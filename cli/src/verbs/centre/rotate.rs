//! `payhsm rotate zone Z`: new keys for a zone. First what would happen, then the request.

use super::campaign::watch;
use super::place::{Place, block_on, confirmed, show, table};
use super::{node, span_ms, when};
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use keymgr::api::{PreviewNodeView, PreviewView};
use keymgr::client::{Client, RotateWishes, Rotation, plan_rotation};
use keymgr::core::action::Act;
use serde_json::json;

/// Rotations.
#[derive(Debug, Subcommand)]
pub enum Rotate {
    /// New keys for every key set of a zone.
    Zone(Box<ZoneArgs>),
}

/// Arguments of `rotate zone`.
#[derive(Debug, Args)]
pub struct ZoneArgs {
    /// Name or id of the zone.
    zone: String,
    /// Does not wait for nodes, and quarantines those that do not answer; needs three officers and a reason.
    #[arg(long, requires = "reason")]
    emergency: bool,
    /// Why, for an emergency.
    #[arg(long)]
    reason: Option<String>,
    /// Node out of traffic that is not waited for, repeatable. Nodes declared offline, or stopped by people, are named by themselves.
    #[arg(long, value_name = "NODE")]
    except: Vec<String>,
    /// Another overlap than the policy's.
    #[arg(long, value_parser = span_ms, value_name = "SPAN")]
    overlap: Option<u64>,
    /// Nobody protects with the new key before this span from now is over.
    #[arg(long, value_parser = span_ms, value_name = "SPAN")]
    after: Option<u64>,
    /// Brings this generation, formed or imported before, instead of drawing a key.
    #[arg(long, value_name = "GENERATION")]
    existing: Option<u32>,
    /// Shows what would happen and asks for nothing.
    #[arg(long)]
    dry_run: bool,
    /// Asks without a question.
    #[arg(long)]
    yes: bool,
    /// Waits for the approvals and follows the campaign to its end.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(verb: Rotate) -> Exit {
    let Rotate::Zone(args) = verb;
    let client = args.place.client()?;
    let excepted = args.except.iter().map(|name| node::find(&client, name).map(|node| node.id));
    let wishes = RotateWishes {
        key_sets: std::collections::BTreeSet::new(),
        excepted: excepted.collect::<Result<_, Failure>>()?,
        overlap_ms: args.overlap,
        not_before: args.after.map(|span| keymgr::client::utc_ms() + span),
        existing: args.existing.map(keylink::Generation),
        emergency: args.emergency.then(|| args.reason.clone().unwrap_or_default()),
    };
    let plan = block_on(plan_rotation(&client, &args.zone, &wishes))?;
    let previews = previews(&client, &plan)?;
    if args.dry_run {
        return show(args.place.json, &json!({ "rotation": plan, "previews": previews }), |_| {
            preview(&plan, &previews)
        });
    }
    eprintln!("{}", preview(&plan, &previews));
    confirmed(args.yes, "Ask for this?")?;
    let asked = block_on(client.propose(&plan.act))?;
    let campaigns: Vec<_> = plan.targets.iter().map(|target| target.campaign).collect();
    let report =
        json!({ "action": asked.action, "hash": asked.hash, "quorum": asked.quorum, "campaigns": campaigns });
    show(args.place.json, &report, |_| {
        let list: String = campaigns.iter().map(|id| format!("\ncampaign {id}")).collect();
        format!("action {} needs {} approvals{list}", asked.action, asked.needed(&plan.act))
    })?;
    if args.watch {
        return campaigns.iter().try_for_each(|id| watch(&client, *id, args.place.json, true));
    }
    Ok(())
}

// As the manager sees it at this moment.
fn previews(client: &Client, plan: &Rotation) -> Result<Vec<PreviewView>, Failure> {
    block_on(async {
        let mut all = Vec::new();
        for target in &plan.targets {
            let emergency = matches!(plan.act, Act::RotateAtOnce { .. });
            let path = format!(
                "/key-sets/{}/preview?not_before={}&emergency={emergency}",
                target.key_set, target.protect_not_before
            );
            all.push(client.get(&path).await?);
        }
        Ok(all)
    })
}

fn preview(plan: &Rotation, previews: &[PreviewView]) -> String {
    let emergency = matches!(plan.act, Act::RotateAtOnce { .. });
    let kind = if emergency { ", emergency: the gate is not waited for" } else { "" };
    let mut text = format!("zone {}: {} new key(s){kind}\n", plan.zone, plan.targets.len());
    for (target, seen) in plan.targets.iter().zip(previews) {
        text += &format!(
            "  key set {}, generation {} after {}: needs {} approvals\n    protects not before {}, old key processed until {} at the earliest, alarm if not done by {}\n",
            target.key_set,
            target.generation,
            seen.old.map_or_else(|| "none".to_owned(), |old| old.to_string()),
            seen.quorum.persons(),
            when(seen.protect_from),
            when(seen.protect_from + target.overlap_ms.0),
            when(target.deadline.0)
        );
    }
    let row = |node: &PreviewNodeView| {
        let waited = if plan.gated.contains(&node.name) { "yes" } else { "no" };
        let heard = if node.reachable { "heard" } else { "silent" };
        let traffic = format!("{:?}", node.traffic);
        let skew = format!("{} ms", node.skew_ms);
        let mut obstacles = node.obstacles.clone();
        if plan.excepted.contains(&node.name) && !node.may_be_excepted {
            obstacles.push("serves hosts: not to be excepted".to_owned());
        }
        let obstacles = if obstacles.is_empty() { "none".to_owned() } else { obstacles.join(", ") };
        vec![
            node.name.clone(),
            waited.to_owned(),
            traffic,
            heard.to_owned(),
            skew,
            format!("{:?}", node.class),
            obstacles,
        ]
    };
    let rows: Vec<_> = previews.iter().take(1).flat_map(|seen| seen.nodes.iter().map(row)).collect();
    let head = ["node", "waited for", "traffic", "reachable", "clock", "class", "in the way"];
    text += &match emergency {
        true => "waits for nobody; nodes that do not answer are quarantined\n".to_owned(),
        false => format!("waits for {} of {} node(s)\n", plan.gated.len(), rows.len()),
    };
    text += &table(&head, &rows);
    text += "blocks in flight at the switch may fail unless hosts carry the generation or stay within the overlap";
    text
}
