//! The table of paths.

use super::caller::{Who, admit};
use super::extract::BODY_MAX;
use super::filters::{
    ActionFilter, AlarmFilter, CampaignFilter, CeremonyFilter, CheckpointFilter, EntryFilter, ExpiringFilter,
    HolderFilter, KeyFilter, KeySetFilter, ManifestQuery, MemberFilter, NodeFilter, PersonFilter,
    PreviewFilter, ReceiptFilter, SizeQuery, SpanQuery, TokenFilter,
};
use super::lists::{Page, PageQuery};
use super::openapi::Answered;
use super::problem::{no_method, no_path};
use super::signing::{SigningKeyView, SuccessorView};
use super::views::{
    AskingView, CeremonyLine, ConsistencyView, EntryView, ExportedView, HeadView, HolderView, InclusionView,
    KeyView, ManifestView, Me, NodeView, PreviewView, ReceiptView, StatusView, TokenView,
};
use super::watch::{Seen, Watched};
use super::writes::{Block, Many, PushTo, Where, Why};
use super::{ActionView, ceremonies, evidence, exports, openapi, reads, reports, signing, watch, writes};
use crate::ceremony::{CeremonyView, ComponentEntry};
use crate::core::action::Act;
use crate::core::alarm::Alarm;
use crate::core::campaign::{Campaign, Delivery};
use crate::core::input::Outcome;
use crate::core::key::KeySet;
use crate::core::node::{Member, Zone};
use crate::core::people::{Credential, Person};
use crate::core::policy::Policy;
use crate::core::signing::DocumentSignatures;
use crate::report::Report;
use crate::service::{Manager, Verdict};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use keylink::Signed;
use keylink::message::{EnrolmentToken, Mail, Package, Parcel};
use keylink::root::{RootDocument, SignedRoot};
use schemars::{Schema, SchemaGenerator};

/// Makes the schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

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
    /// What the body is, where it takes one.
    pub(super) takes: Option<Shape>,
    /// What it may be asked for behind the question mark.
    pub(super) by: Option<Shape>,
    /// What it answers.
    pub(super) gives: Answered,
}

macro_rules! shape {
    () => {
        None
    };
    ($kind:ty) => {
        Some((|maker: &mut SchemaGenerator| maker.subschema_for::<$kind>()) as Shape)
    };
}

macro_rules! inner {
    () => {
        None
    };
    // Parameters are taken apart, so that this one is wanted in place.
    ($kind:ty) => {
        Some((|maker: &mut SchemaGenerator| <$kind as schemars::JsonSchema>::json_schema(maker)) as Shape)
    };
}

macro_rules! gives {
    (Text) => {
        Answered::Text
    };
    (Events) => {
        Answered::Events
    };
    (Document) => {
        Answered::Document
    };
    ($kind:ty) => {
        Answered::Json(|maker: &mut SchemaGenerator| maker.subschema_for::<$kind>())
    };
}

macro_rules! routes {
    ($($method:ident $path:literal $who:ident $handler:path $([takes $body:ty])? $([by $query:ty])?
        => { $($answer:tt)+ } $summary:literal;)*) => {
        /// Every path of the interface.
        pub const ROUTES: &[Route] = &[$(Route {
            method: stringify!($method),
            path: $path,
            who: Who::$who,
            summary: $summary,
            takes: shape!($($body)?),
            by: inner!($($query)?),
            gives: gives!($($answer)+),
        },)*];

        fn paths(manager: &Manager) -> Router<Manager> {
            Router::new()$(.route(
                $path,
                axum::routing::$method($handler)
                    .route_layer(from_fn_with_state((manager.clone(), Who::$who), admit)),
            ))*
        }
    };
}

routes! {
    get "/openapi.json" Everybody openapi::serve => { Document } "This document";
    get "/status" Everybody reads::status => { StatusView } "The centre: identity, epoch, backend class, log, counts";
    get "/me" Everybody reads::me => { Me } "Who the caller is";
    get "/root" Everybody reads::root => { Vec<SignedRoot> } "The root documents, oldest first";
    get "/root/next" Everybody reads::next_root => { RootDocument }
        "The next root document as the register would have it, to be signed";
    post "/root" Everybody writes::install_root [takes SignedRoot] => { Outcome }
        "Installs the next root document, which proves itself by its signatures";
    get "/signing-keys" Everybody signing::list => { Vec<SigningKeyView> }
        "The centre's own keys that sign, and how far the change of one is";
    post "/signing-keys/{id}/successor" Proposers signing::successor => { SuccessorView }
        "Makes the key that would take the place of one, if none waits, and says what to ask for and whom it waits for";
    get "/persons" Readers reads::persons [by PersonFilter] => { Page<Person> } "Persons";
    get "/credentials" Readers reads::credentials [by PageQuery] => { Page<Credential> } "Credentials";
    get "/policies" Readers reads::policies [by PageQuery] => { Page<Policy> } "Policies";
    get "/zones" Readers reads::zones [by PageQuery] => { Page<Zone> } "Zones";
    get "/members" Readers reads::members [by MemberFilter] => { Page<Member> } "Members of zones";
    get "/nodes" Readers reads::nodes [by NodeFilter] => { Page<NodeView> } "Nodes";
    get "/nodes/{id}" Readers reads::node => { NodeView } "One node";
    post "/nodes/{id}/quarantine" Proposers writes::quarantine [takes Why] => { Outcome }
        "Stops serving a node at once";
    post "/nodes/{id}/traffic" Proposers writes::traffic [takes Where] => { Outcome }
        "Declares a node in or out of traffic";
    post "/nodes/{id}/package" Proposers writes::package => { Package<Mail> }
        "Everything that is due for a node, as a file that somebody carries there";
    post "/nodes/{id}/parcel" Proposers writes::parcel [takes Package<Parcel>] => { Vec<Verdict> }
        "Hands in what a node wrote in answer to a package; what became of each message";
    post "/nodes/{id}/push" Proposers writes::push_to [takes PushTo] => { Outcome }
        "Says at which address a node takes pushes, or that it takes none";
    get "/enrolments" Readers reads::enrolments [by PageQuery] => { Page<AskingView> } "Nodes that ask to be let in";
    post "/enrolment-tokens" Proposers writes::tokens [takes Many] => { Vec<EnrolmentToken> }
        "Tokens for nodes to ask by, new ones for every Idempotency-Key";
    get "/enrolment-tokens" Readers reads::tokens [by TokenFilter] => { Page<TokenView> }
        "Tokens for nodes to ask by, without their secrets";
    post "/enrolment-tokens/{id}/void" Proposers writes::void_token => { Outcome }
        "Nobody asks by this token any more";
    post "/enrolments/{id}/turn-away" Proposers writes::turn_away [takes Why] => { Outcome }
        "Turns away a node that asks to be let in; its token is void";
    get "/key-sets" Readers reads::key_sets [by KeySetFilter] => { Page<KeySet> } "Key sets";
    get "/key-sets/{id}/preview" Readers reads::preview [by PreviewFilter] => { PreviewView }
        "What a rotation of a key set would mean now: nodes, obstacles, times";
    get "/keys" Readers reads::keys [by KeyFilter] => { Page<KeyView> } "Keys, one for each generation; never a block";
    get "/keys/expiring" Readers reads::expiring [by ExpiringFilter] => { Page<KeyView> }
        "Keys whose originator period ends soon";
    get "/holders" Readers reads::holders [by HolderFilter] => { Page<HolderView> }
        "Which node holds which key, and how far it is";
    get "/campaigns" Readers reads::campaigns [by CampaignFilter] => { Page<Campaign> } "Campaigns";
    get "/campaigns/{id}" Readers reads::campaign => { Campaign } "One campaign";
    get "/campaigns/{id}/watch" Readers watch::poll [by Seen] => { Watched }
        "One campaign, when it has changed or after 20 seconds";
    get "/campaigns/{id}/events" Readers watch::events => { Events }
        "One campaign as server-sent events: `campaign` with the answer of /watch for each change, to its end";
    get "/campaigns/{id}/deliveries" Readers reads::deliveries [by PageQuery] => { Page<Delivery> }
        "What each node owes a campaign";
    post "/campaigns/{id}/pause" Proposers writes::pause => { Outcome } "Stops a campaign from going on";
    get "/alarms" Readers reads::alarms [by AlarmFilter] => { Page<Alarm> } "Alarms";
    get "/actions" Everybody reads::actions [by ActionFilter] => { Page<ActionView> }
        "Actions and their approvals; custodians see those that concern them";
    post "/actions" Proposers writes::propose [takes Act] => { Outcome } "Asks for an action";
    get "/actions/{id}" Everybody reads::action => { ActionView }
        "One action in full, as it is approved; custodians see those that concern them";
    put "/actions/{id}" Proposers writes::edit [takes Act] => { Outcome } "Changes an action; its approvals are void";
    delete "/actions/{id}" Proposers writes::withdraw => { Outcome } "Takes an action back";
    post "/actions/{id}/approvals" Proposers writes::approve [takes Signed] => { Outcome }
        "Hands in a signed approval";
    post "/actions/{id}/documents" Proposers signing::documents [takes DocumentSignatures] => { Outcome }
        "Hands in an officer's signatures on the root documents of a change of the centre's keys, before the approval";
    post "/actions/{id}/import" Proposers writes::import [takes Block] => { Outcome }
        "Hands in the key block of an approved import";
    post "/actions/{id}/export" Proposers writes::export => { ExportedView }
        "Fetches the key block of an approved export";
    get "/ceremonies" Everybody ceremonies::list [by CeremonyFilter] => { Page<CeremonyLine> }
        "Ceremonies that are open or done; custodians see their own";
    get "/ceremonies/{id}" Everybody ceremonies::show => { CeremonyView }
        "An open ceremony: key to seal to, check values; custodians see their own";
    post "/ceremonies/{id}/components" Custodians ceremonies::component [takes ComponentEntry] => { CeremonyView }
        "Hands in an own sealed component";
    post "/ceremonies/{id}/finish" Proposers ceremonies::finish => { Signed }
        "Combines the components; the signed transcript";
    get "/ceremonies/{id}/transcript" Everybody ceremonies::transcript => { Signed }
        "The signed transcript of a ceremony that is done; custodians see their own";
    get "/receipts" Readers evidence::receipts [by ReceiptFilter] => { Page<ReceiptView> }
        "Receipts of nodes, in the exact bytes that they signed";
    get "/nodes/{id}/manifests" Readers evidence::manifests [by ManifestQuery] => { Page<ManifestView> }
        "Manifests of a node, in the exact bytes that were signed and sent";
    get "/reports/inventory" Readers reports::inventory [by KeyFilter] => { Report }
        "Report: every key, and how many nodes hold it";
    get "/reports/expiring" Readers reports::expiring [by ExpiringFilter] => { Report }
        "Report: keys that stop to protect soon, those that stop first in front";
    get "/reports/campaign/{id}" Readers reports::campaign [by PageQuery] => { Report }
        "Report: one campaign, by whose word it runs, and what each node has receipted";
    get "/reports/nodes" Readers reports::nodes [by NodeFilter] => { Report } "Report: every node";
    get "/reports/compliance" Readers reports::compliance [by PageQuery] => { Report }
        "Report: every node and key set, what was ordered and what the node does by its receipts";
    get "/audit/entries" Readers evidence::entries [by EntryFilter] => { Page<EntryView> }
        "Entries of the log, oldest first";
    get "/audit/entries/{id}/inclusion" Readers evidence::inclusion [by SizeQuery] => { InclusionView }
        "Proof that the log of a size holds an entry, by its number";
    get "/audit/consistency" Readers evidence::consistency [by SpanQuery] => { ConsistencyView }
        "Proof that the log of one size is the beginning of the log of another";
    get "/audit/checkpoints" Readers evidence::checkpoints [by CheckpointFilter] => { Page<HeadView> }
        "Checkpoints that are kept, smallest first";
    get "/audit/head" Everybody reads::head => { HeadView } "The newest checkpoint of the log";
    get "/audit/export" Readers exports::export => { Text } "Log and state for offline verification";
}

/// The router of the listener for people's programs.
pub fn router(manager: Manager) -> Router {
    let api = paths(&manager)
        .method_not_allowed_fallback(no_method)
        .fallback(no_path)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(manager);
    Router::new().nest("/api/v1", api).fallback(no_path)
}
