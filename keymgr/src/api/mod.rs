//! The interface of the manager: `/api/v1` for people's programs, and the paths of keylink for nodes, each on a
//! listener of its own.
//!
//! One table ([`ROUTES`]) names every path, who may call it and what it is for; router, authorisation, OpenAPI
//! document and the tests of who may do what are made from it. This module decides nothing: it asks the
//! manager's core.

mod answer;
mod caller;
mod ceremonies;
mod evidence;
mod exports;
mod extract;
mod filters;
mod link;
mod lists;
mod openapi;
mod problem;
mod reads;
mod reports;
mod routes;
mod sight;
mod signing;
mod views;
mod watch;
mod writes;

pub use caller::{Caller, Who, known_person};
pub use link::{known_node, link_router};
pub use lists::Page;
pub use openapi::document;
pub use problem::Problem;
pub use reads::ActionView;
pub use routes::{ROUTES, Route, router};
pub use signing::{KeyChangeView, SigningKeyView, SuccessorNodeView, SuccessorView};
pub use views::{
    AskingView, CeremonyLine, ConsistencyView, EntryView, ExportedView, HeadView, HolderView, InclusionView,
    KeyView, LogState, ManifestView, Me, NodeView, PreviewNodeView, PreviewView, ReceiptView, RootKekView,
    StatusView, TokenState, TokenView,
};
pub use watch::Watched;
