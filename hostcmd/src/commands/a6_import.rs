//! A6: take a key that another unit sent under a ZMK, and put it under the LMK.
//!
//! A variant LMK keeps neither mode of use nor exportability: the type is all that it can say, and the usage
//! of a block must say the same. Under a key-block LMK the block that came says what the key may do; the `#`
//! group may only narrow it, and must be there for a form that says nothing.

use crate::command::{About, Answer, Audience, Class, Command, Done, Example, Expect};
use crate::service::attributes::{self, Header};
use crate::service::exchange::{self, Imported, Master, open_master};
use crate::service::key_types::{self, has_parity};
use crate::service::keys::Use;
use crate::service::seal::{LmkForm, lmk_scheme, seal};
use crate::wire::{AtallaVariant, BlockGroup, CheckValue, ExportGroup, Message, Step, Untagged, Wire};
use crate::{Code, Cx};
use hsm::{KeyToken, KeyType, Scheme, join};
use paytypes::KeyUsage;

/// Import a key.
#[derive(Debug)]
pub struct ImportKey;

/// Type, ZMK, key, form under the LMK.
#[derive(Debug, Default)]
pub struct Request {
    /// Key type, `FFF` under a key-block LMK.
    pub key_type: [u8; 3],
    /// ZMK under the LMK.
    pub zmk: KeyToken,
    /// Key under the ZMK.
    pub key: KeyToken,
    /// Scheme under the LMK.
    pub scheme: [u8; 1],
    /// Variant of the ZMK.
    pub atalla: AtallaVariant,
    /// What a TR-31 block cannot say: the usage of our own blocks.
    pub fill: ExportGroup,
    /// What the block under the LMK says.
    pub block: BlockGroup,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.text("key type", &mut self.key_type)?;
        wire.key("ZMK", Untagged::Pair, &mut self.zmk)?;
        wire.key("key under ZMK", Untagged::Single, &mut self.key)?;
        wire.text("key scheme (LMK)", &mut self.scheme)?;
        self.atalla.walk(wire)?;
        wire.lmk()?;
        self.fill.walk_import(wire)?;
        self.block.walk(wire)
    }
}

/// The key and its check value.
#[derive(Debug, Default)]
pub struct Reply {
    /// Under the LMK.
    pub key: KeyToken,
    /// Check value of six digits.
    pub check: CheckValue,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("key under LMK", Untagged::Single, &mut self.key)?;
        self.check.walk(wire)
    }
}

impl Command for ImportKey {
    const ABOUT: About =
        About { code: *b"A6", title: "Import a key", audience: Audience::Officer, class: Class::Keys };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"A6009U629E44274EBBB8A23DAE2D5AF744E4B6RB0080B0TN00E0000B5AC37F57F42864FDF33E75F48025F9050C7\
                59D80D3043C8ACE3FB7B0A1225B8X",
            expect: Expect::Like(b"A700X......................................"),
            source: "wire-examples A6-0-00006",
        },
        Example {
            lmk: 1,
            request: b"A6FFFS00072K0TB00E0001D79D825EF9076DC227EABCF53CC7FF71C96B1155075981C5E5BE0C97S00072M3TC00\
                N00FF2893ABC9710E34403A34EA1E7FDD9A8F0F4EDC9067F83BE09E66FCA2S",
            expect: Expect::Like(
                b"A700S00072M3TC00N0001..............................................................",
            ),
            source: "wire-examples A6-1-00007",
        },
        Example {
            lmk: 2,
            request: b"A6FFFS10096K0TN00E00025AA37BD1F0830B7918D2377DCC6A8F60147520928341DD551C643BD4D4D53B6CD11\
                A8BFCE7369473RB0080P0TB00S0000D5CEE8C2940E89B3958365753622206DE0C8A1A57F5AC0A0A62199B96FD15D25S\
                #72E05E00",
            expect: Expect::Like(
                b"A700S1009672TE05E0002........................................................................\
                ..............",
            ),
            source: "wire-examples A6-2-00008, narrowed by a group",
        },
        Example {
            lmk: 1,
            request: b"A6FFFS00072K0TB00E0001EA6B745D2FE2F5B8A02EB05E0C3A4748B8B005E60FE066C2A3BCC0DERB0080P0TB00E\
                000016F4313AAA2BD074D37AD698743C6EB45AD0460B095467022F7360ADE4917631S",
            expect: Expect::Code(b"A4"),
            source: "wire-examples A6-1-00181",
        },
        Example {
            lmk: 0,
            request: b"A6001U629E44274EBBB8A23DAE2D5AF744E4B6RB0080B0TN00E0000B5AC37F57F42864FDF33E75F48025F9050C7\
                59D80D3043C8ACE3FB7B0A1225B8X",
            expect: Expect::Code(b"A6"),
            source: "security.md 1.2, key separation: a BDK does not become a ZPK",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, r: Request) -> Answer<Reply> {
        r.atalla.refuse()?;
        let key_type = key_types::read(&cx, r.key_type)?;
        let scheme = lmk_scheme(&cx, r.scheme)?;
        if r.key.scheme == Scheme::K {
            return Err(Code::SCHEME);
        }
        let zmk = open_master(&cx, &r.zmk, Master::Zmk, Use::Decrypt).await?;
        let wanted = r.block.present.then_some(KeyUsage(r.block.usage));
        let parity = has_parity(key_type, wanted);
        let Imported { key, header, forced } = exchange::unwrap(&cx, &zmk, &r.key, parity).await?;
        let form = if cx.scheme.is_block() {
            let header = block_header(&r, header)?;
            attributes::judge(&header.attributes, key.attributes().shape.kind)?;
            LmkForm::Block(header)
        } else {
            judge_type(&r, key_type, header.as_ref())?;
            LmkForm::Variant { scheme, key_type }
        };
        let (sealed, check) = join(seal(&cx, &key, form), tr31::kcv(&cx.hsm, &key)).await;
        let reply = Reply { key: sealed?, check: CheckValue::six(&check?) };
        Ok(if forced { Done::advice(Code::VERIFICATION, reply) } else { reply.into() })
    }
}

// The usage of the block, made more particular by `&`. Only a TR-31 block leaves anything to say.
fn filled(r: &Request, header: Header) -> Result<Header, Code> {
    let Header { mut attributes, mut optional } = header;
    if r.fill.present {
        let usage = KeyUsage::new(&r.fill.usage).map_err(|_| Code::BLOCK_USAGE)?;
        if r.key.scheme != Scheme::R {
            return Err(Code::INPUT);
        }
        attributes::particular(attributes.usage, usage)?;
        attributes.usage = usage;
        if r.fill.optional.count.0 > 0 {
            optional = r.fill.optional.clone();
        }
    }
    Ok(Header { attributes, optional })
}

fn block_header(r: &Request, came: Option<Header>) -> Result<Header, Code> {
    let wanted = if r.block.present { Some(attributes::from_group(&r.block)?) } else { None };
    match (came, wanted) {
        (Some(came), wanted) => {
            let came = filled(r, came)?;
            let Some(wanted) = wanted else { return Ok(came) };
            // A component stays one, and a key does not become one.
            if came.attributes.version.is_component() {
                return Err(Code::BLOCK_VERSION);
            }
            attributes::restrict(&came.attributes, &wanted)?;
            let own = r.block.optional.count.0 > 0;
            let optional = if own { r.block.optional.clone() } else { came.optional };
            Ok(Header { attributes: wanted, optional })
        }
        (None, Some(wanted)) if !r.fill.present => {
            Ok(Header { attributes: wanted, optional: r.block.optional.clone() })
        }
        (None, _) => Err(Code::INPUT),
    }
}

fn judge_type(r: &Request, key_type: KeyType, came: Option<&Header>) -> Result<(), Code> {
    if r.block.present || (r.fill.present && came.is_none()) {
        return Err(Code::INPUT);
    }
    let Some(header) = came else { return Ok(()) };
    if header.attributes.version.is_component() {
        return Err(Code::BLOCK_VERSION);
    }
    let header = filled(r, header.clone())?;
    if key_types::agree(key_type, header.attributes.usage) { Ok(()) } else { Err(Code::BLOCK_USAGE) }
}
