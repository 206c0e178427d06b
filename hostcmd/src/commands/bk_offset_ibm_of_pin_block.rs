//! BK: the IBM 3624 offset of the PIN in a block, which the customer chose.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::dectab;
use crate::service::excluded::ExcludedPins;
use crate::service::ibm::{IbmFields, OffsetReply};
use crate::service::keys::{self, PVK_IBM, Use, Wanted};
use crate::service::pin_keys;
use crate::service::pins::{self, Side};
use crate::wire::{Message, PinBlockText, Step, Untagged, Wire};
use hsm::{KeyToken, join};

/// IBM offset of a PIN block.
#[derive(Debug)]
pub struct OffsetIbmOfPinBlock;

/// Keys, block, what the natural PIN is made of.
#[derive(Debug, Default)]
pub struct Request {
    /// `001` ZPK, `002` TPK, `FFF` as the key block says.
    pub key_type: [u8; 3],
    /// Key of the block.
    pub key: KeyToken,
    /// PVK of the IBM method.
    pub pvk: KeyToken,
    /// The block.
    pub block: PinBlockText,
    /// Its format.
    pub format: [u8; 2],
    /// Check length, account, table, validation data.
    pub ibm: IbmFields,
    /// PINs not to give out.
    pub excluded: ExcludedPins,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.text("key type", &mut self.key_type)?;
        wire.key("ZPK or TPK", Untagged::Single, &mut self.key)?;
        wire.key("PVK", Untagged::Single, &mut self.pvk)?;
        wire.pin_block("PIN block", &self.key, &mut self.block)?;
        wire.digits("format", &mut self.format)?;
        self.ibm.walk(wire, &[self.format])?;
        self.excluded.walk(wire)
    }
}

impl Command for OffsetIbmOfPinBlock {
    const ABOUT: About = About {
        code: *b"BK",
        title: "IBM offset of a PIN block",
        audience: Audience::Issuer,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 1,
            request:
                b"BKFFFS00072P0TN00E0001A1C411A5D93C73171F068CA654F78B6611FCED8021A7E610B070C301S00072V1TN\
                00E000168358ADA94C94D2303F1B056A7D72194B2076EDC2F0BD1A8A9499EE82370E9BEF3E3EDD4010495324\
                993191931415926508972641485568195N6",
            expect: Expect::Legacy(b"BL008761FFFFFFFF"),
            source: "wire-examples BK-1-00031, a table that is not registered",
        },
        Example {
            lmk: 2,
            request:
                b"BKFFFS10096P0TN00E00029ED21CDBA21C91E049B071D65048869180AB917EA8A8D8A7E4188EADAD63943CE5\
                B8A7E0A3B74D86S10096V1TC00E000261FC4028B1D245FC8F7C5B390FE00297988CCD530DD8D9E9042550457\
                BFDDE9C2CCA68E7043DD6F05D20E1B89432D69B010456168186481531415926508972644300306245N0",
            expect: Expect::Legacy(b"BL003554FFFFFFFF"),
            source: "wire-examples BK-2-00032, a table that is not registered",
        },
        Example {
            lmk: 0,
            request:
                b"BK001U2C95531A43C7CA020C0C679AC89CD2FBU29791B55361A4675E639A27339775C8A69F77C20B0223FA60\
                104401234567890012345678901234540123N7890AB",
            expect: Expect::Reply(b"BL006432FFFFFFFF"),
            source: "own vector",
        },
        Example {
            lmk: 1,
            request:
                b"BKFFFS0007272TB00E0001DADDDEA1EE6186748B6D08465F58204F08833CE346DC87CC809D4C9BS00072V1TC\
                00E00018DF0E3761E9BD8ADD0C20001C69AB4F75C5B02993480C8B09309FB2469F77C20B0223FA6010440123\
                4567890012345678901234540123N7890AB",
            expect: Expect::Reply(b"BL006432FFFFFFFF"),
            source: "own vector",
        },
        Example {
            lmk: 2,
            request:
                b"BKFFFS1009672TB00E000238F51BCFCEA52D1C0215765441D4C43DDE1F03109ED090728E82FDBD23AADF9CD0\
                63A292FD54E0C2S10096V1TC00E00027EC95F9E494944FFE8860CD979EFD3222CE98AE97C077F18773E6B80F\
                520BD0D1B75E55F7BB23DB969F77C20B0223FA60104401234567890012345678901234540123N7890AB",
            expect: Expect::Reply(b"BL006432FFFFFFFF"),
            source: "own vector",
        },
        Example {
            lmk: 0,
            request:
                b"BK001U2C95531A43C7CA020C0C679AC89CD2FBU29791B55361A4675E639A27339775C8A69F77C20B0223FA60\
                104401234567890012345678901234540123N7890AB*01041234",
            expect: Expect::Code(b"86"),
            source: "own vector: an excluded PIN",
        },
        Example {
            lmk: 0,
            request:
                b"BK001U2C95531A43C7CA020C0C679AC89CD2FBU29791B55361A4675E639A27339775C8A69F77C20B0223FA60\
                105401234567890012345678901234540123N7890AB",
            expect: Expect::Code(b"81"),
            source: "own vector: PIN shorter than the check length",
        },
    ];
    type Request = Request;
    type Reply = OffsetReply;

    async fn run(cx: Cx, r: Request) -> Answer<OffsetReply> {
        let rule = pin_keys::named(&cx, r.key_type)?;
        let terms = r.ibm.judge()?;
        let key = Wanted { token: &r.key, rule: &rule, how: Use::Decrypt };
        let pvk = Wanted { token: &r.pvk, rule: &PVK_IBM, how: Use::Generate };
        let (opened, table) = join(keys::open_two(&cx, key, pvk), dectab::open(&cx, &r.ibm.table)).await;
        let (key, pvk) = opened?;
        let (format, account) = (pins::format(r.format)?, terms.account()?);
        let table = table?;
        let side = Side { key: &key, format, account };
        let (pin, natural) =
            join(pins::read(&cx, side, &r.block), terms.natural_pin(&cx, &pvk, &table)).await;
        let (pin, natural) = (pin?, natural?);
        r.excluded.judge(&pin)?;
        Ok(OffsetReply { offset: terms.offset_of(&pin, &natural)? }.into())
    }
}
