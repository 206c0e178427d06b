//! What a command is. Its file holds everything about it; its row in the table holds nothing but its name.

use crate::engine::{Runner, runner};
use crate::wire::Message;
use crate::{Code, Cx};
use core::future::{Future, poll_fn};
use core::task::Poll;
use hsm::Hsm;

/// What a listener is for (ARCHITECTURE.md, roles and states).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Acquirers and switches: translate, verify, MAC, data.
    Acquirer,
    /// Issuers: what acquirers may, and card values, PIN issue, offsets, clear PINs when authorised.
    Issuer,
    /// Key officers: generation, import, export.
    Officer,
    /// Every command; only under a test LMK.
    Any,
}

impl Role {
    /// Name in configuration and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acquirer => "acquirer",
            Self::Issuer => "issuer",
            Self::Officer => "officer",
            Self::Any => "any",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Acquirer, Self::Issuer, Self::Officer, Self::Any].into_iter().find(|r| r.name() == name)
    }
}

/// Which listeners a command may be called on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Status: every role.
    Everyone,
    /// Acquirer and issuer.
    Traffic,
    /// Issuer only.
    Issuer,
    /// Officer only.
    Officer,
    /// Officer, and acquirer and issuer as well (BU: check values).
    OfficerAndTraffic,
}

impl Audience {
    /// True when a listener of this role may serve the command.
    pub const fn admits(self, role: Role) -> bool {
        match role {
            Role::Any => true,
            Role::Acquirer => matches!(self, Self::Everyone | Self::Traffic | Self::OfficerAndTraffic),
            Role::Issuer => !matches!(self, Self::Officer),
            Role::Officer => matches!(self, Self::Everyone | Self::Officer | Self::OfficerAndTraffic),
        }
    }
}

/// Things that need the authorised state, opened by two officers for a limited time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Clear PINs in or out: BA, NG.
    ClearPin,
    /// Forming keys from components.
    Components,
    /// Check values of 16 digits.
    LongCheckValue,
    /// Export in a form that is weaker than a key block.
    WeakExport,
}

impl Activity {
    /// All of them, in the order of their bits.
    pub const ALL: [Self; 4] = [Self::ClearPin, Self::Components, Self::LongCheckValue, Self::WeakExport];

    /// Name for the command line and the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClearPin => "clear-pin",
            Self::Components => "components",
            Self::LongCheckValue => "long-check-value",
            Self::WeakExport => "weak-export",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::ClearPin => 1,
            Self::Components => 2,
            Self::LongCheckValue => 4,
            Self::WeakExport => 8,
        }
    }
}

/// The activities that are authorised now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Authorised(u8);

impl Authorised {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything; under a test LMK only.
    pub const ALL: Self = Self(0x0F);

    /// With one activity more.
    pub const fn with(self, activity: Activity) -> Self {
        Self(self.0 | activity.bit())
    }

    /// True when the activity is authorised.
    pub const fn allows(self, activity: Activity) -> bool {
        self.0 & activity.bit() != 0
    }
}

/// What the audit log and reports call a command's kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Status, echo, diagnostics.
    Status,
    /// Keys are made, changed or cross a boundary.
    Keys,
    /// PINs are translated, stored or issued.
    Pins,
    /// PINs or card values are verified or made.
    Cards,
    /// MACs and data.
    Data,
}

/// What is known of a command without running it.
#[derive(Debug)]
pub struct About {
    /// Two-character request code.
    pub code: [u8; 2],
    /// What it does, in a few words.
    pub title: &'static str,
    /// Who may call it.
    pub audience: Audience,
    /// Kind of work.
    pub class: Class,
}

impl About {
    /// The request code as text.
    pub fn code_text(&self) -> &str {
        core::str::from_utf8(&self.code).unwrap_or("??")
    }

    /// The reply code: the second character and one.
    pub const fn reply_code(&self) -> [u8; 2] {
        [self.code[0], self.code[1].wrapping_add(1)]
    }
}

/// A reply with its code: `00`, or an advice that has a body all the same.
#[derive(Debug)]
pub struct Done<R> {
    /// Code.
    pub code: Code,
    /// Body.
    pub reply: R,
}

impl<R> From<R> for Done<R> {
    fn from(reply: R) -> Self {
        Self { code: Code::OK, reply }
    }
}

impl<R> Done<R> {
    /// A body with an advice code.
    pub const fn advice(code: Code, reply: R) -> Self {
        Self { code, reply }
    }
}

/// What running a command gives: a reply, or a code and no body.
pub type Answer<R> = Result<Done<R>, Code>;

/// A request and what must come back: the vectors beside each command. They are run by tests, cut short and
/// mutated by others, and shown in the generated documentation.
#[derive(Debug)]
pub struct Example {
    /// LMK whose listener gets it.
    pub lmk: u8,
    /// Request behind the header.
    pub request: &'static [u8],
    /// Expected reply.
    pub expect: Expect,
    /// Where it comes from.
    pub source: &'static str,
}

/// What an example must give. All examples hold in the authorised state; those with `legacy` in the legacy
/// profile, the others in both.
#[derive(Debug)]
pub enum Expect {
    /// This reply, byte for byte.
    Reply(&'static [u8]),
    /// A reply of this shape: `.` stands for any byte.
    Like(&'static [u8]),
    /// This reply in the legacy profile only.
    Legacy(&'static [u8]),
    /// A refusal with this code and no body.
    Code(&'static [u8; 2]),
}

/// A host command.
pub trait Command: Sized + 'static {
    /// What is known without running it.
    const ABOUT: About;
    /// Vectors: at least one that succeeds and one that is refused.
    const EXAMPLES: &'static [Example];
    /// Request behind the command code.
    type Request: Message + 'static;
    /// Reply behind the error code.
    type Reply: Message;

    /// True when it reports what changes by the frame: counts, load, the time. It begins when that was told, and
    /// telling it costs more than the command.
    const READS_COUNTS: bool = false;

    /// Runs it: straight-line code over the seam.
    fn run(cx: Cx, request: Self::Request) -> impl Future<Output = Answer<Self::Reply>> + 'static;

    /// What runs it in an engine.
    #[doc(hidden)]
    fn runner() -> Box<dyn Runner> {
        runner::<Self>()
    }
}

/// A command whose state between two runs of the backend is written by hand, because it is worth it: it is
/// used where it stands, and neither request nor reply are moved. Its [`Command::runner`] is
/// `engine::stepped`.
pub trait Stepped: Command {
    /// What is kept between two runs; used again for another request when one is done.
    type State: Default + 'static;

    /// Makes a request that was read before ready to be read into again. One whose layout writes every field has
    /// nothing to do.
    fn renew(request: &mut Self::Request) {
        *request = Self::Request::default();
    }

    /// Begins: puts the first operations into the queue. The request is not needed any longer when it returns.
    fn begin(state: &mut Self::State, cx: &Cx, request: &Self::Request) -> Result<(), Code>;

    /// Goes on after a run, and fills the reply at the end.
    fn go_on(state: &mut Self::State, hsm: &Hsm, reply: &mut Self::Reply) -> Poll<Result<(), Code>>;
}

/// [`Command::run`] of such a command.
pub async fn step<C: Stepped>(cx: Cx, request: C::Request) -> Answer<C::Reply> {
    let (mut state, mut reply) = (C::State::default(), C::Reply::default());
    C::begin(&mut state, &cx, &request)?;
    poll_fn(|_| C::go_on(&mut state, &cx.hsm, &mut reply)).await?;
    Ok(reply.into())
}
