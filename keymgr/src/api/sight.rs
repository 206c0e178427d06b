//! What of the actions and ceremonies a caller may see: readers all of them, a person who is a custodian and nothing
//! else those that concern that person.

use super::caller::{Caller, Who};
use super::problem::Problem;
use super::reads::one;
use crate::core::approval::Action;
use crate::core::ids::{ActionId, CredentialId, PersonId};
use crate::service::Manager;
use axum::http::StatusCode;
use std::collections::BTreeSet;

/// What a caller may see.
pub(super) struct Sight {
    all: bool,
    person: PersonId,
    credentials: BTreeSet<CredentialId>,
}

impl Sight {
    /// Of this caller, now.
    pub fn of(manager: &Manager, caller: &Caller) -> Self {
        let person = caller.by.person;
        let all = Who::Readers.roles().iter().any(|role| caller.roles.contains(role));
        let credentials = manager.view(|core| {
            core.state().credentials().filter(|own| own.person == person).map(|own| own.id).collect()
        });
        Self { all, person, credentials }
    }

    /// True when it takes in this action, or the ceremony by its right.
    pub fn takes_in(&self, action: &Action) -> bool {
        let names = || action.act().is_some_and(|act| act.concerns(&self.person, &self.credentials));
        self.all || action.requester == self.person || names()
    }

    /// Refuses the action, or ceremony, of others.
    pub fn judge(&self, manager: &Manager, id: ActionId, what: &str) -> Result<(), Problem> {
        if self.all || self.takes_in(&one(manager, &id, what)?) {
            return Ok(());
        }
        let detail = format!("this {what} does not concern you: custodians see their own");
        Err(Problem::new(StatusCode::FORBIDDEN, "not_yours", detail))
    }
}
