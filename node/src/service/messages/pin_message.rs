//! Pins a message for all of its conversation, or takes the pin away. Each is an entry of the log.

use std::sync::Arc;

use uuid::Uuid;

use super::change_message::find;
use crate::app::App;
use crate::domain::command::{Actor, Command, Outcome};
use crate::error::{Error, Result};
use crate::storage::shard::lane::Request;

/// What is so already stays, without an entry.
pub async fn pin_message(app: &Arc<App>, actor: Actor, message: Uuid, add: bool) -> Result<()> {
    let (conversation, message) = find(app, &actor, message).await?;
    let command = Command::Pin { message: message.seq(), add };
    let request = Request { conversation, actor, command, origin: None, reply: Box::new(|_| {}) };
    match app.shards.run(request).await? {
        Outcome::Wrote { .. } | Outcome::Nothing => Ok(()),
        other => Err(Error::internal(format!("pinning a message came out as {other:?}"))),
    }
}
