//! Entries as a reader is shown them: the frames that a live session would have had, messages in their present state.

use std::collections::BTreeMap;

use crate::domain::message::Message;
use crate::domain::{Body, Entry, MessageId, UserId};
use crate::protocol::server::{Shown, entry_json};
use crate::storage::shard::read_states::State;

/// JSON of an entry's frame. `edited` has the messages that edits speak of.
pub fn shown_to(
    reader: UserId,
    state: &State,
    entry: &Entry,
    edited: &BTreeMap<MessageId, Box<Message>>,
    offline: bool,
) -> Vec<u8> {
    let mut shown = Shown { offline, with_temp_id: entry.sender_id == reader, ..Shown::default() };
    if let Body::Edit(edit) = &entry.body
        && let Some(message) = edited.get(&state.id().message(edit.message_seq))
    {
        let may_see = message.recalled.is_none() && edit.message_seq >= state.first_seq;
        shown.content = message.content.as_deref().filter(|_| may_see);
        shown.edited_at = message.edited.map(|edited| edited.at);
    }
    entry_json(&state.conversation, entry, shown)
}
