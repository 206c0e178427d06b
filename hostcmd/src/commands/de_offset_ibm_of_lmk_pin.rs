//! DE: the IBM 3624 offset of a PIN stored under the LMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::excluded::ExcludedPins;
use crate::service::ibm::{self, IbmFields, OffsetReply};
use crate::service::keys::{Place, Use};
use crate::service::{pins, stored_pin};
use crate::wire::{Message, Step, StoredPin, Untagged, Wire};
use hsm::{KeyToken, join};

/// IBM offset of a stored PIN.
#[derive(Debug)]
pub struct OffsetIbmOfLmkPin;

/// PVK, stored PIN, what the natural PIN is made of.
#[derive(Debug, Default)]
pub struct Request {
    /// PVK of the IBM method.
    pub pvk: KeyToken,
    /// The stored PIN.
    pub stored: StoredPin,
    /// Check length, account, table, validation data.
    pub ibm: IbmFields,
    /// PINs not to give out.
    pub excluded: ExcludedPins,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("PVK", Untagged::Single, &mut self.pvk)?;
        wire.stored_pin("PIN", &mut self.stored)?;
        self.ibm.walk(wire, &[])?;
        self.excluded.walk(wire)
    }
}

impl Command for OffsetIbmOfLmkPin {
    const ABOUT: About = About {
        code: *b"DE",
        title: "IBM offset of a PIN stored under the LMK",
        audience: Audience::Issuer,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"DEU7661090020A5870D0BA2E59309312EE6079070457965044752501234567890123457168555N4110%00",
            expect: Expect::Legacy(b"DF004146FFFFFFFF"),
            source: "wire-examples DE-0-00061, a table that is not registered",
        },
        Example {
            lmk: 1,
            request:
                b"DES00072V1TN00E00018F72C76D0840FAC96641AABA6793610240AE5CF8A0E9EEDAF668463D0636904637753\
                359987012345678901234593734N618066",
            expect: Expect::Legacy(b"DF006285FFFFFFFF"),
            source: "wire-examples DE-1-00062, a table that is not registered",
        },
        Example {
            lmk: 2,
            request:
                b"DES10096V1TC00E00027EC95F9E494944FFE8860CD979EFD3222CE98AE97C077F18773E6B80F520BD0D1B75E\
                55F7BB23DB9J1C10FF471B6CA28C657E568A9E0C1C1A04401234567890012345678901234540123N7890AB",
            expect: Expect::Reply(b"DF006432FFFFFFFF"),
            source: "own vector",
        },
        Example {
            lmk: 0,
            request:
                b"DEU29791B55361A4675E639A27339775C8A0879704401234567890012345678901234540123N7890AB*02041\
                1111234",
            expect: Expect::Code(b"86"),
            source: "own vector: an excluded PIN",
        },
    ];
    type Request = Request;
    type Reply = OffsetReply;

    async fn run(cx: Cx, r: Request) -> Answer<OffsetReply> {
        let terms = r.ibm.judge()?;
        let opened = ibm::open_pvk(&cx, &r.pvk, Use::Generate, Place::Source, &r.ibm.table).await;
        let (pvk, table) = opened?;
        let owner = pins::owner(terms.account()?)?;
        let (pin, natural) =
            join(stored_pin::open(&cx, &r.stored, &owner), terms.natural_pin(&cx, &pvk, &table)).await;
        let (pin, natural) = (pin?, natural?);
        r.excluded.judge(&pin)?;
        Ok(OffsetReply { offset: terms.offset_of(&pin, &natural)? }.into())
    }
}
