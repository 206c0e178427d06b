//! Making a token ready for use: initialised under a label, with a security officer's PIN and a user PIN. What is
//! on the token is gone afterwards, so one that is initialised already is refused unless its loss was agreed to.

use crate::error::TokenError;
use crate::module;
use crate::pin::Pin;
use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::UserType;
use cryptoki::slot::Slot;
use std::path::Path;

/// Longest label in bytes (PKCS#11 v2.40, 5.5).
pub const LABEL_LONGEST: usize = 32;

/// A token in a slot, as it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// Number of the slot.
    pub slot: u64,
    /// Label; empty before it is initialised.
    pub label: String,
    /// Serial number.
    pub serial: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// It is initialised.
    pub initialised: bool,
    /// It has a user PIN.
    pub has_pin: bool,
    /// The user PIN is locked.
    pub pin_locked: bool,
    /// The user PIN was entered wrongly since it was last right.
    pub pin_count_low: bool,
    /// The next wrong user PIN locks it.
    pub pin_final_try: bool,
}

/// The tokens of a module.
pub fn tokens(module: &Path) -> Result<Vec<TokenFacts>, TokenError> {
    let module = module::load(module)?;
    let slots = module.get_slots_with_token()?;
    // A slot whose token cannot be read has none for us.
    Ok(slots.into_iter().filter_map(|slot| facts(&module, slot).ok()).collect())
}

fn facts(module: &Pkcs11, slot: Slot) -> Result<TokenFacts, Error> {
    let info = module.get_token_info(slot)?;
    let initialised = info.token_initialized();
    Ok(TokenFacts {
        slot: slot.id(),
        // An uninitialised token may say anything there.
        label: if initialised { info.label().to_owned() } else { String::new() },
        serial: info.serial_number().to_owned(),
        manufacturer: info.manufacturer_id().to_owned(),
        model: info.model().to_owned(),
        initialised,
        has_pin: info.user_pin_initialized(),
        pin_locked: info.user_pin_locked(),
        pin_count_low: info.user_pin_count_low(),
        pin_final_try: info.user_pin_final_try(),
    })
}

/// What is to be initialised.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The module.
    pub module: &'a Path,
    /// Label of the token to make.
    pub label: &'a str,
    /// Slot; without it the initialised token of that label, else the first one that is not initialised.
    pub slot: Option<u64>,
    /// PIN of the security officer; of the token as it is, when it is initialised.
    pub so_pin: &'a Pin,
    /// PIN of the user.
    pub pin: &'a Pin,
    /// The loss of what is on the token was agreed to.
    pub erase: bool,
}

/// The token that a plan is about, before anything is done to it.
pub fn target(plan: &Plan<'_>) -> Result<TokenFacts, TokenError> {
    let all = tokens(plan.module)?;
    let chosen = match plan.slot {
        Some(slot) => all.into_iter().find(|token| token.slot == slot),
        None => {
            let mut labelled = all.iter().filter(|token| token.initialised && token.label == plan.label);
            match (labelled.next().cloned(), labelled.count()) {
                (Some(one), 0) => Some(one),
                (Some(_), more) => return Err(TokenError::Ambiguous(more.saturating_add(1))),
                (None, _) => all.into_iter().find(|token| !token.initialised),
            }
        }
    };
    chosen.ok_or(TokenError::NoSlot)
}

/// Initialises it, sets the user PIN and logs in with it once.
pub fn initialise(plan: &Plan<'_>) -> Result<TokenFacts, TokenError> {
    if plan.label.is_empty() || plan.label.len() > LABEL_LONGEST {
        return Err(TokenError::Label);
    }
    if plan.so_pin.is_same(plan.pin) {
        return Err(TokenError::SamePins);
    }
    let found = target(plan)?;
    if found.initialised && !plan.erase {
        return Err(TokenError::Initialised(found.label));
    }
    let module = module::load(plan.module)?;
    let slot = slot_of(&module, |facts| facts.slot == found.slot)?;
    let limits = module.get_token_info(slot)?;
    let (least, most) = (limits.min_pin_length(), limits.max_pin_length());
    // A token that states no limits states zeros.
    if most > 0 && !(least..=most).contains(&plan.pin.length()) {
        return Err(TokenError::PinLength(least, most));
    }
    let so_pin = plan.so_pin.for_module();
    module.init_token(slot, &so_pin, plan.label).map_err(refused)?;
    // Modules may give the token another slot now, and another serial number.
    let slot = slot_of(&module, |facts| facts.initialised && !facts.has_pin && facts.label == plan.label)?;
    let session = module.open_rw_session(slot)?;
    session.login(UserType::So, Some(&so_pin)).map_err(refused)?;
    let pin = plan.pin.for_module();
    let set = session.init_pin(&pin).map_err(refused);
    session.logout()?;
    set?;
    session.login(UserType::User, Some(&pin)).map_err(refused)?;
    session.logout()?;
    Ok(facts(&module, slot)?)
}

fn slot_of(module: &Pkcs11, is: impl Fn(&TokenFacts) -> bool) -> Result<Slot, TokenError> {
    let slots = module.get_slots_with_token()?;
    let found = slots.into_iter().find(|slot| facts(module, *slot).is_ok_and(|facts| is(&facts)));
    found.ok_or(TokenError::NoToken)
}

fn refused(error: Error) -> TokenError {
    match error {
        Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
            TokenError::PinRefused
        }
        Error::Pkcs11(RvError::PinLocked, _) => TokenError::PinLocked,
        other => other.into(),
    }
}
