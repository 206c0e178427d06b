//! Where a node and its manager meet. Bodies are messages as they travel ([`crate::Signed::to_bytes`]); answers
//! are a [`crate::message::Mail`].

/// A path of the manager; every one is called with POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// [`crate::message::Enrol`] in; answer: [`crate::message::Enrolled`], or 202 while officers decide.
    Enrol,
    /// [`crate::message::Hello`] in, at the start of a session.
    Hello,
    /// [`crate::message::Pull`] in; the answer waits up to [`PULL_WAIT_S`] for mail.
    Pull,
    /// A [`crate::message::Parcel`] of receipts, refusals and requests in; the answer says what was taken.
    Receipts,
    /// [`crate::message::StatusBeat`] in.
    Beat,
    /// [`crate::message::Renew`] in; answer: [`crate::message::Renewed`].
    Renew,
}

/// Seconds that a pull waits at the manager before it is answered empty.
pub const PULL_WAIT_S: u64 = 25;
/// Seconds between two status beats.
pub const BEAT_S: u64 = 30;
/// Label of the exporter value (RFC 8446 section 7.5, no context, 32 bytes) that a hello carries.
pub const EXPORTER: &[u8] = b"EXPORTER-payhsm-hello";
/// Media type of requests and answers.
pub const MEDIA_TYPE: &str = "application/json";
/// Where a node that is pushed to takes mail: the body is a [`crate::message::Mail`], the answer a
/// [`crate::message::Parcel`].
pub const PUSH_PATH: &str = "/link/v1/push";

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Enrol, Self::Hello, Self::Pull, Self::Receipts, Self::Beat, Self::Renew];

    /// The path.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Enrol => "/link/v1/enrol",
            Self::Hello => "/link/v1/hello",
            Self::Pull => "/link/v1/pull",
            Self::Receipts => "/link/v1/receipts",
            Self::Beat => "/link/v1/beat",
            Self::Renew => "/link/v1/renew",
        }
    }
}
