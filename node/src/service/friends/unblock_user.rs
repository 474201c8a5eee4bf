//! One user no longer blocks another. Friendship does not come back by it; read positions are seen again.

use std::sync::Arc;

use crate::app::App;
use crate::domain::command::{Actor, PairCommand};
use crate::domain::{ConversationRef, UserId};
use crate::error::Result;
use crate::service::conversations::tell_positions::tell_positions;
use crate::service::people::change_pair::change_pair;

pub async fn unblock_user(app: &Arc<App>, actor: Actor, other: UserId) -> Result<()> {
    let user = actor.id;
    let changed = change_pair(app, actor, other, PairCommand::Unblock).await?;
    if changed.has_changed
        && let Err(error) = tell_positions(app, user, ConversationRef::direct(user, other)).await
    {
        tracing::debug!(%error, "nobody is told of positions that may be seen again");
    }
    Ok(())
}
