//! `payhsm lmk new|init|show`: own LMKs, in an encrypted key file or on a token. Shows check values, never a
//! key.

mod init;

use crate::exit::{Exit, Failure};
use crate::private::{secret_line, write_private};
use crate::token;
use clap::{Args, Subcommand, ValueEnum};
use gateway::config::TokenSource;
use hsm::{LmkId, LmkInfo};
use hsm_sim::forming::{self, component_length};
use hsm_sim::{LmkKind, LmkSecret, LmkSet, key_file};
use paytypes::ClearBytes;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Makes and shows own LMKs.
#[derive(Debug, Subcommand)]
pub enum Lmk {
    /// Makes an LMK and adds it to a key file, which is made when it is not there.
    New(New),
    /// Makes an LMK on a PKCS#11 token, which it never leaves.
    Init(Box<init::Init>),
    /// Shows identifier, kind, check value and comment of each LMK in a key file or on a token.
    Show(Show),
}

/// Kind of an LMK.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// AES key-block LMK, 32 bytes.
    Aes,
    /// 3DES key-block LMK, 24 bytes.
    #[value(name = "3des")]
    Tdes,
    /// Variant set of 20 pairs.
    Variant,
}

impl From<Kind> for LmkKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Aes => Self::AesBlock,
            Kind::Tdes => Self::TdesBlock,
            Kind::Variant => Self::Variant,
        }
    }
}

/// Arguments of `lmk new`.
#[derive(Debug, Args)]
pub struct New {
    /// The key file.
    #[arg(long)]
    file: PathBuf,
    /// Identifier, 0 to 19.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..20))]
    id: u8,
    /// Kind.
    #[arg(long, value_enum, default_value = "aes")]
    kind: Kind,
    /// Number of components that custodians enter in turn, in hex; without it the LMK is random.
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..10))]
    components: Option<u8>,
    /// Free text.
    #[arg(long, default_value = "")]
    comment: String,
    /// File with the passphrase; without it the passphrase is asked for.
    #[arg(long)]
    pass_file: Option<PathBuf>,
}

/// Arguments of `lmk show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The key file.
    #[arg(long, required_unless_present = "token")]
    file: Option<PathBuf>,
    /// A token: pkcs11:token=LABEL?module-path=FILE.
    #[arg(long, value_name = "URI", conflicts_with = "file")]
    token: Option<String>,
    /// File with the user PIN of the token.
    #[arg(long, value_name = "FILE", requires = "token")]
    pin_file: Option<PathBuf>,
    /// File with the passphrase; without it the passphrase is asked for.
    #[arg(long)]
    pass_file: Option<PathBuf>,
    /// JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(verb: Lmk) -> Exit {
    match verb {
        Lmk::New(args) => new(&args),
        Lmk::Init(args) => init::run(&args),
        Lmk::Show(args) => show(&args),
    }
}

fn new(args: &New) -> Exit {
    let kind = LmkKind::from(args.kind);
    let passphrase = passphrase(args.pass_file.as_deref(), "passphrase of the key file: ")?;
    let mut set = match fs::read_to_string(&args.file) {
        Ok(text) => key_file::open(&text, &passphrase).map_err(Failure::check)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => LmkSet::default(),
        Err(error) => return Err(Failure::environment(format!("{}: {error}", args.file.display()))),
    };
    let clear = match args.components {
        Some(count) => combined(kind, count)?,
        None => forming::random_component(kind)
            .and_then(|secret| forming::expand(kind, secret))
            .map_err(Failure::check)?,
    };
    let lmk = LmkSecret::new(LmkId(args.id), kind, &args.comment, clear)
        .map_err(|_| Failure::check("the LMK is weak"))?;
    let info = lmk.info();
    set.add(lmk).map_err(|_| Failure::check(format!("LMK {:02} is in the file already", args.id)))?;
    let text = key_file::seal(&set, &passphrase).map_err(Failure::check)?;
    write_private(&args.file, &text)
        .map_err(|error| Failure::environment(format!("{}: {error}", args.file.display())))?;
    let check = String::from_utf8_lossy(&info.check).into_owned();
    println!("LMK {} ({:?}) check value {check} written to {}", info.id, info.scheme, args.file.display());
    Ok(())
}

fn combined(kind: LmkKind, count: u8) -> Result<ClearBytes, Failure> {
    let mut components = Vec::new();
    for number in 1..=count {
        let prompt = format!("component {number} of {count} ({} hex digits): ", component_length(kind) * 2);
        let text = secret_line(&prompt)?;
        let clear = paytypes::hex::decode_vec(text.trim().as_bytes())
            .map_err(|_| Failure::usage(format!("component {number}: not hexadecimal")))?;
        let component = ClearBytes::new(clear);
        let check = forming::component_check(kind, &component)
            .ok_or_else(|| Failure::usage(format!("component {number}: wrong length")))?;
        println!("component {number} check value {}", String::from_utf8_lossy(&check));
        components.push(component);
    }
    forming::combine(kind, &components).map_err(Failure::check)
}

fn show(args: &Show) -> Exit {
    let infos = match (&args.token, &args.file) {
        (Some(uri), _) => {
            let token = token::open(&TokenSource { uri: uri.clone(), pin_file: args.pin_file.clone() })?;
            token.lmks().map_err(token::failure)?
        }
        (None, Some(file)) => load(file, args.pass_file.as_deref())?.iter().map(LmkSecret::info).collect(),
        (None, None) => return Err(Failure::usage("name a key file or a token")),
    };
    print(&infos, args.json);
    Ok(())
}

fn print(infos: &[LmkInfo], json: bool) {
    if json {
        let rows: Vec<_> = infos
            .iter()
            .map(|i| {
                serde_json::json!({
                    "id": i.id.to_string(),
                    "scheme": format!("{:?}", i.scheme),
                    "check_value": String::from_utf8_lossy(&i.check),
                    "comment": i.comment,
                })
            })
            .collect();
        println!("{}", serde_json::json!({ "lmks": rows }));
        return;
    }
    for i in infos {
        println!(
            "{}  {:<10}  {}  {}",
            i.id,
            format!("{:?}", i.scheme),
            String::from_utf8_lossy(&i.check),
            i.comment
        );
    }
}

/// Opens a key file; the passphrase comes from a file or from the terminal.
pub fn load(file: &Path, pass_file: Option<&Path>) -> Result<LmkSet, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::environment(format!("{}: {error}", file.display())))?;
    let passphrase = passphrase(pass_file, "passphrase of the key file: ")?;
    key_file::open(&text, &passphrase).map_err(Failure::check)
}

fn passphrase(file: Option<&Path>, prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = match file {
        Some(path) => Zeroizing::new(
            fs::read_to_string(path)
                .map_err(|error| Failure::environment(format!("{}: {error}", path.display())))?,
        ),
        None => secret_line(prompt)?,
    };
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec()))
}
