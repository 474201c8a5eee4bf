//! What clients and servers around report.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::ids::{EventId, UserId};
use super::refusal::Refusal;
use super::text::{EVENT_PAYLOAD_BYTES_MAX, EVENT_TYPE_MAX, check_length};
use super::timestamp::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventLevel {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

impl EventLevel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    pub fn parse(text: &str) -> Result<Self, Refusal> {
        [Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical]
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or_else(|| Refusal::field("level", "is not one of debug, info, warning, error, critical"))
    }
}

impl Serialize for EventLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A report that may be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub r#type: String,
    pub level: EventLevel,
    pub payload: Value,
}

impl NewEvent {
    pub fn parse(r#type: String, level: &str, payload: Option<Value>) -> Result<Self, Refusal> {
        check_length("type", &r#type, 1, EVENT_TYPE_MAX)?;
        let level = EventLevel::parse(level)?;
        let payload = payload.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        if payload.to_string().len() > EVENT_PAYLOAD_BYTES_MAX {
            return Err(Refusal::field("payload", "is more than 16 KiB"));
        }
        Ok(Self { r#type, level, payload })
    }
}

/// A report as it is kept and shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Event {
    pub id: EventId,
    pub user_id: UserId,
    pub r#type: String,
    pub level: String,
    /// Any JSON.
    #[schemars(with = "serde_json::Value")]
    pub payload: Box<RawValue>,
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_type_a_level_and_a_bounded_payload() {
        let parse = |kind: &str, level, payload| NewEvent::parse(kind.to_owned(), level, payload);
        for level in ["debug", "info", "warning", "error", "critical"] {
            assert!(parse("app.crash", level, None).is_ok_and(|event| event.level.as_str() == level));
        }
        assert!(parse("", "info", None).is_err() && parse(&"x".repeat(101), "info", None).is_err());
        assert!(parse("x", "fatal", None).is_err());
        assert!(parse("x", "info", Some(Value::String("x".repeat(16_384)))).is_err());
    }
}
