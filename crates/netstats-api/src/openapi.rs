//! The OpenAPI 3.1 document, made from the route table: what a route declares is what is checked and what is told.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema};

use utoipa::{PartialSchema, ToSchema};

use crate::declare::{Access, Gives, Param, ParamKind, Shape};
use crate::problem::ProblemJson;
use crate::route::{Route, Table};

/// The groups of routes, in the order in which they are shown.
const TAGS: [(&str, &str); 15] = [
    ("health", "How the product does"),
    ("destinations", "What is measured"),
    ("jobs", "What to measure, how often, when"),
    ("samples", "What was measured"),
    ("analysis", "What the samples say"),
    ("files", "Files to take away: reports and rows"),
    ("exports", "Files that are made by a schedule, or whenever somebody asks"),
    ("annotations", "Remarks on moments and spans of time"),
    ("maintenance", "Planned windows"),
    ("accounting", "How availability is accounted for"),
    ("live", "What happens now"),
    ("prometheus", "The same figures for clients of Prometheus, as Grafana"),
    ("audit", "Who changed what, and taking it back"),
    ("access", "Users, sessions and API tokens"),
    ("server", "The config file, and this document"),
];

const DESCRIPTION: &str = "The REST API of Network Stats Collector. Errors are RFC 9457 problem details. Times are RFC \
    3339 in UTC; `_ms` is milliseconds, `_s` seconds, `_percent` percent; what was lost is `null`, never 0. On this \
    machine, and while no user is known, no credentials are needed.";

/// The shape of the document itself, which is described elsewhere.
pub(crate) struct Document;

impl PartialSchema for Document {
    fn schema() -> RefOr<Schema> {
        any_object().into()
    }
}

impl ToSchema for Document {
    fn name() -> Cow<'static, str> {
        "OpenApi".into()
    }
}

/// The document as it is served.
pub(crate) fn json() -> Bytes {
    static JSON: LazyLock<Bytes> = LazyLock::new(|| {
        let document = document(&crate::app::table());
        Bytes::from(serde_json::to_vec_pretty(&document).expect("a document in memory serialises"))
    });
    JSON.clone()
}

fn document<S: Send + Sync + 'static>(table: &Table<S>) -> OpenApi {
    let mut parts = Vec::new();
    collect(&Shape::of::<ProblemJson<'static>>(), &mut parts);
    let mut paths = PathsBuilder::new();
    for route in table.routes() {
        for shape in route.about.reads.iter().chain(match &route.about.gives {
            Gives::Json(shape) => Some(shape),
            _ => None,
        }) {
            collect(shape, &mut parts);
        }
        paths = paths.path(path(route.path), PathItem::new(http_method(&route.method), operation(route)));
    }
    let components = ComponentsBuilder::new()
        .schemas_from_iter(parts)
        .security_scheme("token", bearer())
        .security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("nsc"))))
        .build();
    let tags = TAGS.map(|(name, says)| TagBuilder::new().name(name).description(Some(says)).build());
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Network Stats Collector")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .build(),
        )
        .paths(paths.build())
        .components(Some(components))
        .tags(Some(tags))
        .build()
}

fn collect(shape: &Shape, parts: &mut Vec<(String, RefOr<Schema>)>) {
    parts.push(((shape.name)().into_owned(), (shape.schema)()));
    (shape.parts)(parts);
}

fn bearer() -> SecurityScheme {
    let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API token, nsc_..."));
    SecurityScheme::Http(http.build())
}

/// `/api/jobs/{id}` for `/api/jobs/:id`.
pub(crate) fn path(path: &str) -> String {
    let part = |part: &str| match part.strip_prefix(':') {
        Some(name) => format!("{{{name}}}"),
        None => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn http_method(method: &hyper::Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// `get_api_jobs_id_metrics`
fn operation_id<S>(route: &Route<S>) -> String {
    let words = route.path.split(['/', ':', '.', '-']).filter(|word| !word.is_empty());
    std::iter::once(route.method.as_str().to_ascii_lowercase().as_str()).chain(words).collect::<Vec<_>>().join("_")
}

fn operation<S>(route: &Route<S>) -> utoipa::openapi::path::Operation {
    let about = &route.about;
    let mut operation = OperationBuilder::new()
        .tag(about.tag)
        .summary(Some(about.summary))
        .operation_id(Some(operation_id(route)))
        .description(Some(match route.access {
            Access::Everybody => "Needs no credentials.".to_owned(),
            Access::Needs(role) => format!("Needs the role {}.", role.name()),
        }));
    if route.access != Access::Everybody {
        let none: [&str; 0] = [];
        operation = operation
            .security(SecurityRequirement::new("token", none))
            .security(SecurityRequirement::new("session", none));
    }
    for name in route.path.split('/').filter_map(|part| part.strip_prefix(':')) {
        let id = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some("Id or name"))
                .schema(Some(id)),
        );
    }
    for param in &route.query {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(param.name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(param.says))
                .schema(Some(param_schema(param))),
        );
    }
    for (name, says) in conditions(route) {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(says))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        );
    }
    if let Some(shape) = &about.reads {
        let mut body = RequestBodyBuilder::new().required(Some(Required::True));
        for content_type in route.takes {
            body = body.content(*content_type, ContentBuilder::new().schema(Some(reference(shape))).build());
        }
        operation = operation.request_body(Some(body.build()));
    }
    operation.response(about.status.as_str(), answer(route)).response("default", refusal()).build()
}

/// Request headers with a meaning, and which.
fn conditions<S>(route: &Route<S>) -> Vec<(&'static str, &'static str)> {
    let has_entry = route.path.ends_with(":id");
    match route.method.as_str() {
        "POST" => vec![("Idempotency-Key", "A repeated request with the same key gets the first one's answer")],
        "PUT" | "PATCH" | "DELETE" if has_entry => {
            vec![("If-Match", "The ETag of what is to be changed: 412 if somebody changed it since")]
        }
        _ => Vec::new(),
    }
}

fn reference(shape: &Shape) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name((shape.name)()))
}

fn answer<S>(route: &Route<S>) -> Response {
    let mut response = ResponseBuilder::new().description("It is done");
    match &route.about.gives {
        Gives::Json(shape) => {
            response =
                response.content("application/json", ContentBuilder::new().schema(Some(reference(shape))).build());
        }
        Gives::Other(content_type) => {
            let text = ObjectBuilder::new().schema_type(Type::String).build();
            response =
                response.content(*content_type, ContentBuilder::new().schema(Some(Schema::Object(text))).build());
        }
        Gives::Nothing => {}
    }
    if route.query.iter().any(|param| param.name == "cursor") {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        response = response.header(
            "Link",
            HeaderBuilder::new()
                .description(Some("The next page, if there is one"))
                .schema(Some(Schema::Object(text)))
                .build(),
        );
    }
    response.build()
}

fn refusal() -> Response {
    let shape = Shape::of::<ProblemJson<'static>>();
    ResponseBuilder::new()
        .description("It is refused, and why")
        .content("application/problem+json", ContentBuilder::new().schema(Some(reference(&shape))).build())
        .build()
}

#[expect(clippy::cast_precision_loss, reason = "bounds far below 2^53")]
fn param_schema(param: &Param) -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    Schema::Object(
        match param.kind {
            ParamKind::Text | ParamKind::List | ParamKind::Many => text(),
            ParamKind::Word(words) => text().enum_values(Some(words.iter().copied())),
            ParamKind::Flag => text().enum_values(Some(["true", "false"])),
            ParamKind::Whole(least, most) => {
                ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least as f64)).maximum(Some(most as f64))
            }
            ParamKind::Time => crate::json::time_text(),
            ParamKind::AsOf => text().examples(["1042", "2026-11-24T04:18:12Z"]),
            ParamKind::Zone => text().examples(["Europe/Berlin", "UTC"]),
        }
        .build(),
    )
}

/// An object of anything, for shapes that differ from entry to entry.
pub(crate) fn any_object() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::Object))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    #[test]
    fn every_route_is_in_the_document_with_words_a_group_and_known_shapes() {
        let document: Value = serde_json::from_slice(&super::json()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let mut ids = std::collections::BTreeSet::new();
        for (method, path) in crate::routes() {
            let operation = &document["paths"][super::path(path)][method.to_ascii_lowercase()];
            assert!(operation.is_object(), "{method} {path} is not in the document");
            let tag = operation["tags"][0].as_str().unwrap();
            assert!(super::TAGS.iter().any(|(known, _)| *known == tag), "{method} {path}: {tag:?}");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
            let bodies = operation["responses"].as_object().unwrap();
            assert!(bodies.len() == 2 && bodies.contains_key("default"), "{method} {path}");
        }
        let mut references = Vec::new();
        collect(&document, &mut references);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    fn collect(json: &Value, out: &mut Vec<String>) {
        match json {
            Value::Object(entries) => {
                out.extend(entries.get("$ref").and_then(Value::as_str).map(str::to_owned));
                entries.values().for_each(|value| collect(value, out));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, out)),
            _ => {}
        }
    }
}
