//! The OpenAPI document, made from the table of paths.

use super::routes::ROUTES;
use axum::Json;
use serde_json::Value;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathsBuilder, Required, ResponseBuilder,
};

/// The document. `x-roles` of an operation says who may call it.
pub fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    for route in ROUTES {
        let roles: Vec<Value> =
            route.who.roles().iter().filter_map(|role| serde_json::to_value(role).ok()).collect();
        let mut operation = OperationBuilder::new()
            .summary(Some(route.summary))
            .operation_id(Some(format!("{} {}", route.method, route.path)))
            .response(
                "200",
                ResponseBuilder::new().description("done").content("application/json", json()).build(),
            )
            .response(
                "default",
                ResponseBuilder::new()
                    .description("refused")
                    .content("application/problem+json", json())
                    .build(),
            );
        if route.path.contains("{id}") {
            operation = operation.parameter(
                ParameterBuilder::new()
                    .name("id")
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .build(),
            );
        }
        let method = match route.method {
            "post" => HttpMethod::Post,
            "put" => HttpMethod::Put,
            "delete" => HttpMethod::Delete,
            _ => HttpMethod::Get,
        };
        if !matches!(method, HttpMethod::Get) {
            operation = operation.parameter(
                ParameterBuilder::new()
                    .name("Idempotency-Key")
                    .parameter_in(ParameterIn::Header)
                    .required(Required::True)
                    .description(Some(
                        "Any text of up to 64 characters; the same request again is answered the same",
                    ))
                    .build(),
            );
        }
        if matches!(method, HttpMethod::Post | HttpMethod::Put) {
            operation = operation
                .request_body(Some(RequestBodyBuilder::new().content("application/json", json()).build()));
        }
        let mut operation = operation.build();
        let extension =
            utoipa::openapi::extensions::ExtensionsBuilder::new().add("x-roles", Value::Array(roles)).build();
        operation.extensions = Some(extension);
        paths = paths.path(format!("/api/v1{}", route.path), PathItem::new(method, operation));
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("payhsm key management centre")
                .version(env!("CARGO_PKG_VERSION"))
                .build(),
        )
        .paths(paths.build())
        .build()
}

fn json() -> utoipa::openapi::Content {
    ContentBuilder::new().build()
}

pub(super) async fn serve() -> Json<OpenApi> {
    Json(document())
}
