//! Frames as JSON Schemas: what the AsyncAPI document is made of. Those of the server are derived from the types that write them;
//! clients' frames are read leniently, field by field, so their shapes stand in `client`, and a test holds them against the parser.

pub mod asyncapi;
pub mod client;
pub mod server;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::client::FRAME_ID_MAX;

/// Makes a schema with a generator that keeps the named ones.
type Make = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// One kind of frame, told apart by `type` and `action`.
#[derive(Clone, Copy, Debug)]
pub struct FrameSchema {
    pub kind: &'static str,
    pub action: Option<&'static str>,
    pub summary: &'static str,
    /// Of `data`, where the frame has any.
    data: Option<Make>,
    is_data_required: bool,
    /// Fields beside `type`, and whether they must be there.
    beside: &'static [(&'static str, Make, bool)],
    /// An entry of the log, which pages of a sync carry too.
    is_entry: bool,
}

const fn frame(kind: &'static str, action: Option<&'static str>, summary: &'static str, data: Make) -> FrameSchema {
    FrameSchema { kind, action, summary, data: Some(data), is_data_required: true, beside: &[], is_entry: false }
}

const fn bare(kind: &'static str, summary: &'static str) -> FrameSchema {
    FrameSchema { kind, action: None, summary, data: None, is_data_required: false, beside: &[], is_entry: false }
}

impl FrameSchema {
    const fn entry(mut self) -> Self {
        self.is_entry = true;
        self
    }

    const fn data_optional(mut self) -> Self {
        self.is_data_required = false;
        self
    }

    const fn beside(mut self, fields: &'static [(&'static str, Make, bool)]) -> Self {
        self.beside = fields;
        self
    }

    /// `chat.send`, `ping`.
    pub fn name(&self) -> String {
        self.action.map_or_else(|| self.kind.to_owned(), |action| format!("{}.{action}", self.kind))
    }

    /// The whole frame.
    fn payload(&self, generator: &mut SchemaGenerator) -> Value {
        let mut required = vec!["type"];
        let id = json!({
            "type": if generator.contract().is_serialize() { json!("string") } else { json!(["string", "null"]) },
            "maxLength": FRAME_ID_MAX,
            "description": "The client's, on its frame and on the direct answer to it.",
        });
        let mut properties = Map::new();
        properties.insert("type".to_owned(), json!({"const": self.kind}));
        properties.insert("id".to_owned(), id);
        if let Some(action) = self.action {
            properties.insert("action".to_owned(), json!({"const": action}));
            required.push("action");
        }
        for (name, make, is_required) in self.beside {
            properties.insert((*name).to_owned(), make(generator).to_value());
            if *is_required {
                required.push(name);
            }
        }
        if let Some(make) = self.data {
            properties.insert("data".to_owned(), make(generator).to_value());
            if self.is_data_required {
                required.push("data");
            }
        }
        json!({"type": "object", "description": self.summary, "properties": properties, "required": required})
    }
}
