//! `payhsm root show|next|recover|sign|install|quorum`: the root document, by which nodes know who speaks for the centre.
//! Each next one is drafted, signed by officers at their own places, and installed when a quorum of the document
//! before and a quorum of its own have signed.

use super::place::{Place, block_on, confirmed, failure, show, table};
use super::when;
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use keylink::action::ActionClass;
use keylink::root::{Officer, RootDocument, SignedRoot};
use keylink::{CredentialId, PersonId};
use keymgr::client::{Client, fresh_id};
use keymgr::core::action::Act;
use keymgr::core::approval::Quorum;
use keymgr::core::input::Outcome;
use keymgr::core::people::{Credential, Standing};
use keymgr::person::PersonRequest;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The root document.
#[derive(Debug, Subcommand)]
pub enum Root {
    /// Shows the root document that nodes judge by, and how many there were.
    Show(Shown),
    /// Drafts the next document by the register: to be done after officers came or went.
    Next(Draft),
    /// Drafts a document with other officers, for the recovery keys to sign; it takes effect after 72 hours.
    Recover(Recover),
    /// Signs a draft, as an officer or with a recovery key.
    Sign(Sign),
    /// Hands in a document that has its signatures.
    Install(Install),
    /// Asks for another number of approving persons for a class of actions.
    Quorum(QuorumArgs),
}

/// Arguments of `root show`.
#[derive(Debug, Args)]
pub struct Shown {
    /// Writes every root document, oldest first, for `audit verify-receipt --root`.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `root next`.
#[derive(Debug, Args)]
pub struct Draft {
    /// File for the draft.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `root recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// Request of an officer of the new document, new or staying (`payhsm person new`), at least three times.
    #[arg(long, value_name = "FILE", required = true)]
    officer: Vec<PathBuf>,
    /// File for the draft.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `root sign`.
#[derive(Debug, Args)]
pub struct Sign {
    /// The draft; it is signed in place.
    draft: PathBuf,
    /// Signs without asking.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `root install`.
#[derive(Debug, Args)]
pub struct Install {
    /// The document.
    document: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `root quorum`.
#[derive(Debug, Args)]
pub struct QuorumArgs {
    /// Class, such as `rotate`, `export` or `person`.
    #[arg(value_parser = class)]
    class: ActionClass,
    /// Approving persons besides the requester; never fewer than the compiled minimum.
    #[arg(value_parser = quorum)]
    persons: Quorum,
    #[command(flatten)]
    place: Place,
}

fn class(text: &str) -> Result<ActionClass, String> {
    let names = || ActionClass::ALL.iter().filter_map(|class| serde_json::to_value(class).ok());
    serde_json::from_value(json!(text)).map_err(|_| {
        let all: Vec<String> = names().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        format!("one of {}", all.join(", "))
    })
}

pub(super) fn quorum(text: &str) -> Result<Quorum, String> {
    let persons: u8 = text.parse().map_err(|_| "a number of persons".to_owned())?;
    Quorum::try_from(persons).map_err(|error| error.to_string())
}

/// Runs the verb.
pub fn run(verb: Root) -> Exit {
    match verb {
        Root::Show(place) => shown(&place),
        Root::Next(args) => {
            let client = args.place.client()?;
            let document: RootDocument = block_on(client.get("/root/next"))?;
            draft(&args.place, &args.to, &document)
        }
        Root::Recover(args) => recover(&args),
        Root::Sign(args) => sign(&args),
        Root::Install(args) => install(&args),
        Root::Quorum(args) => {
            let client = args.place.client()?;
            super::ask(&args.place, &client, &[Act::SetQuorum { class: args.class, quorum: args.persons }])
        }
    }
}

fn current(client: &Client) -> Result<(Vec<SignedRoot>, SignedRoot, RootDocument), Failure> {
    let all: Vec<SignedRoot> = block_on(client.get("/root"))?;
    let newest =
        all.last().cloned().ok_or_else(|| Failure::environment("the manager has no root document"))?;
    let document = newest.document().map_err(Failure::check)?;
    Ok((all, newest, document))
}

fn text(document: &RootDocument) -> String {
    let row = |o: &Officer| vec![o.person.to_string(), o.credential.to_string(), o.key.to_string()];
    let rows: Vec<_> = document.officers.iter().map(row).collect();
    let recovery = &document.recovery;
    format!(
        "document  {} of {}, {}\n{}recovery  {} of {} keys",
        document.number,
        document.name,
        when(document.created_ms.0),
        table(&["officer", "credential", "key"], &rows),
        recovery.needed,
        recovery.keys.len()
    )
}

fn shown(Shown { to, place }: &Shown) -> Exit {
    let (all, newest, document) = current(&place.client()?)?;
    if let Some(to) = to {
        let text = serde_json::to_string(&all).map_err(Failure::environment)?;
        crate::private::write_private(to, &text)
            .map_err(|e| Failure::environment(format!("{}: {e}", to.display())))?;
    }
    let report = json!({ "hash": newest.hash(), "documents": all.len(), "document": document });
    show(place.json, &report, |_| format!("{}\nhash      {}", text(&document), newest.hash()))
}

fn write(to: &Path, root: &SignedRoot) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(root).map_err(Failure::environment)?;
    crate::private::write_private(to, &text)
        .map_err(|e| Failure::environment(format!("{}: {e}", to.display())))
}

fn read(from: &Path) -> Result<(SignedRoot, RootDocument), Failure> {
    let bytes = std::fs::read(from).map_err(|e| Failure::environment(format!("{}: {e}", from.display())))?;
    let root: SignedRoot = keylink::wire::read(&bytes)
        .map_err(|_| Failure::check(format!("{}: not a root document", from.display())))?;
    let document = root.document().map_err(Failure::check)?;
    Ok((root, document))
}

fn draft(place: &Place, to: &Path, document: &RootDocument) -> Exit {
    let root = SignedRoot::new(document);
    root.document().map_err(Failure::check)?;
    write(to, &root)?;
    let report = json!({ "draft": to, "number": document.number, "hash": root.hash() });
    show(place.json, &report, |_| {
        format!(
            "{}\nhash      {}\nNow officers sign: payhsm root sign {}",
            text(document),
            root.hash(),
            to.display()
        )
    })
}

fn recover(args: &Recover) -> Exit {
    let client = args.place.client()?;
    let (_, newest, old) = current(&client)?;
    let kmc = newest.kmc().map_err(Failure::check)?;
    let known: Vec<Credential> = block_on(client.all("/credentials"))?;
    let officers = args.officer.iter().map(|path| {
        let bytes =
            std::fs::read(path).map_err(|e| Failure::environment(format!("{}: {e}", path.display())))?;
        let request =
            PersonRequest::read(&bytes).map_err(|e| Failure::check(format!("{}: {e}", path.display())))?;
        // Who stays is named as in the register: one key, one credential, one person.
        if let Some(own) = known.iter().find(|own| own.key == request.approval_key) {
            if own.standing == Standing::Revoked {
                return Err(Failure::check(format!("{}: this key was revoked", path.display())));
            }
            return Ok(Officer { person: own.person, credential: own.id, key: own.key });
        }
        let ((time, person), (_, credential)) = (fresh_id().map_err(failure)?, fresh_id().map_err(failure)?);
        Ok(Officer {
            person: PersonId::new(time, person),
            credential: CredentialId::new(time, credential),
            key: request.approval_key,
        })
    });
    let document = RootDocument {
        number: old.number + 1,
        kmc: Some(kmc),
        previous: Some(newest.hash()),
        created_ms: keymgr::client::utc_ms().into(),
        officers: officers.collect::<Result<_, Failure>>()?,
        ..old
    };
    draft(&args.place, &args.to, &document)
}

fn sign(args: &Sign) -> Exit {
    let identity = args.place.identity()?;
    let (mut root, document) = read(&args.draft)?;
    let key = identity.public_key();
    let officer = document.officers.iter().any(|officer| officer.key == key);
    let recovery = document.recovery.keys.contains(&key);
    eprintln!("{}\nhash      {}", text(&document), root.hash());
    if !officer && !recovery {
        // An officer who leaves signs the document without himself: the quorum of the one before.
        eprintln!("you are no officer of this document");
    }
    confirmed(args.yes, "Sign this root document?")?;
    root.signatures.retain(|own| own.key != key.id());
    root.sign(&identity);
    write(&args.draft, &root)?;
    let report = json!({ "draft": args.draft, "hash": root.hash(), "signatures": root.signatures.len() });
    show(args.place.json, &report, |_| {
        format!(
            "{} signature(s); when enough: payhsm root install {}",
            root.signatures.len(),
            args.draft.display()
        )
    })
}

fn install(args: &Install) -> Exit {
    let (root, document) = read(&args.document)?;
    let client = args.place.client()?;
    let done: Outcome = block_on(client.post("/root", &root))?;
    let report = json!({ "number": document.number, "hash": root.hash(), "outcome": done });
    show(args.place.json, &report, |_| format!("root document {} is handed in", document.number))
}
