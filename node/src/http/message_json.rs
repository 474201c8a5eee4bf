//! A message as REST shows it: the data of `new_message`, with `id`, `recalled` and `reactions`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::reactions::Reactions;
use crate::domain::{Body, ConversationRef, Entry, MessageId, UserId};
use crate::protocol::server::{NewMessageData, Shown, new_message_data};
use crate::service::messages::read_message::MessageView;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Message")]
pub struct MessageJson<'a> {
    id: MessageId,
    #[serde(flatten)]
    data: NewMessageData<'a>,
    recalled: bool,
    reactions: &'a Reactions,
}

/// A message for one reader; none of an entry that is no message.
pub fn view_json(view: &MessageView, reader: UserId) -> Option<MessageJson<'_>> {
    json_of(&view.conversation, &view.entry, &view.reactions, view.is_hidden, reader)
}

/// The same of a message that the reader has not hidden.
pub fn message_json<'a>(
    conversation: &ConversationRef,
    entry: &'a Entry,
    reactions: &'a Reactions,
    reader: UserId,
) -> Option<MessageJson<'a>> {
    json_of(conversation, entry, reactions, false, reader)
}

fn json_of<'a>(
    conversation: &ConversationRef,
    entry: &'a Entry,
    reactions: &'a Reactions,
    hidden: bool,
    reader: UserId,
) -> Option<MessageJson<'a>> {
    const NONE: &Reactions = &Reactions::new();
    let Body::Message(message) = &entry.body else { return None };
    let shown = Shown { with_temp_id: entry.sender_id == reader, hidden, ..Shown::default() };
    let mut data = new_message_data(conversation, entry, message, shown);
    // Said here for every message, not only for those recalled.
    let recalled = std::mem::take(&mut data.recalled);
    // A recalled one shows no reactions.
    Some(MessageJson { id: entry.id, data, recalled, reactions: if recalled { NONE } else { reactions } })
}
