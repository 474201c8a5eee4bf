//! One message in its present state, for one who may see it.

use std::sync::Arc;

use crate::app::App;
use crate::domain::reactions::Reactions;
use crate::domain::{Body, ConversationRef, Entry, MessageId, Refusal, UserId};
use crate::error::Result;
use crate::storage::shard::read_message::{read_message as read, read_reactions};

/// A message with the reactions it has.
#[derive(Clone, Debug)]
pub struct MessageView {
    pub conversation: ConversationRef,
    pub entry: Entry,
    pub reactions: Reactions,
}

pub async fn read_message(app: &Arc<App>, reader: UserId, message: MessageId) -> Result<MessageView> {
    view(app, reader, message, false).await
}

/// The same, also for its sender who is in the conversation no more.
pub async fn read_sent_message(app: &Arc<App>, sender: UserId, message: MessageId) -> Result<MessageView> {
    view(app, sender, message, true).await
}

async fn view(app: &Arc<App>, reader: UserId, message: MessageId, or_sent: bool) -> Result<MessageView> {
    let shard = app.shards.of(message.conversation())?;
    let (conversation, entry) = read(shard, message, reader, or_sent).await?.ok_or(Refusal::NotFound)?;
    let mut reactions = Reactions::new();
    if let Body::Message(body) = &entry.body
        && body.recalled.is_none()
    {
        let mut found = read_reactions(shard, conversation.id(), &[message.seq()], reader).await?;
        reactions = found.remove(&message.seq()).unwrap_or_default();
    }
    Ok(MessageView { conversation, entry, reactions })
}
