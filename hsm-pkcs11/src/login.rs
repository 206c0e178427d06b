//! Logging in without locking the PIN: a failure counts for the whole process, and with a ledger for all
//! processes; the second waits five seconds, and there is no third. Successes are not limited.

use crate::error::TokenError;
use crate::ledger::Ledger;
use crate::pin::Pin;
use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Least time between two failures.
const PAUSE: Duration = Duration::from_secs(5);
/// Failures after which nothing is tried any more.
const FAILURES_MAX: u32 = 2;

/// What failed so far.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    failures: u32,
    last: Option<Instant>,
}

impl Record {
    fn may_try(&self, now: Instant) -> bool {
        let rested = self.last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        self.failures == 0 || (self.failures < FAILURES_MAX && rested)
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
    }
}

// By serial number: slots may change, and every backend of the process shares the PIN.
static RECORDS: Mutex<Vec<(String, Record)>> = Mutex::new(Vec::new());

/// Logs the user in; being logged in already is as good. Holds other threads off meanwhile.
pub(crate) fn log_in(
    module: &Pkcs11,
    slot: Slot,
    session: &Session,
    pin: Option<&Pin>,
    ledger: Option<&Path>,
) -> Result<(), TokenError> {
    let facts = module.get_token_info(slot)?;
    let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
    let at = records.iter().position(|(serial, _)| serial == facts.serial_number());
    let mut record = at.and_then(|at| records.get(at)).map(|(_, record)| *record).unwrap_or_default();
    if facts.user_pin_locked() || facts.user_pin_final_try() {
        return Err(TokenError::PinLocked);
    }
    if !record.may_try(Instant::now()) {
        return Err(TokenError::LoginSpared(record.failures));
    }
    let stamp = pin.and_then(Pin::stamp);
    let ledger = ledger.zip(stamp).and_then(|(folder, s)| Ledger::open(folder, facts.serial_number(), s));
    if let Some(ledger) = ledger.as_ref().filter(|ledger| !ledger.may_try()) {
        return Err(TokenError::LoginSpared(ledger.failures()));
    }
    let pin = pin.map(Pin::for_module);
    let answer = match session.login(UserType::User, pin.as_ref()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
            record = Record::default();
            Ok(())
        }
        Err(Error::Pkcs11(RvError::PinLocked, _)) => {
            record.failed(Instant::now());
            Err(TokenError::PinLocked)
        }
        Err(Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinExpired,
            _,
        )) => {
            record.failed(Instant::now());
            Err(TokenError::PinRefused)
        }
        Err(Error::Pkcs11(RvError::UserPinNotInitialized, _)) => Err(TokenError::NotInitialised),
        Err(error) => Err(error.into()),
    };
    match (ledger, &answer) {
        (Some(ledger), Ok(())) => ledger.succeeded(),
        (Some(ledger), Err(TokenError::PinRefused | TokenError::PinLocked)) => {
            ledger.failed(stamp.unwrap_or_default());
        }
        _ => {}
    }
    match at.and_then(|at| records.get_mut(at)) {
        Some((_, known)) => *known = record,
        None => records.push((facts.serial_number().to_owned(), record)),
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_five_seconds_apart_and_no_third() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_millis(seconds);
        let mut record = Record::default();
        assert!(record.may_try(at(0)));
        record.failed(at(0));
        assert!(!record.may_try(at(4999)));
        assert!(record.may_try(at(5000)));
        record.failed(at(5000));
        assert!(!record.may_try(at(60_000_000)));
        record = Record::default();
        assert!((0..100).all(|n| record.may_try(at(n))));
    }
}
