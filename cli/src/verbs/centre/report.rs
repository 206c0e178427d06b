//! `payhsm report inventory|expiring|campaign|nodes|compliance`: facts for people and auditors, made by the manager and
//! rendered here.

use super::campaign::chosen;
use super::place::{Place, block_on, table};
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use keylink::CampaignId;
use keymgr::report::fetch;
use std::path::PathBuf;

/// Reports.
#[derive(Debug, Subcommand)]
pub enum Report {
    /// Every key, and how many nodes hold it.
    Inventory(Form),
    /// Keys that stop to protect soon.
    Expiring {
        /// Within so many days.
        #[arg(long, default_value_t = 30)]
        days: u64,
        #[command(flatten)]
        form: Form,
    },
    /// One campaign: what each node has receipted.
    Campaign {
        /// The campaign; the newest when missing.
        campaign: Option<CampaignId>,
        #[command(flatten)]
        form: Form,
    },
    /// Every node.
    Nodes(Form),
    /// Every node and key set: what was ordered, and what the node does by its receipts.
    Compliance(Form),
}

impl Report {
    const fn form(&self) -> &Form {
        match self {
            Self::Inventory(form) | Self::Nodes(form) | Self::Compliance(form) => form,
            Self::Expiring { form, .. } | Self::Campaign { form, .. } => form,
        }
    }
}

/// How it is written.
#[derive(Debug, Args)]
pub struct Form {
    /// HTML that prints well and refers to nothing outside of itself.
    #[arg(long, conflicts_with_all = ["csv", "json"])]
    html: bool,
    /// CSV.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// File to write instead of standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(verb: &Report) -> Exit {
    let client = verb.form().place.client()?;
    let path = match &verb {
        Report::Inventory(_) => "inventory".to_owned(),
        Report::Expiring { days, .. } => format!("expiring?days={days}"),
        Report::Campaign { campaign, .. } => format!("campaign/{}", chosen(&client, *campaign)?),
        Report::Nodes(_) => "nodes".to_owned(),
        Report::Compliance(_) => "compliance".to_owned(),
    };
    let (form, made) = (verb.form(), block_on(fetch(&client, &path))?);
    let text = if form.html {
        made.html().map_err(Failure::environment)?
    } else if form.csv {
        made.csv()
    } else if form.place.json {
        serde_json::to_string_pretty(&made).map_err(Failure::environment)?
    } else {
        let facts: String = made.facts.iter().map(|(name, value)| format!("{name:<16} {value}\n")).collect();
        let head: Vec<&str> = made.columns.iter().map(String::as_str).collect();
        format!("{}\n{facts}\n{}", made.title, table(&head, &made.rows))
    };
    match &form.to {
        Some(file) => {
            std::fs::write(file, text).map_err(|e| Failure::environment(format!("{}: {e}", file.display())))
        }
        None => {
            println!("{}", text.trim_end());
            Ok(())
        }
    }
}
