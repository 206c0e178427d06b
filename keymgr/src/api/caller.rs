//! Who calls: the approval key that certified the connection's key, its credential, its person, and what that
//! person may do. Judged at every request, so that a revocation works on open connections.

use super::extract::Whole;
use super::problem::Problem;
use crate::channel::{Known, Peer};
use crate::core::input;
use crate::core::people::{Credential, Person, Role, Standing};
use crate::core::table::Table;
use crate::service::{Manager, RequestName};
use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use keylink::Digest;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who may call a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Every registered person.
    Everybody,
    /// Who asks for things and runs them: operators and security officers.
    Proposers,
    /// Security officers.
    Officers,
    /// Custodians.
    Custodians,
    /// Who reads everything: auditors, operators and security officers.
    Readers,
}

impl Who {
    /// The roles that it means.
    pub const fn roles(self) -> &'static [Role] {
        use Role::{Auditor, Custodian, Operator, SecurityOfficer};
        match self {
            Self::Everybody => &[SecurityOfficer, Custodian, Operator, Auditor],
            Self::Proposers => &[SecurityOfficer, Operator],
            Self::Officers => &[SecurityOfficer],
            Self::Custodians => &[Custodian],
            Self::Readers => &[SecurityOfficer, Operator, Auditor],
        }
    }
}

/// The person who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Person and credential, as the core is told.
    pub by: input::Caller,
    /// Name of the person.
    pub name: String,
    /// Roles of the person.
    pub roles: BTreeSet<Role>,
}

/// Finds the caller of a connection.
pub(super) fn of_peer(manager: &Manager, peer: &Peer) -> Option<Caller> {
    let key = peer.person?;
    manager.view(|core| {
        let own = |c: &&Credential| c.key == key && c.standing == Standing::Active;
        let credential = Table::<Credential>::rows(core.state()).values().find(own)?;
        let person = Table::<Person>::rows(core.state()).get(&credential.person)?;
        (person.standing == Standing::Active).then(|| Caller {
            by: input::Caller { person: person.id, credential: credential.id },
            name: person.name.clone(),
            roles: person.roles.clone(),
        })
    })
}

/// Which connections are those of registered persons: the approval key by which they are.
pub fn known_person(manager: Manager) -> Known {
    Arc::new(move |peer| of_peer(&manager, peer).and(peer.person).map(|key| key.0))
}

/// Lets a request through when its caller may call the path.
pub(super) async fn admit(
    State((manager, who)): State<(Manager, Who)>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let Some(caller) = peer.and_then(|peer| of_peer(&manager, &peer)) else {
        return Problem::new(StatusCode::UNAUTHORIZED, "caller", "not a registered person").into_response();
    };
    if !who.roles().iter().any(|role| caller.roles.contains(role)) {
        let detail = format!("this takes one of the roles {:?}", who.roles());
        return Problem::new(StatusCode::FORBIDDEN, "role", detail).into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        request = match named(request, &caller).await {
            Ok(request) => request,
            Err(problem) => return problem.into_response(),
        };
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

// A request that writes, with the name by which it is known again.
async fn named(request: Request, caller: &Caller) -> Result<Request, Problem> {
    let Some(key) = idempotency(request.headers()) else {
        return Err(Problem::malformed("an Idempotency-Key of 1 to 64 printable characters is needed"));
    };
    let key = format!("{}/{key}", caller.by.person);
    let (parts, body) = request.into_parts();
    let Whole(body) = Whole::from_request(Request::from_parts(parts.clone(), body), &()).await?;
    let head = format!("{} {}\n", parts.method, parts.uri);
    let request = Digest::of(&[head.as_bytes(), &body].concat());
    let mut whole = Request::from_parts(parts, Body::from(body));
    whole.extensions_mut().insert(RequestName { key, request });
    Ok(whole)
}

/// Longest Idempotency-Key.
const KEY_MAX: usize = 64;

/// The Idempotency-Key of a request.
fn idempotency(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all("idempotency-key").iter();
    let value = all.next()?.to_str().ok()?;
    (!value.is_empty() && value.len() <= KEY_MAX && all.next().is_none()).then_some(value)
}
