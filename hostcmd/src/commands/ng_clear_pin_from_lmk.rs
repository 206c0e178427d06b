//! NG: show a PIN stored under the LMK in clear. Only in the authorised state. The reference number of
//! older units is left out.

use crate::Cx;
use crate::command::Activity;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::clear_pin::ClearPinField;
use crate::service::{pins, stored_pin};
use crate::wire::{Account, Message, Step, StoredPin, Wire};

/// Clear PIN from LMK.
#[derive(Debug)]
pub struct ClearPinFromLmk;

/// Account and stored PIN.
#[derive(Debug, Default)]
pub struct Request {
    /// Account of the PIN.
    pub account: Account,
    /// The stored PIN.
    pub stored: StoredPin,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.account("account", &[], &mut self.account)?;
        wire.stored_pin("PIN", &mut self.stored)
    }
}

/// The clear PIN.
#[derive(Debug, Default)]
pub struct Reply {
    /// The PIN, filled with F.
    pub pin: ClearPinField,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.pin.walk_to_the_end(wire)
    }
}

impl Command for ClearPinFromLmk {
    const ABOUT: About = About {
        code: *b"NG",
        title: "Show a PIN stored under the LMK",
        audience: Audience::Issuer,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"NG62438250179801229",
            expect: Expect::Reply(b"NH004436F"),
            source: "wire-examples NG-0-00156",
        },
        Example {
            lmk: 1,
            request: b"NG57212602285401621",
            expect: Expect::Reply(b"NH005139F"),
            source: "wire-examples NG-1-00157",
        },
        Example {
            lmk: 2,
            request: b"NG401234567890J1C10FF471B6CA28C657E568A9E0C1C1A",
            expect: Expect::Reply(b"NH001234F"),
            source: "own vector",
        },
        Example {
            lmk: 2,
            request: b"NG401234567891J1C10FF471B6CA28C657E568A9E0C1C1A",
            expect: Expect::Code(b"14"),
            source: "own vector: stored for another account",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, request: Request) -> Answer<Reply> {
        cx.require(Activity::ClearPin)?;
        let owner = pins::owner(&pins::account(&request.account)?)?;
        let pin = stored_pin::open(&cx, &request.stored, &owner).await?;
        Ok(Reply { pin: ClearPinField::of(&pin, cx.settings().pin_length) }.into())
    }
}
