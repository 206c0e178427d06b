//! `payhsm approve list|show|sign|withdraw`: what waits for officers, read and signed by the officer's own program.

use super::place::{Place, block_on, confirmed, failure, show, table};
use super::when;
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use keylink::ActionId;
use keymgr::api::ActionView;
use keymgr::client::{Client, judge};
use keymgr::core::input::Outcome;
use keymgr::core::people::Person;
use reqwest::Method;
use serde_json::json;

/// Approvals.
#[derive(Debug, Subcommand)]
pub enum Approve {
    /// Lists what waits for approvals.
    List(Place),
    /// Shows one action in full.
    Show(Show),
    /// Signs actions, each shown in full before.
    Sign(Sign),
    /// Takes back an action that you have asked for.
    Withdraw(Show),
}

/// Arguments of `approve show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The action.
    action: ActionId,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `approve sign`.
#[derive(Debug, Args)]
pub struct Sign {
    /// The actions.
    #[arg(required_unless_present = "all")]
    actions: Vec<ActionId>,
    /// Everything that waits and is not signed by you, in the order in which it was asked for.
    #[arg(long, conflicts_with = "actions")]
    all: bool,
    /// Signs without asking.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(verb: Approve) -> Exit {
    match verb {
        Approve::List(place) => list(&place),
        Approve::Show(args) => {
            let client = args.place.client()?;
            let view = block_on(client.action(args.action))?;
            let text = full(&client, &view)?;
            show(args.place.json, &view, |_| text)
        }
        Approve::Sign(args) => sign(&args),
        Approve::Withdraw(args) => {
            let client = args.place.client()?;
            let path = format!("/actions/{}", args.action);
            let done: Outcome = block_on(client.write(Method::DELETE, &path, &json!({})))?;
            show(args.place.json, &done, |_| format!("{} is taken back", args.action))
        }
    }
}

fn list(place: &Place) -> Exit {
    let client = place.client()?;
    let pending = block_on(client.pending())?;
    show(place.json, &pending, |pending| {
        let row = |view: &ActionView| {
            let a = &view.action;
            let given = format!("{} of {}", a.approvals.len(), a.quorum.persons());
            vec![view.word.clone().unwrap_or_default(), a.id.to_string(), given, when(a.expires.0)]
        };
        table(&["action", "id", "approved", "waits until"], &pending.iter().map(row).collect::<Vec<_>>())
    })
}

// What is signed, from the bytes that are signed.
fn full(client: &Client, view: &ActionView) -> Result<String, Failure> {
    let (kmc, persons) = block_on(async {
        // Custodians may look at actions and not at everybody.
        let persons: Vec<Person> = client.all("/persons").await.unwrap_or_default();
        Ok((client.kmc().await?, persons))
    })?;
    let (hash, act) = judge(view, kmc).map_err(failure)?;
    let name = |id: &keylink::PersonId| {
        persons.iter().find(|p| p.id == *id).map_or_else(|| id.to_string(), |p| p.name.clone())
    };
    let approved: Vec<String> = view.action.approvals.iter().map(|given| name(&given.person)).collect();
    let content = serde_json::to_string_pretty(&act).map_err(Failure::environment)?;
    let grants = serde_json::to_string_pretty(&view.action.grants).map_err(Failure::environment)?;
    Ok(format!(
        "action    {} ({})\nasked by  {}\nneeds     {} persons besides; given by: {}\nwaits     until {}\nhash      {hash}\n\
         content   {content}\nallows nodes {grants}\n",
        act.word(),
        view.action.id,
        name(&view.action.requester),
        view.action.quorum.persons(),
        if approved.is_empty() { "nobody".to_owned() } else { approved.join(", ") },
        when(view.action.expires.0),
    ))
}

fn sign(args: &Sign) -> Exit {
    let client = args.place.client()?;
    let me = block_on(client.me())?;
    let views = block_on(async {
        if args.all {
            let own = |view: &ActionView| view.action.approvals.iter().any(|given| given.person == me.person);
            let pending = client.pending().await?;
            return Ok(pending.into_iter().filter(|v| !own(v) && v.action.requester != me.person).collect());
        }
        let mut views = Vec::new();
        for id in &args.actions {
            views.push(client.action(*id).await?);
        }
        Ok(views)
    })?;
    let mut done = Vec::new();
    for view in &views {
        eprintln!("{}", full(&client, view)?);
        confirmed(args.yes, "Approve this?")?;
        let outcome = block_on(client.approve(view))?;
        done.push(json!({ "action": view.action.id, "word": view.word, "outcome": outcome }));
    }
    show(args.place.json, &done, |done| match done.len() {
        0 => "nothing waits for you".to_owned(),
        count => format!("{count} approved"),
    })
}
