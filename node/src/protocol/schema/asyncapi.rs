//! The AsyncAPI document (3.0): the WebSocket's frames, made from [`CLIENT_FRAMES`] and [`SERVER_FRAMES`].

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::FrameSchema;
use super::client::CLIENT_FRAMES;
use super::server::SERVER_FRAMES;
use crate::protocol::codes::CloseCode;

/// The document. `addresses` are the paths that lead to the one WebSocket endpoint.
pub fn asyncapi(addresses: &[&str]) -> Value {
    let mut components = Components::default();
    // What a client may write is shown whole; named schemas are those of what the server writes, which differ from what it reads.
    let mut reading =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut writing = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let from_client = components.add("client", CLIENT_FRAMES, &mut reading);
    let from_server = components.add("server", SERVER_FRAMES, &mut writing);
    components.schemas.append(writing.definitions_mut());
    let channel: Map<String, Value> = from_client
        .iter()
        .chain(&from_server)
        .map(|name| (name.clone(), json!({"$ref": format!("#/components/messages/{name}")})))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Herald",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Frames of the WebSocket: text frames, one JSON object each. REST is in /openapi.json.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {"socket": {
            "address": addresses.first(),
            "title": "The one WebSocket endpoint",
            "description": format!("The same under {}.", addresses.join(", ")),
            "messages": channel,
            "bindings": {"ws": {
                "method": "GET",
                "query": {"type": "object", "properties": {"token": {
                    "type": "string",
                    "description": "Takes only a single-use ws_token of POST /auth/ws-token.",
                }}},
                "headers": {"type": "object", "properties": {"Authorization": {
                    "type": "string",
                    "description": "Bearer, with an access token or a ws_token.",
                }}},
                "bindingVersion": "0.1.0",
            }},
            "x-close-codes": CloseCode::ALL.iter().map(|code| json!({"code": code.number(), "reason": code.reason()}))
                .collect::<Vec<_>>(),
        }},
        "operations": {
            "fromClient": operation("receive", "Frames that clients send.", &from_client),
            "fromServer": operation("send", "Frames that the server sends.", &from_server),
        },
        "components": {"messages": components.messages, "schemas": components.schemas},
    })
}

fn operation(action: &str, summary: &str, names: &[String]) -> Value {
    let reference = |name: &String| json!({"$ref": format!("#/channels/socket/messages/{name}")});
    json!({
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/socket"},
        "messages": names.iter().map(reference).collect::<Vec<_>>(),
    })
}

#[derive(Default)]
struct Components {
    messages: Map<String, Value>,
    schemas: Map<String, Value>,
}

impl Components {
    /// Adds these frames and answers their names.
    fn add(&mut self, side: &str, frames: &[FrameSchema], generator: &mut SchemaGenerator) -> Vec<String> {
        let add = |frame: &FrameSchema| {
            let name = format!("{side}.{}", frame.name());
            let message = json!({
                "name": frame.name(),
                "summary": frame.summary,
                "contentType": "application/json",
                "payload": {"$ref": format!("#/components/schemas/{name}")},
            });
            self.schemas.insert(name.clone(), frame.payload(generator));
            self.messages.insert(name.clone(), message);
            name
        };
        frames.iter().map(add).collect()
    }
}
