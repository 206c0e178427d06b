//! DG: the PVV of a PIN stored under the LMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::excluded::ExcludedPins;
use crate::service::keys::{Place, Use};
use crate::service::visa::{self, PvvReply};
use crate::service::{pins, stored_pin};
use crate::wire::{Account, Message, Step, StoredPin, Untagged, Wire};
use hsm::KeyToken;
use pinblock::pvv;

/// PVV of a stored PIN.
#[derive(Debug)]
pub struct PvvOfLmkPin;

/// PVK, stored PIN, account, key index.
#[derive(Debug, Default)]
pub struct Request {
    /// PVK of the Visa method.
    pub pvk: KeyToken,
    /// The stored PIN.
    pub stored: StoredPin,
    /// Its account.
    pub account: Account,
    /// PVV key index.
    pub index: [u8; 1],
    /// PINs not to give out.
    pub excluded: ExcludedPins,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("PVK pair", Untagged::Pair, &mut self.pvk)?;
        wire.stored_pin("PIN", &mut self.stored)?;
        wire.account("account", &[], &mut self.account)?;
        wire.digits("PVV key index", &mut self.index)?;
        self.excluded.walk(wire)
    }
}

impl Command for PvvOfLmkPin {
    const ABOUT: About = About {
        code: *b"DG",
        title: "PVV of a PIN stored under the LMK",
        audience: Audience::Issuer,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"DGU9715C9722450CD3A14D4289950DA5FA8080203397464552244",
            expect: Expect::Reply(b"DH007450"),
            source: "wire-examples DG-0-00064",
        },
        Example {
            lmk: 1,
            request:
                b"DGS00072V2TC00E0001A02C8536DB73BA8F89D5A2A80BE3B7B728607DB7D0004747D65CD1A20273255628733\
                46332%01",
            expect: Expect::Reply(b"DH003256"),
            source: "wire-examples DG-1-00065",
        },
        Example {
            lmk: 2,
            request:
                b"DGS10096V2TC00E00027EC347D42EBC8C31CBA664C6BAD367FB1C4A9421F1EADF33FC9FA58ED6127FB31DA4B\
                6E95120BF6CJ1C10FF471B6CA28C657E568A9E0C1C1A4012345678901",
            expect: Expect::Reply(b"DH004984"),
            source: "own vector",
        },
        Example {
            lmk: 0,
            request: b"DGU29791B55361A4675E639A27339775C8A087974012345678901*01041234",
            expect: Expect::Code(b"86"),
            source: "own vector: an excluded PIN",
        },
    ];
    type Request = Request;
    type Reply = PvvReply;

    async fn run(cx: Cx, r: Request) -> Answer<PvvReply> {
        let pvk = visa::open_pvk(&cx, &r.pvk, Use::Generate, Place::Source).await?;
        let digits = pins::twelve_digits(&pins::account(&r.account)?)?;
        let pin = stored_pin::open(&cx, &r.stored, &Account::fixed(&digits)).await?;
        r.excluded.judge(&pin)?;
        let [index] = r.index;
        let made = pvv::pvv(&cx.hsm, &pvk, &pin, &digits, index).await.map_err(visa::code)?;
        Ok(PvvReply { pvv: made }.into())
    }
}
