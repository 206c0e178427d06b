//! `payhsm lmk init`: the ceremony that makes an LMK on a token.

use super::{Kind, combined, print};
use crate::exit::{Exit, Failure};
use crate::hardening;
use crate::token;
use gateway::config::TokenSource;
use hsm::{LmkId, LmkInfo};
use hsm_pkcs11::{Token, ceremony};
use hsm_sim::LmkKind;
use std::path::PathBuf;

/// Arguments of `lmk init`.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// Where the LMK is made; tokens are the only place.
    #[arg(long, value_parser = ["pkcs11"], default_value = "pkcs11", value_name = "NAME")]
    backend: String,
    /// The token: pkcs11:token=LABEL;serial=…?module-path=FILE (RFC 7512).
    #[arg(long, env = "PAYHSM_TOKEN", value_name = "URI")]
    token: String,
    /// File with the user PIN; without it the credential `payhsm-pin` is read, or the PIN is asked for.
    #[arg(long, env = "PAYHSM_PIN_FILE", value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Identifier, 0 to 19; the lowest that is free when missing.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..20))]
    id: Option<u8>,
    /// Kind; aes when missing.
    #[arg(long, value_enum)]
    scheme: Option<Kind>,
    /// Number of components that custodians enter in turn, in hex; without it the LMK is random.
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..10))]
    components: Option<u8>,
    /// Loads the public test LMKs, which protect nothing: 01 3DES, 02 AES, or the one of --scheme.
    #[arg(long, conflicts_with_all = ["components", "id"])]
    insecure_test_lmk: bool,
    /// JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Init) -> Exit {
    let kind = args.scheme.map(LmkKind::from);
    if kind == Some(LmkKind::Variant) {
        return Err(Failure::usage("a token takes key-block LMKs only: --scheme aes or 3des"));
    }
    hardening::harden();
    let source = TokenSource { uri: args.token.clone(), pin_file: args.pin_file.clone() };
    let token = token::open(&source)?;
    if args.insecure_test_lmk {
        print(&token::load_test_lmks(&token, kind.map(LmkKind::scheme))?, args.json);
        return Ok(());
    }
    let info = make(&token, args, kind.unwrap_or(LmkKind::AesBlock))?;
    print(&[info], args.json);
    Ok(())
}

fn make(token: &Token, args: &Init, kind: LmkKind) -> Result<LmkInfo, Failure> {
    let id = match args.id {
        Some(id) => LmkId(id),
        None => lowest_free(&token.lmks().map_err(token::failure)?)?,
    };
    let made = match args.components {
        Some(count) => ceremony::import(token, id, kind.scheme(), &combined(kind, count)?),
        None => ceremony::generate(token, id, kind.scheme()),
    };
    made.map_err(token::failure)
}

fn lowest_free(lmks: &[LmkInfo]) -> Result<LmkId, Failure> {
    let free = (0..20).map(LmkId).find(|id| lmks.iter().all(|lmk| lmk.id != *id));
    free.ok_or_else(|| Failure::check("the token has an LMK under every identifier"))
}
