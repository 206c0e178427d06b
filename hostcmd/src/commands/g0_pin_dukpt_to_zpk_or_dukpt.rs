//! G0: translate a PIN block from DUKPT, TDES or AES, to a ZPK or to DUKPT.

use super::cc_pin_zpk_to_zpk::Reply;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect, Stepped, step};
use crate::engine::{Runner, stepped};
use crate::service::dukpt::{BdkType, Destination, KsnField};
use crate::service::from_dukpt::{Base, FromDukpt};
use crate::service::pins;
use crate::wire::{Account, Message, Number, PinBlockText, Step, Untagged, Wire};
use crate::{Code, Cx};
use core::task::{Poll, ready};
use hsm::{Hsm, KeyToken};
use pinblock::{Account as PinAccount, Format};

/// PIN block, DUKPT to ZPK or DUKPT.
#[derive(Debug)]
pub struct PinDukptToAny;

/// Keys, KSNs, block, formats, accounts.
#[derive(Debug, Default)]
pub struct Request {
    /// Flag of the BDK of the block that came.
    pub source_type: Option<BdkType>,
    /// BDK of the block that came.
    pub source: KeyToken,
    /// Where the block goes.
    pub destination: Destination,
    /// Descriptor and KSN of the block that came.
    pub ksn: KsnField,
    /// The block that came.
    pub block: PinBlockText,
    /// Its format.
    pub source_format: [u8; 2],
    /// Format of the block to make.
    pub destination_format: [u8; 2],
    /// Account of the block that came, and of the new one when no other follows.
    pub account: Account,
    /// The new block has an account field of its own.
    pub has_second: bool,
    /// Account of the new block.
    pub second: Account,
}

impl Request {
    // A `;` right behind a fixed account field begins the second account; it is not the end of a PAN, which
    // the field holds where a block of ISO format 4 is involved.
    fn account_formats(&self, ahead: &[u8]) -> [[u8; 2]; 2] {
        let fixed = if matches!(&self.source_format, b"04" | b"35") { 18 } else { 12 };
        let digits = ahead.iter().take_while(|c| c.is_ascii_digit()).count();
        let second = digits == fixed && ahead.get(digits) == Some(&b';');
        if second && &self.source_format != b"48" {
            [self.source_format; 2]
        } else {
            [self.source_format, self.destination_format]
        }
    }
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        BdkType::walk(wire, "source BDK flag", &mut self.source_type)?;
        wire.key("source BDK", Untagged::Pair, &mut self.source)?;
        self.destination.walk_key(wire)?;
        self.ksn.walk(wire, &self.source)?;
        self.destination.walk_ksn(wire)?;
        wire.pin_block("source PIN block", &self.source, &mut self.block)?;
        wire.digits("source format", &mut self.source_format)?;
        wire.digits("destination format", &mut self.destination_format)?;
        let formats = self.account_formats(wire.ahead());
        wire.account("account", &formats, &mut self.account)?;
        wire.mark("delimiter", b';', &mut self.has_second)?;
        if self.has_second {
            wire.account("destination account", &[self.destination_format], &mut self.second)?;
        }
        Ok(())
    }
}

impl Command for PinDukptToAny {
    const ABOUT: About = About {
        code: *b"G0",
        title: "Translate a PIN from DUKPT to a ZPK or to DUKPT",
        audience: Audience::Traffic,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request:
                b"G0U241693968B03FB604E71B28C17F1F891UCBFCE19CA899C36FA90F79F194F10B91A05FFFF4769397084200\
                001F052BC97616794524701765624155283",
            expect: Expect::Reply(b"G10012528BF346759A1D8D01"),
            source: "wire-examples G0-0-00090",
        },
        Example {
            lmk: 1,
            request:
                b"G0S00072B0TX00E0001B2A5563368D7B3D50B8AED308FFAFE4F2C951673D6B1CC45AD47A7C0S00072P0TB00E\
                00018642933157F4C73B8AA626F745314D6E70295A639F4EA9F7718D3C3DA05FFFF625346409720000208153\
                85A31B3DDC84747813773831428",
            expect: Expect::Like(b"G10012................47"),
            source: "wire-examples G0-1-00091",
        },
        Example {
            lmk: 2,
            request:
                b"G0S10096B0TX00E00021BEE955BCA5C8BC65B515B090CEE11D1E2A790ED14B5378C5768B566567770400CB81\
                D3F6E48F647S1009672TB00E000238F51BCFCEA52D1C0215765441D4C43DDE1F03109ED090728E82FDBD23AA\
                DF9CD063A292FD54E0C2A05FFFF9876543210E000011B9C1845EB993A7A0101401234567890",
            expect: Expect::Reply(b"G1000469F77C20B0223FA601"),
            source: "ANSI X9.24-1 sample block of counter 1",
        },
        Example {
            lmk: 0,
            request:
                b"G0~UFE4161E9CF7373ADA1552DECF70AF76E*U8E3D3E2FD5919657F05A1AA90D32A014A05FFFF9876543210E\
                00001A05FFFF9876543210E000021B9C1845EB993A7A0101401234567890",
            expect: Expect::Reply(b"G1000410A01C8D02C6910701"),
            source: "ANSI X9.24-1 sample block of counter 1; layout with two KSNs: own vector",
        },
        Example {
            lmk: 1,
            request:
                b"G0S00072B0TX00E000131DA75EF5C4F81CB845AF77D1804C4F611B76F07463516D0CEEC18ABS0007272TB00E\
                0001DADDDEA1EE6186748B6D08465F58204F08833CE346DC87CC809D4C9BA05FFFF9876543210E000011B9C1\
                845EB993A7A0101401234567890;401234567890",
            expect: Expect::Reply(b"G1000469F77C20B0223FA601"),
            source: "own vector: second account, the same",
        },
        Example {
            lmk: 2,
            request:
                b"G0S10096B0AX00E000286DE924D77AC96CD80D6375B4AD432F53C5ED47B1FF3F2BC933BD474DEFBB2A9CF9D2\
                DDAF4BB6DF2S1009672TB00E000238F51BCFCEA52D1C0215765441D4C43DDE1F03109ED090728E82FDBD23AA\
                DF9CD063A292FD54E0C2808123456789012345600000001ACBF9203132549B3D2805259D828E825480141111\
                11111111111;",
            expect: Expect::Reply(b"G10004EB9E8D0CBFED2E3701"),
            source: "PIN key of the ANSI X9.24-3 sample; layout: own vector",
        },
        Example {
            lmk: 2,
            request:
                b"G0S1009644AX00E00027C9C200E6BD268555B592AACFA5F725294BD7D78E72C0EBA7F30D1E125CB36A5B2781\
                9B85AF97B41S1009672AB00E0002A63BD4F031B47E268CE362466E5F249AF9F6BA4859F70E7B0A01F3F7EB55\
                DC4D35BA7E050C835A63808123456789012345600000001ACBF9203132549B3D2805259D828E825484841111\
                11111111111;",
            expect: Expect::Like(b"G10004................................48"),
            source: "own vector: ISO format 4 on both sides",
        },
        Example {
            lmk: 0,
            request:
                b"G0U8E3D3E2FD5919657F05A1AA90D32A014U2C95531A43C7CA020C0C679AC89CD2FBA05FFFF9876543210E00\
                0011B9C1845EB993A7A0101401234567890;401234567891",
            expect: Expect::Code(b"23"),
            source: "own vector: another account",
        },
        Example {
            lmk: 0,
            request:
                b"G0U8E3D3E2FD5919657F05A1AA90D32A014U2C95531A43C7CA020C0C679AC89CD2FBA05FFFF9876543210E00\
                0001B9C1845EB993A7A0101401234567890",
            expect: Expect::Code(b"15"),
            source: "own vector: counter 0 is no transaction",
        },
        Example {
            lmk: 2,
            request:
                b"G0S10096B0AX00E000286DE924D77AC96CD80D6375B4AD432F53C5ED47B1FF3F2BC933BD474DEFBB2A9CF9D2\
                DDAF4BB6DF2S1009672TB00E000238F51BCFCEA52D1C0215765441D4C43DDE1F03109ED090728E82FDBD23AA\
                DF9CD063A292FD54E0C280812345678901234560001FFFFACBF9203132549B3D2805259D828E825480141111\
                11111111111;",
            expect: Expect::Code(b"15"),
            source: "own vector: 17 one bits",
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

// Format and account of the block that came and of the one to make.
fn sides(r: &Request) -> Result<[(Format, PinAccount); 2], Code> {
    let (from, to, account) = pins::two_terms(r.source_format, r.destination_format, &r.account)?;
    let new = if r.has_second { pins::account(&r.second)? } else { account };
    Ok([(from, account), (to, new)])
}

impl Stepped for PinDukptToAny {
    type State = State;

    fn begin(state: &mut State, cx: &Cx, r: &Request) -> Result<(), Code> {
        let sides = sides(r);
        let (ksn, to_ksn) = (r.ksn.read()?, r.destination.read_ksn()?);
        let base = Base { token: &r.source, rule: &BdkType::rule(r.source_type), ksn: &ksn };
        let destination = (&r.destination, to_ksn.as_ref());
        state.format = r.destination_format;
        state.translation.begin(cx, base, destination, sides, &r.block)
    }

    #[inline]
    fn go_on(state: &mut State, hsm: &Hsm, reply: &mut Reply) -> Poll<Result<(), Code>> {
        let length = ready!(state.translation.go_on(hsm, &mut reply.block))?;
        reply.pin_length = Number(length.into());
        reply.format = state.format;
        Poll::Ready(Ok(()))
    }
}
