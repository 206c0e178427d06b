//! A token that was found and logged in to. One anchor session stays open for the life of the process, so
//! that the login stands and no other session is ever the last one to close.

use crate::backend::TokenBackend;
use crate::capability::{Capability, Hidden};
use crate::error::TokenError;
use crate::link::Link;
use crate::lmk;
use crate::login::log_in;
use crate::module;
use crate::pin::Pin;
use crate::selftest;
use crate::uri::TokenUri;
use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, SessionState};
use cryptoki::slot::Slot;
use hsm::{Binding, LmkInfo};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A key of user storage that is an object of the token: what `K` and an index stand for.
#[derive(Clone, Debug)]
pub struct Resident {
    /// The characters behind `K`.
    pub index: String,
    /// Label of the object; one object for each use may carry it.
    pub label: String,
    /// What tells its use to commands.
    pub binding: Binding,
}

/// How a token is used.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Ciphers to do without.
    pub hidden: Hidden,
    /// Session objects of a backend at most; the module's usual number when missing.
    pub objects_max: Option<usize>,
    /// Folder in which failed logins are kept between processes; without it each process counts alone.
    pub ledger: Option<PathBuf>,
    /// Logs in once and never again: whoever lost the login ends, and whoever starts it anew counts for all
    /// processes of the token how often the PIN was refused.
    pub login_once: bool,
    /// Keys of user storage that are on the token.
    pub residents: Vec<Resident>,
}

/// A token. Clones share the login.
#[derive(Clone)]
pub struct Token(Arc<Inner>);

pub(crate) struct Inner {
    module: Pkcs11,
    uri: TokenUri,
    pin: Option<Pin>,
    capability: Capability,
    options: Options,
    anchor: Mutex<Option<Session>>,
    lmks: Mutex<Vec<LmkInfo>>,
}

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Token({:?})", self.0.uri.token)
    }
}

impl Token {
    /// Loads the module, finds the token and logs in. The PIN is missing only where the token has a keypad
    /// of its own.
    pub fn open(uri: &TokenUri, pin: Option<Pin>, options: Options) -> Result<Self, TokenError> {
        let path = uri.module().ok_or(TokenError::NoModule)?;
        let module = module::load(&path)?;
        let slot = find_slot(&module, uri)?;
        let facts = module.get_token_info(slot)?;
        if !facts.token_initialized() || !facts.user_pin_initialized() {
            return Err(TokenError::NotInitialised);
        }
        let capability = Capability::read(&module, slot, options.hidden)?;
        let (anchor, lmks) = (Mutex::default(), Mutex::default());
        let token =
            Self(Arc::new(Inner { module, uri: uri.clone(), pin, capability, options, anchor, lmks }));
        drop(token.open_session()?);
        Ok(token)
    }

    /// What it offers.
    pub fn capability(&self) -> &Capability {
        &self.0.capability
    }

    /// True when the token computes what it should, with keys of published vectors.
    pub fn known_answers(&self) -> Result<bool, TokenError> {
        Ok(selftest::passes(&mut self.connect()?, &mut || {}))
    }

    pub(crate) fn mechanisms(&self) -> Result<Vec<MechanismType>, TokenError> {
        Ok(self.0.module.get_mechanism_list(self.slot()?)?)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    /// The LMKs on it, judged; in ascending order of their identifiers.
    pub fn lmks(&self) -> Result<Vec<LmkInfo>, TokenError> {
        let found = lmk::find_all(&mut self.connect()?, &mut || {})?;
        let infos: Vec<LmkInfo> = found.into_iter().map(|lmk| lmk.info).collect();
        self.0.lmks.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&infos);
        Ok(infos)
    }

    /// A backend with sessions of its own, which it opens when it first runs and again after they were lost.
    /// It serves the LMKs that [`Token::lmks`] saw last, and no other ones.
    pub fn backend(&self) -> TokenBackend {
        let mut lmks = self.0.lmks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if lmks.is_empty() {
            lmks = self.lmks().unwrap_or_default();
        }
        TokenBackend::new(self.clone(), lmks)
    }

    fn slot(&self) -> Result<Slot, TokenError> {
        find_slot(&self.0.module, &self.0.uri)
    }

    // The login is the token's, not the session's: the anchor holds it for all others.
    fn anchored(&self, slot: Slot) -> Result<(), TokenError> {
        let mut anchor = self.0.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        if !anchor.as_ref().is_some_and(is_logged_in) {
            if anchor.is_some() && self.0.options.login_once {
                return Err(TokenError::LoginLost);
            }
            let session = self.0.module.open_ro_session_no_drop(slot).map_err(session_error)?;
            let ledger = self.0.options.ledger.as_deref();
            log_in(&self.0.module, slot, &session, self.0.pin.as_ref(), ledger)?;
            *anchor = Some(session);
        }
        Ok(())
    }

    pub(crate) fn open_session(&self) -> Result<Session, TokenError> {
        let slot = self.slot()?;
        self.anchored(slot)?;
        self.0.module.open_ro_session(slot).map_err(session_error)
    }

    /// A session in which objects of the token can be made.
    pub(crate) fn open_ceremony(&self) -> Result<Session, TokenError> {
        let slot = self.slot()?;
        self.anchored(slot)?;
        self.0.module.open_rw_session(slot).map_err(session_error)
    }

    pub(crate) fn connect(&self) -> Result<Link, TokenError> {
        let main = self.open_session()?;
        let more = if self.0.capability.open_operations() {
            self.open_session().ok().zip(self.open_session().ok()).map(<[Session; 2]>::from)
        } else {
            None
        };
        Link::new(main, more, self.0.capability.clone())
    }
}

fn is_logged_in(session: &Session) -> bool {
    let state = session.get_session_info().map(|info| info.session_state());
    matches!(state, Ok(SessionState::RoUser | SessionState::RwUser))
}

fn session_error(error: Error) -> TokenError {
    match error {
        Error::Pkcs11(RvError::SessionCount, _) => TokenError::Sessions,
        other => other.into(),
    }
}

fn find_slot(module: &Pkcs11, uri: &TokenUri) -> Result<Slot, TokenError> {
    let mut found = Vec::new();
    for slot in module.get_slots_with_token()? {
        // A slot whose token cannot be read is not the one that is looked for.
        let Ok(facts) = module.get_token_info(slot) else { continue };
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|w| w == value);
        if facts.token_initialized()
            && is(&uri.token, facts.label())
            && is(&uri.serial, facts.serial_number())
            && is(&uri.manufacturer, facts.manufacturer_id())
            && is(&uri.model, facts.model())
            && uri.slot_id.is_none_or(|id| id == slot.id())
        {
            found.push(slot);
        }
    }
    match found[..] {
        [] => Err(TokenError::NoToken),
        [slot] => Ok(slot),
        _ => Err(TokenError::Ambiguous(found.len())),
    }
}
