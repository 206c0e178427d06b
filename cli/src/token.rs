//! Tokens as verbs name them: URI, PIN, and which LMKs may be served from them.

use crate::exit::Failure;
use crate::private::{make_folder, secret_line};
use gateway::config::TokenSource;
use gateway::worker::Refusal;
use hsm::{LmkInfo, LmkScheme};
use hsm_pkcs11::{Options, Pin, Token, TokenError, TokenUri, ceremony};
use hsm_sim::LmkSet;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Name of the credential that systemd hands over (`LoadCredential=payhsm-pin:…`).
const CREDENTIAL: &str = "payhsm-pin";

/// Opens a token and logs in.
pub fn open(source: &TokenSource) -> Result<Token, Failure> {
    let Prepared { uri, pin, .. } = prepare(source, false)?;
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

/// A token that is to be served: everything of it that is read from files.
#[derive(Debug)]
pub struct Prepared {
    source: TokenSource,
    uri: TokenUri,
    pin: Pin,
    insecure_test_lmk: bool,
}

/// Reads the PIN.
pub fn prepare(source: &TokenSource, insecure_test_lmk: bool) -> Result<Prepared, Failure> {
    let uri = TokenUri::parse(&source.uri).map_err(Failure::usage)?;
    let pin = pin(pin_file(source, &uri).as_deref())?;
    Ok(Prepared { source: source.clone(), uri, pin, insecure_test_lmk })
}

/// Why a token cannot be served: what it means for a second try, and the failure.
#[derive(Debug)]
pub struct NoToken(pub Refusal, pub Failure);

impl Prepared {
    /// Opens it as it is.
    pub fn open_with(self, options: Options) -> Result<Token, TokenError> {
        Token::open(&self.uri, Some(self.pin), Options { ledger: ledger(), ..options })
    }

    /// Opens it, and judges its LMKs. `login_once` for a worker: its gateway counts logins for all of them.
    pub fn open(self, login_once: bool) -> Result<Token, NoToken> {
        let refused = |error: TokenError| NoToken(refusal(&error), failure(error));
        let options = Options { login_once, ledger: ledger(), ..Options::default() };
        let token = Token::open(&self.uri, Some(self.pin), options).map_err(refused)?;
        let judged = ready(&token, &self.source, self.insecure_test_lmk);
        judged.map_err(|failure| NoToken(Refusal::Token, failure))?;
        Ok(token)
    }
}

const fn refusal(error: &TokenError) -> Refusal {
    match error {
        TokenError::PinRefused | TokenError::PinLocked | TokenError::LoginSpared(_) => Refusal::Login,
        TokenError::Uri(_) | TokenError::NoModule | TokenError::Module(..) => Refusal::Setup,
        _ => Refusal::Token,
    }
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
    let file = match File::open(&path) {
        // A worker's own user may not read it; then its gateway starts one worker after the other.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        file => file.map_err(named)?,
    };
    file.lock().map_err(named)?;
    Ok(Some(file))
}

/// The file that holds the user PIN of a token, wherever it is named.
pub fn pin_file(source: &TokenSource, uri: &TokenUri) -> Option<PathBuf> {
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
        TokenError::Uri(_)
        | TokenError::LmkNumber
        | TokenError::Ambiguous(_)
        | TokenError::Label
        | TokenError::SamePins
        | TokenError::PinLength(..) => Failure::usage(error),
        TokenError::PinRefused
        | TokenError::LoginSpared(_)
        | TokenError::LmkExists(_)
        | TokenError::Initialised(_)
        | TokenError::LmkParts(..)
        | TokenError::LmkAttributes(..)
        | TokenError::LmkWeak
        | TokenError::NotOffered(_)
        | TokenError::Derivation => Failure::check(error),
        _ => Failure::environment(error),
    }
}
