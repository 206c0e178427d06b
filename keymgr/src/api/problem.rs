//! Refusals as problem documents (RFC 9457) with stable codes.

use crate::core::Refusal;
use crate::service::{LinkProblem, SubmitProblem};
use crate::vault::VaultError;
use crate::writer::SubmitError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What went wrong, for programs (`code`) and people (`detail`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable word.
    pub code: String,
    /// A sentence.
    pub detail: String,
}

impl Problem {
    /// With a status, a stable word and a sentence.
    pub fn new(status: StatusCode, code: &str, detail: impl ToString) -> Self {
        Self { status: status.as_u16(), code: code.to_owned(), detail: detail.to_string() }
    }

    /// Something that is not there.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown", format!("no such {what}"))
    }

    /// A request that cannot be read.
    pub fn malformed(detail: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }
}

/// No such path.
pub(super) async fn no_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_path", "no such path; see /api/v1/openapi.json")
}

/// Not by this method.
pub(super) async fn no_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "not by this method; see /api/v1/openapi.json")
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        // Whoever proved nothing, or nothing that still counts, keeps no place.
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::Unknown { .. } => StatusCode::NOT_FOUND,
            Refusal::Forbidden | Refusal::NotRequester | Refusal::Approval(_) => StatusCode::FORBIDDEN,
            Refusal::Value(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::CONFLICT,
        };
        Self::new(status, refusal.code(), refusal)
    }
}

impl From<SubmitProblem> for Problem {
    fn from(problem: SubmitProblem) -> Self {
        match problem {
            SubmitError::Refused(refusal) => refusal.into(),
            SubmitError::KeyReused => Self::new(StatusCode::CONFLICT, "key_reused", problem),
            SubmitError::Full => Self::new(StatusCode::INSUFFICIENT_STORAGE, "full", problem),
            SubmitError::NotLeading => Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_leading", problem),
            SubmitError::OutcomeUnknown => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown", problem)
            }
        }
    }
}

impl From<LinkProblem> for Problem {
    fn from(problem: LinkProblem) -> Self {
        match problem {
            LinkProblem::Refused(inner) => inner.into(),
            LinkProblem::Message(_) => Self::new(StatusCode::BAD_REQUEST, "message", problem),
            LinkProblem::Enrolment(_) => Self::new(StatusCode::FORBIDDEN, "enrolment", problem),
            LinkProblem::Head(_) => Self::new(StatusCode::BAD_REQUEST, "message", problem),
            LinkProblem::Key => Self::new(StatusCode::FORBIDDEN, "other_key", problem),
            LinkProblem::Early => Self::new(StatusCode::CONFLICT, "not_due", problem),
            LinkProblem::Foreign => Self::new(StatusCode::FORBIDDEN, "other_node", problem),
            LinkProblem::Session => Self::new(StatusCode::FORBIDDEN, "other_session", problem),
            LinkProblem::Unknown => Self::new(StatusCode::NOT_FOUND, "unknown", problem),
            LinkProblem::TooMany(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, "rate", problem),
            LinkProblem::Unready(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", problem),
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        let (status, code) = match &error {
            VaultError::Backend | VaultError::NoMasterKey => (StatusCode::SERVICE_UNAVAILABLE, "backend"),
            VaultError::NotOffered => (StatusCode::CONFLICT, "not_offered"),
            VaultError::CheckValue => (StatusCode::CONFLICT, "check_value"),
            VaultError::Weaker { .. } => (StatusCode::CONFLICT, "strength"),
            VaultError::Components(_) => (StatusCode::BAD_REQUEST, "components"),
            VaultError::Sealed => (StatusCode::BAD_REQUEST, "sealed"),
            VaultError::Exchange(_) | VaultError::Kind => (StatusCode::BAD_REQUEST, "key_block"),
            VaultError::Block(_) | VaultError::Label { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "stored_key")
            }
        };
        Self::new(status, code, error)
    }
}
