//! The grants of a running server, and the thread that ends them.

use super::grants::Grants;
use gateway::Switches;
use hostcmd::{Activity, Authorised};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shared by the thread that changes grants and the one that ends them.
#[derive(Debug)]
pub struct Authority {
    grants: Mutex<Grants>,
    changed: Condvar,
    switches: Switches,
}

impl Authority {
    /// With what stands from the start; the cores know that already.
    pub fn new(switches: Switches, authorised: Authorised) -> Self {
        Self { grants: Mutex::new(Grants::from_start(authorised)), changed: Condvar::new(), switches }
    }

    /// Changes the grants and tells the cores.
    pub fn change(&self, change: impl FnOnce(&mut Grants)) {
        let mut grants = self.lock();
        change(&mut grants);
        self.switches.set_authorised(grants.authorised());
        self.changed.notify_all();
    }

    /// What is authorised now.
    pub fn standing(&self) -> Vec<(Activity, Option<Duration>)> {
        self.lock().standing(Instant::now())
    }

    /// Ends grants in time, for ever.
    pub fn watch(&self) {
        let mut grants = self.lock();
        loop {
            let now = Instant::now();
            let ended = grants.expire(now);
            if !ended.is_empty() {
                self.switches.set_authorised(grants.authorised());
                ended
                    .iter()
                    .for_each(|activity| tracing::info!(activity = activity.name(), "authorisation is over"));
            }
            grants = match grants.next_end() {
                None => self.changed.wait(grants).unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let left = end.saturating_duration_since(now);
                    self.changed.wait_timeout(grants, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
