//! Frames that are no entries and no answers: they are told as things are, and not kept.

use schemars::JsonSchema;
use serde::Serialize;

use super::frame;
use crate::domain::friend_request::Direction;
use crate::domain::ids::NotificationId;
use crate::domain::profile::Profile;
use crate::domain::{ConversationId, MessageId, Seq, Timestamp, UserId};
use crate::protocol::frame::Frame;

#[derive(Serialize, JsonSchema)]
pub struct ReadData {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub seq: Seq,
}

pub fn read(data: &ReadData) -> Frame {
    frame("read", None, None, data)
}

#[derive(Serialize, JsonSchema)]
pub struct UnreadCountData {
    pub conversation_id: ConversationId,
    pub unread_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub total_unread: Option<i64>,
}

pub fn unread_count_update(id: Option<&str>, data: &UnreadCountData) -> Frame {
    frame("unread_count_update", None, id, data)
}

#[derive(Serialize, JsonSchema)]
pub struct SettingsData {
    pub conversation_id: ConversationId,
    pub pinned: bool,
    pub muted_until: Option<Timestamp>,
    pub read_receipts: Option<bool>,
}

pub fn conversation_settings(data: &SettingsData) -> Frame {
    frame("conversation", Some("settings"), None, data)
}

#[derive(Serialize, JsonSchema)]
pub struct HiddenData {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub message_seq: Seq,
}

/// To the devices of the one who hid it.
pub fn message_hidden(data: &HiddenData) -> Frame {
    frame("chat", Some("message_hidden"), None, data)
}

#[derive(Serialize, JsonSchema)]
pub struct TypingData {
    pub user_id: UserId,
    pub conversation_id: ConversationId,
    pub is_typing: bool,
}

pub fn typing(data: &TypingData) -> Frame {
    frame("typing", None, None, data)
}

#[derive(Serialize, JsonSchema)]
pub struct StatusData<'a> {
    pub user_id: UserId,
    #[schemars(extend("enum" = ["online", "away", "busy", "offline"]))]
    pub status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub last_seen_at: Option<Timestamp>,
}

pub fn status(data: &StatusData<'_>) -> Frame {
    frame("status", None, None, data)
}

#[derive(Serialize, JsonSchema)]
pub struct NotificationData<'a, D> {
    pub notification_id: NotificationId,
    pub r#type: &'a str,
    pub title: &'a str,
    pub content: &'a str,
    /// An object, as it was given or as it was kept.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub data: D,
    pub created_at: Timestamp,
}

pub fn notification<D: Serialize>(data: &NotificationData<'_, D>) -> Frame {
    frame("notification", None, None, data)
}

#[derive(Serialize, JsonSchema)]
pub struct NotificationsReadData<'a> {
    /// All that there were; then no ids are named.
    pub all: bool,
    pub notification_ids: &'a [NotificationId],
}

/// To the devices of the one who read them. Not of type `notification`, which is what is told.
pub fn notifications_read(data: &NotificationsReadData<'_>) -> Frame {
    frame("notifications", Some("read"), None, data)
}

#[derive(Serialize, JsonSchema)]
pub struct NotificationsDeletedData<'a> {
    pub notification_ids: &'a [NotificationId],
}

/// To the devices of the one who deleted them.
pub fn notifications_deleted(data: &NotificationsDeletedData<'_>) -> Frame {
    frame("notifications", Some("deleted"), None, data)
}

#[derive(Serialize, JsonSchema)]
pub struct UserUpdatedData<'a> {
    pub user: &'a Profile,
    /// Only to the user's own devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub read_receipts: Option<bool>,
}

/// To the user's own devices and to friends.
pub fn user_updated(data: &UserUpdatedData<'_>) -> Frame {
    frame("user", Some("updated"), None, data)
}

#[derive(Serialize, JsonSchema)]
pub struct RelationshipData<'a> {
    /// The other one.
    pub user: &'a Profile,
    pub friend: bool,
    /// A friend request that waits for an answer.
    pub request: Option<Direction>,
    /// By the one who is told; whom the other blocks is not told.
    pub blocked: bool,
    pub updated_at: Timestamp,
}

/// To all devices of one of the two.
pub fn relationship_updated(data: &RelationshipData<'_>) -> Frame {
    frame("relationship", Some("updated"), None, data)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResyncReason {
    BusLost,
    NodeFenced,
    OfflineLimit,
    ShardLost,
}

#[derive(Serialize, JsonSchema)]
pub struct ResyncData<'a> {
    pub reason: ResyncReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub conversation_ids: Option<&'a [ConversationId]>,
}

pub fn resync(reason: ResyncReason, conversation_ids: Option<&[ConversationId]>) -> Frame {
    frame("resync", None, None, ResyncData { reason, conversation_ids })
}

#[derive(Serialize, JsonSchema)]
pub struct ReconnectData<'a> {
    pub after_ms: u64,
    pub reason: &'a str,
}

pub fn reconnect(after_ms: u64, reason: &str) -> Frame {
    frame("reconnect", None, None, ReconnectData { after_ms, reason })
}
