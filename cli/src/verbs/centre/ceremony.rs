//! `payhsm ceremony new|root-kek|list|show|component|finish|abandon|transcript`: a key from components by separate
//! custodians, each from an own console.

use super::key::find_set;
use super::node::find as find_node;
use super::place::{Place, block_on, failure, show, table};
use crate::exit::{Exit, Failure};
use crate::private::secret_line;
use clap::{Args, Subcommand};
use keylink::root::SignedRoot;
use keylink::{ActionId, Digest, PersonId, Signed};
use keymgr::api::CeremonyLine;
use keymgr::ceremony::{CeremonyView, PartView, Transcript, check_of, make};
use keymgr::client::{Client, ClientProblem};
use keymgr::core::action::Act;
use keymgr::core::people::Person;
use keymgr::core::root_kek::KekTarget;
use keymgr::vault::ComponentKey;
use paytypes::{CipherKind, ClearKey};
use serde_json::json;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Key ceremonies.
#[derive(Debug, Subcommand)]
pub enum Ceremony {
    /// Asks for the next generation of a key set to be formed from components.
    New(New),
    /// Asks for the next root KEK of a node to be formed from components; its own custodians enter the same there, with
    /// `payhsm node form-kek`.
    RootKek(RootKek),
    /// Lists ceremonies that are open or done; custodians see their own.
    List(Place),
    /// Shows an open ceremony: the key that components are sealed to, and check values.
    Show(One),
    /// Enters or draws your component; it is sealed here and leaves this program sealed only.
    Component(Component),
    /// Combines the components and keeps the signed transcript.
    Finish(Finish),
    /// Gives up a ceremony that is not finished: components are forgotten, and a new one takes new approvals.
    Abandon(One),
    /// Fetches the signed transcript of a ceremony that is done.
    Transcript(Finish),
}

/// Arguments of `ceremony new`.
#[derive(Debug, Args)]
pub struct New {
    /// Key set, by name or id.
    key_set: String,
    /// Custodians of components 1, 2, …, by name or id; two at least.
    #[arg(required = true, num_args = 2..)]
    custodians: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `ceremony root-kek`.
#[derive(Debug, Args)]
pub struct RootKek {
    /// Node, by name or id.
    node: String,
    /// Custodians of components 1, 2, …, by name or id; two at least.
    #[arg(required = true, num_args = 2..)]
    custodians: Vec<String>,
    /// Number of the KEK at its node; the next when missing, or the one that the node has formed already.
    #[arg(long)]
    number: Option<u32>,
    #[command(flatten)]
    place: Place,
}

/// A ceremony.
#[derive(Debug, Args)]
pub struct One {
    /// The approved action.
    ceremony: ActionId,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `ceremony component`.
#[derive(Debug, Args)]
pub struct Component {
    /// The approved action.
    ceremony: ActionId,
    /// First 16 or more digits of the ceremony key's fingerprint, as read out by another console.
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// Draws the component and shows it once on standard error, instead of asking for it.
    #[arg(long)]
    draw: bool,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `ceremony finish`.
#[derive(Debug, Args)]
pub struct Finish {
    /// The approved action.
    ceremony: ActionId,
    /// File for the signed transcript.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(verb: Ceremony) -> Exit {
    match verb {
        Ceremony::New(args) => new(&args),
        Ceremony::RootKek(args) => root_kek(&args),
        Ceremony::List(place) => list(&place),
        Ceremony::Show(args) => {
            let client = args.place.client()?;
            let view = block_on(view(&client, args.ceremony))?;
            show(args.place.json, &view, text)
        }
        Ceremony::Component(args) => component(&args),
        Ceremony::Finish(args) => finish(&args),
        Ceremony::Abandon(args) => {
            let client = args.place.client()?;
            super::ask(&args.place, &client, &[Act::Abandon { action: args.ceremony }])
        }
        Ceremony::Transcript(args) => {
            let client = args.place.client()?;
            let signed: Signed = block_on(client.get(&format!("/ceremonies/{}/transcript", args.ceremony)))?;
            transcript(&args, &client, &signed)
        }
    }
}

fn list(place: &Place) -> Exit {
    let all: Vec<CeremonyLine> = block_on(place.client()?.all("/ceremonies"))?;
    show(place.json, &all, |all| {
        let row = |one: &CeremonyLine| {
            let state = if one.done { "done" } else { "open" };
            let custodians: Vec<String> = one.custodians.iter().map(ToString::to_string).collect();
            let forms = match (&one.key_set, &one.root_kek) {
                (Some(set), _) => format!("key set {set}"),
                (None, Some(kek)) => format!("root KEK {} of {}", kek.number, kek.node),
                (None, None) => String::new(),
            };
            vec![one.ceremony.to_string(), state.to_owned(), forms, custodians.join(" ")]
        };
        table(&["ceremony", "state", "forms", "custodians"], &all.iter().map(row).collect::<Vec<_>>())
    })
}

fn new(args: &New) -> Exit {
    let client = args.place.client()?;
    let set = find_set(&client, &args.key_set)?;
    let custodians = persons(&client, &args.custodians)?;
    super::ask(&args.place, &client, &[Act::FormKey { key_set: set.id(), custodians }])
}

fn root_kek(args: &RootKek) -> Exit {
    let client = args.place.client()?;
    let node = find_node(&client, &args.node)?;
    let number = args.number.or(node.told_root_kek).unwrap_or(node.next_root_kek_number);
    let target = KekTarget { node: node.id, number };
    let custodians = persons(&client, &args.custodians)?;
    super::ask(&args.place, &client, &[Act::FormRootKek { target, custodians }])
}

fn persons(client: &Client, names: &[String]) -> Result<Vec<PersonId>, Failure> {
    let persons: Vec<Person> = block_on(client.all("/persons"))?;
    let find = |name: &String| -> Result<PersonId, Failure> {
        super::place::named(&persons, "person", name, |p| (&p.name, p.id.to_string())).map(|p| p.id)
    };
    names.iter().map(find).collect()
}

async fn view(client: &Client, id: ActionId) -> Result<CeremonyView, ClientProblem> {
    client.get(&format!("/ceremonies/{id}")).await
}

fn text(view: &CeremonyView) -> String {
    let row = |part: &PartView| {
        vec![
            part.number.to_string(),
            part.person.to_string(),
            part.check.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    format!(
        "ceremony {}\nkey      {}\n{}",
        view.ceremony,
        view.fingerprint,
        table(&["component", "custodian", "check value"], &view.parts.iter().map(row).collect::<Vec<_>>())
    )
}

fn component(args: &Component) -> Exit {
    let client = args.place.client()?;
    let (me, kmc, open, action) = block_on(async {
        let open = view(&client, args.ceremony).await?;
        Ok((client.me().await?, client.kmc().await?, open, client.action(args.ceremony).await?))
    })?;
    keymgr::client::judge(&action, kmc).map_err(failure)?;
    if Digest::of(&open.key.0) != open.fingerprint {
        return Err(Failure::check("the ceremony's key is not the one of its fingerprint"));
    }
    let read_out = args.fingerprint.as_ref().map(|text| text.trim().to_ascii_lowercase());
    if read_out.is_some_and(|text| text.len() < 16 || !open.fingerprint.to_string().starts_with(&text)) {
        return Err(Failure::check("the ceremony's key has another fingerprint than was read out"));
    }
    let own = open.parts.iter().find(|part| part.person == me.person);
    let number = own.ok_or_else(|| Failure::check("no component of this ceremony is yours"))?.number;
    eprintln!("component {number}, sealed to key {}", open.fingerprint);
    let (kind, length) = (open.kind(), usize::from(open.length));
    let clear = if args.draw { drawn(kind, length)? } else { entered("component", length)? };
    let check = check_of(kind, &clear).map_err(Failure::check)?;
    eprintln!("check value {check}");
    let to = ComponentKey(open.key.0.clone());
    let name = (kmc, args.ceremony, number);
    let entry = make(&to, name, (me.person, me.credential), kind, &clear, client.identity());
    let entry = entry.map_err(Failure::check)?;
    let path = format!("/ceremonies/{}/components", args.ceremony);
    let after: CeremonyView = block_on(client.post(&path, &entry))?;
    let report =
        json!({ "component": number, "check": check, "message": entry.signed.hash(), "ceremony": after });
    show(args.place.json, &report, |_| format!("component {number} is there, check value {check}"))
}

/// A component by this name, typed twice, so that a slip is noticed; never echoed.
pub fn entered(name: &str, length: usize) -> Result<ClearKey, Failure> {
    let ask = |prompt: &str| -> Result<ClearKey, Failure> {
        let text = secret_line(prompt)?;
        let digits: Zeroizing<String> = Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect());
        let bytes = paytypes::hex::decode_vec(digits.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| Failure::usage("a component is hexadecimal"))?;
        if bytes.len() != length {
            return Err(Failure::usage(format!(
                "a component of this key has {} hexadecimal digits",
                length * 2
            )));
        }
        ClearKey::new(&bytes).map_err(|_| Failure::usage("a component has 16, 24 or 32 bytes"))
    };
    let first = ask(&format!("{name}: "))?;
    if first.same_as(&ask(&format!("{name} again: "))?) {
        Ok(first)
    } else {
        Err(Failure::check("the two entries differ"))
    }
}

fn drawn(kind: CipherKind, length: usize) -> Result<ClearKey, Failure> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    getrandom::fill(&mut bytes).map_err(Failure::environment)?;
    if kind == CipherKind::Tdes {
        paytypes::parity::make_odd(&mut bytes);
    }
    let shown = Zeroizing::new(hex::encode_upper(&*bytes));
    eprintln!("your component, shown once: {}", &*shown);
    ClearKey::new(&bytes).map_err(|_| Failure::usage("a component has 16, 24 or 32 bytes"))
}

fn finish(args: &Finish) -> Exit {
    let client = args.place.client()?;
    let signed: Signed = block_on(client.post(&format!("/ceremonies/{}/finish", args.ceremony), &json!({})))?;
    transcript(args, &client, &signed)
}

// Shown only when one of the centre's own keys has signed it.
fn transcript(args: &Finish, client: &Client, signed: &Signed) -> Exit {
    let roots: Vec<SignedRoot> = block_on(client.get("/root"))?;
    let documents = roots.iter().filter_map(|root| root.document().ok());
    let keys: Vec<_> = documents.flat_map(|document| document.manifest_keys).collect();
    let transcript = keys.iter().find_map(|key| signed.open::<Transcript>(key).ok());
    let transcript =
        transcript.ok_or_else(|| Failure::check("the transcript is not signed by this centre"))?;
    if transcript.ceremony != args.ceremony {
        return Err(Failure::check("the transcript is of another ceremony"));
    }
    if let Some(to) = &args.to {
        std::fs::write(to, signed.to_bytes())
            .map_err(|e| Failure::environment(format!("{}: {e}", to.display())))?;
    }
    show(args.place.json, &transcript, |t| {
        let parts: String =
            t.parts.iter().map(|p| format!("component {} check value {}\n", p.number, p.check)).collect();
        let what = if t.node.is_some() { "root KEK" } else { "generation" };
        format!("{parts}{what} {} check value {}\ntranscript {}", t.generation, t.kcv, signed.hash())
    })
}
