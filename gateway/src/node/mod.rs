//! The node side of key distribution: the shell around [`keylink::node::Machine`] that `serve` and the demonstration
//! use alike. It stores, installs through the backend seam, publishes key tables to the cores, and talks to the manager
//! over a small [`Transport`], by pull, push or file.
//!
//! Traffic never waits for any of it: cores read the last table that was handed to them, whatever happens here.

mod beats;
mod carry;
mod clock;
mod contact;
mod declined;
mod enrol;
mod evidence;
mod https;
mod identity;
mod installer;
mod keeper;
mod places;
mod publish;
mod push;
mod renew;
mod retry;
mod run;
mod sealing;
mod service;
mod side;
mod store;
mod tables;
mod token;
mod transport;
mod waiting;

pub use carry::carry;
pub use clock::{Clock, SystemClock};
pub use enrol::{EnrolError, Enrolment, join};
pub use evidence::{Confirmed, Evidence, receipt_file};
pub use gateway_config::NodeTable;
pub use https::{HttpsTransport, TlsIdentity};
pub use identity::{Identity, IdentityError, Who};
pub use installer::{Installer, InstallerLmks};
pub use keeper::Keeper;
pub use publish::{Cores, Nowhere, Publish, TableEvent};
pub use push::{PushListener, PushTls};
pub use renew::{RenewError, Renewal};
pub use run::{Pace, Requests, SideHandle, run};
pub use sealing::{SealError, Sealer};
pub use service::{
    NodeService, ServiceError, ServiceSetup, choose_lmks, class_letter, identity_file, open, pending_file,
    store_file,
};
pub use side::{NodeSide, Parts, SideError, Stored};
pub use store::{Store, StoreError};
pub use tables::Tables;
pub use token::{Custody, KeyToken, TokenFault};
pub use transport::{Answer, Opening, Sending, Transport, TransportError};
