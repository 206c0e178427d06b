//! `payhsm person new|sign-root|enrol|list|revoke`: persons and their keys.

use super::place::{Place, block_on, confirmed, home_failure, show, table};
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand, ValueEnum};
use keylink::{CredentialId, PersonId};
use keymgr::client::fresh_id;
use keymgr::core::action::Act;
use keymgr::core::people::{CredentialKind, NewCredential, NewPerson, Person as Record, Role};
use keymgr::house::Genesis;
use keymgr::person::{Home, PersonRequest};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Persons and their keys.
#[derive(Debug, Subcommand)]
pub enum Person {
    /// Makes a home folder with own keys, and the request to be registered.
    New(New),
    /// Signs the draft of a centre as one of its first officers.
    SignRoot(SignRoot),
    /// Asks for a person to be registered.
    Enrol(Enrol),
    /// Lists persons.
    List(Place),
    /// Asks for the end of a person's rights.
    Revoke(Revoke),
}

/// Arguments of `person new`.
#[derive(Debug, Args)]
pub struct New {
    /// Name.
    name: String,
    /// Where the request goes; NAME.person in the working folder when missing.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `person sign-root`.
#[derive(Debug, Args)]
pub struct SignRoot {
    /// The draft that `kmc init` wrote; it is signed in place.
    draft: PathBuf,
    /// Signs without asking.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// A role, as it is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleName {
    /// Approves.
    Officer,
    /// Enters components.
    Custodian,
    /// Proposes and runs.
    Operator,
    /// Reads and verifies.
    Auditor,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Officer => Self::SecurityOfficer,
            RoleName::Custodian => Self::Custodian,
            RoleName::Operator => Self::Operator,
            RoleName::Auditor => Self::Auditor,
        }
    }
}

/// Arguments of `person enrol`.
#[derive(Debug, Args)]
pub struct Enrol {
    /// Request of the person.
    request: PathBuf,
    /// Role, repeatable.
    #[arg(long, required = true, value_enum)]
    role: Vec<RoleName>,
    /// Reporting line, where the house keeps them apart.
    #[arg(long)]
    line: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `person revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// Name or id.
    person: String,
    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(verb: Person) -> Exit {
    match verb {
        Person::New(args) => new(&args),
        Person::SignRoot(args) => sign_root(&args),
        Person::Enrol(args) => enrol(&args),
        Person::List(place) => list(&place),
        Person::Revoke(args) => revoke(&args),
    }
}

fn new(args: &New) -> Exit {
    let home = args.place.home()?;
    let identity = home.create(&args.name, args.place.passphrase()?.as_bytes()).map_err(home_failure)?;
    let request = args.request.clone().unwrap_or_else(|| PathBuf::from(format!("{}.person", args.name)));
    Home::write_request(&identity, &request).map_err(home_failure)?;
    let report = json!({ "name": args.name, "key": identity.public_key(), "request": request });
    show(args.place.json, &report, |_| {
        format!("{}\nkey     {}\nrequest {}", args.name, identity.public_key(), request.display())
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::environment(format!("{}: {e}", path.display())))
}

fn sign_root(args: &SignRoot) -> Exit {
    let identity = args.place.identity()?;
    let mut genesis = Genesis::read(&read(&args.draft)?).map_err(Failure::check)?;
    let persons = genesis.persons().map_err(Failure::check)?;
    let rows: Vec<Vec<String>> = persons
        .iter()
        .map(|(request, roles)| {
            vec![request.name.clone(), format!("{roles:?}"), request.approval_key.to_string()]
        })
        .collect();
    eprintln!("centre {}\n{}", genesis.kmc(), table(&["person", "roles", "key"], &rows));
    confirmed(args.yes, "Sign this beginning?")?;
    genesis.sign(&identity).map_err(Failure::check)?;
    crate::private::write_private(&args.draft, &String::from_utf8_lossy(&genesis.to_bytes()))
        .map_err(|e| Failure::environment(format!("{}: {e}", args.draft.display())))?;
    let missing = genesis.missing().map_err(Failure::check)?;
    let report = json!({ "kmc": genesis.kmc(), "signed_by": identity.name, "unsigned": missing });
    show(args.place.json, &report, |_| match missing.as_slice() {
        [] => "signed by everybody: `payhsm kmc serve` begins".to_owned(),
        left => format!("signed; not yet by {}", left.join(", ")),
    })
}

fn enrol(args: &Enrol) -> Exit {
    let request = PersonRequest::read(&read(&args.request)?).map_err(Failure::check)?;
    let client = args.place.client()?;
    let ((time, random), (_, other)) =
        (fresh_id().map_err(super::place::failure)?, fresh_id().map_err(super::place::failure)?);
    let act = Act::EnrolPerson(NewPerson {
        id: PersonId::new(time, random),
        name: request.name,
        line: args.line.clone(),
        roles: args.role.iter().map(|role| Role::from(*role)).collect(),
        credential: NewCredential {
            id: CredentialId::new(time, other),
            kind: CredentialKind::File,
            key: request.approval_key,
        },
    });
    super::ask(&args.place, &client, &[act])
}

fn list(place: &Place) -> Exit {
    let client = place.client()?;
    let persons: Vec<Record> = block_on(client.all("/persons"))?;
    show(place.json, &persons, |persons| {
        let row = |p: &Record| {
            vec![p.name.clone(), format!("{:?}", p.roles), format!("{:?}", p.standing), p.id.to_string()]
        };
        table(&["name", "roles", "standing", "id"], &persons.iter().map(row).collect::<Vec<_>>())
    })
}

fn revoke(args: &Revoke) -> Exit {
    let client = args.place.client()?;
    let persons: Vec<Record> = block_on(client.all("/persons"))?;
    let found = persons.iter().find(|p| p.name == args.person || p.id.to_string() == args.person);
    let found = found.ok_or_else(|| Failure::usage(format!("no person {}", args.person)))?;
    super::ask(&args.place, &client, &[Act::RevokePerson { person: found.id, replacement: None }])
}
