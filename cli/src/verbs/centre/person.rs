//! `payhsm person new|sign-root|enrol|list|revoke|roles|add-key|revoke-key`: persons and their keys.

use super::place::{Place, block_on, confirmed, home_failure, show, table};
use super::token_key::TokenKey;
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand, ValueEnum};
use keylink::{CredentialId, PersonId};
use keymgr::client::{Client, fresh_id};
use keymgr::core::action::Act;
use keymgr::core::people::{Credential, NewCredential, NewPerson, Person as Record, Role};
use keymgr::house::Genesis;
use keymgr::person::{Home, PersonRequest};
use serde_json::json;
use std::collections::BTreeSet;
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
    /// Asks for other roles of a person.
    Roles(Roles),
    /// Asks for a component of a key set to be entrusted to a custodian, who then enters no other of it.
    Entrust(Entrust),
    /// Asks for a further credential of a person, by the request of another home folder.
    AddKey(AddKey),
    /// Asks for the end of one credential.
    RevokeKey(RevokeKey),
}

/// Arguments of `person new`.
#[derive(Debug, Args)]
pub struct New {
    /// Name.
    name: String,
    /// Where the request goes; NAME.person in the working folder when missing.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// The approval key is made in this PKCS#11 token (`pkcs11:token=…?module-path=…`), which needs Ed25519, and
    /// stays there.
    #[arg(long, value_name = "URI")]
    token: Option<String>,
    /// File with the PIN of the token; asked for when missing.
    #[arg(long, value_name = "FILE", requires = "token")]
    pin_file: Option<PathBuf>,
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

/// Arguments of `person roles`.
#[derive(Debug, Args)]
pub struct Roles {
    /// Name or id.
    person: String,
    /// Role from then on, repeatable.
    #[arg(long, required = true, value_enum)]
    role: Vec<RoleName>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `person entrust`.
#[derive(Debug, Args)]
pub struct Entrust {
    /// The custodian, by name or id.
    person: String,
    /// Name or id of the key set.
    key_set: String,
    /// Which component, from 1.
    component: u8,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `person add-key`.
#[derive(Debug, Args)]
pub struct AddKey {
    /// Name or id of the person.
    person: String,
    /// Request with the further key (`payhsm person new` in another home folder).
    request: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `person revoke-key`.
#[derive(Debug, Args)]
pub struct RevokeKey {
    /// The credential, or the key itself.
    credential: String,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `person revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// Name or id.
    person: String,
    /// Request of the person who comes instead, with the same roles: needed where too few officers would be left.
    #[arg(long, value_name = "FILE")]
    replacement: Option<PathBuf>,
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
        Person::Roles(args) => {
            let client = args.place.client()?;
            let person = find(&client, &args.person)?.id;
            let roles = args.role.iter().map(|role| Role::from(*role)).collect();
            super::ask(&args.place, &client, &[Act::ChangeRoles { person, roles }])
        }
        Person::Entrust(args) => {
            let client = args.place.client()?;
            let person = find(&client, &args.person)?.id;
            let key_set = super::key::find_set(&client, &args.key_set)?.id();
            super::ask(&args.place, &client, &[Act::Entrust { person, key_set, component: args.component }])
        }
        Person::AddKey(args) => {
            let request = PersonRequest::read(&read(&args.request)?).map_err(Failure::check)?;
            let client = args.place.client()?;
            let person = find(&client, &args.person)?.id;
            super::ask(
                &args.place,
                &client,
                &[Act::AddCredential { person, credential: credential(&request)? }],
            )
        }
        Person::RevokeKey(args) => {
            let client = args.place.client()?;
            let all: Vec<Credential> = block_on(client.all("/credentials"))?;
            let named = |c: &&Credential| [c.id.to_string(), c.key.to_string()].contains(&args.credential);
            let found = all.iter().find(named);
            let found = found.ok_or_else(|| Failure::usage(format!("no credential {}", args.credential)))?;
            super::ask(&args.place, &client, &[Act::RevokeCredential { credential: found.id }])
        }
    }
}

fn find(client: &Client, name: &str) -> Result<Record, Failure> {
    let persons: Vec<Record> = block_on(client.all("/persons"))?;
    super::place::named(persons, "person", name, |person| (&person.name, person.id.to_string()))
}

fn credential(request: &PersonRequest) -> Result<NewCredential, Failure> {
    let (time, random) = fresh_id().map_err(super::place::failure)?;
    let id = CredentialId::new(time, random);
    Ok(NewCredential { id, kind: request.kind(), key: request.approval_key })
}

fn newcomer(path: &Path, roles: BTreeSet<Role>, line: Option<String>) -> Result<NewPerson, Failure> {
    let request = PersonRequest::read(&read(path)?).map_err(Failure::check)?;
    let (time, random) = fresh_id().map_err(super::place::failure)?;
    let credential = credential(&request)?;
    Ok(NewPerson { id: PersonId::new(time, random), name: request.name, line, roles, credential })
}

fn new(args: &New) -> Exit {
    let home = args.place.home()?;
    let passphrase = args.place.passphrase()?;
    let identity = match &args.token {
        None => home.create(&args.name, passphrase.as_bytes()).map_err(home_failure)?,
        Some(uri) => {
            // Before a key is made that nobody would find again.
            home.is_free().map_err(home_failure)?;
            let place = TokenKey {
                uri: uri.clone(),
                pin_file: args
                    .pin_file
                    .as_ref()
                    .map(std::path::absolute)
                    .transpose()
                    .map_err(Failure::usage)?,
                label: format!("payhsm/approval/{}", args.name),
            };
            let key = place.make()?;
            let note = serde_json::to_string(&place).map_err(Failure::environment)?;
            home.create_with(&args.name, passphrase.as_bytes(), key, &note).map_err(home_failure)?
        }
    };
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
    let roles = args.role.iter().map(|role| Role::from(*role)).collect();
    let person = newcomer(&args.request, roles, args.line.clone())?;
    let client = args.place.client()?;
    super::ask(&args.place, &client, &[Act::EnrolPerson(person)])
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
    let person = find(&client, &args.person)?;
    let comes = |path: &PathBuf| newcomer(path, person.roles.clone(), person.line.clone());
    let replacement = args.replacement.as_ref().map(comes).transpose()?;
    super::ask(&args.place, &client, &[Act::RevokePerson { person: person.id, replacement }])
}
