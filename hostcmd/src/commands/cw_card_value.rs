//! CW: make a card verification value (CVV, CVC, and with service code 000 or 999 CVV2 and iCVV).

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::card_data::{self, CardData};
use crate::service::keys::{self, CVK, Place, Use};
use crate::wire::{Alphabet, Message, Show, Step, Untagged, Wire};
use hsm::KeyToken;

/// Card verification value.
#[derive(Debug)]
pub struct CardValue;

/// Key and card.
#[derive(Debug, Default)]
pub struct Request {
    /// CVK pair.
    pub cvk: KeyToken,
    /// Account number, expiry date, service code.
    pub card: CardData,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("CVK", Untagged::Pair, &mut self.cvk)?;
        self.card.walk(wire)
    }
}

/// The value.
#[derive(Debug, Default)]
pub struct Reply {
    /// Three digits.
    pub cvv: [u8; 3],
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.fixed("CVV", Alphabet::Digits, Show::Length, &mut self.cvv)
    }
}

impl Command for CardValue {
    const ABOUT: About = About {
        code: *b"CW",
        title: "Make a card verification value",
        audience: Audience::Issuer,
        class: Class::Cards,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"CWX9E491060443BB4330F0FFE52C14517683989932913978211;5893101",
            expect: Expect::Reply(b"CX00843"),
            source: "wire-examples CW-0-00049",
        },
        Example {
            lmk: 1,
            request: b"CWS00072C0TN00E0001A417975993E2331918759DD1656AC94306BE01C19FDE29E83A93AB4250\
                2265400089000092;2010620%01",
            expect: Expect::Reply(b"CX00181"),
            source: "s-blocks kb-CW, request of an open client",
        },
        Example {
            lmk: 2,
            request: b"CWS10096C0TC00E00023073AB4748A063557E5BB3F6A1117BD71A1062018A7CD391885FEB362ABDD704\
                69D252F66D485E6E3876602595261157;0166201%02",
            expect: Expect::Reply(b"CX00889"),
            source: "wire-examples CW-2-00327",
        },
        Example {
            lmk: 0,
            request: b"CWUCD51DAEC481C0FFADE24AC1C1EB175A610686243A1317211;6594101",
            expect: Expect::Code(b"15"),
            source: "wire-examples CW-0-00232",
        },
        Example {
            lmk: 2,
            request: b"CWS10096C0TV00E00026A74C5EEF6861360D1A997418CFF944230AC946352F7A31CD2F627CE35C414F9\
                5162AE437FB3D17F6245997841661613;0243000",
            expect: Expect::Code(b"A8"),
            source: "wire-examples CW-2-00326",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, request: Request) -> Answer<Reply> {
        let card = request.card.card()?;
        let cvk = keys::open(&cx, &request.cvk, &CVK, Use::Generate, Place::Source).await?;
        Ok(Reply { cvv: card_data::cvv(&cx, &cvk, card).await? }.into())
    }
}
