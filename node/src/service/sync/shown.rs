//! Entries as a reader is shown them: the frames that a live session would have had, messages in their present state.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::message::Message;
use crate::domain::{Body, Entry, MessageId, UserId};
use crate::protocol::server::{Shown, entry_json};
use crate::storage::shard::read_states::State;

/// JSON of an entry's frame. `edited` has the messages that edits speak of, `hidden` what the reader has hidden.
pub fn shown_to(
    reader: UserId,
    state: &State,
    entry: &Entry,
    edited: &BTreeMap<MessageId, Box<Message>>,
    hidden: &BTreeSet<MessageId>,
    offline: bool,
) -> Vec<u8> {
    let with_temp_id = entry.sender_id == reader;
    let mut shown = Shown { offline, with_temp_id, hidden: hidden.contains(&entry.id), ..Shown::default() };
    if let Body::Edit(edit) = &entry.body
        && let target = state.id().message(edit.message_seq)
        && let Some(message) = edited.get(&target)
    {
        let may_see = message.recalled.is_none() && edit.message_seq >= state.first_seq && !hidden.contains(&target);
        shown.content = message.content.as_deref().filter(|_| may_see);
        shown.edited_at = message.edited.map(|edited| edited.at);
    }
    entry_json(&state.conversation, entry, shown)
}

/// Messages that a reader may have hidden, among these entries: themselves, and those that edits speak of.
pub fn hideable(entries: &[Entry]) -> Vec<MessageId> {
    let message_of = |entry: &Entry| match &entry.body {
        Body::Message(_) => Some(entry.id),
        Body::Edit(edit) => Some(entry.id.conversation().message(edit.message_seq)),
        _ => None,
    };
    entries.iter().filter_map(message_of).collect()
}
