//! The paths of nodes. The certificate of the connection opens it; every message proves itself.

use super::extract::Whole;
use super::problem::{Problem, no_method, no_path};
use crate::channel::Peer;
use crate::service::{LinkAnswer, LinkProblem, Manager, mail_bytes};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use keylink::endpoint::{Endpoint, MEDIA_TYPE};
use keylink::message::Mail;
use keylink::wire::MESSAGE_MAX;

/// The router of the listener for nodes.
pub fn link_router(manager: Manager) -> Router {
    Router::new()
        .route(Endpoint::Hello.path(), post(hello))
        .route(Endpoint::Pull.path(), post(pull))
        .route(Endpoint::Receipts.path(), post(receipts))
        .route(Endpoint::Beat.path(), post(beat))
        .route_layer(from_fn(certified))
        .route(Endpoint::Enrol.path(), post(enrol))
        .method_not_allowed_fallback(no_method)
        .fallback(no_path)
        .layer(DefaultBodyLimit::max(MESSAGE_MAX))
        .with_state(manager)
}

// Only a node that asks to be known comes without a certificate.
async fn certified(request: Request, next: Next) -> Response {
    if request.extensions().get::<Peer>().is_none() {
        let detail = "a certificate of the transport authority is needed";
        return Problem::new(StatusCode::UNAUTHORIZED, "certificate", detail).into_response();
    }
    next.run(request).await
}

fn json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], bytes).into_response()
}

fn mail(answer: Result<Mail, LinkProblem>) -> Response {
    match answer {
        Ok(mail) => json(mail_bytes(&mail)),
        Err(problem) => Problem::from(problem).into_response(),
    }
}

async fn enrol(State(manager): State<Manager>, Whole(body): Whole) -> Response {
    match manager.enrol(&body).await {
        Ok(LinkAnswer::Bytes(bytes)) => json(bytes),
        Ok(LinkAnswer::Wait) => StatusCode::ACCEPTED.into_response(),
        Err(problem) => Problem::from(problem).into_response(),
    }
}

async fn hello(State(manager): State<Manager>, Whole(body): Whole) -> Response {
    mail(manager.hello(&body).await)
}

async fn pull(State(manager): State<Manager>, Whole(body): Whole) -> Response {
    mail(manager.pull(&body).await)
}

async fn receipts(State(manager): State<Manager>, Whole(body): Whole) -> Response {
    mail(manager.receipts(&body).await)
}

async fn beat(State(manager): State<Manager>, Whole(body): Whole) -> Response {
    mail(manager.beat(&body).await)
}
