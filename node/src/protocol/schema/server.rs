//! What the server sends (contract 2.4 and 2.5).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::{FrameSchema, bare, frame, of};
use crate::domain::ConversationId;
use crate::domain::entry::{Created, MemberMuted, RoleChanged, Updated, UserIds};
use crate::domain::schema::schema_of;
use crate::protocol::codes::{EACH_REFUSAL, problem_of};
use crate::protocol::server::{
    AuthData, EditedData, EntryData, ErrorData, HiddenData, MessageSent, NewMessageData, Nothing, NotificationData,
    NotificationsDeletedData, NotificationsReadData, PinnedData, ReactedData, ReadData, RecalledData, ReconnectData,
    RelationshipData, ResyncData, SettingsData, StatusData, TypingData, UnreadCountData, UserUpdatedData,
};
use crate::protocol::sync::{Complete, Gone, PAGE_FRAMES_MAX, PageHead};

/// Every frame that the server may send.
pub const SERVER_FRAMES: &[FrameSchema] = &[
    frame("auth", None, "The token is good.", of::<AuthData<'static>>).beside(&[("status", success, true)]),
    bare("pong", "The answer to ping."),
    frame("chat", Some("message_sent"), "The message is durable. An answer, no entry.", of::<MessageSent<'static>>),
    frame("chat", Some("new_message"), "A message.", of::<NewMessageData<'static>>).entry(),
    frame("chat", Some("message_recalled"), "A message was taken back.", of::<RecalledData>).entry(),
    frame("chat", Some("message_edited"), "A message has another content.", of::<EditedData<'static>>).entry(),
    frame("chat", Some("message_reacted"), "A reaction came or went.", of::<ReactedData<'static>>).entry(),
    frame("chat", Some("message_pinned"), "A message is pinned for all, or no longer.", of::<PinnedData>).entry(),
    frame("chat", Some("message_hidden"), "To one's own devices: a message one has hidden.", of::<HiddenData>),
    frame("conversation", Some("created"), "A group begins.", of::<EntryData<Created>>).entry(),
    frame("conversation", Some("updated"), "A group's title and the like.", of::<EntryData<Updated>>).entry(),
    frame("conversation", Some("member_added"), "These joined.", of::<EntryData<UserIds>>).entry(),
    frame("conversation", Some("member_removed"), "These were removed.", of::<EntryData<UserIds>>).entry(),
    frame("conversation", Some("member_left"), "These left.", of::<EntryData<UserIds>>).entry(),
    frame("conversation", Some("role_changed"), "A member's role.", of::<EntryData<RoleChanged>>).entry(),
    frame("conversation", Some("member_muted"), "A member may not write.", of::<EntryData<MemberMuted>>).entry(),
    frame("conversation", Some("dissolved"), "The last entry of a group.", of::<EntryData<Nothing>>).entry(),
    frame("conversation", Some("settings"), "To one's own devices: what one has set.", of::<SettingsData>),
    frame("read", None, "How far someone has read.", of::<ReadData>),
    frame("unread_count_update", None, "To one's own devices.", of::<UnreadCountData>),
    frame("typing", None, "Someone writes, or no longer does.", of::<TypingData>),
    frame("status", None, "How a friend is to be seen.", of::<StatusData<'static>>),
    frame("notification", None, "What a user is told beside messages.", of::<NotificationOf>),
    frame("notifications", Some("read"), "To one's own devices.", of::<NotificationsReadData<'static>>),
    frame("notifications", Some("deleted"), "To one's own devices.", of::<NotificationsDeletedData<'static>>),
    frame("user", Some("updated"), "A profile, to one's own devices and to friends.", of::<UserUpdatedData<'static>>),
    frame("relationship", Some("updated"), "How one stands with another now.", of::<RelationshipData<'static>>),
    frame("sync", Some("page"), "A page of a conversation's log.", of::<SyncPage>),
    frame("sync", Some("complete"), "The sync is done.", of::<Complete<'static>>),
    frame("resync", None, "Live frames may have been lost: sync again.", of::<ResyncData<'static>>),
    frame("reconnect", None, "This node is leaving.", of::<ReconnectData<'static>>),
    frame("error", None, "A frame was refused.", of::<ErrorOf>),
];

/// The type of its data is what is written; the documents have it as an object.
type NotificationOf = NotificationData<'static, Value>;

fn success(_: &mut SchemaGenerator) -> Schema {
    schema_of(json!({"const": "success"}))
}

/// The reference to a frame's schema in the document.
pub fn reference(frame: &FrameSchema) -> Value {
    json!({"$ref": format!("#/components/schemas/server.{}", frame.name())})
}

/// Data of `error`, with the codes there are.
struct ErrorOf;

impl JsonSchema for ErrorOf {
    fn schema_name() -> Cow<'static, str> {
        "Error".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = ErrorData::<'static>::json_schema(generator);
        let codes: Vec<&str> = EACH_REFUSAL.iter().map(|refusal| problem_of(refusal).code).collect();
        if let Some(code) = schema.pointer_mut("/properties/code") {
            *code = json!({"type": "string", "enum": codes});
        }
        schema
    }
}

/// Data of `sync`/`page`. A page is written from ready frames; only its head has a type.
struct SyncPage;

impl JsonSchema for SyncPage {
    fn schema_name() -> Cow<'static, str> {
        "SyncPage".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut page = PageHead::json_schema(generator);
        let conversation = generator.subschema_for::<ConversationId>();
        let entries: Vec<Value> = SERVER_FRAMES.iter().filter(|frame| frame.is_entry).map(reference).collect();
        let frames = json!({"type": "array", "maxItems": PAGE_FRAMES_MAX, "items": {"oneOf": entries}});
        if let Some(Value::Object(properties)) = page.get_mut("properties") {
            properties.insert("conversation_id".to_owned(), conversation.to_value());
            properties.insert("frames".to_owned(), frames);
        }
        if let Some(Value::Array(required)) = page.get_mut("required") {
            required.extend([json!("conversation_id"), json!("frames")]);
        }
        let gone = generator.subschema_for::<Gone>();
        schema_of(json!({"oneOf": [page, gone]}))
    }
}
