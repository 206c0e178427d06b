//! BA: store a clear PIN under the LMK. Only in the authorised state.

use crate::Cx;
use crate::command::Activity;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::clear_pin::ClearPinField;
use crate::service::storing::StoredReply;
use crate::service::{pins, stored_pin};
use crate::wire::{Account, Message, Step, Wire};

/// Clear PIN to LMK.
#[derive(Debug)]
pub struct ClearPinToLmk;

/// PIN and account.
#[derive(Debug, Default)]
pub struct Request {
    /// The clear PIN, filled with F.
    pub pin: ClearPinField,
    /// Account of the PIN.
    pub account: Account,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.pin.walk_in_front_of_account(wire)?;
        wire.account("account", &[], &mut self.account)
    }
}

impl Command for ClearPinToLmk {
    const ABOUT: About = About {
        code: *b"BA",
        title: "Store a clear PIN under the LMK",
        audience: Audience::Issuer,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"BA9564F797572354433",
            expect: Expect::Legacy(b"BB0004280"),
            source: "wire-examples BA-0-00021, a table that is not registered",
        },
        Example {
            lmk: 1,
            request: b"BA1087F583484617320%01",
            expect: Expect::Legacy(b"BB0001010"),
            source: "wire-examples BA-1-00022, a table that is not registered",
        },
        Example {
            lmk: 2,
            request: b"BA1234F401234567890",
            expect: Expect::Like(b"BB00J................................"),
            source: "own vector",
        },
        Example {
            lmk: 0,
            request: b"BA123FF401234567890",
            expect: Expect::Code(b"24"),
            source: "own vector: three digits",
        },
    ];
    type Request = Request;
    type Reply = StoredReply;

    async fn run(cx: Cx, request: Request) -> Answer<StoredReply> {
        cx.require(Activity::ClearPin)?;
        let pin = request.pin.read()?;
        let owner = pins::owner(&pins::account(&request.account)?)?;
        Ok(StoredReply { stored: stored_pin::store(&cx, &pin, &owner).await? }.into())
    }
}
