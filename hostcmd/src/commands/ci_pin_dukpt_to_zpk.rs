//! CI: translate a PIN block from DUKPT to a ZPK. The older command: the block is of format 01, the BDK of
//! type 1. The PIN key is the TDES one of ANSI X9.24-1:2009, also where older texts derive a single-length
//! key.

use super::cc_pin_zpk_to_zpk::Reply;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect, Stepped, step};
use crate::engine::{Runner, stepped};
use crate::service::dukpt::{Destination, KsnField};
use crate::service::from_dukpt::{Base, FromDukpt};
use crate::service::keys::{BDK, Ciphers, KeyRule};
use crate::service::pins;
use crate::wire::{Account, Message, Number, PinBlockText, Step, Untagged, Wire};
use crate::{Code, Cx};
use core::task::{Poll, ready};
use hsm::{Hsm, KeyToken};
use pinblock::Format;

const TDES_BDK: KeyRule = KeyRule { ciphers: Ciphers::Tdes, ..BDK };

/// PIN block, DUKPT to ZPK.
#[derive(Debug)]
pub struct PinDukptToZpk;

/// Keys, KSN, block, format, account.
#[derive(Debug, Default)]
pub struct Request {
    /// BDK of the block that came.
    pub bdk: KeyToken,
    /// ZPK of the block to make.
    pub zpk: KeyToken,
    /// Descriptor and KSN of the block that came.
    pub ksn: KsnField,
    /// The block that came, of format 01.
    pub block: PinBlockText,
    /// Format of the block to make.
    pub destination_format: [u8; 2],
    /// Account of both.
    pub account: Account,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("BDK", Untagged::Pair, &mut self.bdk)?;
        wire.key("ZPK", Untagged::Single, &mut self.zpk)?;
        self.ksn.walk(wire, &self.bdk)?;
        wire.pin_block("source PIN block", &self.bdk, &mut self.block)?;
        wire.digits("destination format", &mut self.destination_format)?;
        wire.account("account", &[self.destination_format], &mut self.account)
    }
}

impl Command for PinDukptToZpk {
    const ABOUT: About = About {
        code: *b"CI",
        title: "Translate a PIN from DUKPT to a ZPK",
        audience: Audience::Traffic,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request:
                b"CIU46A5FE4B3F18D6E1B87154BD69A38916UD94EAD7BFE3F65A1F744ED59A41BA90CA05FFFF0410034900300\
                002034B0D55C737926E01837633521877",
            expect: Expect::Reply(b"CJ00127378379BC2B4020201"),
            source: "wire-examples CI-0-00043",
        },
        Example {
            lmk: 1,
            request:
                b"CIS00072B0TX00E000131DA75EF5C4F81CB845AF77D1804C4F611B76F07463516D0CEEC18ABS0007272TB00E\
                0001DADDDEA1EE6186748B6D08465F58204F08833CE346DC87CC809D4C9BA05FFFF9876543210E000011B9C1\
                845EB993A7A01401234567890",
            expect: Expect::Reply(b"CJ000469F77C20B0223FA601"),
            source: "ANSI X9.24-1 sample block of counter 1",
        },
        Example {
            lmk: 2,
            request:
                b"CIS10096B0TX00E00021BEE955BCA5C8BC65B515B090CEE11D1E2A790ED14B5378C5768B566567770400CB81\
                D3F6E48F647S1009672TB00E000238F51BCFCEA52D1C0215765441D4C43DDE1F03109ED090728E82FDBD23AA\
                DF9CD063A292FD54E0C2A05FFFF9876543210E000011B9C1845EB993A7A01401234567890",
            expect: Expect::Reply(b"CJ000469F77C20B0223FA601"),
            source: "ANSI X9.24-1 sample block of counter 1",
        },
        Example {
            lmk: 0,
            request:
                b"CIU8E3D3E2FD5919657F05A1AA90D32A014U2C95531A43C7CA020C0C679AC89CD2FBA05FFFF9876543210E00\
                0001B9C1845EB993A7A01401234567890",
            expect: Expect::Code(b"15"),
            source: "own vector: counter 0 is no transaction",
        },
        Example {
            lmk: 0,
            request:
                b"CIU8E3D3E2FD5919657F05A1AA90D32A014U2C95531A43C7CA020C0C679AC89CD2FBA05FFFF9876543210E00\
                7FF1B9C1845EB993A7A01401234567890",
            expect: Expect::Code(b"15"),
            source: "own vector: eleven one bits",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    fn run(cx: Cx, r: Request) -> impl Future<Output = Answer<Reply>> {
        step::<Self>(cx, r)
    }

    fn runner() -> Box<dyn Runner> {
        stepped::<Self>()
    }
}

/// A translation, and the code of its new format.
#[derive(Default)]
pub struct State {
    translation: FromDukpt,
    format: [u8; 2],
}

impl Stepped for PinDukptToZpk {
    type State = State;

    fn begin(state: &mut State, cx: &Cx, r: &Request) -> Result<(), Code> {
        let sides = pins::terms(r.destination_format, &r.account)
            .map(|(format, account)| [(Format::Iso0, account), (format, account)]);
        let ksn = r.ksn.read()?;
        let base = Base { token: &r.bdk, rule: &TDES_BDK, ksn: &ksn };
        let destination = Destination { key: r.zpk.clone(), ..Destination::default() };
        state.format = r.destination_format;
        state.translation.begin(cx, base, (&destination, None), sides, &r.block)
    }

    #[inline]
    fn go_on(state: &mut State, hsm: &Hsm, reply: &mut Reply) -> Poll<Result<(), Code>> {
        let length = ready!(state.translation.go_on(hsm, &mut reply.block))?;
        reply.pin_length = Number(length.into());
        reply.format = state.format;
        Poll::Ready(Ok(()))
    }
}
