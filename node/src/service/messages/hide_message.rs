//! Takes a message out of sight for its reader alone, on all devices. Nobody else learns of it.

use std::sync::Arc;

use crate::app::App;
use crate::domain::command::{Actor, Command, Outcome};
use crate::domain::{MessageId, Refusal};
use crate::error::{Error, Result};
use crate::protocol::server::{HiddenData, message_hidden};
use crate::service::conversations::resolve::resolve;
use crate::service::delivery::signal::signal_users;
use crate::storage::shard::lane::Request;

/// Any message that the actor may see, recalled ones too. Hidden twice it stays hidden.
pub async fn hide_message(app: &Arc<App>, actor: Actor, message: MessageId) -> Result<()> {
    let user = actor.id;
    let conversation = resolve(app, user, message.conversation()).await?.ok_or(Refusal::NotFound)?;
    let command = Command::Hide { message: message.seq() };
    let request = Request { conversation, actor, command, origin: None, reply: Box::new(|_| {}) };
    match app.shards.run(request).await? {
        Outcome::Nothing => {}
        other => return Err(Error::internal(format!("hiding a message came out as {other:?}"))),
    }
    let data = HiddenData { message_id: message, conversation_id: message.conversation(), message_seq: message.seq() };
    signal_users(app, &[user], &message_hidden(&data), None).await;
    Ok(())
}
