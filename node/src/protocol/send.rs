//! Data of `chat`/`send`, which is also the body of a send by REST, and its shape (contract 2.3 and 2.7).

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::check_json::bad_field;
use super::field::{Faults, Text};
use crate::domain::message::{Mentions, Message, MessageType, NewMessage};
use crate::domain::send::{SendRequest, SendTo};
use crate::domain::text::{CONTENT_MAX, IDS_MAX, METADATA_BYTES_MAX, TEMP_ID_MAX};
use crate::domain::{ConversationId, MessageId, Refusal, UserId};

/// A send as it came. Unknown fields are ignored, `sender_id` and the like among them: the sender is the token's user.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SendData {
    pub temp_id: Text,
    pub receiver_id: Text,
    pub conversation_id: Text,
    pub group_id: Text,
    pub message_type: Text,
    pub content: Text,
    pub file_id: Text,
    pub reply_to: Text,
    pub mentions: Option<Value>,
    pub metadata: Option<Value>,
}

impl SendData {
    /// A frame's: exactly one of `receiver_id`, `conversation_id` and `group_id` says where to.
    pub fn parse(self) -> Result<SendRequest, Refusal> {
        let mut faults = Faults::default();
        let to = parse_target(&mut faults, &self.receiver_id, &self.conversation_id, &self.group_id);
        let message = self.parse_message(&mut faults);
        faults.check()?;
        match (to, message) {
            (Some(to), Some(message)) => Ok(SendRequest { to, message }),
            _ => Err(Refusal::Internal),
        }
    }

    /// A REST body's: the path says where to.
    pub fn parse_to(self, to: SendTo) -> Result<SendRequest, Refusal> {
        let mut faults = Faults::default();
        let message = self.parse_message(&mut faults);
        faults.check()?;
        message.map(|message| SendRequest { to, message }).ok_or(Refusal::Internal)
    }

    fn parse_message(self, faults: &mut Faults) -> Option<NewMessage> {
        let temp_id = faults.text("temp_id", self.temp_id, 1, TEMP_ID_MAX);
        let message_type = parse_message_type(faults, &self.message_type);
        let file_id = faults.optional_id("file_id", &self.file_id);
        let content = if self.file_id.is_absent() {
            faults.text("content", self.content, 1, CONTENT_MAX)
        } else {
            Some(faults.optional_text("content", self.content, 0, CONTENT_MAX).unwrap_or_default())
        };
        let reply_to = faults.optional_id("reply_to", &self.reply_to).map(MessageId);
        let mentions = parse_mentions(faults, self.mentions);
        let metadata = parse_metadata(faults, self.metadata);
        Some(NewMessage {
            temp_id: temp_id?,
            message: Message {
                message_type: message_type?,
                content: Some(content?),
                file_id,
                reply_to,
                forwarded_from: None,
                mentions,
                metadata,
                edited: None,
                recalled: None,
            },
        })
    }
}

fn parse_target(faults: &mut Faults, receiver: &Text, conversation: &Text, group: &Text) -> Option<SendTo> {
    let given = [receiver, conversation, group].iter().filter(|field| !field.is_absent()).count();
    if given != 1 {
        let field = if receiver.is_absent() && given > 0 { "conversation_id" } else { "receiver_id" };
        faults.add(field, "exactly one of receiver_id, conversation_id and group_id says where to");
        return None;
    }
    if !receiver.is_absent() {
        return faults.id("receiver_id", receiver).map(|id| SendTo::User(UserId(id)));
    }
    let place =
        |id: Uuid, kind: fn(ConversationId) -> SendTo| ConversationId::from_uuid(id).map_or(SendTo::Nowhere, kind);
    if conversation.is_absent() {
        faults.id("group_id", group).map(|id| place(id, SendTo::Group))
    } else {
        faults.id("conversation_id", conversation).map(|id| place(id, SendTo::Conversation))
    }
}

fn parse_message_type(faults: &mut Faults, value: &Text) -> Option<MessageType> {
    let Text::Given(text) = value else {
        faults.add("message_type", if value.is_absent() { "is required" } else { "must be text" });
        return None;
    };
    let parsed = MessageType::parse(text);
    if parsed.is_none() {
        faults.add("message_type", "is not one of text, image, video, voice, file, emoji, custom");
    }
    parsed
}

/// `"all"` or ids, each kept once.
fn parse_mentions(faults: &mut Faults, value: Option<Value>) -> Mentions {
    let items = match value {
        None | Some(Value::Null) => return Mentions::None,
        Some(Value::String(word)) if word == "all" => return Mentions::All,
        Some(Value::Array(items)) if items.len() <= IDS_MAX => items,
        Some(Value::Array(_)) => {
            faults.add("mentions", "at most 1,000 ids");
            return Mentions::None;
        }
        Some(_) => {
            faults.add("mentions", "must be \"all\" or a list of ids");
            return Mentions::None;
        }
    };
    let mut seen = HashSet::new();
    let mut users = Vec::with_capacity(items.len());
    for item in items {
        let Some(id) = item.as_str().and_then(|text| Uuid::parse_str(text).ok()) else {
            faults.add("mentions", "must be \"all\" or a list of ids");
            return Mentions::None;
        };
        if seen.insert(id) {
            users.push(UserId(id));
        }
    }
    if users.is_empty() { Mentions::None } else { Mentions::Users(users) }
}

/// An object, measured and kept as compact JSON.
fn parse_metadata(faults: &mut Faults, value: Option<Value>) -> Option<Box<RawValue>> {
    match value {
        None | Some(Value::Null) => None,
        Some(object @ Value::Object(_)) => {
            let compact = serde_json::value::to_raw_value(&object).ok()?;
            if compact.get().len() > METADATA_BYTES_MAX {
                faults.add("metadata", "is larger than 4 KiB");
                return None;
            }
            if bad_field(&object, "metadata").is_some() {
                faults.take::<()>(Err(Refusal::InvalidText("metadata".into())));
            }
            Some(compact)
        }
        Some(_) => {
            faults.add("metadata", "must be an object");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "11111111-1111-4111-8111-111111111111";

    fn parse(json: &str) -> Result<SendRequest, Refusal> {
        serde_json::from_str::<SendData>(json).unwrap().parse()
    }

    fn fields(json: &str) -> Vec<String> {
        match parse(json) {
            Err(Refusal::InvalidRequest(errors)) => errors.into_iter().map(|error| error.field.into_owned()).collect(),
            other => panic!("not an invalid request: {other:?}"),
        }
    }

    #[test]
    fn a_send_has_one_target_and_all_its_parts() {
        let request = parse(&format!(
            r#"{{"temp_id":"t","receiver_id":"{USER}","message_type":"text","content":"hi","sender_id":5,"mentions":["{USER}","{USER}"],"metadata":{{"a": 1}}}}"#
        ))
        .unwrap();
        assert_eq!(request.to, SendTo::User(USER.parse().unwrap()));
        assert_eq!(request.message.temp_id, "t");
        assert_eq!(request.message.message.content.as_deref(), Some("hi"));
        assert_eq!(request.message.message.mentions, Mentions::Users(vec![USER.parse().unwrap()]));
        assert_eq!(request.message.message.metadata.unwrap().get(), r#"{"a":1}"#);
    }

    #[test]
    fn wrong_fields_are_named_all_at_once() {
        assert_eq!(fields("{}"), ["receiver_id", "temp_id", "message_type", "content"]);
        assert_eq!(
            fields(&format!(
                r#"{{"temp_id":7,"group_id":"x","message_type":"gif","content":["hi"],"mentions":"me","metadata":[],"reply_to":"{USER}1"}}"#
            )),
            ["group_id", "temp_id", "message_type", "content", "reply_to", "mentions", "metadata"]
        );
        let two = format!(
            r#"{{"temp_id":"t","receiver_id":"{USER}","group_id":"{USER}","message_type":"text","content":"x"}}"#
        );
        assert_eq!(fields(&two), ["receiver_id"]);
    }

    #[test]
    fn content_is_measured_in_code_points_and_empty_only_with_a_file() {
        let send = |content: &str, file: &str| {
            parse(&format!(
                r#"{{"temp_id":"t","receiver_id":"{USER}","message_type":"text","content":"{content}"{file}}}"#
            ))
        };
        assert!(send(&"語".repeat(10_000), "").is_ok());
        assert!(send(&"語".repeat(10_001), "").is_err());
        assert!(send("", "").is_err());
        assert!(send("", &format!(r#","file_id":"{USER}""#)).is_ok());
        assert_eq!(send("a\\u0000b", "").unwrap_err(), Refusal::InvalidText("content".into()));
        let metadata = |json: &str| send("x", &format!(r#","metadata":{json}"#));
        assert!(metadata(r#"{"a":["\\u0000 as it is written"]}"#).is_ok());
        for bad in [r#"{"a":["\u0000"]}"#, r#"{"\u0000":1}"#] {
            assert_eq!(metadata(bad).unwrap_err(), Refusal::InvalidText("metadata".into()), "{bad}");
        }
    }

    #[test]
    fn what_no_conversation_can_have_as_its_id_is_nowhere() {
        let request =
            parse(&format!(r#"{{"temp_id":"t","group_id":"{USER}","message_type":"text","content":"x"}}"#)).unwrap();
        assert_eq!(request.to, SendTo::Nowhere);
    }
}
