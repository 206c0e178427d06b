//! `payhsm approve list|show|sign|withdraw`: what waits for officers, read and signed by the officer's own program.

use super::names::Names;
use super::place::{Place, block_on, confirmed, failure, show, table};
use super::when;
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use keylink::{ActionId, KmcId};
use keymgr::api::ActionView;
use keymgr::client::judge;
use keymgr::core::action::Act;
use keymgr::core::approval::persons_needed;
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
            let kmc = block_on(client.kmc())?;
            let names = Names::fetch(&client, std::slice::from_ref(&view))?;
            let text = full(kmc, &names, &view)?;
            show(args.place.json, &view, |_| text)
        }
        Approve::Sign(args) => sign(&args),
        Approve::Withdraw(args) => {
            let client = args.place.client()?;
            let done = block_on(client.withdraw(args.action))?;
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
            let given = format!("{} of {}", a.approvals.len(), view.needed);
            vec![view.word.clone().unwrap_or_default(), a.id.to_string(), given, when(a.expires.0)]
        };
        table(&["action", "id", "approved", "waits until"], &pending.iter().map(row).collect::<Vec<_>>())
    })
}

// What is signed, from the bytes that are signed, and beside it what its ids and times mean.
fn full(kmc: KmcId, names: &Names, view: &ActionView) -> Result<String, Failure> {
    let (hash, act) = judge(view, kmc).map_err(failure)?;
    let approved: Vec<String> = view.action.approvals.iter().map(|given| names.of(&given.person)).collect();
    let content = serde_json::to_value(&act).map_err(Failure::environment)?;
    let legend: String = names.legend(&content).iter().map(|line| format!("          {line}\n")).collect();
    let content = serde_json::to_string_pretty(&act).map_err(Failure::environment)?;
    let legend = legend + &succession(kmc, &act)?;
    let grants = serde_json::to_string_pretty(&view.action.grants).map_err(Failure::environment)?;
    Ok(format!(
        "action    {} ({})\nasked by  {}\nneeds     {} persons besides; given by: {}\nwaits     until {}\nhash      {hash}\n\
         content   {content}\nwhich is, by the centre's register\n{legend}allows nodes {grants}\n",
        act.word(),
        view.action.id,
        names.of(&view.action.requester),
        persons_needed(act.class(), view.action.quorum),
        if approved.is_empty() { "nobody".to_owned() } else { approved.join(", ") },
        when(view.action.expires.0),
    ))
}

// What a change of one of the centre's keys says, which its bytes hide.
fn succession(kmc: KmcId, act: &Act) -> Result<String, Failure> {
    let Act::ChangeSigningKey(change) = act else { return Ok(String::new()) };
    let said = change.said().filter(|said| said.kmc == kmc);
    let said = said.ok_or_else(|| Failure::check("the keys do not both say which follows which"))?;
    let [both, alone] = change.documents().map(|document| document.hash());
    Ok(format!(
        "          {} key {} is followed by {}\n          root documents signed with the approval: {both} names both, \
         {alone} the new one alone\n",
        said.key, said.old, said.new
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
    let kmc = block_on(client.kmc())?;
    let names = Names::fetch(&client, &views)?;
    for view in &views {
        eprintln!("{}", full(kmc, &names, view)?);
        confirmed(args.yes, "Approve this?")?;
        let outcome = block_on(client.approve(view))?;
        done.push(json!({ "action": view.action.id, "word": view.word, "outcome": outcome }));
    }
    show(args.place.json, &done, |done| match done.len() {
        0 => "nothing waits for you".to_owned(),
        count => format!("{count} approved"),
    })
}
