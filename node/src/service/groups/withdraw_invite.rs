//! Owner and admins withdraw a link into their group.

use std::sync::Arc;

use super::check_role::check_admin;
use crate::app::App;
use crate::domain::{ConversationId, InviteId, Refusal, UserId};
use crate::error::Result;
use crate::storage::shard::invites::{Attempt, delete_invite};

/// From the answer on nobody comes in by this link.
pub async fn withdraw_invite(app: &Arc<App>, actor: UserId, group: ConversationId, id: InviteId) -> Result<()> {
    check_admin(app, actor, group).await?;
    match delete_invite(app.shards.of(group)?, group, actor, id).await? {
        Attempt::Done(true) => Ok(()),
        Attempt::Done(false) => Err(Refusal::NotFound.into()),
        // Demoted a moment ago, or no member any more.
        Attempt::NoAdmin => check_admin(app, actor, group).await.and(Err(Refusal::Forbidden.into())),
    }
}
