//! What handlers take from a request. Whatever cannot be read is refused as a problem document with a stable code,
//! and with no more of it than the name of a field: bodies may hold what nobody should see in a log.

use super::problem::Problem;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Longest time that a body may take to arrive.
pub(super) const BODY: Duration = Duration::from_secs(10);
/// Longest body of a person's request, bytes.
pub(super) const BODY_MAX: usize = 1 << 20;

/// A body of JSON: every field once and no other.
pub(super) struct Sent<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "a body is application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail));
        }
        let Whole(bytes) = Whole::from_request(request, state).await?;
        read(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

// A struct could be written as a list too: one spelling is enough.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Problem::malformed("a body is one JSON object"));
    }
    keylink::wire::read(bytes).map_err(|error| Problem::malformed(about(&error)))
}

// Names of fields are ours; values are not repeated.
fn about(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let known = ["unknown field `", "missing field `", "duplicate field `", "unknown variant `"];
    let named = known.iter().find_map(|kind| {
        let name = text.strip_prefix(kind)?.split('`').next()?;
        let fits = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        fits.then(|| format!("{kind}{name}`"))
    });
    let what = named.unwrap_or_else(|| "a value is not of its kind".to_owned());
    format!("{what} at line {} column {}", error.line(), error.column())
}

/// A body as it came, whole and in time.
pub(super) struct Whole(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match tokio::time::timeout(BODY, Bytes::from_request(request, state)).await {
            Ok(Ok(bytes)) => Ok(Self(bytes)),
            Ok(Err(rejection)) => Err(refused(rejection)),
            Err(_) => {
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "slow", "the body did not arrive in time"))
            }
        }
    }
}

fn refused(rejection: BytesRejection) -> Problem {
    match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too long")
        }
        _ => Problem::malformed("the body did not arrive whole"),
    }
}

/// The id in a path.
pub(super) struct Named<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = Path::<T>::from_request_parts(parts, state).await;
        found.map(|Path(id)| Self(id)).map_err(|_| Problem::malformed("not an id of this kind of thing"))
    }
}

/// What is asked for behind the question mark.
pub(super) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = Query::<T>::from_request_parts(parts, state).await;
        found
            .map(|Query(asked)| Self(asked))
            .map_err(|_| Problem::malformed("a filter is not known, or not of its kind"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Small {
        #[allow(dead_code, reason = "read by serde")]
        count: u8,
    }

    #[test]
    fn refusals_name_fields_and_never_values() {
        let detail = |text: &str| read::<Small>(text.as_bytes()).unwrap_err().detail;
        assert!(detail(r#"{"count":1,"key":2}"#).starts_with("unknown field `key` at"));
        assert!(detail(r#"{"count":1,"count":2}"#).starts_with("duplicate field `count` at"));
        assert!(detail("{}").starts_with("missing field `count` at"));
        let secret = detail(r#"{"count":"0123456789ABCDEF"}"#);
        assert!(!secret.contains("0123") && secret.starts_with("a value is not of its kind at"), "{secret}");
        let odd = detail(r#"{"0123456789 ABCDEF":1}"#);
        assert!(!odd.contains("0123"), "{odd}");
        for text in ["", "[1]", "1", "null", "{\"count\":1} {}"] {
            assert!(read::<Small>(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(read::<Small>(b" {\"count\":1}\n").unwrap().count, 1);
    }
}
