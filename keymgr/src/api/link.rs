//! The paths of nodes. The certificate of the connection opens it; every message proves itself.

use super::extract::Whole;
use super::problem::{Problem, no_method, no_path};
use crate::channel::{Known, Peer};
use crate::service::{Line, LinkAnswer, LinkProblem, Manager, mail_bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use keylink::endpoint::{Endpoint, MEDIA_TYPE};
use keylink::message::Mail;
use keylink::wire::MESSAGE_MAX;
use std::sync::Arc;

/// The router of the listener for nodes.
pub fn link_router(manager: Manager) -> Router {
    Router::new()
        .route(Endpoint::Hello.path(), post(hello))
        .route(Endpoint::Pull.path(), post(pull))
        .route(Endpoint::Receipts.path(), post(receipts))
        .route(Endpoint::Beat.path(), post(beat))
        .route(Endpoint::Renew.path(), post(renew))
        .route_layer(from_fn_with_state(manager.clone(), certified))
        .route(Endpoint::Enrol.path(), post(enrol))
        .method_not_allowed_fallback(no_method)
        .fallback(no_path)
        .layer(DefaultBodyLimit::max(MESSAGE_MAX))
        .with_state(manager)
}

/// Which connections are those of nodes that the centre knows.
pub fn known_node(manager: Manager) -> Known {
    Arc::new(move |peer| {
        let node = peer.node.filter(|_| peer.person.is_none())?;
        manager.view(|core| core.node(&node).is_some()).then_some(node.0)
    })
}

// Only a node that asks to be known comes without a certificate. The listener takes no certificate of another
// authority, and the authority certifies nodes by their ids. A connection that was opened by one that counts no more
// carries nothing.
async fn certified(State(manager): State<Manager>, mut request: Request, next: Next) -> Response {
    let line = request.extensions().get::<Peer>().and_then(|peer| {
        let node = peer.node.filter(|_| peer.person.is_none())?;
        let Peer { channel, until_utc_ms, exporter, .. } = *peer;
        let authority = peer.authority?;
        let counts = manager.transport().is_ok_and(|now| now.counts().contains(&authority));
        counts.then_some(Line { node, channel, authority, until_utc_ms, exporter })
    });
    let Some(line) = line else {
        let detail = "a certificate of the transport authority for a node is needed";
        return Problem::new(StatusCode::UNAUTHORIZED, "certificate", detail).into_response();
    };
    request.extensions_mut().insert(line);
    next.run(request).await
}

fn json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], bytes).into_response()
}

fn mail(answer: Result<Mail, LinkProblem>) -> Response {
    match answer {
        Ok(mail) => json(mail_bytes(&mail)),
        Err(problem) => refused(problem),
    }
}

fn refused(problem: LinkProblem) -> Response {
    match problem {
        LinkProblem::TooMany(seconds) => {
            ([(header::RETRY_AFTER, seconds.to_string())], Problem::from(problem)).into_response()
        }
        _ => Problem::from(problem).into_response(),
    }
}

async fn enrol(State(manager): State<Manager>, Whole(body): Whole) -> Response {
    match manager.enrol(&body).await {
        Ok(LinkAnswer::Bytes(bytes)) => json(bytes),
        Ok(LinkAnswer::Wait) => StatusCode::ACCEPTED.into_response(),
        Err(problem) => Problem::from(problem).into_response(),
    }
}

async fn renew(
    State(manager): State<Manager>,
    Extension(line): Extension<Line>,
    Whole(body): Whole,
) -> Response {
    match manager.renew(line, &body).await {
        Ok(bytes) => json(bytes),
        Err(problem) => refused(problem),
    }
}

async fn hello(
    State(manager): State<Manager>,
    Extension(line): Extension<Line>,
    Whole(body): Whole,
) -> Response {
    mail(manager.hello(line, &body).await)
}

async fn pull(
    State(manager): State<Manager>,
    Extension(line): Extension<Line>,
    Whole(body): Whole,
) -> Response {
    mail(manager.pull(line, &body).await)
}

async fn receipts(
    State(manager): State<Manager>,
    Extension(line): Extension<Line>,
    Whole(body): Whole,
) -> Response {
    mail(manager.receipts(line, &body).await)
}

async fn beat(
    State(manager): State<Manager>,
    Extension(line): Extension<Line>,
    Whole(body): Whole,
) -> Response {
    mail(manager.beat(line, &body).await)
}
