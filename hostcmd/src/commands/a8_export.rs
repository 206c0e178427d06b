//! A8: wrap a key for another unit under a ZMK or TMK.
//!
//! What may leave is judged by exportability (AA) under a key-block LMK; a variant LMK knows none. Forms that
//! are weaker than a key block need the authorised state (17).

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::exchange::{self, Form, Master, open_master};
use crate::service::key_types;
use crate::service::keys::{Place, Use};
use crate::service::seal::open_any;
use crate::wire::{
    AtallaVariant, BlockVersion, CheckValue, ExportGroup, MasterFlag, Message, Step, Untagged, Wire,
};
use hsm::{KeyToken, join};

/// Export a key.
#[derive(Debug)]
pub struct ExportKey;

/// Type, exchange key, key, form.
#[derive(Debug, Default)]
pub struct Request {
    /// Key type, `FFF` under a key-block LMK.
    pub key_type: [u8; 3],
    /// ZMK or TMK.
    pub flag: MasterFlag,
    /// The exchange key, under the LMK.
    pub master: KeyToken,
    /// The key, under the LMK.
    pub key: KeyToken,
    /// Scheme under the exchange key.
    pub scheme: [u8; 1],
    /// Variant of the exchange key.
    pub atalla: AtallaVariant,
    /// What the exported block says.
    pub export: ExportGroup,
    /// Its version.
    pub version: BlockVersion,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.text("key type", &mut self.key_type)?;
        self.flag.walk(wire)?;
        wire.key("ZMK or TMK", Untagged::Pair, &mut self.master)?;
        wire.key("key under LMK", Untagged::Single, &mut self.key)?;
        wire.text("key scheme (ZMK/TMK)", &mut self.scheme)?;
        self.atalla.walk(wire)?;
        wire.lmk()?;
        self.export.walk(wire)?;
        self.version.walk(wire)
    }
}

/// The key and its check value.
#[derive(Debug, Default)]
pub struct Reply {
    /// Under the exchange key.
    pub key: KeyToken,
    /// Check value of six digits.
    pub check: CheckValue,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("key under ZMK or TMK", Untagged::Single, &mut self.key)?;
        self.check.walk(wire)
    }
}

impl Command for ExportKey {
    const ABOUT: About =
        About { code: *b"A8", title: "Export a key", audience: Audience::Officer, class: Class::Keys };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"A800AU3619544286BF03725946C2F53DEEAF75U1EC6BDC63FCFE3609E3A626BEB7E3B9AU",
            expect: Expect::Like(b"A900U......................................"),
            source: "wire-examples A8-0-00009",
        },
        Example {
            lmk: 1,
            request: b"A8FFFS00072K0TB00E00010A56F515BF2718F35DFD357068795FE96E48EE2FBC48956128007F3AS00072B0TN00E00\
                01D9EE57A6E8F3D6A426F06CD92188A7DC5A39098634D9379900A0D4A4R!B",
            expect: Expect::Like(
                b"A900RB0096B0TN00E0000......................................................................\
                ................",
            ),
            source: "wire-examples A8-1-00010",
        },
        Example {
            lmk: 2,
            request: b"A8FFFS10096K0TN00E0002EEBB44DE75AD9859D061F03B0C3A1CB9B2A57755DB844679A20424A8F1DC1B1C2A5B3CE1\
                60384EADS10096C0TC00E000293EC5CCC98FFEC28C7E442C9F38AE6406173A7490404E8FE0A0C9FC9B1820299567A0AD3\
                D0A29F62S&N",
            expect: Expect::Like(
                b"A900S00072C0TC00N00FF..............................................................",
            ),
            source: "wire-examples A8-2-00011, in our own form and no longer exportable",
        },
        Example {
            lmk: 1,
            request: b"A8FFFS00072K0TN00E00010B2A1EA2C061FED3C1CB9BA28666ED760D4F18C815533482D35A48B3S00072P0TB00N000\
                10453CDE0303BA57F7DC3DCFC2F4D2217B19BC82FD2321A82655E184AS",
            expect: Expect::Code(b"AA"),
            source: "wire-examples A8-1-00183",
        },
        Example {
            lmk: 1,
            request: b"A8FFFS00072K0TB00E00010A56F515BF2718F35DFD357068795FE96E48EE2FBC48956128007F3AS00072B0TN00E00\
                01D9EE57A6E8F3D6A426F06CD92188A7DC5A39098634D9379900A0D4A4R!C",
            expect: Expect::Code(b"29"),
            source: "security.md 2 row 13: versions A and C are not made",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, r: Request) -> Answer<Reply> {
        r.atalla.refuse()?;
        let key_type = key_types::read(&cx, r.key_type)?;
        let form = Form::read(&cx, r.scheme, &r.version)?;
        let (master, key) = join(
            open_master(&cx, &r.master, Master::from_flag(&r.flag)?, Use::Encrypt),
            open_any(&cx, &r.key, key_type, Place::Destination),
        )
        .await;
        let (master, key) = (master?, key?);
        let header = if cx.scheme.is_block() {
            exchange::header_of_token(form, &key, &r.key, &r.export)?
        } else {
            exchange::header_of_variant(form, key_type, key.attributes().shape.kind, &r.export)?
        };
        let wrapped = exchange::wrap(&cx, &master, &key, form, header.as_ref());
        let (wrapped, check) = join(wrapped, tr31::kcv(&cx.hsm, &key)).await;
        Ok(Reply { key: wrapped?, check: CheckValue::six(&check?) }.into())
    }
}
