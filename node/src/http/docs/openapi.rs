//! The OpenAPI document (3.1): every route with its parameters, body, answers and refusals.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::describe::{Operation, QueryField, Schemas};
use super::routes::Route;
use super::words::words_of;
use crate::domain::Refusal;
use crate::http::problem::ProblemBody;
use crate::protocol::codes::problem_of;

/// What is below is JSON.
const API: &str = "/api/v1";
/// The status of what is a WebSocket then.
const SWITCHING: u16 = 101;

/// The document of these routes.
pub fn openapi(routes: &[Route]) -> Value {
    let mut schemas = Schemas::default();
    let problem = schemas.writing.subschema_for::<ProblemBody<'static>>().to_value();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let mut operation = Operation::default();
        (route.describe)(&mut schemas, &mut operation);
        let shown = show(route, operation, &problem);
        paths.entry(&route.path).or_default().insert(route.method.to_owned(), shown);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Herald",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "REST. What is under /api/v1 answers under /api too. Frames of the WebSocket are in /asyncapi.json.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas.writing.definitions_mut(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    });
    drop_null_defaults(&mut document);
    document
}

/// A field that tells null from absent has null as its default for serde, not for callers.
fn drop_null_defaults(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            object.values_mut().for_each(drop_null_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_null_defaults),
        _ => {}
    }
}

fn show(route: &Route, mut operation: Operation, problem: &Value) -> Value {
    let words = words_of(route.method, &route.path);
    if let Some(words) = words {
        operation.refuses(words.refusals);
    }
    if route.path.starts_with(API) && !operation.answers.contains_key(&SWITCHING) {
        // Asked before the handler is, of every call.
        operation.refuses(&[Refusal::UnsupportedType]);
    }
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = names.enumerate().map(|(index, name)| {
        let schema = operation.path.get(index).cloned().unwrap_or_else(|| json!({"type": "string"}));
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    });
    let in_query = operation.query.iter().map(|QueryField { name, schema, is_required }| {
        json!({"name": name, "in": "query", "required": is_required, "schema": schema})
    });
    let mut shown = Map::new();
    let mut say = |field: &str, value: Value| shown.insert(field.to_owned(), value);
    say("operationId", json!(operation_id(route)));
    say("tags", json!([tag(&route.path)]));
    say("summary", json!(words.map_or("", |words| words.summary)));
    say("parameters", in_path.chain(in_query).collect());
    say("security", if operation.needs_token { json!([{"bearer": []}]) } else { json!([]) });
    say("responses", responses(&operation, problem));
    if let Some((schema, is_required)) = operation.body {
        say("requestBody", json!({"required": is_required, "content": {"application/json": {"schema": schema}}}));
    }
    Value::Object(shown)
}

/// Each status with its meaning and its bodies by content type. 503 may be both an answer and a refusal.
fn responses(operation: &Operation, problem: &Value) -> Value {
    let mut responses: BTreeMap<u16, (String, Map<String, Value>)> = BTreeMap::new();
    for (status, contents) in &operation.answers {
        let body = contents.iter().map(|(kind, schema)| ((*kind).to_owned(), json!({"schema": schema}))).collect();
        responses.insert(*status, (meaning(*status).to_owned(), body));
    }
    let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for refusal in &operation.refusals {
        let known = problem_of(refusal);
        let of_status = codes.entry(known.status).or_default();
        if !of_status.contains(&known.code) {
            of_status.push(known.code);
        }
    }
    for (status, codes) in codes {
        let (meaning, body) = responses.entry(status).or_default();
        *meaning = codes.join(", ");
        let schema = json!({"allOf": [problem, {"properties": {"code": {"enum": codes}}}]});
        body.insert("application/problem+json".to_owned(), json!({"schema": schema}));
    }
    let show = |(status, (meaning, body)): (u16, (String, Map<String, Value>))| {
        let response = match status {
            429 | 503 => json!({"description": meaning, "content": body, "headers": {"Retry-After": retry_after()}}),
            _ if body.is_empty() => json!({"description": meaning}),
            _ => json!({"description": meaning, "content": body}),
        };
        (status.to_string(), response)
    };
    Value::Object(responses.into_iter().map(show).collect())
}

fn retry_after() -> Value {
    json!({"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}})
}

const fn meaning(status: u16) -> &'static str {
    match status {
        101 => "A WebSocket from now on.",
        200 => "As it is now.",
        201 => "Created.",
        204 => "Done; there is nothing to show.",
        503 => "Not well.",
        _ => "See the body.",
    }
}

/// `/api/v1/groups/{id}/members` → `post_groups_id_members`.
fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v1");
    let words: Vec<&str> =
        path.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let version = if path.len() == route.path.len() { "" } else { "v1_" };
    format!("{}_{version}{}", route.method, words.join("_"))
}

fn tag(path: &str) -> &str {
    path.trim_start_matches("/api/v1").trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// A WebSocket endpoint. Whoever comes without an upgrade is told so in plain text.
pub fn describe_socket(_: &mut Schemas, operation: &mut Operation) {
    let text = || vec![("text/plain; charset=utf-8", json!({"type": "string"}))];
    operation.query.push(QueryField {
        name: "token".to_owned(),
        schema: json!({"type": "string", "description": "A single-use ws_token of POST /auth/ws-token."}),
        is_required: false,
    });
    operation.answers.insert(SWITCHING, Vec::new());
    operation.answers.insert(400, text());
    operation.answers.insert(426, text());
    operation.refuses(&[Refusal::RateLimited { retry_after_ms: 0 }, Refusal::Internal, Refusal::Unavailable]);
}
