//! FW: the PVV of the PIN in a block, which the customer chose.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::excluded::ExcludedPins;
use crate::service::keys::{self, Place, Use};
use crate::service::pin_keys;
use crate::service::pins::{self, Side};
use crate::service::visa::{self, PvvReply};
use crate::wire::{Account, Message, PinBlockText, Step, Untagged, Wire};
use hsm::{KeyToken, join};
use pinblock::pvv;

/// PVV of a PIN block.
#[derive(Debug)]
pub struct PvvOfPinBlock;

/// Keys, block, account, key index.
#[derive(Debug, Default)]
pub struct Request {
    /// `001` ZPK, `002` TPK, `FFF` as the key block says.
    pub key_type: [u8; 3],
    /// Key of the block.
    pub key: KeyToken,
    /// PVK of the Visa method.
    pub pvk: KeyToken,
    /// The block.
    pub block: PinBlockText,
    /// Its format.
    pub format: [u8; 2],
    /// Account of block and PVV.
    pub account: Account,
    /// PVV key index.
    pub index: [u8; 1],
    /// PINs not to give out.
    pub excluded: ExcludedPins,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.text("key type", &mut self.key_type)?;
        wire.key("ZPK or TPK", Untagged::Single, &mut self.key)?;
        wire.key("PVK pair", Untagged::Pair, &mut self.pvk)?;
        wire.pin_block("PIN block", &self.key, &mut self.block)?;
        wire.digits("format", &mut self.format)?;
        wire.account("account", &[self.format], &mut self.account)?;
        wire.digits("PVV key index", &mut self.index)?;
        self.excluded.walk(wire)
    }
}

impl Command for PvvOfPinBlock {
    const ABOUT: About =
        About { code: *b"FW", title: "PVV of a PIN block", audience: Audience::Issuer, class: Class::Pins };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request:
                b"FW001UC453E13939B7364242F0065726318F07U843E99FCC27418B6ECF0B940D55CB1A47E58734C09EC8C860\
                18884459295994",
            expect: Expect::Reply(b"FX004961"),
            source: "wire-examples FW-0-00087",
        },
        Example {
            lmk: 1,
            request:
                b"FWFFFS00072P0TB00E0001203FB2F7BD25D48AF78C7CAD121E3F01EA61D3CF0A82CF61ED0004B2S00072V2TN\
                00E0001EBC77F3716BCA4B876DC14C2299F592F7D1C0F8692E1DB97942095705ABDC9AFEE26C95D015320773\
                205762",
            expect: Expect::Reply(b"FX001121"),
            source: "wire-examples FW-1-00088",
        },
        Example {
            lmk: 2,
            request:
                b"FWFFFS10096P0TN00E0002C153D6A98817A41166EB2FF2C1B4921B21C26FD5BF097C5CB45953E2BE64F8EBBC\
                9AC3B6E26B5488S10096V2TN00E0002F2C52D4CA5C3DEC2001B3D821AC026FDE5FA05B43EEA88B5DC8BA6DE6\
                1812EA66D2D2FF7EDAB2B7F259AA2D1BFA34FE2056532787739471",
            expect: Expect::Reply(b"FX005114"),
            source: "wire-examples FW-2-00089",
        },
        Example {
            lmk: 0,
            request:
                b"FW001U2C95531A43C7CA020C0C679AC89CD2FBU29791B55361A4675E639A27339775C8A69F77C20B0223FA60\
                14012345678901*01041234",
            expect: Expect::Code(b"86"),
            source: "own vector: an excluded PIN",
        },
        Example {
            lmk: 0,
            request:
                b"FW00ZU3E157DD018772057D9286281FA8DC26FUE6732E7CC41891EB35DDA9098BEE2B7AF2D3D549B81E2B000\
                19443787294731",
            expect: Expect::Code(b"04"),
            source: "wire-examples FW-0-00265",
        },
    ];
    type Request = Request;
    type Reply = PvvReply;

    async fn run(cx: Cx, r: Request) -> Answer<PvvReply> {
        let rule = pin_keys::named(&cx, r.key_type)?;
        let terms = pins::terms(r.format, &r.account)
            .and_then(|(format, account)| Ok((format, account, pins::twelve_digits(&account)?)));
        let key = keys::open(&cx, &r.key, &rule, Use::Decrypt, Place::Source);
        let (key, pvk) = join(key, visa::open_pvk(&cx, &r.pvk, Use::Generate, Place::Destination)).await;
        let (key, pvk) = (key?, pvk?);
        let (format, account, digits) = terms?;
        let side = Side { key: &key, format, account: &account };
        let pin = pins::read(&cx, side, &r.block).await?;
        r.excluded.judge(&pin)?;
        let [index] = r.index;
        let made = pvv::pvv(&cx.hsm, &pvk, &pin, &digits, index).await.map_err(visa::code)?;
        Ok(PvvReply { pvv: made }.into())
    }
}
