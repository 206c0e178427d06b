//! Key blocks: looked at without a key, opened, made.

use super::report::{Case, Report};
use super::secrets::Secrets;
use crate::exit::Failure;
use crate::verbs::vectors::{kbpk, parse_policy, ready};
use clap::{Args, Subcommand};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Algorithm, CipherKind, Exportability, KeyUsage, ModeOfUse, hex};
use serde_json::{Value, json};
use tr31::sblock::{self, SBlock};
use tr31::{Attributes, Content, KeyBlock, KeyBlockError, OptionalBlocks, attributes, kcv};
use zeroize::Zeroizing;

#[derive(Subcommand, Debug)]
pub enum Tr31Verb {
    /// Shows a block field by field; needs no key.
    Inspect(Inspect),
    /// Opens a block. Secret: protection key.
    Unwrap(Unwrap),
    /// Makes a block. Secrets: protection key, key.
    Wrap(Wrap),
}

#[derive(Subcommand, Debug)]
pub enum SVerb {
    /// Shows a block field by field; needs no key.
    Inspect(Inspect),
}

#[derive(Args, Debug)]
pub struct Inspect {
    /// The block; an `S` block with or without its tag.
    block: String,
}

#[derive(Args, Debug)]
pub struct Unwrap {
    /// The block.
    block: String,
    /// Profile: x9.143-strict, tr31-2018, iso-20038, lenient or none.
    #[arg(long, default_value = "x9.143-strict")]
    policy: String,
    /// Shows the key.
    #[arg(long)]
    show: bool,
}

#[derive(Args, Debug)]
pub struct Wrap {
    /// Version letter.
    #[arg(long, default_value = "D")]
    version: String,
    /// Key usage, two characters.
    #[arg(long)]
    usage: String,
    /// Algorithm letter of the key.
    #[arg(long, default_value = "T")]
    algorithm: String,
    /// Mode of use.
    #[arg(long, default_value = "N")]
    mode: String,
    /// Key version number.
    #[arg(long, default_value = "00")]
    key_version: String,
    /// Exportability.
    #[arg(long, default_value = "E")]
    export: String,
    /// Optional block as ID=DATA; repeatable.
    #[arg(long, value_name = "ID=DATA")]
    block: Vec<String>,
    /// Bytes to which the key's length is masked; 0 for none. Without it: as X9.143 asks.
    #[arg(long)]
    mask: Option<u16>,
    /// Profile, as for unwrap.
    #[arg(long, default_value = "x9.143-strict")]
    policy: String,
}

pub fn tr31(verb: &Tr31Verb, secrets: &mut Secrets) -> Result<Report, Failure> {
    match verb {
        Tr31Verb::Inspect(args) => Ok(inspect(&args.block)),
        Tr31Verb::Unwrap(args) => unwrap(args, secrets),
        Tr31Verb::Wrap(args) => wrap(args, secrets),
    }
}

pub fn sblock(verb: &SVerb) -> Result<Report, Failure> {
    let SVerb::Inspect(args) = verb;
    Ok(inspect_s(&args.block))
}

fn named(code: &str, name: Option<&str>) -> String {
    format!("{code}  {}", name.unwrap_or("not a code of the standard"))
}

fn one(code: u8) -> String {
    char::from(code).to_string()
}

fn attribute_rows(report: &mut Report, given: &Attributes, usage_name: Option<&str>) {
    let Attributes { usage, algorithm, mode, key_version, exportability } = *given;
    report.row("usage", named(KeyUsage::as_str(&usage), usage_name));
    report.row("algorithm", named(&one(algorithm.0), attributes::algorithm_name(Algorithm(algorithm.0))));
    report.row("mode", named(&one(mode.0), attributes::mode_name(ModeOfUse(mode.0))));
    report.row("key version", format!("{key_version:?}"));
    let name = attributes::exportability_name(Exportability(exportability.0));
    report.row("exportability", named(&one(exportability.0), name));
}

// One line for each optional block: what it holds, or where it is not as it should be.
fn block_rows(report: &mut Report, blocks: &OptionalBlocks<'_>) {
    for block in blocks.iter() {
        let id = format!("{:?}", block.id);
        let data = String::from_utf8_lossy(block.data);
        let meaning = match block.content() {
            Ok(content) => explained(&content),
            Err(error) => format!(", not well formed: {error}"),
        };
        let name = attributes::block_name(block.id).unwrap_or("proprietary");
        report.row(&format!("block {id}"), format!("{data}  {name}{meaning}"));
    }
}

fn explained(content: &Content<'_>) -> String {
    match content {
        Content::KeyLife(life) => format!(": {}", life.name()),
        Content::Pedigree(pedigree) => format!(": {}", pedigree.name()),
        Content::Hash(hash) => format!(": {}", hash.name()),
        Content::BaseKeyId(id) => format!(": {}", hex::encode(id.bytes())),
        Content::KeyCheck(value) | Content::KbpkCheck(value) | Content::ExportKbpkCheck(value) => {
            format!(": {value:?}")
        }
        Content::Certificates(list) => format!(": {} certificate(s)", list.iter().count()),
        Content::Derivations(list) => list.iter().fold(":".to_owned(), |text, d| {
            format!("{text} {:?}{:?}{:?}{:?}", d.usage, d.algorithm, d.mode, d.exportability)
        }),
        _ => String::new(),
    }
}

fn refused(error: &KeyBlockError) -> Report {
    let mut report = Report::default();
    report.row("refused", error.to_string());
    report.row("class", error.kind.class());
    report.row("offset", error.offset);
    report.fails(error);
    report
}

fn inspect(text: &str) -> Report {
    let block = match KeyBlock::parse(text.trim().as_bytes()) {
        Ok(block) => block,
        Err(error) => return refused(&error),
    };
    let header = block.header();
    let mut report = Report::default();
    report.row(
        "version",
        format!("{}  {:?} protection key", one(header.version.letter()), header.version.kind()),
    );
    report.row("length", block.text().len());
    attribute_rows(&mut report, &header.attributes, attributes::usage_name(header.attributes.usage));
    report.row("context", named(&one(header.context), attributes::context_name(header.context)));
    block_rows(&mut report, &header.blocks);
    report.row(
        "key data",
        format!("{} bytes: a key of at most {}", block.payload_length(), block.payload_length() - 2),
    );
    report.row("mac", format!("{} bytes", header.version.mac_length()));
    report
}

fn inspect_s(text: &str) -> Report {
    let text = text.trim();
    let block = match SBlock::parse(text.strip_prefix('S').unwrap_or(text).as_bytes()) {
        Ok(block) => block,
        Err(error) => return refused(&error),
    };
    let header = block.header();
    let mut report = Report::default();
    report.row("version", format!("{}  {:?} key", one(header.version.letter()), header.version.kind()));
    report.row("length", block.text().len());
    attribute_rows(&mut report, &header.attributes, sblock::usage_name(header.attributes.usage));
    match sblock::x9143_usage(header.attributes.usage) {
        Some(usage) => report.row("leaves as", format!("{usage:?}")),
        None => report.row("leaves as", "no usage of X9.143"),
    }
    report.row(
        "lmk",
        match header.lmk.index() {
            Some(index) => format!("{index:02}"),
            None => "FF  for exchange, under a ZMK".to_owned(),
        },
    );
    for block in header.blocks.iter() {
        report.row(&format!("block {:?}", block.id), String::from_utf8_lossy(block.data));
    }
    if let Err(error) = header.check_blocks() {
        report.row("not well formed", error.to_string());
    }
    report
}

fn unwrap(args: &Unwrap, secrets: &mut Secrets) -> Result<Report, Failure> {
    let key = secrets.next("Protection key")?;
    let case = Case::default()
        .with("kbpk", key.as_str())
        .with("key_block", args.block.trim())
        .with("policy", args.policy.as_str());
    let mut report = inspect(&args.block);
    report.verdict()?;
    case.apply(|given| {
        let policy = parse_policy(given.raw("policy"))?;
        let block = KeyBlock::parse(given.text("key_block")?.as_bytes())?;
        let kbpk = kbpk(given, block.header().version)?;
        let key = ready(block.unwrap(&Soft, &kbpk, &policy))?;
        report.row("proved", format!("under the protection key, accepted by {}", policy.name));
        report.row("key length", format!("{} bits", key.bits));
        if let Some(value) = check_value(block.header().attributes.algorithm, key.material.expose()) {
            report.row("kcv", value);
        }
        if args.show {
            report.row("key", hex::encode(key.material.expose()));
        }
        Ok(())
    })?;
    Ok(report)
}

// As custodians compare it: six digits for TDES, ten of CMAC for AES; other keys have none.
fn check_value(algorithm: Algorithm, key: &[u8]) -> Option<String> {
    let (kind, n) = match algorithm {
        Algorithm::AES => (CipherKind::Aes, 5),
        Algorithm::TDES | Algorithm::DES if key.len() == 8 => (CipherKind::Des, 3),
        Algorithm::TDES | Algorithm::DES => (CipherKind::Tdes, 3),
        _ => return None,
    };
    let key = SoftKey::new(kind, key).ok()?;
    Some(hex::encode(paytypes::now(kcv(&Soft, &key))?.ok()?.bytes(n)))
}

fn wrap(args: &Wrap, secrets: &mut Secrets) -> Result<Report, Failure> {
    let (kbpk, key) = (secrets.next("Protection key")?, secrets.next("Key")?);
    let blocks: Vec<Value> = args
        .block
        .iter()
        .map(|block| block.split_once('=').map(|(id, data)| json!([id, data])))
        .collect::<Option<_>>()
        .ok_or_else(|| Failure::usage("--block ID=DATA"))?;
    let header = json!({
        "version": args.version, "usage": args.usage, "algorithm": args.algorithm, "mode": args.mode,
        "version_num": args.key_version, "exportability": args.export, "blocks": blocks,
    });
    let made = Case::default()
        .with("kbpk", kbpk.as_str())
        .with("key", key.as_str())
        .with("header", header)
        .with("policy", args.policy.as_str())
        .maybe("mask_len", args.mask)
        .text("tr31.wrap", "key_block")?;
    let mut report = Report::default();
    let clear = hex::decode_vec(key.as_bytes()).map(Zeroizing::new).unwrap_or_default();
    if let Some(value) = args.algorithm.bytes().next().and_then(|c| check_value(Algorithm(c), &clear)) {
        report.row("kcv", value);
    }
    report.row("key block", made);
    Ok(report)
}
