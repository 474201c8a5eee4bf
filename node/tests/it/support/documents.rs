//! The documents as judges: whatever a node answers or sends is held against the schemas that it publishes, in every test.

use std::collections::HashMap;
use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use herald_node::http::docs::{asyncapi_document, openapi_document};
use serde_json::Value;

const OPENAPI: &str = "mem:///openapi.json";
const ASYNCAPI: &str = "mem:///asyncapi.json";

/// Both documents, compiled, with every object closed: a field that is written but not documented is a fault.
pub struct Judges {
    schemas: Schemas,
    /// By method, path as documented, and status: one for each content type.
    answers: HashMap<(String, String, String), HashMap<String, SchemaIndex>>,
    /// By name, as `server.chat.new_message`.
    frames: HashMap<String, SchemaIndex>,
}

pub fn judges() -> &'static Judges {
    static JUDGES: LazyLock<Judges> = LazyLock::new(Judges::new);
    &JUDGES
}

/// Closes every shape: what is written and not documented is a fault. One that stands beside fields of another is closed there.
fn close(document: &mut Value) {
    let mut open = Vec::new();
    parts_of_others(document, &mut open);
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        for (name, schema) in schemas.iter_mut() {
            // What clients write besides is ignored.
            if name.starts_with("client.") {
                continue;
            }
            let is_open = open.iter().any(|reference: &String| reference.rsplit('/').next() == Some(name));
            close_shapes(schema, is_open);
        }
    }
    if let Some(paths) = document.get_mut("paths") {
        close_shapes(paths, false);
    }
}

/// References that have fields beside them.
fn parts_of_others(value: &Value, found: &mut Vec<String>) {
    if let (Some(Value::String(reference)), Some(_)) = (value.get("$ref"), value.get("properties")) {
        found.push(reference.clone());
    }
    value.as_object().into_iter().flat_map(|object| object.values()).for_each(|inner| parts_of_others(inner, found));
    value.as_array().into_iter().flatten().for_each(|inner| parts_of_others(inner, found));
}

fn close_shapes(value: &mut Value, is_open: bool) {
    match value {
        Value::Object(object) => {
            let is_shape = object.get("type") == Some(&"object".into()) && object.contains_key("properties");
            if is_shape && !is_open && !object.contains_key("additionalProperties") {
                let keyword =
                    if object.contains_key("$ref") { "unevaluatedProperties" } else { "additionalProperties" };
                object.insert(keyword.to_owned(), false.into());
            }
            object.values_mut().for_each(|inner| close_shapes(inner, false));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| close_shapes(inner, false)),
        _ => {}
    }
}

fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1").replace('{', "%7B").replace('}', "%7D")
}

impl Judges {
    fn new() -> Self {
        let (mut openapi, mut asyncapi) = (openapi_document().clone(), asyncapi_document().clone());
        close(&mut openapi);
        close(&mut asyncapi);
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource(OPENAPI, openapi.clone()).unwrap();
        compiler.add_resource(ASYNCAPI, asyncapi.clone()).unwrap();
        let mut schemas = Schemas::new();
        let mut answers: HashMap<_, HashMap<String, SchemaIndex>> = HashMap::new();
        for (path, operations) in openapi["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let of_status = answers.entry((method.clone(), path.clone(), status.clone())).or_default();
                    for content_type in response["content"].as_object().into_iter().flat_map(|content| content.keys()) {
                        let place = format!(
                            "{OPENAPI}#/paths/{}/{method}/responses/{status}/content/{}/schema",
                            escaped(path),
                            escaped(content_type).replace(' ', "%20"),
                        );
                        let index =
                            compiler.compile(&place, &mut schemas).unwrap_or_else(|error| panic!("{place}: {error:#}"));
                        of_status.insert(content_type.split(';').next().unwrap().to_owned(), index);
                    }
                }
            }
        }
        let mut frames = HashMap::new();
        for name in asyncapi["components"]["messages"].as_object().unwrap().keys() {
            let place = format!("{ASYNCAPI}#/components/schemas/{name}");
            frames.insert(
                name.clone(),
                compiler.compile(&place, &mut schemas).unwrap_or_else(|error| panic!("{place}: {error:#}")),
            );
        }
        Self { schemas, answers, frames }
    }

    /// What is wrong with an answer of REST, if the documents know the route.
    pub fn fault_of_answer(
        &self,
        method: &str,
        path: &str,
        status: u16,
        content_type: &str,
        body: &Value,
    ) -> Option<String> {
        let (method, path) = (method.to_ascii_lowercase(), documented_path(path)?);
        openapi_document()["paths"][&path].get(&method)?;
        let Some(contents) = self.answers.get(&(method.clone(), path.clone(), status.to_string())) else {
            return Some(format!("{method} {path} is not documented to answer {status}: {body}"));
        };
        let essence = content_type.split(';').next().unwrap_or_default();
        if contents.is_empty() && body.is_null() {
            return None;
        }
        let Some(index) = contents.get(essence) else {
            return Some(format!("{method} {path}: {status} is not documented as {essence:?}: {body}"));
        };
        self.schemas.validate(body, *index).err().map(|error| format!("{method} {path} {status}: {error:#}\n{body}"))
    }

    /// What is wrong with a frame of this side, `client` or `server`.
    pub fn fault_of_frame(&self, side: &str, frame: &Value) -> Option<String> {
        let kind = frame["type"].as_str().unwrap_or_default();
        let name = match frame["action"].as_str() {
            Some(action) => format!("{side}.{kind}.{action}"),
            None => format!("{side}.{kind}"),
        };
        let Some(index) = self.frames.get(&name) else {
            return Some(format!("{name} is not documented: {frame}"));
        };
        self.schemas.validate(frame, *index).err().map(|error| format!("{name}: {error:#}\n{frame}"))
    }
}

/// The documented path that leads to this one; of several the one with the most words of its own.
fn documented_path(path: &str) -> Option<String> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &&String| {
        let words: Vec<&str> = template.split('/').collect();
        words.len() == parts.len()
            && words.iter().zip(&parts).all(|(word, part)| word == part || (word.starts_with('{') && !part.is_empty()))
    };
    let paths = openapi_document()["paths"].as_object().unwrap();
    paths.keys().filter(fits).min_by_key(|template| template.matches('{').count()).cloned()
}
