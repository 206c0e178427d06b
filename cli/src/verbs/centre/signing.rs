//! `payhsm kmc key list|rotate`: the centre's own keys, and another in the place of one. First what would happen, then
//! the request; once officers have approved, it goes on by itself.

use super::place::{Place, block_on, confirmed, show, table};
use super::when;
use crate::exit::Exit;
use clap::{Args, Subcommand, ValueEnum};
use keylink::succession::CentreKey;
use keymgr::api::{SigningKeyView, SuccessorNodeView, SuccessorView};
use serde_json::{Value, json};

/// The centre's own keys.
#[derive(Debug, Subcommand)]
pub enum KmcKey {
    /// Lists the keys that sign, since when, and how far the change of one is.
    List(Place),
    /// Asks for another key in the place of one. The centre makes it in its sealed folder. It signs when every node that
    /// is waited for knows it, and then the old one is dropped.
    Rotate(Rotate),
}

/// Which key.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// Signs manifests and every other message to nodes.
    Manifest,
    /// Signs checkpoints of the log.
    Checkpoint,
    /// Signs transport certificates: the key of the transport authority.
    Transport,
}

impl From<Which> for CentreKey {
    fn from(which: Which) -> Self {
        match which {
            Which::Manifest => Self::Manifest,
            Which::Checkpoint => Self::Checkpoint,
            Which::Transport => Self::Transport,
        }
    }
}

/// Arguments of `kmc key rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    /// The key.
    which: Which,
    /// Shows what would happen and asks for nothing.
    #[arg(long)]
    dry_run: bool,
    /// Asks without a question.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(verb: KmcKey) -> Exit {
    match verb {
        KmcKey::List(place) => {
            let keys: Vec<SigningKeyView> = block_on(place.client()?.get("/signing-keys"))?;
            show(place.json, &keys, |keys| lines(keys))
        }
        KmcKey::Rotate(args) => rotate(&args),
    }
}

fn rotate(args: &Rotate) -> Exit {
    let (client, key) = (args.place.client()?, CentreKey::from(args.which));
    let path = format!("/signing-keys/{key}/successor");
    let seen: SuccessorView = block_on(client.post(&path, &json!({})))?;
    if args.dry_run {
        return show(args.place.json, &seen, |seen| preview(key, seen));
    }
    eprintln!("{}", preview(key, &seen));
    confirmed(args.yes, "Ask for this?")?;
    super::ask(&args.place, &client, &[seen.act])
}

fn preview(key: CentreKey, seen: &SuccessorView) -> String {
    let row = |node: &SuccessorNodeView| {
        let yes = |is| if is { "yes" } else { "no" }.to_owned();
        let heard = if node.reachable { "heard" } else { "silent" };
        let in_the_way = match node.waited_for && !node.reachable {
            true => "no sign of life",
            false => "none",
        };
        vec![
            node.name.clone(),
            yes(node.waited_for),
            format!("{:?}", node.traffic),
            heard.to_owned(),
            node.root.to_string(),
            in_the_way.to_owned(),
        ]
    };
    let rows: Vec<_> = seen.nodes.iter().map(row).collect();
    let head = ["node", "waited for", "traffic", "reachable", "root document", "in the way"];
    let waited = seen.nodes.iter().filter(|node| node.waited_for).count();
    format!(
        "{key} key {}\nwould be followed by {}\nwaits for {waited} of {} node(s); the others learn it when they are back\n{}\
         officers sign two root documents with the approval: one names both keys, one the new key alone",
        seen.old,
        seen.new,
        rows.len(),
        table(&head, &rows)
    )
}

fn lines(keys: &[SigningKeyView]) -> String {
    keys.iter().map(|key| format!("{} key  {}\n", key.key, line(key))).collect()
}

fn line(key: &SigningKeyView) -> String {
    let mut text = format!("{} since {}, {}", key.public, when(key.since_ms.0), key.place);
    if let Some(change) = &key.change {
        let phase = serde_json::to_value(change.phase).ok();
        let phase = phase.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        text += &format!(
            "; change from {} to {}: {phase} since {}",
            change.old,
            change.new,
            when(change.since_ms.0)
        );
        if !change.waits_for.is_empty() {
            text += &format!(", waits for {}", change.waits_for.join(", "));
        }
    }
    text
}

/// The lines of `kmc status` about them.
pub fn status(keys: &[Value]) -> String {
    let keys = keys.iter().filter_map(|key| serde_json::from_value::<SigningKeyView>(key.clone()).ok());
    keys.map(|key| format!("{:<16} {}\n", format!("{}_key", key.key), line(&key))).collect()
}
