//! The frames as which entries of a log reach members, live, by `sync`, and as the base of what REST shows.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::json;
use crate::domain::message::{ForwardedFrom, Mentions, Message, MessageType};
use crate::domain::{
    Body, ConversationId, ConversationKind, ConversationRef, Entry, MessageId, Seq, Timestamp, UserId,
};
use crate::protocol::frame::Frame;

/// Data of `new_message`; REST shows the same with a few fields more (`http`).
#[derive(Serialize, JsonSchema)]
pub struct NewMessageData<'a> {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    #[schemars(with = "ConversationKind")]
    pub conversation_kind: &'a str,
    pub seq: Seq,
    pub sender_id: UserId,
    pub sender_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub receiver_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub group_id: Option<ConversationId>,
    pub message_type: MessageType,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub content: Option<&'a str>,
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub reply_to: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub forwarded_from: Option<&'a ForwardedFrom>,
    #[serde(skip_serializing_if = "Mentions::is_none")]
    pub mentions: &'a Mentions,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub metadata: Option<&'a RawValue>,
    /// Null where nothing was edited.
    pub edited_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub temp_id: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    pub recalled: bool,
    /// By its reader, for himself.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub offline: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What a frame of a log entry shows beside the entry itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// The client's `id`, on the answer to its own recall, edit or reaction.
    pub id: Option<&'a str>,
    /// To the sender's own devices.
    pub with_temp_id: bool,
    /// Sent by offline delivery.
    pub offline: bool,
    /// The reader has hidden the message.
    pub hidden: bool,
    /// Of an edit: the message's present content; none when it is recalled or not for this reader.
    pub content: Option<&'a str>,
    /// Of an edit: when its message got the present content. None: the entry's own time.
    pub edited_at: Option<Timestamp>,
}

/// Data of `new_message` for a message entry.
pub fn new_message_data<'a>(
    conversation: &ConversationRef,
    entry: &'a Entry,
    message: &'a Message,
    shown: Shown<'a>,
) -> NewMessageData<'a> {
    let is_recalled = message.recalled.is_some();
    let is_bare = is_recalled || shown.hidden;
    NewMessageData {
        message_id: entry.id,
        conversation_id: conversation.id(),
        conversation_kind: conversation.kind().as_str(),
        seq: entry.seq(),
        sender_id: entry.sender_id,
        sender_name: &entry.sender_name,
        receiver_id: conversation.peer_of(entry.sender_id),
        group_id: matches!(conversation, ConversationRef::Group { .. }).then(|| conversation.id()),
        message_type: message.message_type,
        content: if is_bare { None } else { message.content.as_deref() },
        created_at: entry.created_at,
        reply_to: message.reply_to,
        forwarded_from: message.forwarded_from.as_ref(),
        mentions: &message.mentions,
        metadata: if is_bare { None } else { message.metadata.as_deref() },
        edited_at: message.edited.map(|edited| edited.at),
        temp_id: if shown.with_temp_id { entry.temp_id.as_deref() } else { None },
        recalled: is_recalled,
        hidden: shown.hidden,
        offline: shown.offline,
    }
}

/// JSON of the frame as which an entry of the log reaches members: `chat`/… or `conversation`/….
pub fn entry_json(conversation: &ConversationRef, entry: &Entry, shown: Shown<'_>) -> Vec<u8> {
    let conversation_id = conversation.id();
    let seq = entry.seq();
    match &entry.body {
        Body::Message(message) => {
            json("chat", Some("new_message"), shown.id, new_message_data(conversation, entry, message, shown))
        }
        Body::Recall(body) => json(
            "chat",
            Some("message_recalled"),
            shown.id,
            RecalledData {
                message_id: conversation_id.message(body.message_seq),
                conversation_id,
                seq,
                message_seq: body.message_seq,
                recalled_by: entry.sender_id,
                recalled_at: entry.created_at,
            },
        ),
        Body::Edit(body) => json(
            "chat",
            Some("message_edited"),
            shown.id,
            EditedData {
                message_id: conversation_id.message(body.message_seq),
                conversation_id,
                seq,
                message_seq: body.message_seq,
                content: shown.content,
                edited_at: Some(shown.edited_at.unwrap_or(entry.created_at)),
            },
        ),
        Body::Reaction(body) => json(
            "chat",
            Some("message_reacted"),
            shown.id,
            ReactedData {
                message_id: conversation_id.message(body.message_seq),
                conversation_id,
                seq,
                message_seq: body.message_seq,
                user_id: entry.sender_id,
                emoji: &body.emoji,
                add: body.add,
            },
        ),
        Body::Pin(body) => json(
            "chat",
            Some("message_pinned"),
            shown.id,
            PinnedData {
                message_id: conversation_id.message(body.message_seq),
                conversation_id,
                seq,
                message_seq: body.message_seq,
                user_id: entry.sender_id,
                add: body.add,
                created_at: entry.created_at,
            },
        ),
        Body::Created(body) => conversation_json("created", entry, conversation_id, shown, body),
        Body::Updated(body) => conversation_json("updated", entry, conversation_id, shown, body),
        Body::MemberAdded(body) => conversation_json("member_added", entry, conversation_id, shown, body),
        Body::MemberRemoved(body) => conversation_json("member_removed", entry, conversation_id, shown, body),
        Body::MemberLeft(body) => conversation_json("member_left", entry, conversation_id, shown, body),
        Body::RoleChanged(body) => conversation_json("role_changed", entry, conversation_id, shown, body),
        Body::MemberMuted(body) => conversation_json("member_muted", entry, conversation_id, shown, body),
        Body::Dissolved => conversation_json("dissolved", entry, conversation_id, shown, Nothing {}),
    }
}

/// The same as a frame.
pub fn entry_frame(conversation: &ConversationRef, entry: &Entry, shown: Shown<'_>) -> Frame {
    Frame::text(&entry_json(conversation, entry, shown))
}

/// Of an entry that says nothing more.
#[derive(Serialize, JsonSchema)]
pub struct Nothing {}

#[derive(Serialize, JsonSchema)]
pub struct RecalledData {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub message_seq: Seq,
    pub recalled_by: UserId,
    pub recalled_at: Timestamp,
}

#[derive(Serialize, JsonSchema)]
pub struct EditedData<'a> {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub message_seq: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub content: Option<&'a str>,
    /// Null only in the answer to an edit that changed nothing of a message that was never edited.
    pub edited_at: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
pub struct ReactedData<'a> {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub message_seq: Seq,
    pub user_id: UserId,
    pub emoji: &'a str,
    pub add: bool,
}

#[derive(Serialize, JsonSchema)]
pub struct PinnedData {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub message_seq: Seq,
    /// Who pinned it, or took the pin away.
    pub user_id: UserId,
    pub add: bool,
    pub created_at: Timestamp,
}

/// Data of a frame of type `conversation` that is an entry of the log.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Entry")]
pub struct EntryData<T> {
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub by: UserId,
    pub created_at: Timestamp,
    #[serde(flatten)]
    pub body: T,
}

fn conversation_json<T: Serialize>(
    action: &str,
    entry: &Entry,
    conversation_id: ConversationId,
    shown: Shown<'_>,
    body: T,
) -> Vec<u8> {
    let data = EntryData { conversation_id, seq: entry.seq(), by: entry.sender_id, created_at: entry.created_at, body };
    json("conversation", Some(action), shown.id, data)
}
