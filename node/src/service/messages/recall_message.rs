//! Takes a message back: one's own within the window, or, in a group, that of anyone whom one may rule.

use std::sync::Arc;

use uuid::Uuid;

use super::change_message::{Change, Changed, change_and_wait, change_message};
use crate::app::App;
use crate::domain::Refusal;
use crate::domain::command::Actor;
use crate::error::Result;
use crate::storage::shard::lane::Origin;

/// Returns when it is queued; `reply` is called exactly once.
pub async fn recall_message(
    app: &Arc<App>,
    actor: Actor,
    message: Uuid,
    origin: Option<Origin>,
    reply: impl FnOnce(Result<Changed, Refusal>) + Send + 'static,
) {
    change_message(app, actor, message, Change::Recall, origin, reply).await;
}

/// The same, waiting for the answer.
pub async fn recall_message_and_wait(app: &Arc<App>, actor: Actor, message: Uuid) -> Result<Changed> {
    change_and_wait(app, actor, message, Change::Recall).await
}
