//! A0: generate a key, or derive an initial key of DUKPT; and, if asked, wrap it for another unit at once.

use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::attributes::Header;
use crate::service::exchange::{self, Form, Master, open_master};
use crate::service::initial_key::Derivation;
use crate::service::key_types;
use crate::service::keys::Use;
use crate::service::new_key::{Plan, plan};
use crate::service::seal::seal;
use crate::wire::{
    AtallaVariant, BlockGroup, BlockVersion, CheckValue, ExportGroup, MasterFlag, Message, Step, Untagged,
    Wire,
};
use crate::{Code, Cx};
use hsm::{Key, KeyToken, KeyType, join};

/// Generate a key.
#[derive(Debug)]
pub struct GenerateKey;

/// Mode, type and form of the key; where it comes from; where it goes.
#[derive(Debug, Default)]
pub struct Request {
    /// `0` generate, `1` and export, `A` derive, `B` and export.
    pub mode: [u8; 1],
    /// Key type, `FFF` under a key-block LMK.
    pub key_type: [u8; 3],
    /// Scheme under the LMK.
    pub scheme: [u8; 1],
    /// Base key and device, in modes `A` and `B`.
    pub derivation: Derivation,
    /// ZMK or TMK, in modes `1` and `B`.
    pub flag: MasterFlag,
    /// The exchange key.
    pub master: KeyToken,
    /// Scheme under it.
    pub export_scheme: [u8; 1],
    /// Variant of the exchange key.
    pub atalla: AtallaVariant,
    /// What the key block says, under a key-block LMK.
    pub block: BlockGroup,
    /// What the exported block says.
    pub export: ExportGroup,
    /// Version of the exported block.
    pub version: BlockVersion,
}

impl Request {
    const fn derives(&self) -> bool {
        matches!(self.mode, [b'A' | b'B'])
    }

    const fn exports(&self) -> bool {
        matches!(self.mode, [b'1' | b'B'])
    }
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.hex("mode", &mut self.mode)?;
        wire.text("key type", &mut self.key_type)?;
        wire.text("key scheme (LMK)", &mut self.scheme)?;
        if self.derives() {
            self.derivation.walk(wire)?;
        }
        if self.exports() {
            self.flag.walk(wire)?;
            wire.key("ZMK or TMK", Untagged::Pair, &mut self.master)?;
            wire.text("key scheme (ZMK/TMK)", &mut self.export_scheme)?;
            self.atalla.walk(wire)?;
        }
        wire.lmk()?;
        self.block.walk_with_algorithm(wire)?;
        self.export.walk(wire)?;
        self.version.walk(wire)
    }
}

/// The key in one form or two, and its check value.
#[derive(Debug, Default)]
pub struct Reply {
    /// Under the LMK.
    pub key: KeyToken,
    /// Under the exchange key.
    pub exported: Option<KeyToken>,
    /// Check value of six digits.
    pub check: CheckValue,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("key under LMK", Untagged::Single, &mut self.key)?;
        // Only the check value is as short as this.
        if wire.reading() && wire.ahead().iter().take_while(|c| **c != 0x19).count() > 6 {
            self.exported = Some(KeyToken::default());
        }
        if let Some(exported) = &mut self.exported {
            wire.key("key under ZMK or TMK", Untagged::Single, exported)?;
        }
        self.check.walk(wire)
    }
}

impl Command for GenerateKey {
    const ABOUT: About =
        About { code: *b"A0", title: "Generate a key", audience: Audience::Officer, class: Class::Keys };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"A00009X",
            expect: Expect::Like(b"A100X......................................"),
            source: "wire-examples A0-0-00000",
        },
        Example {
            lmk: 1,
            request: b"A00FFFS#71T2N00S00",
            expect: Expect::Like(
                b"A100S0007271TN00S0001..............................................................",
            ),
            source: "wire-examples A0-1-00001",
        },
        Example {
            lmk: 2,
            request: b"A01FFFS;0S10096K0TB00E0002727524A32412CC83F8FC3617561FD8A01B907A0428A27E2D6EE7731AD9DB71\
                58F67B0545603D8744R#K0T3B00S00!B",
            expect: Expect::Like(
                b"A100S10096K0TB00S0002........................................................................\
                ........RB0096K0TB00S0000......................................................................\
                ................",
            ),
            source: "wire-examples A0-2-00002",
        },
        Example {
            lmk: 2,
            request: b"A0BFFFS02S10096B0AN00S0002E5A9B82387A004D54B70D189ED6D880E6BE0F31830BDFAEC92C056607D689B\
                1627C2A4105ED950AAFFFFFFFFFFFFFF42S10128K0AN00S000246EC035003BEA52D14C316001A4EDF9BA1688\
                D66D7177545975DE3FF46D3060B36CCAE1AC8D5E87C74A3DF9D2AC9E9FE554C933A170C210CR#B1A1N00S00",
            expect: Expect::Like(
                b"A100S10096B1AN00S0002...................................................................\
                .............RD0144B1AN00S0000..........................................................\
                ......................................................................DD3ABE",
            ),
            source: "s-blocks aes-A0-00: the same keys under LMK 02; our block hides the length of the key",
        },
        Example {
            lmk: 2,
            request: b"A00FFFS#P0T2B00Q00",
            expect: Expect::Code(b"AA"),
            source: "wire-examples A0-2-00177",
        },
        Example {
            lmk: 1,
            request: b"A00FFFS#P0A1B00E00",
            expect: Expect::Code(b"A7"),
            source: "wire-examples A0-1-00174",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, r: Request) -> Answer<Reply> {
        if !matches!(r.mode, [b'0' | b'1' | b'A' | b'B']) {
            return Err(Code::INPUT);
        }
        r.atalla.refuse()?;
        let key_type = key_types::read(&cx, r.key_type)?;
        let plan = plan(&cx, key_type, r.scheme, &r.block)?;
        let leaves = Leaves::plan(&cx, &r, key_type, &plan)?;
        let (key, master) = join(make(&cx, &r, &plan), open_exchange(&cx, &r)).await;
        let (key, master) = (key?, master?);
        let exported = async {
            match (&leaves, &master) {
                (Some(l), Some(master)) => {
                    exchange::wrap(&cx, master, &key, l.form, l.header.as_ref()).await.map(Some)
                }
                _ => Ok(None),
            }
        };
        let (sealed, (exported, check)) =
            join(seal(&cx, &key, plan.form), join(exported, tr31::kcv(&cx.hsm, &key))).await;
        Ok(Reply { key: sealed?, exported: exported?, check: CheckValue::six(&check?) }.into())
    }
}

// How the key leaves, judged before it is made.
struct Leaves {
    form: Form,
    header: Option<Header>,
}

impl Leaves {
    fn plan(cx: &Cx, r: &Request, key_type: KeyType, plan: &Plan) -> Result<Option<Self>, Code> {
        if !r.exports() {
            let extra = r.export.present || r.version.present;
            return if extra { Err(Code::INPUT) } else { Ok(None) };
        }
        let form = Form::read(cx, r.export_scheme, &r.version)?;
        let header = match plan.header() {
            Some(header) => exchange::header_of_new(form, header, &r.export)?,
            None => exchange::header_of_variant(form, key_type, plan.shape.kind, &r.export)?,
        };
        Ok(Some(Self { form, header }))
    }
}

async fn make(cx: &Cx, r: &Request, plan: &Plan) -> Result<Key, Code> {
    if r.derives() { r.derivation.run(cx, plan).await } else { Ok(cx.hsm.generate(plan.shape).await?) }
}

async fn open_exchange(cx: &Cx, r: &Request) -> Result<Option<Key>, Code> {
    if !r.exports() {
        return Ok(None);
    }
    open_master(cx, &r.master, Master::from_flag(&r.flag)?, Use::Encrypt).await.map(Some)
}
