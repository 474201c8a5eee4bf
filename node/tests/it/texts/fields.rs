//! The fields of requests and frames that are text, as the documents have them.

use std::collections::BTreeMap;

use herald_node::http::docs::{asyncapi_document, openapi_document};
use serde_json::{Value, json};

/// What the documents say of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub min: usize,
    pub max: Option<usize>,
}

/// All of them by name: `POST /groups name`, `GET /users ?query`, `PUT /messages/{id}/reactions/{emoji} {emoji}`,
/// `chat.send data.content`. Of lists the items are named, `[]`, of free objects whatever they hold, `*`. Both prefixes of a group's
/// routes are `…`.
pub fn text_fields() -> BTreeMap<String, Bounds> {
    let mut fields = BTreeMap::new();
    for (path, methods) in openapi_document()["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/api/v1").unwrap_or(path);
        let path = path.replacen("/groups/{id}", "…/{id}", 1).replacen("/conversations/{id}", "…/{id}", 1);
        for (method, operation) in methods.as_object().unwrap() {
            let route = format!("{} {path}", method.to_uppercase());
            for parameter in operation["parameters"].as_array().unwrap() {
                let name = parameter["name"].as_str().unwrap();
                let shown = if parameter["in"] == "path" { format!("{{{name}}}") } else { format!("?{name}") };
                collect(openapi_document(), &parameter["schema"], &format!("{route} {shown}"), &mut fields);
            }
            if let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") {
                collect(openapi_document(), schema, &format!("{route} "), &mut fields);
            }
        }
    }
    let frames = asyncapi_document()["components"]["schemas"].as_object().unwrap();
    for (name, schema) in frames.iter().filter_map(|(name, schema)| Some((name.strip_prefix("client.")?, schema))) {
        collect(asyncapi_document(), schema, &format!("{name} "), &mut fields);
    }
    fields.into_iter().filter_map(|(name, bounds)| Some((name, bounds?))).collect()
}

/// Texts of a schema, at any depth: those that are no ids, no times and none of a few words.
fn collect(document: &Value, schema: &Value, name: &str, found: &mut BTreeMap<String, Option<Bounds>>) {
    if let Some(reference) = schema["$ref"].as_str() {
        collect(document, document.pointer(reference.trim_start_matches('#')).unwrap(), name, found);
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        for inner in schema[word].as_array().into_iter().flatten() {
            collect(document, inner, name, found);
        }
    }
    let is = |kind: &str| match &schema["type"] {
        Value::Array(kinds) => kinds.contains(&json!(kind)),
        only => only == kind,
    };
    let field = |inner: &str| format!("{name}{}{inner}", if name.ends_with(' ') { "" } else { "." });
    let is_anything = schema == &json!(true)
        || schema.as_object().is_some_and(|words| words.keys().all(|word| word == "description"));
    if is_anything {
        found.entry(field("*")).or_insert(Some(Bounds::default()));
    }
    if is("string") {
        let bound = |word: &str| schema[word].as_u64().and_then(|bound| usize::try_from(bound).ok());
        let known = found.entry(name.trim_end().to_owned()).or_insert(Some(Bounds::default()));
        if ["enum", "const", "format"].iter().any(|word| schema.get(word).is_some()) {
            *known = None;
        }
        if let Some(bounds) = known {
            bounds.min = bounds.min.max(bound("minLength").unwrap_or_default());
            bounds.max = bounds.max.or(bound("maxLength"));
        }
    }
    for (inner, schema) in schema["properties"].as_object().into_iter().flatten() {
        collect(document, schema, &field(inner), found);
    }
    if is("object") && schema.get("properties").is_none() {
        let of_all = schema.get("additionalProperties").cloned().unwrap_or(json!(true));
        collect(document, &of_all, &(if of_all == json!(true) { name.to_owned() } else { field("*") }), found);
    }
    if let Some(items) = schema.get("items") {
        collect(document, items, &format!("{name}[]"), found);
    }
}
