//! Gives one's own text message another content, within the window.

use std::sync::Arc;

use uuid::Uuid;

use super::change_message::{Change, Changed, change_and_wait, change_message};
use crate::app::App;
use crate::domain::Refusal;
use crate::domain::command::Actor;
use crate::domain::text::{CONTENT_MAX, check_length};
use crate::error::Result;
use crate::storage::shard::lane::Origin;

/// Returns when it is queued; `reply` is called exactly once.
pub async fn edit_message(
    app: &Arc<App>,
    actor: Actor,
    message: Uuid,
    content: String,
    origin: Option<Origin>,
    reply: impl FnOnce(Result<Changed, Refusal>) + Send + 'static,
) {
    if let Err(refusal) = check_length("content", &content, 1, CONTENT_MAX) {
        return reply(Err(refusal));
    }
    change_message(app, actor, message, Change::Edit { content }, origin, reply).await;
}

/// The same, waiting for the answer.
pub async fn edit_message_and_wait(app: &Arc<App>, actor: Actor, message: Uuid, content: String) -> Result<Changed> {
    check_length("content", &content, 1, CONTENT_MAX)?;
    change_and_wait(app, actor, message, Change::Edit { content }).await
}
