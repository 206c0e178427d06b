//! The table of paths.

use super::caller::{Who, admit};
use super::{openapi, reads, writes};
use crate::service::Manager;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;

/// A path of the interface.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// `get`, `post`, `put` or `delete`.
    pub method: &'static str,
    /// Path below `/api/v1`.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
    /// What it is for.
    pub summary: &'static str,
}

macro_rules! routes {
    ($($method:ident $path:literal $who:ident $handler:path, $summary:literal;)*) => {
        /// Every path of the interface.
        pub const ROUTES: &[Route] =
            &[$(Route { method: stringify!($method), path: $path, who: Who::$who, summary: $summary },)*];

        fn paths(manager: &Manager) -> Router<Manager> {
            Router::new()$(.route(
                $path,
                axum::routing::$method($handler)
                    .layer(from_fn_with_state((manager.clone(), Who::$who), admit)),
            ))*
        }
    };
}

routes! {
    get "/openapi.json" Everybody openapi::serve, "This document";
    get "/status" Everybody reads::status, "The centre: identity, epoch, backend class, log, counts";
    get "/me" Everybody reads::me, "Who the caller is";
    get "/root" Everybody reads::root, "The root documents, oldest first";
    post "/root" Officers writes::install_root, "Installs the next root document";
    get "/persons" Readers reads::persons, "Persons";
    get "/credentials" Readers reads::credentials, "Credentials";
    get "/policies" Readers reads::policies, "Policies";
    get "/zones" Readers reads::zones, "Zones";
    get "/members" Readers reads::members, "Members of zones";
    get "/nodes" Readers reads::nodes, "Nodes";
    get "/nodes/{id}" Readers reads::node, "One node";
    post "/nodes/{id}/quarantine" Proposers writes::quarantine, "Stops serving a node at once";
    post "/nodes/{id}/traffic" Proposers writes::traffic, "Declares a node in or out of traffic";
    get "/enrolments" Readers reads::enrolments, "Nodes that ask to be let in";
    post "/enrolment-tokens" Proposers writes::tokens, "Tokens for nodes to ask by";
    get "/key-sets" Readers reads::key_sets, "Key sets";
    get "/keys" Readers reads::keys, "Keys, one for each generation; never a block";
    get "/keys/expiring" Readers reads::expiring, "Keys whose originator period ends soon";
    get "/holders" Readers reads::holders, "Which node holds which key, and how far it is";
    get "/campaigns" Readers reads::campaigns, "Campaigns";
    get "/campaigns/{id}" Readers reads::campaign, "One campaign";
    get "/campaigns/{id}/watch" Readers reads::watch, "One campaign, when it has changed";
    get "/campaigns/{id}/deliveries" Readers reads::deliveries, "What each node owes a campaign";
    post "/campaigns/{id}/pause" Proposers writes::pause, "Stops a campaign from going on";
    get "/alarms" Readers reads::alarms, "Alarms";
    get "/actions" Everybody reads::actions, "Actions and their approvals";
    post "/actions" Proposers writes::propose, "Asks for an action";
    get "/actions/{id}" Everybody reads::action, "One action in full, as it is approved";
    put "/actions/{id}" Proposers writes::edit, "Changes an action; its approvals are void";
    delete "/actions/{id}" Proposers writes::withdraw, "Takes an action back";
    post "/actions/{id}/approvals" Proposers writes::approve, "Hands in a signed approval";
    post "/actions/{id}/import" Proposers writes::import, "Hands in the key block of an approved import";
    post "/actions/{id}/export" Proposers writes::export, "Fetches the key block of an approved export";
    get "/audit/head" Everybody reads::head, "The newest checkpoint of the log";
    get "/audit/export" Readers reads::export, "Log and state for offline verification";
}

/// The router of the listener for people's programs.
pub fn router(manager: Manager) -> Router {
    let api = paths(&manager).layer(DefaultBodyLimit::max(1 << 20)).with_state(manager);
    Router::new().nest("/api/v1", api)
}
