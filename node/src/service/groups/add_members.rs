//! Owner and admins bring users into a group. Those who are members already are left out.

use std::collections::HashSet;
use std::sync::Arc;

use super::check_invited::check_invited;
use super::join_members::join_members;
use crate::app::App;
use crate::domain::command::{Actor, GroupCommand};
use crate::domain::{ConversationId, Refusal, Role, UserId};
use crate::error::Result;
use crate::service::carry_through::carry_through;
use crate::storage::shard::read_members::read_some_members;

/// Adds users, each named once. What is looked at here saves work and names the right reason; the lane decides.
pub async fn add_members(app: &Arc<App>, actor: Actor, group: ConversationId, users: &[UserId]) -> Result<()> {
    let mut concerned = vec![actor.id];
    concerned.extend(users);
    let present = read_some_members(app.shards.of(group)?, group, &concerned).await?;
    let Some(own) = present.iter().find(|member| member.user == actor.id) else {
        return Err(Refusal::NotFound.into());
    };
    if own.role == Role::Member {
        return Err(Refusal::Forbidden.into());
    }
    let present: HashSet<UserId> = present.iter().map(|member| member.user).collect();
    let new: Vec<UserId> = users.iter().copied().filter(|user| !present.contains(user)).collect();
    if new.is_empty() {
        return Ok(());
    }
    check_invited(app, actor.id, &new, "user_ids").await?;
    let then = Arc::clone(app);
    carry_through(app, "add_members", async move {
        join_members(&then, actor, group, &new, |members, not_after| GroupCommand::Add { members, not_after }).await
    })
    .await?;
    Ok(())
}
