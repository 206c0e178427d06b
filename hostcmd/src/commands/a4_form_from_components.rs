//! A4: form a key from two to nine components, each of them full length and held by another officer.
//!
//! Refused beyond what the fields say: equal components and components that cancel out (B5), since one holder
//! would then know or choose the key; a zero or weak result (11) and one with equal parts (75).

use crate::command::{About, Activity, Answer, Audience, Class, Command, Example, Expect};
use crate::service::attributes::Header;
use crate::service::components::{self, Component};
use crate::service::key_types;
use crate::service::keys::{Place, judge_hygiene};
use crate::service::seal::{LmkForm, lmk_scheme, seal};
use crate::wire::{BlockGroup, CheckValue, Message, Number, Step, Untagged, Wire};
use crate::{Code, Cx};
use hsm::{BlockAttributes, KeyToken, join};
use paytypes::{Cipher, KeyVersion};

/// Form a key from components.
#[derive(Debug)]
pub struct FormKey;

/// Type and form of the key, and its components.
#[derive(Debug, Default)]
pub struct Request {
    /// How many components.
    pub count: Number<1>,
    /// Key type, `FFF` under a key-block LMK.
    pub key_type: [u8; 3],
    /// Scheme under the LMK.
    pub scheme: [u8; 1],
    /// The components, under the LMK.
    pub components: Vec<KeyToken>,
    /// Version number and optional blocks of the key, under a key-block LMK.
    pub block: BlockGroup,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.number("number of components", &mut self.count)?;
        if wire.reading() && self.count.0 < 2 {
            return Err(Code::COUNT);
        }
        wire.text("key type", &mut self.key_type)?;
        wire.text("key scheme (LMK)", &mut self.scheme)?;
        self.components.resize(self.count.size(), KeyToken::default());
        for component in &mut self.components {
            wire.key("component", Untagged::Single, component)?;
        }
        wire.lmk()?;
        self.block.walk_version(wire)
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

impl Command for FormKey {
    const ABOUT: About = About {
        code: *b"A4",
        title: "Form a key from components",
        audience: Audience::Officer,
        class: Class::Keys,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"A42009UUD049F32ADBDFC8CAF7EDB6B82113FFE5XAB024B066D2960CF0B1ADDC8E04ACAE3",
            expect: Expect::Like(b"A500U......................................"),
            source: "wire-examples A4-0-00003",
        },
        Example {
            lmk: 1,
            request:
                b"A42FFFSS0007252TBc1E0001C9ED3207A1A79BCA1CAB8C05FEC9429E2232067D1F9E908F15E9DCA7S0007252T\
                Bc2E000125276E9C8BC0FA0F70109274FAB9647EF89A189C019465182A345009#0000",
            expect: Expect::Like(
                b"A500S0007252TB00E0001........................................................2AE082",
            ),
            source: "s-blocks kb-A4",
        },
        Example {
            lmk: 0,
            request: b"A42009UUD049F32ADBDFC8CAF7EDB6B82113FFE5UD049F32ADBDFC8CAF7EDB6B82113FFE5",
            expect: Expect::Code(b"B5"),
            source: "security.md 2 row 7: equal components",
        },
        Example {
            lmk: 1,
            request: b"A41FFFSS00072P0TBc1E0001F1B867D01C91CED1320FE5C08F2AB583AD16B0D65B4F17A0F7DCEDEC#0000",
            expect: Expect::Code(b"03"),
            source: "wire-examples A4-1-00179",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, r: Request) -> Answer<Reply> {
        cx.require(Activity::Components)?;
        let key_type = key_types::read(&cx, r.key_type)?;
        let scheme = lmk_scheme(&cx, r.scheme)?;
        if r.block.present != cx.scheme.is_block() {
            return Err(Code::INPUT);
        }
        let parts = components::open(&cx, &r.components, key_type).await?;
        let form = match components::common(&parts)? {
            None => LmkForm::Variant { scheme, key_type },
            Some(attributes) => LmkForm::Block(header(attributes, &r.block)?),
        };
        let clear = components::combine(&parts)?;
        let kind = parts.first().map(Component::kind).ok_or(Code::COUNT)?;
        let key = cx.hsm.load(kind, clear.expose()).await?;
        judge_hygiene(&key.attributes().hygiene, &cx, Place::Destination)?;
        let (sealed, check) = join(seal(&cx, &key, form), tr31::kcv(&cx.hsm, &key)).await;
        Ok(Reply { key: sealed?, check: CheckValue::six(&check?) }.into())
    }
}

// As the components, with the version number of the request.
fn header(attributes: BlockAttributes, group: &BlockGroup) -> Result<Header, Code> {
    let version = KeyVersion::new(&group.version).map_err(|_| Code::BLOCK_VERSION)?;
    let attributes = BlockAttributes { version, ..attributes };
    if version.is_component() {
        return Err(Code::BLOCK_VERSION);
    }
    Ok(Header { attributes, optional: group.optional.clone() })
}
