//! JSON Schemas of the types that write and read themselves by hand. All others derive theirs.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::ids::UserId;
use super::message::Mentions;
use super::notification::NotificationKind;
use super::patch::Patch;
use super::text::IDS_MAX;
use super::timestamp::Timestamp;

/// A schema from its JSON.
pub fn schema_of(json: Value) -> Schema {
    Schema::try_from(json).unwrap_or_default()
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = schema_of(json!({
            "type": "string",
            "format": "date-time",
            "description": "A time of RFC 3339. The server writes UTC with milliseconds.",
            "examples": ["2026-02-07T10:30:00.123Z"],
        }));
        if generator.contract().is_serialize() {
            schema.insert("pattern".into(), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$".into());
        }
        schema
    }
}

impl JsonSchema for Mentions {
    fn schema_name() -> Cow<'static, str> {
        "Mentions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let user = generator.subschema_for::<UserId>();
        schema_of(json!({
            "description": "Who is mentioned: all members, or these users.",
            "oneOf": [{"const": "all"}, {"type": "array", "items": user, "maxItems": IDS_MAX}],
        }))
    }
}

impl JsonSchema for NotificationKind {
    fn schema_name() -> Cow<'static, str> {
        "NotificationKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let all = [Self::System, Self::Friend, Self::CardCompleted, Self::Custom].map(Self::as_str);
        schema_of(json!({"type": "string", "enum": all}))
    }
}

impl<T: JsonSchema> JsonSchema for Patch<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Option<T>>()
    }
}
