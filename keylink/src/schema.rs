//! JSON schemas of the values that are written in a way of their own.

use crate::envelope::Signed;
use crate::wire::{Blob, Hex, U64};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

impl JsonSchema for U64 {
    fn schema_name() -> Cow<'static, str> {
        "U64".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(0|[1-9][0-9]{0,19})$" })
    }
}

impl<const N: usize> JsonSchema for Hex<N> {
    fn schema_name() -> Cow<'static, str> {
        format!("Hex{N}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^[0-9a-f]{{{}}}$", N * 2) })
    }
}

impl JsonSchema for Blob {
    fn schema_name() -> Cow<'static, str> {
        "Blob".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64" })
    }
}

impl JsonSchema for Signed {
    fn schema_name() -> Cow<'static, str> {
        "Signed".into()
    }
    fn json_schema(maker: &mut SchemaGenerator) -> Schema {
        let (blob, key) = (maker.subschema_for::<Blob>(), maker.subschema_for::<crate::ids::KeyId>());
        json_schema!({
            "type": "object",
            "description": "A message with one Ed25519 signature over the DSSE encoding of type and payload",
            "properties": {
                "type": { "type": "string", "pattern": "^application/vnd[.]payhsm[.][a-z-]+[.]v1[+]json$" },
                "payload": blob,
                "key": key,
                "signature": maker.subschema_for::<Hex<64>>(),
            },
            "required": ["type", "payload", "key", "signature"],
            "additionalProperties": false,
        })
    }
}
