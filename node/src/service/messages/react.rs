//! Adds a reaction to a message, or takes one's own back.

use std::sync::Arc;

use uuid::Uuid;

use super::change_message::{Change, Changed, change_and_wait, change_message};
use crate::app::App;
use crate::domain::Refusal;
use crate::domain::command::Actor;
use crate::domain::text::{EMOJI_MAX, check_length};
use crate::error::Result;
use crate::storage::shard::lane::Origin;

/// Returns when it is queued; `reply` is called exactly once.
pub async fn react(
    app: &Arc<App>,
    actor: Actor,
    message: Uuid,
    emoji: String,
    add: bool,
    origin: Option<Origin>,
    reply: impl FnOnce(Result<Changed, Refusal>) + Send + 'static,
) {
    if let Err(refusal) = check_length("emoji", &emoji, 1, EMOJI_MAX) {
        return reply(Err(refusal));
    }
    change_message(app, actor, message, Change::React { emoji, add }, origin, reply).await;
}

/// The same, waiting for the answer.
pub async fn react_and_wait(app: &Arc<App>, actor: Actor, message: Uuid, emoji: String, add: bool) -> Result<Changed> {
    check_length("emoji", &emoji, 1, EMOJI_MAX)?;
    change_and_wait(app, actor, message, Change::React { emoji, add }).await
}
