//! Who may look at what only owner and admins see: those who are no members learn nothing, members that they may not.

use crate::app::App;
use crate::domain::{ConversationId, Refusal, Role, UserId};
use crate::error::Result;
use crate::storage::shard::read_members::read_some_members;

pub(super) async fn check_admin(app: &App, user: UserId, group: ConversationId) -> Result<()> {
    let own = read_some_members(app.shards.of(group)?, group, &[user]).await?;
    match own.first().map(|member| member.role) {
        None => Err(Refusal::NotFound.into()),
        Some(Role::Member) => Err(Refusal::Forbidden.into()),
        Some(Role::Admin | Role::Owner) => Ok(()),
    }
}
