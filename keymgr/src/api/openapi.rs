//! The OpenAPI document (3.1), made from the table of paths and from the types that handlers read and write: a
//! schema cannot say other than what is sent.

use super::answer::Json;
use super::problem::Problem;
use super::routes::{ROUTES, Route, Shape};
use axum::response::IntoResponse;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// What a path answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answered {
    /// JSON of this shape.
    Json(Shape),
    /// Text.
    Text,
    /// Server-sent events.
    Events,
    /// The document itself.
    Document,
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(make);

/// The document. `x-roles` of an operation says who may call it.
pub fn document() -> &'static Value {
    &DOCUMENT
}

fn make() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut maker = settings.into_generator();
    let problem = maker.subschema_for::<Problem>();
    let mut paths = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut maker, &json!(problem));
        let path = paths.entry(format!("/api/v1{}", route.path)).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(route.method.to_owned(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "payhsm key management centre",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "TLS 1.3 with the certificate of a registered person. Every write carries an Idempotency-Key. \
                Lists are pages: `next` of one is `after` of the following.",
        },
        "paths": paths,
        "components": { "schemas": maker.take_definitions(true) },
    })
}

fn operation(route: &Route, maker: &mut SchemaGenerator, problem: &Value) -> Value {
    let roles: Vec<Value> = route.who.roles().iter().map(|role| json!(role)).collect();
    let content = match route.gives {
        Answered::Json(shape) => json!({ "application/json": { "schema": shape(maker) } }),
        Answered::Document => json!({ "application/json": { "schema": { "type": "object" } } }),
        Answered::Text => json!({ "text/plain": { "schema": { "type": "string" } } }),
        Answered::Events => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
    };
    let mut operation = json!({
        "summary": route.summary,
        "operationId": name(route),
        "x-roles": roles,
        "parameters": parameters(route, maker),
        "responses": {
            "200": { "description": "done", "content": content },
            "default": {
                "description": "refused",
                "content": { "application/problem+json": { "schema": problem } },
            },
        },
    });
    if let Some(shape) = route.takes {
        let schema = shape(maker);
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

fn name(route: &Route) -> String {
    let words = route.path.split(['/', '-', '.']).filter(|word| !word.is_empty() && !word.starts_with('{'));
    let by_id = if route.path.ends_with("{id}") { "_one" } else { "" };
    format!("{}_{}{by_id}", route.method, words.collect::<Vec<_>>().join("_"))
}

fn parameters(route: &Route, maker: &mut SchemaGenerator) -> Vec<Value> {
    let mut list = Vec::new();
    if route.path.contains("{id}") {
        list.push(json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }));
    }
    if route.method != "get" {
        list.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": true,
            "description": "1 to 64 printable characters; the same request again under the same key is done once",
            "schema": { "type": "string", "minLength": 1, "maxLength": 64 },
        }));
    }
    if let Some(shape) = route.by {
        let schema = json!(shape(maker));
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            list.push(json!({ "name": name, "in": "query", "required": false, "schema": schema }));
        }
    }
    list
}

pub(super) async fn serve() -> impl IntoResponse {
    Json(document())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_has_one_name_and_every_reference_a_schema() {
        let document = document();
        let operations = || {
            let paths = document["paths"].as_object().unwrap().values();
            paths.flat_map(|path| path.as_object().unwrap().values())
        };
        let names: BTreeSet<_> = operations().map(|one| one["operationId"].as_str().unwrap()).collect();
        assert_eq!((names.len(), operations().count()), (ROUTES.len(), ROUTES.len()));
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document.pointer(name.trim_start_matches('#')).is_some(), "{name}");
        }
        assert!(text.contains("/components/schemas/Act\""));
    }

    // What is not there cannot leak: no schema of an answer has a key block but an export's.
    #[test]
    fn no_answer_has_a_key_block() {
        let document = document();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let has = |field: &str| schema["properties"].get(field).is_some();
            let expected = ["Block", "ExportedView"].contains(&name.as_str());
            assert_eq!(has("block"), expected, "{name}");
            assert!(!has("material") && !has("throw_away"), "{name}");
            // Nor within the variants of one.
            let inner = schema.to_string().contains("\"block\":{");
            assert!(!inner || expected || name == "Act", "{name}");
        }
    }
}
