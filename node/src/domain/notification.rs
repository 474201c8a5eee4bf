//! What users are told beside messages: one by one, or everyone at once.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::ids::NotificationId;
use super::refusal::Refusal;
use super::text::{CONTENT_MAX, NOTIFICATION_DATA_BYTES_MAX, NOTIFICATION_TITLE_MAX, check_length};
use super::timestamp::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotificationKind {
    System,
    Friend,
    CardCompleted,
    Custom,
}

impl NotificationKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Friend => "friend",
            Self::CardCompleted => "card_completed",
            Self::Custom => "custom",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::System, Self::Friend, Self::CardCompleted, Self::Custom].into_iter().find(|kind| kind.as_str() == text)
    }

    /// Of a request; nothing said is `system`.
    pub fn parse_field(text: Option<&str>) -> Result<Self, Refusal> {
        text.map_or(Ok(Self::System), |text| {
            let parsed = Self::parse(text);
            parsed.ok_or_else(|| Refusal::field("type", "is not one of system, friend, card_completed, custom"))
        })
    }
}

impl Serialize for NotificationKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct NewNotification {
    pub kind: NotificationKind,
    pub title: String,
    pub content: String,
    /// An object.
    pub data: Value,
}

impl NewNotification {
    /// Of a request: lengths and shape are checked; no data is an empty object.
    pub fn parse(kind: NotificationKind, title: String, content: String, data: Option<Value>) -> Result<Self, Refusal> {
        check_length("title", &title, 1, NOTIFICATION_TITLE_MAX)?;
        check_length("content", &content, 1, CONTENT_MAX)?;
        let data = data.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        if !data.is_object() {
            return Err(Refusal::field("data", "must be an object"));
        }
        if data.to_string().len() > NOTIFICATION_DATA_BYTES_MAX {
            return Err(Refusal::field("data", "is more than 4 KiB"));
        }
        Ok(Self { kind, title, content, data })
    }
}

/// What was told, as its user sees it in the list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Notification {
    pub id: NotificationId,
    pub r#type: String,
    pub title: String,
    pub content: String,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub data: Box<RawValue>,
    #[serde(rename = "read")]
    pub is_read: bool,
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(title: &str, content: &str, data: Value) -> Result<NewNotification, Refusal> {
        NewNotification::parse(NotificationKind::Custom, title.to_owned(), content.to_owned(), Some(data))
    }

    #[test]
    fn a_notification_has_a_title_a_content_and_an_object() {
        let object = serde_json::json!({"a": 1});
        assert!(parse(&"李".repeat(200), &"x".repeat(10_000), object.clone()).is_ok());
        assert!(parse("", "x", object.clone()).is_err());
        assert!(parse("x", "", object.clone()).is_err());
        assert!(parse(&"x".repeat(201), "x", object.clone()).is_err());
        assert!(parse("x", &"x".repeat(10_001), object).is_err());
        assert!(parse("x", "x", serde_json::json!([1])).is_err());
        assert!(parse("x", "x", serde_json::json!({"a": "x".repeat(4_096)})).is_err());
    }

    #[test]
    fn kinds_are_read_back() {
        for name in ["system", "friend", "card_completed", "custom"] {
            assert_eq!(NotificationKind::parse(name).map(NotificationKind::as_str), Some(name));
        }
        assert_eq!(NotificationKind::parse_field(None), Ok(NotificationKind::System));
        assert!(NotificationKind::parse_field(Some("other")).is_err());
    }
}
