//! B0: write a key under a variant LMK in another scheme of the same length: `U` and `X`, `T` and `Y`.
//!
//! `X` and `Y` are allowed here in both profiles: under the LMK old units take them, and nothing leaves. What
//! they lack, the binding of the parts, is a matter of export. A key-block LMK has one scheme only: A1.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::key_types;
use crate::service::keys::Place;
use crate::service::legacy::variant_only;
use crate::service::seal::{LmkForm, lmk_scheme, open_any, seal};
use crate::wire::{Message, Step, Untagged, Wire};
use hsm::KeyToken;

/// Change the scheme of a key.
#[derive(Debug)]
pub struct ChangeScheme;

/// Type, key, new scheme.
#[derive(Debug, Default)]
pub struct Request {
    /// Key type.
    pub key_type: [u8; 3],
    /// The key.
    pub key: KeyToken,
    /// The new scheme.
    pub scheme: [u8; 1],
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.text("key type", &mut self.key_type)?;
        wire.key("key", Untagged::Pair, &mut self.key)?;
        wire.text("key scheme (LMK)", &mut self.scheme)
    }
}

/// The key in the new scheme.
#[derive(Debug, Default)]
pub struct Reply {
    /// The key.
    pub key: KeyToken,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("key", Untagged::Single, &mut self.key)
    }
}

impl Command for ChangeScheme {
    const ABOUT: About = About {
        code: *b"B0",
        title: "Change the scheme of a key",
        audience: Audience::Officer,
        class: Class::Keys,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"B0002U12D88F98FC98153049AF225DEAB968C1X",
            expect: Expect::Reply(b"B100XA5D7F1E43414EF46D62C359FE4C3A72E"),
            source: "wire-examples B0-0-00017",
        },
        Example {
            lmk: 0,
            request: b"B0002XA5D7F1E43414EF46D62C359FE4C3A72EU",
            expect: Expect::Reply(b"B100U12D88F98FC98153049AF225DEAB968C1"),
            source: "wire-examples B0-0-00017, back",
        },
        Example {
            lmk: 0,
            request: b"B0001UC268689335F5595EB59F63FCAECEB78BQ",
            expect: Expect::Code(b"26"),
            source: "wire-examples B0-0-00185",
        },
        Example {
            lmk: 0,
            request: b"B0002U12D88F98FC98153049AF225DEAB968C1T",
            expect: Expect::Code(b"26"),
            source: "own: the length stays",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, request: Request) -> Answer<Reply> {
        variant_only(&cx)?;
        let key_type = key_types::read(&cx, request.key_type)?;
        let scheme = lmk_scheme(&cx, request.scheme)?;
        let key = open_any(&cx, &request.key, key_type, Place::Source).await?;
        let key = seal(&cx, &key, LmkForm::Variant { scheme, key_type }).await?;
        Ok(Reply { key }.into())
    }
}
