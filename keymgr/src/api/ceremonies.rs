//! Paths of ceremonies. Sealed boxes go in and never come out.

use super::answer::Json;
use super::caller::Caller;
use super::extract::{Asked, Named, Sent};
use super::filters::CeremonyFilter;
use super::lists::{Page, mapped};
use super::problem::Problem;
use super::sight::Sight;
use super::views::CeremonyLine;
use crate::ceremony::{CeremonyProblem, CeremonyView, ComponentEntry};
use crate::core::action::Act;
use crate::core::approval::{Action, ActionState};
use crate::core::ids::ActionId;
use crate::service::{Manager, RequestName};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use keylink::Signed;

type Answer<T> = Result<Json<T>, Problem>;

impl From<CeremonyProblem> for Problem {
    fn from(problem: CeremonyProblem) -> Self {
        match problem {
            CeremonyProblem::Vault(error) => error.into(),
            CeremonyProblem::Submit(error) => error.into(),
            CeremonyProblem::Store => Self::new(StatusCode::SERVICE_UNAVAILABLE, "store", problem),
            CeremonyProblem::NotOpen => Self::new(StatusCode::NOT_FOUND, "unknown", problem),
            CeremonyProblem::NotYours(_) => Self::new(StatusCode::FORBIDDEN, "component", problem),
            CeremonyProblem::CheckValue => Self::new(StatusCode::CONFLICT, "check_value", problem),
            CeremonyProblem::Missing(_) => Self::new(StatusCode::CONFLICT, "components_missing", problem),
        }
    }
}

/// Ceremonies that are open or done. Custodians see their own.
pub(super) async fn list(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Asked(f): Asked<CeremonyFilter>,
) -> Answer<Page<CeremonyLine>> {
    let sight = Sight::of(&manager, &caller);
    let view = |action: &Action| {
        let done = match action.state {
            ActionState::Approved => false,
            ActionState::Done => true,
            _ => return None,
        };
        let (key_set, root_kek, custodians) = match action.act()? {
            Act::FormKey { key_set, custodians } => (Some(key_set), None, custodians),
            Act::FormRootKek { target, custodians } => (None, Some(target), custodians),
            _ => return None,
        };
        let (ceremony, requester) = (action.id, action.requester);
        let line = CeremonyLine { ceremony, key_set, root_kek, custodians, requester, done };
        (sight.takes_in(action) && f.done.is_none_or(|wanted| wanted == done)).then_some(line)
    };
    let page = mapped(&manager, &f.page(), |action| view(action).is_some(), view)?;
    let Page { items, next } = page;
    Ok(Json(Page { items: items.into_iter().flatten().collect(), next }))
}

/// An open ceremony.
pub(super) async fn show(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<ActionId>,
) -> Answer<CeremonyView> {
    Sight::of(&manager, &caller).judge(&manager, id, "ceremony")?;
    Ok(Json(manager.ceremony(id).await?))
}

/// Hands in the caller's own component. Doing it again replaces it.
pub(super) async fn component(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<ActionId>,
    Extension(name): Extension<RequestName>,
    Sent(entry): Sent<ComponentEntry>,
) -> Answer<CeremonyView> {
    Ok(Json(manager.component(name, caller.by, id, entry).await?))
}

/// Combines the components; gives the signed transcript.
pub(super) async fn finish(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<ActionId>,
    Extension(name): Extension<RequestName>,
) -> Answer<Signed> {
    Ok(Json(manager.finish_ceremony(name, caller.by, id).await?))
}

/// The signed transcript of a ceremony that is done.
pub(super) async fn transcript(
    State(manager): State<Manager>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<ActionId>,
) -> Answer<Signed> {
    Sight::of(&manager, &caller).judge(&manager, id, "ceremony")?;
    let found = manager.transcript(id).await?;
    found.map(Json).ok_or_else(|| Problem::not_found("transcript"))
}
