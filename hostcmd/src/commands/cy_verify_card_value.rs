//! CY: verify a card verification value.

use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::card_data::{self, CardData};
use crate::service::keys::{self, CVK, Place, Use};
use crate::wire::{Alphabet, Message, Show, Step, Untagged, Wire};
use crate::{Code, Cx};
use hsm::KeyToken;

/// Verification of a card value.
#[derive(Debug)]
pub struct VerifyCardValue;

/// Key, value and card.
#[derive(Debug, Default)]
pub struct Request {
    /// CVK pair.
    pub cvk: KeyToken,
    /// The value to verify.
    pub cvv: [u8; 3],
    /// Account number, expiry date, service code.
    pub card: CardData,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("CVK", Untagged::Pair, &mut self.cvk)?;
        wire.fixed("CVV", Alphabet::Digits, Show::Length, &mut self.cvv)?;
        self.card.walk(wire)
    }
}

impl Command for VerifyCardValue {
    const ABOUT: About = About {
        code: *b"CY",
        title: "Verify a card verification value",
        audience: Audience::Traffic,
        class: Class::Cards,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"CYEE7E20D911602F11C4C97BFD53169AFA672394793860264287;2422101%00",
            expect: Expect::Reply(b"CZ00"),
            source: "wire-examples CY-0-00052, CVK without a tag",
        },
        Example {
            lmk: 1,
            request: b"CYS00072C0TC00E00015C6E6C2D6E9760DB27F581B908CC297C219BE6BF4C8A43F856E0AA191606499\
                633808466725;3546201\x191y",
            expect: Expect::Reply(b"CZ00\x191y"),
            source: "wire-examples CY-1-00333",
        },
        Example {
            lmk: 2,
            request: b"CYS10096C0TN00E00026500A92B5A19BF2CB9098EB56853B7B827499B72D2007D0A46A9D00AA3923918\
                8F26D7A52207A0A45135545395053503250161;0701999",
            expect: Expect::Reply(b"CZ00"),
            source: "wire-examples CY-2-00054",
        },
        Example {
            lmk: 2,
            request: b"CYS10096C0TC00E00029E8D5576C38B03A0609268E41BFDDB0811428C26D135B837A1A9DB446EF866852\
                FD2587DF8EE91B74763949425797325;9101000",
            expect: Expect::Code(b"01"),
            source: "wire-examples CY-2-00240",
        },
    ];
    type Request = Request;
    type Reply = ();

    async fn run(cx: Cx, request: Request) -> Answer<()> {
        let card = request.card.card()?;
        let cvk = keys::open(&cx, &request.cvk, &CVK, Use::Verify, Place::Source).await?;
        if !card_data::cvv_matches(&cx, &cvk, card, &request.cvv).await? {
            return Err(Code::VERIFICATION);
        }
        Ok(().into())
    }
}
