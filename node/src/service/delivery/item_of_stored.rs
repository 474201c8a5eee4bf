//! An entry read from a shard as delivery has it, in its present state.

use crate::domain::entry::Body;
use crate::domain::{ConversationRef, Seq, UserId};
use crate::protocol::delivery::EntryItem;
use crate::protocol::server::{self, Shown};
use crate::storage::shard::read_delivery::StoredEntry;

/// `members_version` and `member_count` as the conversation has them now: the member set they name knows who saw older entries.
pub fn item_of_stored(
    conversation: &ConversationRef,
    epoch: i64,
    members_version: i64,
    member_count: i32,
    stored: &StoredEntry,
) -> EntryItem {
    let entry = &stored.entry;
    let target = stored.target.as_deref().filter(|message| message.recalled.is_none());
    let shown = Shown {
        content: target.and_then(|message| message.content.as_deref()),
        edited_at: target.and_then(|message| message.edited).map(|edited| edited.at),
        ..Shown::default()
    };
    let is_message = matches!(entry.body, Body::Message(_));
    let temp_id = if is_message { entry.temp_id.clone() } else { None };
    let message_seq = edited_seq(&entry.body);
    let bare_frame = message_seq.map(|_| server::entry_frame(conversation, entry, Shown { content: None, ..shown }));
    EntryItem {
        conversation: *conversation,
        epoch,
        seq: entry.seq(),
        sender: entry.sender_id,
        created_at: entry.created_at,
        previous_created_at: None,
        frame: server::entry_frame(conversation, entry, shown),
        temp_id,
        bare_frame,
        message_seq: message_seq.unwrap_or_default(),
        hidden_by: stored.hidden_by.clone(),
        members_version,
        member_count,
        joined: Vec::new(),
        left: Vec::new(),
        is_message,
        positions: None,
    }
}

/// The message that an edit gives another content.
pub const fn edited_seq(body: &Body) -> Option<Seq> {
    match body {
        Body::Edit(edit) => Some(edit.message_seq),
        _ => None,
    }
}

/// Who joins and who leaves by an entry.
pub fn change_of(body: &Body, sender: UserId) -> (Vec<UserId>, Vec<UserId>) {
    match body {
        Body::MemberAdded(added) => (added.user_ids.clone(), Vec::new()),
        Body::MemberRemoved(removed) => (Vec::new(), removed.user_ids.clone()),
        Body::MemberLeft(left) => (Vec::new(), left.user_ids.clone()),
        Body::Created(created) if created.members.is_empty() => (vec![sender], Vec::new()),
        Body::Created(created) => (created.members.clone(), Vec::new()),
        _ => (Vec::new(), Vec::new()),
    }
}
