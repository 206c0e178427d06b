//! Tokens as verbs name them: URI, PIN, and which LMKs may be served from them.

use crate::exit::Failure;
use crate::private::{make_folder, secret_line};
use gateway::BackendFactory;
use gateway::config::TokenSource;
use hsm::{LmkInfo, LmkScheme};
use hsm_pkcs11::{Options, Pin, Token, TokenError, TokenUri, ceremony};
use hsm_sim::LmkSet;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the credential that systemd hands over (`LoadCredential=payhsm-pin:…`).
const CREDENTIAL: &str = "payhsm-pin";

/// Opens a token and logs in.
pub fn open(source: &TokenSource) -> Result<Token, Failure> {
    let uri = TokenUri::parse(&source.uri).map_err(Failure::usage)?;
    let pin = pin(pin_file(source, &uri).as_deref())?;
    let options = Options { ledger: ledger(), ..Options::default() };
    Token::open(&uri, Some(pin), options).map_err(failure)
}

// Failed logins are kept where the service manager keeps state for us, or in a folder of our own under the
// temporary one. A folder that belongs to others is not believed.
fn ledger() -> Option<PathBuf> {
    if let Some(state) = std::env::var_os("STATE_DIRECTORY") {
        return Some(PathBuf::from(state));
    }
    let user = rustix::process::geteuid();
    let folder = std::env::temp_dir().join(format!("payhsm-{}", user.as_raw()));
    make_folder(&folder).ok()?;
    let facts = std::fs::symlink_metadata(&folder).ok()?;
    let own = facts.is_dir() && facts.uid() == user.as_raw() && facts.mode() & 0o022 == 0;
    own.then_some(folder)
}

/// Makes the backend of a core as often as one is needed.
pub fn factory(source: &TokenSource, insecure_test_lmk: bool) -> Result<Arc<BackendFactory>, Failure> {
    let token = open(source)?;
    ready(&token, source, insecure_test_lmk)?;
    Ok(Arc::new(move || Box::new(token.backend())))
}

/// Judges the LMKs of a token before anything is served. A token without any gets the public test LMKs when
/// these are asked for.
pub fn ready(token: &Token, source: &TokenSource, insecure_test_lmk: bool) -> Result<Vec<LmkInfo>, Failure> {
    if insecure_test_lmk {
        // Several workers may come to a fresh token at once.
        let _alone = alone(source)?;
        if token.lmks().map_err(failure)?.is_empty() {
            load_test_lmks(token, None)?;
        }
    }
    let lmks = token.lmks().map_err(failure)?;
    if lmks.is_empty() {
        return Err(Failure::check(
            "no LMK on the token: make one with `payhsm lmk init`, or take `--insecure-test-lmk` for the public \
             test LMKs, which protect nothing",
        ));
    }
    if let Some(lmk) = lmks.iter().find(|lmk| lmk.test != insecure_test_lmk) {
        let id = lmk.id;
        return Err(Failure::usage(if lmk.test {
            format!("LMK {id} of the token is a public test LMK: it needs `--insecure-test-lmk`")
        } else {
            format!("LMK {id} of the token is no public test LMK: `--insecure-test-lmk` is not for it")
        }));
    }
    Ok(lmks)
}

/// Loads the public key-block test LMKs, or the one of a scheme, under their usual identifiers.
pub fn load_test_lmks(token: &Token, scheme: Option<LmkScheme>) -> Result<Vec<LmkInfo>, Failure> {
    let mut made = Vec::new();
    for secret in LmkSet::public_test().iter() {
        let own = secret.kind.scheme();
        if !own.is_block() || scheme.is_some_and(|wanted| wanted != own) {
            continue;
        }
        match ceremony::import(token, secret.id, own, &secret.clear) {
            Ok(info) => made.push(info),
            // A module without DES serves the AES one.
            Err(TokenError::NotOffered(_)) if scheme.is_none() => {}
            Err(error) => return Err(failure(error)),
        }
    }
    Ok(made)
}

// A lock between processes that is given back when the file closes; nothing to lock, no other process.
fn alone(source: &TokenSource) -> Result<Option<File>, Failure> {
    let uri = TokenUri::parse(&source.uri).map_err(Failure::usage)?;
    let Some(path) = pin_file(source, &uri) else { return Ok(None) };
    let named = |error: io::Error| Failure::environment(format!("{}: {error}", path.display()));
    let file = File::open(&path).map_err(named)?;
    file.lock().map_err(named)?;
    Ok(Some(file))
}

fn pin_file(source: &TokenSource, uri: &TokenUri) -> Option<PathBuf> {
    let credential = || {
        let path = Path::new(&std::env::var_os("CREDENTIALS_DIRECTORY")?).join(CREDENTIAL);
        path.exists().then_some(path)
    };
    source.pin_file.clone().or_else(|| uri.pin_file.clone()).or_else(credential)
}

fn pin(file: Option<&Path>) -> Result<Pin, Failure> {
    let Some(path) = file else {
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(
                "no PIN: give `--pin-file FILE`, `pin-source=file:FILE` in the URI, or the credential `payhsm-pin`",
            ));
        }
        return secret_line("user PIN of the token: ").map(Pin::new);
    };
    let pin = Pin::read(path).map_err(|e| Failure::environment(format!("{}: {e}", path.display())))?;
    if pin.is_exposed() {
        tracing::warn!(file = %path.display(), "others than its owner may read the PIN file: chmod 600");
    }
    Ok(pin)
}

/// The exit code of a token's refusal: 3 for what is missing around us, 1 for what the token does not hold.
pub fn failure(error: TokenError) -> Failure {
    match error {
        TokenError::Uri(_) | TokenError::LmkNumber | TokenError::Ambiguous(_) => Failure::usage(error),
        TokenError::PinRefused
        | TokenError::LoginSpared(_)
        | TokenError::LmkExists(_)
        | TokenError::LmkParts(..)
        | TokenError::LmkAttributes(..)
        | TokenError::LmkWeak
        | TokenError::NotOffered(_)
        | TokenError::Derivation => Failure::check(error),
        _ => Failure::environment(error),
    }
}
