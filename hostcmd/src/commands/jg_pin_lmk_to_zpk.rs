//! JG: make a PIN block under a ZPK of a PIN stored under the LMK. The new block stays bound to the account
//! of the stored PIN.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::keys::{self, Place, Use, ZPK};
use crate::service::pins::{self, Side};
use crate::service::stored_pin;
use crate::wire::{Account, Message, PinBlockText, Step, StoredPin, Untagged, Wire};
use hsm::KeyToken;

/// PIN, LMK to ZPK.
#[derive(Debug)]
pub struct PinLmkToZpk;

/// Key, format, account, stored PIN.
#[derive(Debug, Default)]
pub struct Request {
    /// ZPK of the block to make.
    pub zpk: KeyToken,
    /// Its format.
    pub format: [u8; 2],
    /// Account of stored PIN and block.
    pub account: Account,
    /// `;` stands behind the account of a PLUS block.
    pub delimited: bool,
    /// The stored PIN.
    pub stored: StoredPin,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("ZPK", Untagged::Single, &mut self.zpk)?;
        wire.digits("format", &mut self.format)?;
        wire.account("account", &[self.format], &mut self.account)?;
        if &self.format == b"04" {
            wire.mark("delimiter", b';', &mut self.delimited)?;
        }
        wire.stored_pin("PIN", &mut self.stored)
    }
}

/// The block.
#[derive(Debug, Default)]
pub struct Reply {
    /// The block that was made.
    pub block: PinBlockText,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.reply_pin_block("PIN block", &mut self.block)
    }
}

impl Command for PinLmkToZpk {
    const ABOUT: About = About {
        code: *b"JG",
        title: "Translate a PIN from the LMK to a ZPK",
        audience: Audience::Issuer,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"JGU05C589AB8F7F28072116D62FC09C137A0198230762822604967",
            expect: Expect::Reply(b"JH0091A7E0FCCAE02D09"),
            source: "wire-examples JG-0-00120",
        },
        Example {
            lmk: 1,
            request:
                b"JGS0007272TN00E000102138B04FF60224672033A26ADE31877107C36685C201740090B38450143474413647\
                409290",
            expect: Expect::Reply(b"JH007EE6B87F13DA039A"),
            source: "wire-examples JG-1-00121",
        },
        Example {
            lmk: 2,
            request:
                b"JGS10096P0TB00E000262C1091950F58EC0A25FDDA48E23373B9FC1CD74F069ACC411EC2ADFF87EF83A77E62\
                5836398D5ED01358173391648JA7B358D874A0AD21D746F1F01E0AE64B",
            expect: Expect::Reply(b"JH009BBA570A5EEA8916"),
            source: "wire-examples JG-2-00122",
        },
        Example {
            lmk: 0,
            request: b"JGU2C95531A43C7CA020C0C679AC89CD2FB0540123456789008797",
            expect: Expect::Code(b"23"),
            source: "own vector: a stored PIN stays bound to its account",
        },
        Example {
            lmk: 2,
            request:
                b"JGS1009672TB00E000238F51BCFCEA52D1C0215765441D4C43DDE1F03109ED090728E82FDBD23AADF9CD063A\
                292FD54E0C201401234567891J1C10FF471B6CA28C657E568A9E0C1C1A",
            expect: Expect::Code(b"14"),
            source: "own vector: stored for another account",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, r: Request) -> Answer<Reply> {
        let terms = pins::stored_terms(r.format, &r.account)
            .and_then(|terms| pins::may_leave_storage(&cx, terms.0).map(|()| terms));
        let key = keys::open(&cx, &r.zpk, &ZPK, Use::Encrypt, Place::Destination).await?;
        let (format, account, owner) = terms?;
        let pin = stored_pin::open(&cx, &r.stored, &owner).await?;
        let side = Side { key: &key, format, account: &account };
        Ok(Reply { block: pins::write(&cx, side, &pin).await? }.into())
    }
}
