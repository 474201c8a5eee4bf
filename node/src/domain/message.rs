//! A message: what a client sends, what is kept of it, and what is compared when a `temp_id` comes again.

use std::hash::Hasher;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use siphasher::sip::SipHasher13;
use uuid::Uuid;

use super::ids::{ConversationId, MessageId, Seq, UserId};
use super::timestamp::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    Text,
    Image,
    Video,
    Voice,
    File,
    Emoji,
    Custom,
}

impl MessageType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Video => "video",
            Self::Voice => "voice",
            Self::File => "file",
            Self::Emoji => "emoji",
            Self::Custom => "custom",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Text, Self::Image, Self::Video, Self::Voice, Self::File, Self::Emoji, Self::Custom]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Who is mentioned: `"all"` or a list of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mentions {
    #[default]
    None,
    All,
    Users(Vec<UserId>),
}

impl Mentions {
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

impl Serialize for Mentions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::All => serializer.serialize_str("all"),
            Self::Users(users) => users.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Mentions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shape {
            Word(String),
            Users(Vec<UserId>),
            Nothing(()),
        }
        match Shape::deserialize(deserializer)? {
            Shape::Word(word) if word == "all" => Ok(Self::All),
            Shape::Word(_) => Err(serde::de::Error::custom("must be \"all\" or a list of ids")),
            Shape::Users(users) if users.is_empty() => Ok(Self::None),
            Shape::Users(users) => Ok(Self::Users(users)),
            Shape::Nothing(()) => Ok(Self::None),
        }
    }
}

/// Where a forwarded message came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForwardedFrom {
    pub message_id: MessageId,
    pub sender_id: UserId,
    pub sender_name: String,
}

/// When a message got its present text, and by which entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    pub at: Timestamp,
    pub seq: Seq,
}

/// When, by whom and by which entry a message was recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    pub at: Timestamp,
    pub by: UserId,
    pub seq: Seq,
}

/// A message in its present state, as `entry.body` keeps it. Once recalled: no content, file or metadata.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    pub message_type: MessageType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_from: Option<ForwardedFrom>,
    #[serde(default, skip_serializing_if = "Mentions::is_none")]
    pub mentions: Mentions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<Edited>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recalled: Option<Recalled>,
}

impl Message {
    /// A text and nothing else.
    pub fn text(content: impl Into<String>) -> Self {
        Self {
            message_type: MessageType::Text,
            content: Some(content.into()),
            file_id: None,
            reply_to: None,
            forwarded_from: None,
            mentions: Mentions::None,
            metadata: None,
            edited: None,
            recalled: None,
        }
    }
}

/// A message as sent, checked: parse it with the protocol, make it with [`NewMessage`]'s fields only from checked parts.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub temp_id: String,
    pub message: Message,
}

/// Published keys of the SipHash in `client_key` and `sent_hash`; they must never change.
const CLIENT_KEY: (u64, u64) = (0x4865_7261_6c64_2063, 0x6c69_656e_745f_6b65);
const SENT_KEY: (u64, u64) = (0x4865_7261_6c64_2073, 0x656e_745f_6861_7368);

/// `client_key` of an entry: the first 64 bits of its conversation's id and the SipHash-1-3 of sender and `temp_id`.
pub fn client_key(conversation: ConversationId, sender: UserId, temp_id: &str) -> Uuid {
    let mut hash = SipHasher13::new_with_keys(CLIENT_KEY.0, CLIENT_KEY.1);
    hash.write(sender.0.as_bytes());
    hash.write(temp_id.as_bytes());
    Uuid::from_u64_pair(conversation.high_bits(), hash.finish())
}

impl NewMessage {
    /// Hash of what a repeat must have in common with the first sending: type, content, file, quoted message, mentions. Of a
    /// forwarded message: its origin, whatever has become of that since.
    pub fn sent_hash(&self) -> i64 {
        let mut hash = SipHasher13::new_with_keys(SENT_KEY.0, SENT_KEY.1);
        let message = &self.message;
        if let Some(origin) = &message.forwarded_from {
            hash.write(b"forwarded");
            hash.write(origin.message_id.0.as_bytes());
            return hash.finish().cast_signed();
        }
        hash.write(message.message_type.as_str().as_bytes());
        hash.write_u8(0xff);
        hash.write(message.content.as_deref().unwrap_or_default().as_bytes());
        hash.write_u8(0xff);
        hash.write(message.file_id.unwrap_or_default().as_bytes());
        hash.write(message.reply_to.map(|id| id.0).unwrap_or_default().as_bytes());
        match &message.mentions {
            Mentions::None => hash.write_u8(0),
            Mentions::All => hash.write_u8(1),
            Mentions::Users(users) => {
                hash.write_u8(2);
                for user in users {
                    hash.write(user.0.as_bytes());
                }
            }
        }
        hash.finish().cast_signed()
    }
}
