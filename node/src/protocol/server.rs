//! Frames that the server sends (contract 2.4), as JSON. Field order is part of the golden files.

mod answers;
mod entries;
mod signals;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::frame::Frame;
pub use answers::{AuthData, ErrorData, MessageSent, auth_success, error, message_sent, pong};
pub use entries::{
    EditedData, EntryData, NewMessageData, Nothing, PinnedData, ReactedData, RecalledData, Shown, entry_frame,
    entry_json, new_message_data,
};
pub use signals::{
    HiddenData, NotificationData, NotificationsDeletedData, NotificationsReadData, ReadData, ReconnectData,
    RelationshipData, ResyncData, ResyncReason, SettingsData, StatusData, TypingData, UnreadCountData, UserUpdatedData,
    conversation_settings, message_hidden, notification, notifications_deleted, notifications_read, read, reconnect,
    relationship_updated, resync, status, typing, unread_count_update, user_updated,
};

/// Envelope of every frame. `id` is the client's, on the direct answer to its frame.
#[derive(Serialize)]
struct Envelope<'a, T> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    data: T,
}

/// JSON of a frame; every server type can be serialised, so the error case is an empty object that cannot occur.
fn json<T: Serialize>(r#type: &str, action: Option<&str>, id: Option<&str>, data: T) -> Vec<u8> {
    serde_json::to_vec(&Envelope { r#type, action, id, data }).unwrap_or_else(|_| b"{}".to_vec())
}

/// A frame of any type with data of any shape.
pub fn frame<T: Serialize>(r#type: &str, action: Option<&str>, id: Option<&str>, data: T) -> Frame {
    Frame::text(&json(r#type, action, id, data))
}
