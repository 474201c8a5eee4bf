//! A conversation as REST shows it to one of its members.

use schemars::JsonSchema;
use serde::Serialize;

use super::message_json::{MessageJson, message_json};
use crate::domain::profile::Profile;
use crate::domain::{ConversationId, ConversationKind, Role, Seq, Timestamp, UserId};
use crate::service::conversations::list_conversations::{ConversationView, Side};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Conversation")]
pub struct ConversationJson<'a> {
    id: ConversationId,
    #[schemars(with = "ConversationKind")]
    kind: &'a str,
    title: Option<&'a str>,
    avatar_url: Option<&'a str>,
    announcement: Option<&'a str>,
    /// Of groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    muted: Option<bool>,
    peer: Option<&'a Profile>,
    last_message: Option<MessageJson<'a>>,
    last_seq: Seq,
    first_seq: Seq,
    read_seq: Seq,
    peer_read_seq: Option<Seq>,
    unread_count: i64,
    mention_count: i64,
    pinned: bool,
    muted_until: Option<Timestamp>,
    /// Null: as the user has it for all.
    read_receipts: Option<bool>,
    member_count: i32,
    role: Option<Role>,
    updated_at: Timestamp,
}

pub fn conversation_json(view: &ConversationView, reader: UserId) -> ConversationJson<'_> {
    let state = &view.state;
    let message = view.last_message.as_ref();
    let json = ConversationJson {
        id: state.id(),
        kind: state.conversation.kind().as_str(),
        title: None,
        avatar_url: None,
        announcement: None,
        muted: None,
        peer: view.peer.as_ref(),
        last_message: message.and_then(|entry| message_json(&state.conversation, entry, &view.reactions, reader)),
        last_seq: state.visible_last(),
        first_seq: state.first_seq,
        read_seq: state.read_seq,
        peer_read_seq: view.peer_read_seq,
        unread_count: state.unread_count(),
        mention_count: view.mention_count,
        pinned: state.is_pinned,
        muted_until: state.muted_until,
        read_receipts: state.read_receipts,
        member_count: 2,
        role: None,
        updated_at: state.last_created_at,
    };
    match &state.side {
        Side::Direct { .. } => json,
        Side::Group { role, title, avatar_url, announcement, is_muted, member_count } => ConversationJson {
            title: title.as_deref(),
            avatar_url: avatar_url.as_deref(),
            announcement: announcement.as_deref(),
            muted: Some(*is_muted),
            member_count: *member_count,
            role: Some(*role),
            ..json
        },
    }
}
