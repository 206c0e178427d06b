//! `payhsm zone reaffirm` and `payhsm key reaffirm`: what was approved is approved again, because officers who had
//! approved it have left.

use super::key::named;
use super::place::{Place, block_on};
use super::zone::{One, find};
use crate::exit::Exit;
use clap::{Args, ValueEnum};
use keymgr::client::{plan_reaffirm, reaffirm};
use keymgr::core::action::{Act, KeyRef, Reaffirmed};

/// What about a key.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum What {
    /// That nodes get it.
    Key,
    /// That it is taken from nodes, and destroyed.
    End,
    /// That protection was given back to an older key.
    RollBack,
    /// That its key set stands still.
    Suspension,
    /// That it does so no more.
    Resumption,
}

/// Arguments of `key reaffirm`.
#[derive(Debug, Args)]
pub struct Again {
    /// `SET/GENERATION`, the set by name or id.
    key: String,
    /// What about it.
    #[arg(long, value_enum, default_value = "key")]
    what: What,
    #[command(flatten)]
    place: Place,
}

/// Asks again for what holds about one key.
pub fn key(args: &Again) -> Exit {
    let client = args.place.client()?;
    let of = match args.what {
        What::Key => Reaffirmed::Key as fn(KeyRef) -> Reaffirmed,
        What::End => Reaffirmed::End,
        What::RollBack => Reaffirmed::RollBack,
        What::Suspension => Reaffirmed::Suspension,
        What::Resumption => Reaffirmed::Resumption,
    };
    super::ask(&args.place, &client, &[Act::Reaffirm(of(named(&client, &args.key)?))])
}

/// Asks again for all that holds about a zone.
pub fn zone(args: &One) -> Exit {
    let client = args.place.client()?;
    let zone = find(&client, &args.zone)?;
    let asked = block_on(async { reaffirm(&client, &plan_reaffirm(&client, &zone).await?).await })?;
    let word = |(what, proposed)| {
        let act = Act::Reaffirm(what);
        (act.word().to_owned() + " " + &text(what), act, proposed)
    };
    super::asked(&args.place, &asked.into_iter().map(word).collect::<Vec<_>>())
}

fn text(what: Reaffirmed) -> String {
    match what {
        Reaffirmed::Zone(_) => "members".to_owned(),
        Reaffirmed::KeySet(set) => format!("key set {set}"),
        Reaffirmed::Key(key) => format!("key {key}"),
        Reaffirmed::End(key) => format!("end of {key}"),
        Reaffirmed::RollBack(key) => format!("roll-back, {key}"),
        Reaffirmed::Suspension(key) => format!("suspension, {key}"),
        Reaffirmed::Resumption(key) => format!("resumption, {key}"),
    }
}
