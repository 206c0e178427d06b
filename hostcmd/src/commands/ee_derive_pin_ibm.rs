//! EE: derive a PIN by the IBM 3624 method with offset, and store it under the LMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::excluded::ExcludedPins;
use crate::service::ibm::{self, IbmFields};
use crate::service::keys::{Place, Use};
use crate::service::storing::StoredReply;
use crate::service::{pins, stored_pin};
use crate::wire::{Message, Step, Untagged, Wire};
use hsm::KeyToken;
use pinblock::ibm3624;

/// IBM PIN from offset.
#[derive(Debug)]
pub struct DerivePinIbm;

/// PVK, offset, what the natural PIN is made of.
#[derive(Debug, Default)]
pub struct Request {
    /// PVK of the IBM method.
    pub pvk: KeyToken,
    /// Offset, digits on the left, then F.
    pub offset: [u8; 12],
    /// Check length, account, table, validation data.
    pub ibm: IbmFields,
    /// PINs not to give out.
    pub excluded: ExcludedPins,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("PVK", Untagged::Single, &mut self.pvk)?;
        wire.hex("offset", &mut self.offset)?;
        self.ibm.walk(wire, &[])?;
        self.excluded.walk(wire)
    }
}

impl Command for DerivePinIbm {
    const ABOUT: About = About {
        code: *b"EE",
        title: "Derive a PIN by the IBM method",
        audience: Audience::Issuer,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request:
                b"EEU29791B55361A4675E639A27339775C8A6432FFFFFFFF04401234567890012345678901234540123N7890A\
                B",
            expect: Expect::Reply(b"EF0008797"),
            source: "own vector",
        },
        Example {
            lmk: 1,
            request:
                b"EES00072V1TC00E00018DF0E3761E9BD8ADD0C20001C69AB4F75C5B02993480C8B09309FB246432FFFFFFFF0\
                44012345678900123456789012345P401234567890ABCD",
            expect: Expect::Reply(b"EF0003591"),
            source: "own vector: validation data as a whole",
        },
        Example {
            lmk: 2,
            request:
                b"EES10096V1TC00E00027EC95F9E494944FFE8860CD979EFD3222CE98AE97C077F18773E6B80F520BD0D1B75E\
                55F7BB23DB96432FFFFFFFF04401234567890012345678901234540123N7890AB",
            expect: Expect::Like(b"EF00J................................"),
            source: "own vector",
        },
        Example {
            lmk: 0,
            request:
                b"EEU29791B55361A4675E639A27339775C8A6432FFFFFFFF04401234567890012345678901234540123N7890A\
                B*01041234",
            expect: Expect::Code(b"86"),
            source: "own vector: an excluded PIN",
        },
        Example {
            lmk: 0,
            request:
                b"EEUCD886A7C30733DC28B12D680484C9CEE0000FFFFFFFF04665551501536000000000000000055897996654\
                N",
            expect: Expect::Code(b"25"),
            source: "wire-examples EE-0-00262",
        },
        Example {
            lmk: 0,
            request: b"EEU29791B55361A4675E639A27339775C8A6432FFFFFFFF04401234567890K00140123N7890AB",
            expect: Expect::Code(b"12"),
            source: "own vector: no table is stored",
        },
    ];
    type Request = Request;
    type Reply = StoredReply;

    async fn run(cx: Cx, r: Request) -> Answer<StoredReply> {
        let terms = r.ibm.judge()?;
        let offset = terms.offset(&r.offset)?;
        let opened = ibm::open_pvk(&cx, &r.pvk, Use::Generate, Place::Source, &r.ibm.table).await;
        let (pvk, table) = opened?;
        let owner = pins::owner(terms.account()?)?;
        let natural = terms.natural_pin(&cx, &pvk, &table).await?;
        let pin = ibm3624::pin_from_offset(&natural, &offset, terms.check_length).map_err(ibm::code)?;
        r.excluded.judge(&pin)?;
        Ok(StoredReply { stored: stored_pin::store(&cx, &pin, &owner).await? }.into())
    }
}
