//! The OpenAPI 3.1 document, made from the route table: what a route declares is what is checked and what is told.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, ComponentsBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema};

use utoipa::{PartialSchema, ToSchema};

use crate::declare::{Access, Gives, Param, ParamKind, Shape};
use crate::json::{NO_CONTROL, time_schema};
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
    3339 in UTC; `_ms` is milliseconds, `_s` seconds, `_percent` percent; what was lost is `null`, never 0. What a GET \
    shows can be given back to PUT as it is: fields that are only shown say nothing there. On this machine, and while no user is known, no credentials are needed.";

/// One segment of a path: no control characters, no slashes, and not `.` or `..`, which mean another place.
const SEGMENT: &str = concat!(
    r"^([^./\\\u0000-\u001f\u007f-\u009f]|\.[^./\\\u0000-\u001f\u007f-\u009f]|\.\.[^/\\\u0000-\u001f\u007f-\u009f])",
    r"[^/\\\u0000-\u001f\u007f-\u009f]*$"
);

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
    let (mut parts, mut read) = (Vec::new(), Vec::new());
    collect(&Shape::of::<ProblemJson<'static>>(), &mut parts);
    let mut paths = PathsBuilder::new();
    for route in table.routes() {
        let about = &route.about;
        about.reads.iter().for_each(|shape| collect(shape, &mut read));
        let given = match &about.gives {
            Gives::Json(shape) => Some(shape),
            _ => None,
        };
        given.into_iter().chain(&about.refuses_as).for_each(|shape| collect(shape, &mut parts));
        paths = paths.path(path(route.path), PathItem::new(http_method(&route.method), operation(route)));
    }
    // What is read is read strictly: a field that nobody knows is refused.
    let read = read.into_iter().map(|(name, schema)| (name, closed(schema)));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(parts)
        .schemas_from_iter(read)
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

/// The schema of an object that has no other fields than those it names.
fn closed(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) if !object.properties.is_empty() => {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            RefOr::T(Schema::Object(object))
        }
        other => other,
    }
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
        let id = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).pattern(Some(SEGMENT));
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
                .required(if route.required.contains(&param.name) { Required::True } else { Required::False })
                .description(Some(param.says))
                .schema(Some(param_schema(param))),
        );
    }
    for (name, pattern, says) in conditions(route) {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(says))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)))),
        );
    }
    if let Some(shape) = &about.reads {
        let required = if about.is_body_optional { Required::False } else { Required::True };
        let mut body = RequestBodyBuilder::new().required(Some(required));
        for content_type in route.takes {
            let is_text = content_type.starts_with("text/");
            let schema = if is_text { text().min_length(Some(1)).build().into() } else { reference(shape) };
            body = body.content(*content_type, ContentBuilder::new().schema(Some(schema)).build());
        }
        operation = operation.request_body(Some(body.build()));
    }
    operation.response(about.status.as_str(), answer(route)).response("default", refusal(route)).build()
}

/// Request headers with a meaning: name, pattern, and which.
fn conditions<S>(route: &Route<S>) -> Vec<(&'static str, &'static str, &'static str)> {
    const KEY: &str = "^[!-~]([ -~]{0,126}[!-~])?$";
    const TAGS: &str = r#"^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$"#;
    let has_entry = route.path.ends_with(":id");
    match route.method.as_str() {
        "POST" => vec![("Idempotency-Key", KEY, "A repeated request with the same key gets the first one's answer")],
        "PUT" | "PATCH" | "DELETE" if has_entry => {
            vec![("If-Match", TAGS, "The ETag of what is to be changed: 412 if somebody changed it since")]
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
        Gives::Other(content_type) => response = response.content(*content_type, anything(content_type)),
        Gives::Nothing => {}
    }
    for content_type in route.about.or_gives {
        response = response.content(*content_type, anything(content_type));
    }
    if route.query.iter().any(|param| param.name == "cursor") {
        let link = HeaderBuilder::new().description(Some("The next page, if there is one"));
        response = response.header("Link", link.schema(Some(Schema::Object(text().build()))).build());
    }
    response.build()
}

fn refusal<S>(route: &Route<S>) -> Response {
    let ours = Shape::of::<ProblemJson<'static>>();
    let content = |shape| ContentBuilder::new().schema(Some(reference(shape))).build();
    let mut response = ResponseBuilder::new()
        .description("It is refused, and why")
        .content("application/problem+json", content(&ours));
    if let Some(shape) = &route.about.refuses_as {
        response = response.content("application/json", content(shape));
    }
    response.build()
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Something of that type whose inside is described elsewhere.
fn anything(content_type: &str) -> Content {
    let json = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
    let schema = if content_type == "application/json" { json } else { text() };
    ContentBuilder::new().schema(Some(Schema::Object(schema.build()))).build()
}

#[expect(clippy::cast_precision_loss, reason = "bounds far below 2^53")]
fn param_schema(param: &Param) -> Schema {
    match param.kind {
        ParamKind::Text | ParamKind::List | ParamKind::Many => Schema::Object(text().pattern(Some(NO_CONTROL)).build()),
        ParamKind::Word(words) => Schema::Object(text().enum_values(Some(words.iter().copied())).build()),
        ParamKind::Flag => Schema::Object(text().enum_values(Some(["true", "false"])).build()),
        ParamKind::Whole(least, most) => {
            let whole = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least as f64));
            // No client's numbers go further than 2^64.
            let most = (most != u64::MAX).then_some(most as f64);
            Schema::Object(whole.maximum(most).build())
        }
        ParamKind::Time => Schema::AnyOf(time_schema().build()),
        ParamKind::AsOf => {
            let position = text().pattern(Some("^[0-9]{1,19}$")).examples(["1042"]);
            Schema::AnyOf(time_schema().item(position).build())
        }
        ParamKind::Zone => Schema::Object(text().pattern(Some(NO_CONTROL)).examples(["Europe/Berlin", "UTC"]).build()),
    }
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
