//! One message in its present state, for one who may see it.

use std::sync::Arc;

pub use super::view_messages::MessageView;
use super::view_messages::view_messages;
use crate::app::App;
use crate::domain::{MessageId, Refusal, UserId};
use crate::error::Result;
use crate::storage::shard::read_message::read_message as read;

pub async fn read_message(app: &Arc<App>, reader: UserId, message: MessageId) -> Result<MessageView> {
    view(app, reader, message, false).await
}

/// The same, also for its sender who is in the conversation no more.
pub async fn read_sent_message(app: &Arc<App>, sender: UserId, message: MessageId) -> Result<MessageView> {
    view(app, sender, message, true).await
}

async fn view(app: &Arc<App>, reader: UserId, message: MessageId, or_sent: bool) -> Result<MessageView> {
    let shard = app.shards.of(message.conversation())?;
    let found = read(shard, message, reader, or_sent).await?.ok_or(Refusal::NotFound)?;
    view_messages(app, reader, vec![found]).await?.pop().ok_or_else(|| Refusal::NotFound.into())
}
