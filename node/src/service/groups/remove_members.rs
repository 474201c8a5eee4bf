//! Owner and admins put members out of a group; nobody the owner, an admin no admin.

use std::sync::Arc;

use super::end_memberships::end_memberships;
use crate::app::App;
use crate::domain::command::{Actor, GroupCommand};
use crate::domain::{ConversationId, UserId};
use crate::error::Result;
use crate::service::carry_through::carry_through;

/// Removes users, each named once. What is committed after the answer they do not get.
pub async fn remove_members(app: &Arc<App>, actor: Actor, group: ConversationId, users: Vec<UserId>) -> Result<()> {
    let then = Arc::clone(app);
    carry_through(app, "remove_members", async move {
        let command = GroupCommand::Remove { users: users.clone() };
        end_memberships(&then, actor, group, &users, command).await
    })
    .await?;
    Ok(())
}
