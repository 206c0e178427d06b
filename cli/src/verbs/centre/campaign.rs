//! `payhsm campaign list|show|watch|pause|resume|abort|rollback|except`.

use super::place::{Place, block_on, show, table};
use super::{node, when};
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use keylink::CampaignId;
use keymgr::api::Watched;
use keymgr::client::{Client, ClientProblem};
use keymgr::core::action::Act;
use keymgr::core::campaign::{Campaign as Record, Delivery, Phase};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Campaigns.
#[derive(Debug, Subcommand)]
pub enum Campaign {
    /// Lists campaigns.
    List(Place),
    /// Shows one campaign and what each node owes it.
    Show(One),
    /// Follows a campaign to its end. Exit code 1: it did not complete.
    Watch(Watch),
    /// Stops a campaign from going on. One person may.
    Pause(One),
    /// Asks for a paused campaign to go on.
    Resume(One),
    /// Asks for the end of a campaign before nodes protect with its key.
    Abort(One),
    /// Asks for the old key to protect again.
    Rollback(One),
    /// Asks that nodes out of traffic are not waited for.
    Except(Except),
}

/// One campaign.
#[derive(Debug, Args)]
pub struct One {
    /// The campaign; the newest when missing.
    campaign: Option<CampaignId>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `campaign watch`.
#[derive(Debug, Args)]
pub struct Watch {
    /// The campaign; the newest when missing.
    campaign: Option<CampaignId>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `campaign except`.
#[derive(Debug, Args)]
pub struct Except {
    /// The campaign.
    campaign: CampaignId,
    /// Nodes, by name or id.
    #[arg(required = true)]
    nodes: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(verb: Campaign) -> Exit {
    match verb {
        Campaign::List(place) => list(&place),
        Campaign::Show(args) => one(&args),
        Campaign::Watch(args) => {
            let client = args.place.client()?;
            let id = chosen(&client, args.campaign)?;
            watch(&client, id, args.place.json, false)
        }
        Campaign::Pause(args) => {
            let client = args.place.client()?;
            let id = chosen(&client, args.campaign)?;
            let done: Value = block_on(client.post(&format!("/campaigns/{id}/pause"), &json!({})))?;
            show(args.place.json, &done, |_| format!("campaign {id} is paused"))
        }
        Campaign::Resume(args) => ask(&args, |campaign| Act::ResumeCampaign { campaign }),
        Campaign::Abort(args) => ask(&args, |campaign| Act::AbortCampaign { campaign }),
        Campaign::Rollback(args) => ask(&args, |campaign| Act::RollBack { campaign }),
        Campaign::Except(args) => {
            let client = args.place.client()?;
            let nodes = args.nodes.iter().map(|name| node::find(&client, name).map(|node| node.id));
            let act = Act::ExceptNodes { campaign: args.campaign, nodes: nodes.collect::<Result<_, _>>()? };
            super::ask(&args.place, &client, &[act])
        }
    }
}

fn all(client: &Client) -> Result<Vec<Record>, Failure> {
    let mut all: Vec<Record> = block_on(client.all("/campaigns"))?;
    // Ids of actions sort in the order in which they were asked for, whatever clocks said.
    all.sort_by_key(|campaign| (campaign.action, campaign.began, campaign.id));
    Ok(all)
}

/// The named campaign, or the newest.
pub fn chosen(client: &Client, named: Option<CampaignId>) -> Result<CampaignId, Failure> {
    let found = match named {
        Some(id) => Some(id),
        None => all(client)?.last().map(|campaign| campaign.id),
    };
    found.ok_or_else(|| Failure::check("there is no campaign"))
}

fn ask(args: &One, act: impl FnOnce(CampaignId) -> Act) -> Exit {
    let client = args.place.client()?;
    let id = chosen(&client, args.campaign)?;
    super::ask(&args.place, &client, &[act(id)])
}

fn list(place: &Place) -> Exit {
    let campaigns = all(&place.client()?)?;
    show(place.json, &campaigns, |campaigns| {
        let row = |c: &Record| {
            let paused = if c.paused { " (paused)" } else { "" };
            let gated = format!("{} nodes", c.counts.gated);
            vec![c.id.to_string(), format!("{:?}{paused}", c.phase), gated, when(c.began)]
        };
        table(&["campaign", "phase", "waits for", "began"], &campaigns.iter().map(row).collect::<Vec<_>>())
    })
}

fn one(args: &One) -> Exit {
    let client = args.place.client()?;
    let id = chosen(&client, args.campaign)?;
    let (campaign, owed): (Record, Vec<Delivery>) = block_on(async {
        let path = format!("/campaigns/{id}");
        Ok((client.get(&path).await?, client.all(&format!("{path}/deliveries")).await?))
    })?;
    show(args.place.json, &json!({ "campaign": campaign, "deliveries": owed }), |_| {
        let text = serde_json::to_string_pretty(&campaign).unwrap_or_default();
        let rows: Vec<_> = owed.iter().map(|d| vec![d.node.to_string(), d.gated.to_string()]).collect();
        format!("{text}\n{}", table(&["node", "waited for"], &rows))
    })
}

/// Follows a campaign to its end; with `to_come` it may not have begun yet.
pub fn watch(client: &Client, id: CampaignId, json: bool, to_come: bool) -> Exit {
    let bar = ProgressBar::new(7);
    if let Ok(style) = ProgressStyle::with_template("{bar:28} {msg} {elapsed}") {
        bar.set_style(style);
    }
    let began = Instant::now();
    let mut seen = String::new();
    let ended = block_on(async {
        loop {
            let see = |now: &Watched| {
                let c = &now.campaign;
                bar.set_position(step(c.phase));
                bar.set_message(progress(c));
                // A stream that begins anew begins with what was seen before.
                if json && now.seen != seen {
                    println!("{}", serde_json::to_string(c).unwrap_or_default());
                }
                seen.clone_from(&now.seen);
            };
            match client.follow(id, see).await {
                Ok(Some(now)) if !now.campaign.phase.is_live() => return Ok(now.campaign),
                // The stream broke: the manager ends, or the net does.
                Ok(_) => tokio::time::sleep(Duration::from_millis(500)).await,
                // Not approved yet, or the manager is away for a moment.
                Err(ClientProblem::Refused(p)) if to_come && p.code == "unknown" => {
                    bar.set_message("waits for approvals");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(ClientProblem::Unreachable(_)) if began.elapsed() < Duration::from_secs(600) => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(problem) => return Err(problem),
            }
        }
    });
    bar.finish_and_clear();
    let campaign = ended?;
    if !json {
        println!("campaign {id}: {:?}", campaign.phase);
    }
    match campaign.phase {
        Phase::Completed | Phase::CompletedWithExceptions => Ok(()),
        other => Err(Failure::check(format!("the campaign ended as {other:?}"))),
    }
}

// How far the nodes are that the gate of this phase waits for.
fn progress(c: &Record) -> String {
    let paused = if c.paused { " (paused)" } else { "" };
    match c.phase.awaits() {
        Some(mark) => format!("{:?}{paused}: {} of {} nodes", c.phase, c.counts.of(mark), c.counts.gated),
        None => format!("{:?}{paused}, {} nodes", c.phase, c.counts.gated),
    }
}

const fn step(phase: Phase) -> u64 {
    match phase {
        Phase::Generating => 0,
        Phase::Staging => 1,
        Phase::Accepting => 2,
        Phase::Protecting => 3,
        Phase::Overlap | Phase::RollingBack | Phase::Withdrawing => 4,
        Phase::Retiring => 5,
        _ => 7,
    }
}
