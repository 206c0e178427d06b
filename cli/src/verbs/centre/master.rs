//! The master key of a centre, as options name it and the folder remembers it.

use crate::backend::Source;
use crate::exit::Failure;
use crate::token;
use clap::Args;
use gateway::BackendFactory;
use gateway::config::TokenSource;
use hsm::{LmkId, LmkInfo, LmkScheme};
use hsm_pkcs11::{SigningKeys, Token, TokenError};
use keylink::PublicKey;
use keymgr::house::{Custody, KeyToken, KeyTokenError, Master};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Under which the master key is made by itself and looked for.
const USUAL: LmkId = LmkId(2);

/// Where the master key is.
#[derive(Debug, Args)]
pub struct MasterOptions {
    /// Where the master key is: `sim`, in the memory of the manager, or `pkcs11` with --token.
    #[arg(long, value_parser = ["sim", "pkcs11"], value_name = "NAME")]
    backend: Option<String>,
    /// Token that holds the master key: pkcs11:token=LABEL;serial=…?module-path=FILE (RFC 7512).
    #[arg(long, value_name = "URI", conflicts_with = "lmk_file")]
    token: Option<String>,
    /// File with the user PIN of the token; without it the credential `payhsm-pin` of systemd is read, or the PIN
    /// is asked for.
    #[arg(long, value_name = "FILE", conflicts_with = "lmk_file")]
    pin_file: Option<PathBuf>,
    /// The master key is the public test LMK 02, which protects nothing.
    #[arg(long, conflicts_with = "lmk_file")]
    insecure_test_lmk: bool,
    /// Key file with the master key, made by `payhsm lmk new`.
    #[arg(long, value_name = "FILE")]
    lmk_file: Option<PathBuf>,
    /// File with the passphrase of the key file; asked for when missing.
    #[arg(long, value_name = "FILE")]
    lmk_pass_file: Option<PathBuf>,
    /// Identifier of the master key, an AES key-block LMK: the one that the centre has, 02, or the only one.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..20))]
    lmk: Option<u8>,
}

/// A backend with the master key in it.
pub struct Opened {
    /// Makes it.
    pub factory: Arc<BackendFactory>,
    /// The master key.
    pub lmk: LmkInfo,
    /// What the folder is to remember.
    pub record: Master,
    token: Option<Token>,
}

impl Opened {
    /// Where the centre's own keys lie: in the token with the master key, if there is one.
    pub fn custody(&self, patience: Duration) -> Result<Option<Custody>, Failure> {
        let Some(token) = &self.token else { return Ok(None) };
        let keys = InToken(SigningKeys::new(token).map_err(token::failure)?);
        Custody::start(patience, Box::new(keys)).map(Some).map_err(Failure::environment)
    }
}

struct InToken(SigningKeys);

fn said(error: TokenError) -> KeyTokenError {
    KeyTokenError(error.to_string())
}

impl KeyToken for InToken {
    fn make(&mut self) -> Result<PublicKey, KeyTokenError> {
        self.0.make().map(PublicKey).map_err(said)
    }

    fn keep(&mut self, key: &PublicKey, label: &str) -> Result<(), KeyTokenError> {
        self.0.keep(&key.0, label).map_err(said)
    }

    fn label(&mut self, key: &PublicKey) -> Result<Option<String>, KeyTokenError> {
        self.0.label(&key.0).map_err(said)
    }

    fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<[u8; 64], KeyTokenError> {
        self.0.sign(&key.0, message).map_err(said)
    }

    fn destroy(&mut self, key: &PublicKey) -> Result<(), KeyTokenError> {
        self.0.destroy(&key.0).map_err(said)
    }
}

impl MasterOptions {
    /// True when the options name a backend.
    pub const fn is_named(&self) -> bool {
        self.backend.is_some() || self.token.is_some() || self.lmk_file.is_some() || self.insecure_test_lmk
    }

    /// Opens the backend and finds the master key. Refuses another one than the centre has; nothing is written but
    /// the public test LMKs on an empty token for which they were asked.
    pub fn open(&self, known: Option<&Master>, live: bool) -> Result<Opened, Failure> {
        if live && self.insecure_test_lmk {
            return Err(test_key());
        }
        let source = self.source(known)?;
        let (factory, own) = source.factory_and_token()?;
        let lmk = self.choose(factory().lmks(), known)?;
        if live && lmk.test {
            return Err(test_key());
        }
        if let Some(known) = known.filter(|known| !known.is(&lmk)) {
            return Err(Failure::check(format!(
                "the centre's keys are under another master key: LMK {} with check value {}; here is LMK {} with {}",
                known.id(),
                known.check_value,
                lmk.id,
                String::from_utf8_lossy(&lmk.check)
            )));
        }
        let mut record = Master::of(&lmk);
        if let Source::Token(token, _) = source {
            record.pin_file = token.pin_file.as_deref().map(absolute).transpose()?;
            record.token = Some(token.uri);
        }
        Ok(Opened { factory, lmk, record, token: own })
    }

    fn source(&self, known: Option<&Master>) -> Result<Source, Failure> {
        let on_token = match self.backend.as_deref() {
            Some("sim") if self.token.is_some() => {
                return Err(Failure::usage("the simulator takes no token"));
            }
            Some("sim") => false,
            Some(_) if self.lmk_file.is_some() => {
                return Err(Failure::usage("the master key is on the token: a key file has no use"));
            }
            Some(_) => true,
            None => {
                self.token.is_some() || self.lmk_file.is_none() && known.is_some_and(|k| k.token.is_some())
            }
        };
        if on_token {
            let uri = self.token.clone().or_else(|| known.and_then(|known| known.token.clone()));
            let uri = uri.ok_or_else(|| {
                Failure::usage("the PKCS#11 backend needs a token: name it with `--token pkcs11:token=LABEL`")
            })?;
            let pin_file = self.pin_file.clone().or_else(|| known.and_then(|known| known.pin_file.clone()));
            return Ok(Source::Token(TokenSource { uri, pin_file }, self.insecure_test_lmk));
        }
        match (&self.lmk_file, self.insecure_test_lmk) {
            (Some(file), _) => Ok(Source::File(file.clone(), self.lmk_pass_file.clone())),
            (None, true) => Ok(Source::Test),
            (None, false) => Err(Failure::usage(
                "no master key: give `--lmk-file FILE` (made by `payhsm lmk new`), `--backend pkcs11 --token URI` (made by \
                 `payhsm lmk init`), or `--insecure-test-lmk` for the public test LMK, which protects nothing",
            )),
        }
    }

    fn choose(&self, all: &[LmkInfo], known: Option<&Master>) -> Result<LmkInfo, Failure> {
        let fits: Vec<&LmkInfo> = all.iter().filter(|lmk| lmk.scheme == LmkScheme::AesBlock).collect();
        let of = |id: LmkId| fits.iter().find(|lmk| lmk.id == id).map(|lmk| (*lmk).clone());
        let missing = |id: LmkId| {
            Failure::check(format!("the backend holds no AES key-block LMK {id}: a master key is one"))
        };
        if let Some(id) = self.lmk.map(LmkId).or_else(|| known.map(Master::id)) {
            return of(id).ok_or_else(|| missing(id));
        }
        match (of(USUAL), fits.as_slice()) {
            (Some(usual), _) => Ok(usual),
            (None, [only]) => Ok((*only).clone()),
            (None, []) => {
                Err(Failure::check("the backend holds no AES key-block LMK, which a master key is"))
            }
            (None, _) => {
                Err(Failure::usage("the backend holds several AES key-block LMKs: name one with `--lmk ID`"))
            }
        }
    }
}

fn test_key() -> Failure {
    Failure::check("a live centre does not run under a test LMK")
}

// As a later start, from another folder, finds it.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::environment(format!("{}: {error}", path.display())))
}
