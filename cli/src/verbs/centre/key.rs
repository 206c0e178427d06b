//! `payhsm key list|new|show|expiring|export|import|suspend|resume|revoke|deactivate|destroy|…`: keys, never a clear one.

use super::place::{Place, block_on, show, table};
use super::reaffirm::{self, Again};
use super::{policy, when, zone};
use crate::exit::{Exit, Failure};
use crate::private::write_private;
use clap::{Args, Subcommand};
use keylink::message::{Overlap, Shape};
use keylink::{ActionId, Digest, Generation};
use keymgr::api::{HolderView, KeyView};
use keymgr::client::{Client, KeySetWishes, plan_key_set};
use keymgr::core::action::{Act, KeyRef};
use keymgr::core::input::Outcome;
use keymgr::core::key::KeySet;
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;

/// Keys.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Lists keys.
    List(Place),
    /// Asks for a further key set in a zone.
    New(Box<New>),
    /// Shows a key set: its generations and who holds them.
    Show(One),
    /// Lists keys that stop to protect soon.
    Expiring(Expiring),
    /// Asks for an export under a ZMK, or with --action fetches the block of an approved one.
    Export(Export),
    /// Asks for an import of a TR-31 block under a ZMK, or with --action hands in the block of an approved one.
    Import(Import),
    /// Asks for a key to rest; it may return.
    Suspend(Named),
    /// Asks for a suspended key to return.
    Resume(Named),
    /// Asks for a key to be declared compromised.
    Revoke(Revoke),
    /// Asks for the end of a key's use.
    Deactivate(Named),
    /// Asks for a key's destruction, through its hold.
    Destroy(Named),
    /// Asks for the end of a destroy hold without destruction.
    Keep(Named),
    /// Asks for a key that the centre alone holds to be put into use.
    Activate(Named),
    /// Asks for a key's record to be put away.
    Archive(Named),
    /// Asks for it to be brought back.
    Restore(Named),
    /// Asks for a key to protect longer than its policy says.
    Extend(Extend),
    /// Asks again for what was approved about a key, because officers who had approved it have left.
    Reaffirm(Again),
}

/// A key set.
#[derive(Debug, Args)]
pub struct One {
    /// Name or id of the key set.
    key_set: String,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `key new`.
#[derive(Debug, Args)]
pub struct New {
    /// Name or id of the zone.
    zone: String,
    /// Name of the key set.
    name: String,
    /// Kind of its keys.
    #[arg(long, value_enum, default_value = "zpk")]
    kind: zone::KindName,
    /// Cipher and length: TDES-2, TDES-3, AES-128, AES-192 or AES-256.
    #[arg(long, default_value = "TDES-2", value_parser = zone::shape)]
    shape: Shape,
    /// First of three indices in a row of user storage, hexadecimal; the lowest free ones when missing.
    #[arg(long, value_parser = zone::index)]
    base: Option<u16>,
    /// Hosts say which generation they mean, so that several may be processed.
    #[arg(long)]
    selector: bool,
    /// Policy, by name or id; one with the defaults of the house when missing.
    #[arg(long)]
    policy: Option<String>,
    /// Keys may leave under a ZMK.
    #[arg(long)]
    exportable: bool,
    /// Shows what would be asked for and asks for nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `key expiring`.
#[derive(Debug, Args)]
pub struct Expiring {
    /// Within so many days.
    #[arg(long, default_value_t = 30)]
    days: u64,
    #[command(flatten)]
    place: Place,
}

/// A key: `SET/GENERATION`.
#[derive(Debug, Args)]
pub struct Named {
    /// `SET/GENERATION`, the set by name or id.
    key: String,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `key extend`.
#[derive(Debug, Args)]
pub struct Extend {
    /// `SET/GENERATION`.
    key: String,
    /// Protects for this span from now.
    #[arg(long, value_parser = super::span_ms, value_name = "SPAN")]
    by: u64,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `key revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// `SET/GENERATION`.
    key: String,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `key export`.
#[derive(Debug, Args)]
pub struct Export {
    /// `SET/GENERATION` of the key.
    #[arg(required_unless_present = "action")]
    key: Option<String>,
    /// `SET/GENERATION` of the ZMK.
    #[arg(long, value_name = "ZMK", required_unless_present = "action")]
    under: Option<String>,
    /// The approved action whose block is fetched.
    #[arg(long, conflicts_with_all = ["key", "under"], requires = "to")]
    action: Option<ActionId>,
    /// File for the block.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `key import`.
#[derive(Debug, Args)]
pub struct Import {
    /// File with the TR-31 block.
    block: PathBuf,
    /// Key set whose next generation it becomes.
    #[arg(long, value_name = "SET", required_unless_present = "action")]
    key_set: Option<String>,
    /// `SET/GENERATION` of the ZMK.
    #[arg(long, value_name = "ZMK", required_unless_present = "action")]
    under: Option<String>,
    /// Check value that the sender stated by another way.
    #[arg(long, required_unless_present = "action")]
    kcv: Option<String>,
    /// The approved action that the block belongs to.
    #[arg(long)]
    action: Option<ActionId>,
    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(verb: Key) -> Exit {
    match verb {
        Key::List(place) => {
            let client = place.client()?;
            listed(&place, &client, "/keys")
        }
        Key::Expiring(args) => {
            let client = args.place.client()?;
            listed(&args.place, &client, &format!("/keys/expiring?days={}", args.days))
        }
        Key::New(args) => new(&args),
        Key::Show(args) => one(&args),
        Key::Export(args) => export(&args),
        Key::Import(args) => import(&args),
        Key::Suspend(args) => ask(&args, Act::SuspendKey),
        Key::Resume(args) => ask(&args, Act::ResumeKey),
        Key::Deactivate(args) => ask(&args, Act::DeactivateKey),
        Key::Destroy(args) => ask(&args, Act::DestroyKey),
        Key::Keep(args) => ask(&args, Act::KeepKey),
        Key::Activate(args) => ask(&args, Act::ActivateKey),
        Key::Archive(args) => ask(&args, Act::ArchiveKey),
        Key::Restore(args) => ask(&args, Act::RestoreKey),
        Key::Reaffirm(args) => reaffirm::key(&args),
        Key::Extend(args) => {
            let client = args.place.client()?;
            let until = (keymgr::client::utc_ms() + args.by).into();
            super::ask(&args.place, &client, &[Act::ExtendKey { key: named(&client, &args.key)?, until }])
        }
        Key::Revoke(args) => {
            let client = args.place.client()?;
            let act = Act::RevokeKey { key: named(&client, &args.key)?, reason: args.reason.clone() };
            super::ask(&args.place, &client, &[act])
        }
    }
}

fn new(args: &New) -> Exit {
    let client = args.place.client()?;
    let policy = args.policy.as_ref().map(|name| policy::find(&client, name)).transpose()?;
    let wishes = KeySetWishes {
        name: args.name.clone(),
        kind: args.kind.into(),
        shape: args.shape,
        base: args.base,
        overlap: if args.selector { Overlap::Selector } else { Overlap::Time },
        policy: policy.as_ref().map(|policy| policy.id),
        exportable: args.exportable,
    };
    let zone = zone::find(&client, &args.zone)?;
    let (definition, acts) = block_on(plan_key_set(&client, &zone, &wishes))?;
    let i = definition.indices;
    let preview = format!(
        "zone {}: key set {}, {} {:?}, K{:03X} K{:03X} K{:03X}, policy {}",
        zone.alias,
        definition.name,
        definition.kind.name(),
        definition.shape,
        i.base,
        i.odd,
        i.even,
        policy.map_or_else(|| "with the defaults of the house".to_owned(), |policy| policy.name)
    );
    if args.dry_run {
        return show(args.place.json, &json!({ "definition": definition, "acts": acts }), |_| preview);
    }
    eprintln!("{preview}");
    super::ask(&args.place, &client, &acts)
}

/// A key set by name or id.
pub fn find_set(client: &Client, name: &str) -> Result<KeySet, Failure> {
    let sets: Vec<KeySet> = block_on(client.all("/key-sets"))?;
    super::place::named(sets, "key set", name, |set| (&set.definition.name, set.id().to_string()))
}

/// A key by `SET/GENERATION`.
pub(super) fn named(client: &Client, text: &str) -> Result<KeyRef, Failure> {
    let (set, generation) = text.rsplit_once('/').ok_or_else(|| Failure::usage("a key is SET/GENERATION"))?;
    let generation = generation.parse().map_err(|_| Failure::usage("a generation is a number"))?;
    Ok(KeyRef { key_set: find_set(client, set)?.id(), generation: Generation(generation) })
}

fn ask(args: &Named, act: impl FnOnce(KeyRef) -> Act) -> Exit {
    let client = args.place.client()?;
    super::ask(&args.place, &client, &[act(named(&client, &args.key)?)])
}

fn listed(place: &Place, client: &Client, path: &str) -> Exit {
    let (keys, sets): (Vec<KeyView>, Vec<KeySet>) =
        block_on(async { Ok((client.all(path).await?, client.all("/key-sets").await?)) })?;
    show(place.json, &keys, |keys| {
        let name = |key: &KeyView| {
            sets.iter()
                .find(|s| s.id() == key.key_set)
                .map_or_else(String::new, |s| s.definition.name.clone())
        };
        let row = |key: &KeyView| {
            let until = key.windows.originator_until.map_or_else(|| "-".to_owned(), when);
            let kcv = key.kcv.clone().unwrap_or_default();
            vec![format!("{}/{}", name(key), key.generation), format!("{:?}", key.state), kcv, until]
        };
        table(&["key", "state", "KCV", "protects until"], &keys.iter().map(row).collect::<Vec<_>>())
    })
}

fn one(args: &One) -> Exit {
    let client = args.place.client()?;
    let set = find_set(&client, &args.key_set)?;
    let (keys, holders): (Vec<KeyView>, Vec<HolderView>) = block_on(async {
        let id = set.id();
        Ok((
            client.all(&format!("/keys?key_set={id}")).await?,
            client.all(&format!("/holders?key_set={id}")).await?,
        ))
    })?;
    show(args.place.json, &json!({ "key_set": set, "keys": keys, "holders": holders }), |_| {
        let key = |k: &KeyView| {
            vec![k.generation.to_string(), format!("{:?}", k.state), k.kcv.clone().unwrap_or_default()]
        };
        let holder =
            |h: &HolderView| vec![h.generation.to_string(), format!("{:?}", h.progress), h.node.to_string()];
        format!(
            "{} ({})\n\n{}\n{}",
            set.definition.name,
            set.id(),
            table(&["generation", "state", "KCV"], &keys.iter().map(key).collect::<Vec<_>>()),
            table(
                &["generation", "by its receipts", "node"],
                &holders.iter().map(holder).collect::<Vec<_>>()
            )
        )
    })
}

#[derive(Debug, Deserialize)]
struct Exported {
    block: String,
    kcv: String,
}

fn export(args: &Export) -> Exit {
    let client = args.place.client()?;
    if let (Some(key), Some(under)) = (&args.key, &args.under) {
        let act = Act::ExportKey { key: named(&client, key)?, under: named(&client, under)? };
        return super::ask(&args.place, &client, &[act]);
    }
    let (Some(action), Some(to)) = (args.action, &args.to) else {
        return Err(Failure::usage("give --action and --to"));
    };
    let done: Exported = block_on(client.post_once(&format!("/actions/{action}/export"), &json!({})))?;
    write_private(to, &done.block).map_err(|e| Failure::environment(format!("{}: {e}", to.display())))?;
    show(args.place.json, &json!({ "file": to, "kcv": done.kcv }), |_| {
        format!("{}\ncheck value {}, to be told by another way", to.display(), done.kcv)
    })
}

fn import(args: &Import) -> Exit {
    let client = args.place.client()?;
    let text = std::fs::read_to_string(&args.block)
        .map_err(|e| Failure::environment(format!("{}: {e}", args.block.display())))?;
    let block = text.trim();
    if let Some(action) = args.action {
        let path = format!("/actions/{action}/import");
        let done: Outcome = block_on(client.post_once(&path, &json!({ "block": block })))?;
        return show(args.place.json, &done, |_| {
            "imported; its check value is the one that was stated".to_owned()
        });
    }
    let (Some(set), Some(under), Some(kcv)) = (&args.key_set, &args.under, &args.kcv) else {
        return Err(Failure::usage("give --key-set, --under and --kcv"));
    };
    let act = Act::ImportKey {
        key_set: find_set(&client, set)?.id(),
        under: named(&client, under)?,
        block: Digest::of(block.as_bytes()),
        kcv: kcv.to_ascii_uppercase(),
    };
    super::ask(&args.place, &client, &[act])
}
