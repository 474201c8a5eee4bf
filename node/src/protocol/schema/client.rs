//! What clients send (contract 2.3), as they are to write it. `protocol::client` and `protocol::send` read it; null counts there as
//! absent, and so it does here.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{FrameSchema, bare, frame, of};
use crate::domain::message::{Mentions, MessageType};
use crate::domain::sync::{CONVERSATIONS_MAX, SEEN_MAX};
use crate::domain::text::{CONTENT_MAX, EMOJI_MAX, TEMP_ID_MAX};
use crate::domain::{ConversationId, MessageId, UserId};
use crate::protocol::client::TOKEN_BYTES_MAX;
use crate::protocol::send::SendData;

/// Every frame that a client may send.
pub const CLIENT_FRAMES: &[FrameSchema] = &[
    bare(
        "auth",
        "The first frame, within 5 s, where neither URL nor header brought a token. Later: renews the expiry.",
    )
    .beside(&[("token", of::<Token>, true), ("sync", of::<Option<Sync>>, false)]),
    frame("chat", Some("send"), "Sends a message.", of::<Send>),
    frame("chat", Some("recall"), "Takes a message back.", of::<Recall>),
    frame("chat", Some("edit"), "Gives one's own text another content.", of::<Edit>),
    frame("chat", Some("react"), "Adds or takes away one's reaction.", of::<React>),
    frame("read", None, "Everything up to here is read.", of::<Read>),
    frame("ack", None, "Everything up to seq is received.", of::<Acknowledge>),
    frame("typing", None, "Is, or is no longer, writing.", of::<Typing>),
    frame("status", None, "How the user wants to be seen, until changed.", of::<Status>),
    frame("sync", None, "Asks for what was missed.", of::<Option<Sync>>).data_optional(),
    bare("ping", "At least every 45 s."),
    bare("heartbeat", "The same as ping."),
];

/// An access token, or a `ws_token`.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct Token(#[schemars(length(min = 1, max = TOKEN_BYTES_MAX))] pub String);

/// A message to be sent, but for where to.
#[derive(JsonSchema)]
#[schemars(rename = "SendMessage", inline, extend("anyOf" = [
    {"required": ["content"], "properties": {"content": {"type": "string", "minLength": 1}}},
    {"required": ["file_id"], "properties": {"file_id": {"type": "string"}}},
]))]
pub struct SendBody {
    /// Chosen by the client, unique per sender and conversation, for ever: the same again is the same message.
    #[schemars(length(min = 1, max = TEMP_ID_MAX))]
    pub temp_id: String,
    pub message_type: MessageType,
    /// May be left out, or empty, with a `file_id` only.
    #[schemars(length(max = CONTENT_MAX))]
    pub content: Option<String>,
    pub file_id: Option<Uuid>,
    /// A message of the same conversation.
    pub reply_to: Option<Uuid>,
    pub mentions: Option<Mentions>,
    /// At most 4 KiB as compact JSON.
    pub metadata: Option<Map<String, Value>>,
}

impl JsonSchema for SendData {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        SendBody::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        SendBody::json_schema(generator)
    }
}

/// A message to be sent: exactly one of `receiver_id`, `conversation_id` and `group_id` says where to.
#[derive(JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["receiver_id"], "properties": {"receiver_id": {"type": "string"}}},
    {"required": ["conversation_id"], "properties": {"conversation_id": {"type": "string"}}},
    {"required": ["group_id"], "properties": {"group_id": {"type": "string"}}},
]))]
pub struct Send {
    pub receiver_id: Option<UserId>,
    pub conversation_id: Option<ConversationId>,
    pub group_id: Option<ConversationId>,
    #[serde(flatten)]
    pub body: SendBody,
}

#[derive(JsonSchema)]
pub struct Recall {
    pub message_id: MessageId,
}

#[derive(JsonSchema)]
pub struct Edit {
    pub message_id: MessageId,
    #[schemars(length(min = 1, max = CONTENT_MAX))]
    pub content: String,
}

#[derive(JsonSchema)]
pub struct React {
    pub message_id: MessageId,
    #[schemars(length(min = 1, max = EMOJI_MAX))]
    pub emoji: String,
    pub add: bool,
}

/// Neither `seq` nor `message_id`: the newest.
#[derive(JsonSchema)]
pub struct Read {
    pub conversation_id: ConversationId,
    pub seq: Option<i64>,
    pub message_id: Option<MessageId>,
}

#[derive(JsonSchema)]
pub struct Acknowledge {
    pub conversation_id: ConversationId,
    pub seq: i64,
}

/// Exactly one of `receiver_id` and `conversation_id` says where; `group_id` is the same as `conversation_id`.
#[derive(JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["receiver_id"], "properties": {"receiver_id": {"type": "string"}}},
    {"anyOf": [
        {"required": ["conversation_id"], "properties": {"conversation_id": {"type": "string"}}},
        {"required": ["group_id"], "properties": {"group_id": {"type": "string"}}},
    ]},
]))]
pub struct Typing {
    pub receiver_id: Option<UserId>,
    pub conversation_id: Option<ConversationId>,
    pub group_id: Option<ConversationId>,
    pub is_typing: bool,
}

#[derive(JsonSchema)]
pub struct Status {
    #[schemars(extend("enum" = ["online", "away", "busy", "invisible"]))]
    pub status: String,
}

/// By cursor, by conversations, or, with neither, the newest of the newest conversations.
#[derive(JsonSchema)]
pub struct Sync {
    /// Of the last `sync`/`complete`.
    pub cursor: Option<String>,
    #[schemars(length(max = CONVERSATIONS_MAX))]
    pub conversations: Option<Vec<After>>,
    /// What the client holds without holes.
    #[schemars(length(max = SEEN_MAX))]
    pub seen: Option<Vec<Held>>,
    /// Entries per conversation: 1,000 by default and at most.
    #[schemars(range(min = 1))]
    pub limit: Option<i64>,
}

#[derive(JsonSchema)]
pub struct After {
    pub conversation_id: Uuid,
    pub after_seq: Option<i64>,
}

#[derive(JsonSchema)]
pub struct Held {
    pub conversation_id: Uuid,
    pub seq: Option<i64>,
}
