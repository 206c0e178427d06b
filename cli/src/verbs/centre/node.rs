//! `payhsm node …`: nodes become known, are shown, stopped and let back.

use super::place::{Place, block_on, confirmed, named, show, table};
use super::{package, when};
use crate::exit::{Exit, Failure};
use crate::private::write_private;
use crate::verbs::node as local;
use clap::{Args, Subcommand, ValueEnum};
use keylink::TokenId;
use keylink::message::EnrolmentToken;
use keymgr::api::NodeView as Record;
use keymgr::api::{HolderView, TokenView};
use keymgr::client::Client;
use keymgr::core::action::Act;
use keymgr::core::node::{BackendClass, NewNode, Traffic, Wipe};
use keymgr::core::root_kek::KekTarget;
use keymgr::core::rows::TokenVoid;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Nodes.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Writes tokens, each good for one node to ask by, for 24 hours.
    Token(Token),
    /// Lists tokens: who made them, which node asked by each, and which are void. Never a secret.
    Tokens(Tokens),
    /// Nobody asks by these tokens any more. One person may.
    VoidToken(VoidToken),
    /// Shows which nodes ask to be let in, with the fingerprints to compare.
    Asking(Place),
    /// Turns a node away that asks to be let in; its token is void. One person may.
    TurnAway(TurnAway),
    /// Asks for nodes to be let in. The fingerprints are those that the nodes themselves show.
    Enrol(Enrol),
    /// Lists nodes.
    List(Place),
    /// Shows one node and the keys it holds; with --data what this node itself has stored.
    Show(ShowArgs),
    /// At the node: asks to be known, with the token that the centre has issued; waits for the officers.
    Join(local::Join),
    /// At the node: shows or writes the proof that the centre took this node's receipts.
    Evidence(local::Evidence),
    /// At the node: takes a package of the centre and writes the one that goes back. The service must not run.
    Carry(local::Carry),
    /// Writes what is due for a node to a file, or takes the file that the node wrote.
    Package(package::Package),
    /// Says at which address a node takes pushes.
    Push(package::Push),
    /// At the node: forms its root KEK from components that its custodians type, as the centre's do in a ceremony. The
    /// service must not run.
    FormKek(local::FormKek),
    /// Asks for new root KEKs for nodes, by agreement with each. First what would happen.
    Rekey(Rekey),
    /// Stops serving a node at once. One person may; to resume takes officers.
    Quarantine(Reason),
    /// Asks for a node to do nothing with managed keys; one officer's signature is enough.
    Suspend(Reason),
    /// Asks for a node to be let back.
    Resume(One),
    /// Asks for the end of a node's rights.
    Revoke(One),
    /// Asks for nodes to prove by the check value alone that they have a key, because they can do no more.
    KcvOnly(Many),
    /// Declares nodes in or out of traffic.
    Traffic(TrafficArgs),
}

/// Arguments of `node token`.
#[derive(Debug, Args)]
pub struct Token {
    /// Names of the nodes: NAME.token is written for each.
    #[arg(required = true)]
    names: Vec<String>,
    /// Folder for the files.
    #[arg(long, default_value = ".")]
    to: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `node tokens`.
#[derive(Debug, Args)]
pub struct Tokens {
    /// Only those that stand so.
    #[arg(long, value_name = "STATE", value_parser = ["open", "used", "void", "expired"])]
    state: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `node void-token`.
#[derive(Debug, Args)]
pub struct VoidToken {
    /// Names of tokens, as `node tokens` shows them, or files that `node token` wrote.
    #[arg(required = true)]
    tokens: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `node turn-away`.
#[derive(Debug, Args)]
pub struct TurnAway {
    /// Its name or fingerprint, as `node asking` shows it.
    node: String,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `node enrol`.
#[derive(Debug, Args)]
pub struct Enrol {
    /// Nodes as NAME=FINGERPRINT, as each node's own program printed it.
    #[arg(required_unless_present = "asking")]
    nodes: Vec<String>,
    /// Every node that asks; officers then compare the fingerprints before they sign.
    #[arg(long, conflicts_with = "nodes")]
    asking: bool,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `node rekey`.
#[derive(Debug, Args)]
pub struct Rekey {
    /// Names or ids.
    #[arg(required = true)]
    nodes: Vec<String>,
    /// Others may know the root KEKs in use, and why: nothing more goes out under them, and each key that did raises an
    /// alarm.
    #[arg(long, value_name = "REASON")]
    suspect: Option<String>,
    /// Shows what would happen and asks for nothing.
    #[arg(long)]
    dry_run: bool,
    /// Asks without a question.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// One node.
#[derive(Debug, Args)]
pub struct One {
    /// Name or id.
    node: String,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `node show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Name or id.
    #[arg(required_unless_present = "data")]
    node: Option<String>,
    /// Folder of this node: shows floors and keys as stored here, without the centre.
    #[arg(long, value_name = "DIR", conflicts_with = "node")]
    data: Option<PathBuf>,
    /// With --data: writes the newest checkpoint of the centre's log that the node has seen, for `audit verify --head`.
    #[arg(long, value_name = "FILE", requires = "data", conflicts_with = "node")]
    head: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// One node, and why.
#[derive(Debug, Args)]
pub struct Reason {
    /// Name or id.
    node: String,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    place: Place,
}

/// Some nodes.
#[derive(Debug, Args)]
pub struct Many {
    /// Names or ids.
    #[arg(required = true)]
    nodes: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Where a node is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum To {
    /// Serves hosts.
    In,
    /// Runs and serves nobody.
    Drained,
    /// Is switched off or away.
    Offline,
}

/// Arguments of `node traffic`.
#[derive(Debug, Args)]
pub struct TrafficArgs {
    /// Names or ids.
    #[arg(required = true)]
    nodes: Vec<String>,
    /// Where they are.
    #[arg(value_enum)]
    to: To,
    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(verb: Node) -> Exit {
    match verb {
        Node::Token(args) => tokens(&args),
        Node::Tokens(args) => list_tokens(&args),
        Node::VoidToken(args) => void_tokens(&args),
        Node::Asking(place) => asking(&place),
        Node::TurnAway(args) => turn_away(&args),
        Node::Enrol(args) => enrol(&args),
        Node::List(place) => list(&place),
        Node::Show(ShowArgs { data: Some(data), head, place, .. }) => {
            local::run(local::Node::Show(local::Show { data, head, json: place.json }))
        }
        Node::Show(args) => one(&args),
        Node::Join(args) => local::run(local::Node::Join(args)),
        Node::Evidence(args) => local::run(local::Node::Evidence(args)),
        Node::Carry(args) => local::run(local::Node::Carry(args)),
        Node::Package(args) => package::package(&args),
        Node::Push(args) => package::push(&args),
        Node::FormKek(args) => local::run(local::Node::FormKek(args)),
        Node::Rekey(args) => rekey(&args),
        Node::Quarantine(args) => {
            let client = args.place.client()?;
            let node = find(&client, &args.node)?;
            let path = format!("/nodes/{}/quarantine", node.id);
            let done: Value = block_on(client.post(&path, &json!({ "reason": args.reason })))?;
            show(args.place.json, &done, |_| format!("{} is not served any more", node.name))
        }
        Node::Suspend(args) => act(&args.place, &args.node, |node, _| Act::SuspendNode {
            node: node.id,
            reason: args.reason.clone(),
        }),
        Node::Resume(args) => act(&args.place, &args.node, |node, _| Act::ResumeNode { node: node.id }),
        Node::Revoke(args) => act(&args.place, &args.node, |node, _| Act::RevokeNode { node: node.id }),
        Node::KcvOnly(args) => {
            let client = args.place.client()?;
            let ids = args.nodes.iter().map(|name| find(&client, name).map(|node| node.id));
            let act = Act::AllowKcvOnly(ids.collect::<Result<_, _>>()?);
            super::ask(&args.place, &client, &[act])
        }
        Node::Traffic(args) => traffic(&args),
    }
}

/// A node by name or id.
pub fn find(client: &Client, name: &str) -> Result<Record, Failure> {
    let nodes: Vec<Record> = block_on(client.all("/nodes"))?;
    named(nodes, "node", name, |node| (&node.name, node.id.to_string()))
}

fn act(place: &Place, name: &str, make: impl FnOnce(&Record, &Client) -> Act) -> Exit {
    let client = place.client()?;
    let node = find(&client, name)?;
    super::ask(place, &client, &[make(&node, &client)])
}

fn rekey(args: &Rekey) -> Exit {
    let client = args.place.client()?;
    let nodes: Vec<Record> = block_on(client.all("/nodes"))?;
    let find = |name: &String| named(&nodes, "node", name, |node| (&node.name, node.id.to_string()));
    let chosen: Vec<&Record> = args.nodes.iter().map(find).collect::<Result<_, _>>()?;
    let targets: Vec<_> =
        chosen.iter().map(|node| KekTarget { node: node.id, number: node.next_root_kek_number }).collect();
    let row = |node: &&Record| {
        let held = node
            .root_kek
            .as_ref()
            .map_or_else(|| "none".to_owned(), |kek| format!("{} {}", kek.number, kek.kcv));
        let silent = keymgr::client::utc_ms().saturating_sub(node.seen_utc_ms) > 120_000;
        let remark = match (node.quarantined.is_some() || node.suspended, node.ordered_root_kek) {
            (true, _) => "is not served: will be refused",
            (_, Some(_)) => "takes the place of an order before",
            _ if silent => "silent: agrees when it is back",
            _ => "",
        };
        vec![node.name.clone(), held, node.next_root_kek_number.to_string(), remark.to_owned()]
    };
    let preview = || {
        let rows = table(&["node", "root KEK", "new", "remark"], &chosen.iter().map(row).collect::<Vec<_>>());
        let until = args.suspect.as_ref().map_or("", |_| "; until then no key goes to these nodes");
        format!("{rows}keys in use stay usable; blocks on their way are made again under the new one{until}")
    };
    if args.dry_run {
        return show(args.place.json, &json!({ "targets": targets, "nodes": chosen }), |_| preview());
    }
    eprintln!("{}", preview());
    confirmed(args.yes, "Ask for this?")?;
    let act = match &args.suspect {
        Some(reason) => Act::RekeySuspect { targets, reason: reason.clone() },
        None => Act::RekeyNodes(targets),
    };
    super::ask(&args.place, &client, &[act])
}

fn tokens(args: &Token) -> Exit {
    let client = args.place.client()?;
    // A token that is there may be on its way to its node.
    let there =
        args.names.iter().map(|name| args.to.join(format!("{name}.token"))).find(|file| file.exists());
    if let Some(file) = there {
        return Err(Failure::environment(format!("{}: is there already", file.display())));
    }
    let body = json!({ "count": args.names.len() });
    let tokens: Vec<EnrolmentToken> = block_on(client.post("/enrolment-tokens", &body))?;
    let mut files = Vec::new();
    for (name, token) in args.names.iter().zip(&tokens) {
        let file = args.to.join(format!("{name}.token"));
        write_private(&file, &token.to_line())
            .map_err(|e| Failure::environment(format!("{}: {e}", file.display())))?;
        files.push(json!({ "name": name, "file": file, "until": token.not_after }));
    }
    show(args.place.json, &files, |_| {
        let row = |name: &String| format!("{}\n", args.to.join(format!("{name}.token")).display());
        args.names.iter().map(row).collect()
    })
}

fn list_tokens(args: &Tokens) -> Exit {
    let path = args.state.as_ref().map_or_else(String::new, |state| format!("?state={state}"));
    let all: Vec<TokenView> = block_on(args.place.client()?.all(&format!("/enrolment-tokens{path}")))?;
    show(args.place.json, &all, |all| {
        let row = |one: &TokenView| {
            let used = one.used.as_ref().map_or_else(String::new, |used| used.node.to_string());
            let why = match &one.void {
                None => String::new(),
                Some(TokenVoid::UsedTwice) => "used twice".to_owned(),
                Some(TokenVoid::Withdrawn { by }) => format!("withdrawn by {by}"),
                Some(TokenVoid::TurnedAway { by, reason }) => format!("turned away by {by}: {reason}"),
            };
            let state = format!("{:?}", one.state).to_lowercase();
            vec![one.token.to_string(), state, when(one.until_ms), used, why]
        };
        table(&["token", "state", "until", "node", "why"], &all.iter().map(row).collect::<Vec<_>>())
    })
}

// A token by its name, or by the file that was written for its node.
fn token_named(given: &str) -> Result<TokenId, Failure> {
    if let Ok(token) = given.parse() {
        return Ok(token);
    }
    let text = std::fs::read_to_string(given)
        .map_err(|_| Failure::usage(format!("{given}: neither the name of a token nor a file")))?;
    let token = EnrolmentToken::from_line(&text);
    token.map(|token| token.token).ok_or_else(|| Failure::usage(format!("{given}: not an enrolment token")))
}

fn void_tokens(args: &VoidToken) -> Exit {
    let tokens = args.tokens.iter().map(|given| token_named(given)).collect::<Result<Vec<_>, _>>()?;
    let client = args.place.client()?;
    let mut done = Vec::new();
    for token in &tokens {
        let path = format!("/enrolment-tokens/{token}/void");
        let outcome: Value = block_on(client.post(&path, &json!({})))
            .map_err(|failure| Failure { message: format!("{token}: {}", failure.message), ..failure })?;
        done.push(json!({ "token": token, "outcome": outcome }));
    }
    show(args.place.json, &done, |_| tokens.iter().map(|token| format!("{token}: void\n")).collect())
}

fn turn_away(args: &TurnAway) -> Exit {
    let client = args.place.client()?;
    let asks = waiting(&client)?;
    let fits = |one: &&Value| {
        text(one, "name") == args.node || (args.node.len() >= 16 && text(one, "node").starts_with(&args.node))
    };
    let found: Vec<&Value> = asks.iter().filter(fits).collect();
    let [one] = found.as_slice() else {
        let text = "no node of this name or fingerprint asks, or several: see `payhsm node asking`";
        return Err(Failure::check(text));
    };
    let node = text(one, "node");
    let path = format!("/enrolments/{node}/turn-away");
    let outcome: Value = block_on(client.post(&path, &json!({ "reason": args.reason })))?;
    let done = json!({ "node": node, "name": text(one, "name"), "outcome": outcome });
    show(args.place.json, &done, |_| format!("{} is turned away", text(one, "name")))
}

fn waiting(client: &Client) -> Result<Vec<Value>, Failure> {
    block_on(client.all("/enrolments"))
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn asking(place: &Place) -> Exit {
    let list = waiting(&place.client()?)?;
    show(place.json, &list, |list| {
        let row = |one: &Value| {
            vec![text(one, "name"), text(one, "node"), text(one, "csr"), text(one, "backend_class")]
        };
        table(&["name", "node", "request", "class"], &list.iter().map(row).collect::<Vec<_>>())
    })
}

fn enrol(args: &Enrol) -> Exit {
    let client = args.place.client()?;
    let nodes = chosen(&waiting(&client)?, &args.nodes, args.asking)?;
    super::ask(&args.place, &client, &[Act::EnrolNodes(nodes)])
}

/// Nodes among those who ask: all, or those with these names and fingerprints.
pub fn chosen(list: &[Value], named: &[String], all: bool) -> Result<Vec<NewNode>, Failure> {
    let wanted = |one: &Value| {
        // A fingerprint is the node's id, or the first 16 or more digits of it.
        let name = format!("{}=", text(one, "name"));
        let fits = |node: &String| {
            let given = node.strip_prefix(&name).unwrap_or_default();
            given.len() >= 16 && text(one, "node").starts_with(given)
        };
        all || named.iter().any(fits)
    };
    let chosen: Vec<&Value> = list.iter().filter(|one| wanted(one)).collect();
    if chosen.is_empty() || (!all && chosen.len() != named.len()) {
        return Err(Failure::check(
            "not every one of these asks with this fingerprint: see `payhsm node asking`",
        ));
    }
    let new = |one: &&Value| {
        let malformed = || Failure::environment("the manager's list of nodes cannot be read");
        Ok(NewNode {
            key: text(one, "key").parse().map_err(|_| malformed())?,
            csr: text(one, "csr").parse().map_err(|_| malformed())?,
            name: text(one, "name"),
            class: match text(one, "backend_class").as_str() {
                "A" => BackendClass::A,
                "B" => BackendClass::B,
                _ => BackendClass::C,
            },
        })
    };
    chosen.iter().map(new).collect()
}

fn list(place: &Place) -> Exit {
    let client = place.client()?;
    let nodes: Vec<Record> = block_on(client.all("/nodes"))?;
    show(place.json, &nodes, |nodes| {
        let row = |n: &Record| {
            let seen = if n.seen_utc_ms == 0 { "never".to_owned() } else { when(n.seen_utc_ms) };
            vec![
                n.name.clone(),
                format!("{:?}", n.class),
                n.state(),
                seen,
                format!("{} ms", n.skew_ms),
                n.id.to_string(),
            ]
        };
        table(&["name", "class", "state", "seen", "skew", "id"], &nodes.iter().map(row).collect::<Vec<_>>())
    })
}

fn one(args: &ShowArgs) -> Exit {
    let client = args.place.client()?;
    let node = find(&client, args.node.as_deref().unwrap_or_default())?;
    let keys: Vec<HolderView> = block_on(client.all(&format!("/holders?node={}", node.id)))?;
    show(args.place.json, &json!({ "node": node, "keys": keys }), |_| {
        let row = |h: &HolderView| {
            vec![h.key_set.to_string(), h.generation.to_string(), format!("{:?}", h.progress)]
        };
        let rows: Vec<_> = keys.iter().map(row).collect();
        format!(
            "{} ({})\nclass {:?}, {}{}{}, root KEK {}\ntransport certificate until {}\n{}",
            node.name,
            node.id,
            node.class,
            node.state(),
            node.quarantined.as_ref().map(|why| format!(" ({why})")).unwrap_or_default(),
            says(&node) + wiped(&node),
            node.root_kek
                .as_ref()
                .map_or_else(|| "none".to_owned(), |kek| format!("{} {}", kek.number, kek.kcv))
                + &changing(&node),
            match node.certificate_until_utc_ms {
                0 => "unknown".to_owned(),
                until => when(until),
            },
            table(&["key set", "generation", "by its receipts"], &rows)
        )
    })
}

fn changing(node: &Record) -> String {
    let ordered = node.ordered_root_kek.map(|number| format!(", {number} is to be agreed"));
    let next = node.next_root_kek.as_ref().map(|kek| format!(", {} {} not proved yet", kek.number, kek.kcv));
    let told = node.told_root_kek.map(|number| format!(", says it holds {number}"));
    [ordered, next, told].into_iter().flatten().collect()
}

fn wiped(node: &Record) -> &'static str {
    match node.wipe {
        Some(Wipe::Owed { .. }) => ", has not said that its keys are erased",
        Some(Wipe::Lapsed { .. }) => {
            ", has not said that its keys are erased, and cannot be ordered to any more"
        }
        Some(Wipe::Done { .. }) => ", has said that its keys are erased",
        None => "",
    }
}

// What it says of itself, where that is not what was declared.
fn says(node: &Record) -> String {
    match (node.serving_utc_ms > 0, node.traffic) {
        (true, Traffic::Drained | Traffic::Offline) => {
            format!(", said that it serves hosts at {}", when(node.serving_utc_ms))
        }
        _ => String::new(),
    }
}

fn traffic(args: &TrafficArgs) -> Exit {
    let client = args.place.client()?;
    let to = match args.to {
        To::In => Traffic::InTraffic,
        To::Drained => Traffic::Drained,
        To::Offline => Traffic::Offline,
    };
    // All are known before the first is declared.
    let nodes = args.nodes.iter().map(|name| find(&client, name)).collect::<Result<Vec<_>, _>>()?;
    let mut done = Vec::new();
    for node in &nodes {
        let path = format!("/nodes/{}/traffic", node.id);
        let outcome: Value = block_on(client.post(&path, &json!({ "to": to }))).map_err(|failure| {
            Failure { message: format!("{}: {}", node.name, failure.message), ..failure }
        })?;
        done.push(json!({ "node": node.name, "to": to, "outcome": outcome }));
    }
    show(args.place.json, &done, |_| nodes.iter().map(|node| format!("{}: {to:?}\n", node.name)).collect())
}
