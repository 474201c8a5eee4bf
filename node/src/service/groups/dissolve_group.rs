//! The owner dissolves a group: for all members it is as after a removal.

use std::sync::Arc;

use super::end_memberships::end_memberships;
use crate::app::App;
use crate::domain::ConversationId;
use crate::domain::command::{Actor, GroupCommand};
use crate::error::Result;
use crate::service::carry_through::carry_through;

/// Answers when the group is dissolved and all its members' lists say so. The owner's row alone is in doubt meanwhile: the sweep
/// that settles it goes on to the other members.
pub async fn dissolve_group(app: &Arc<App>, actor: Actor, group: ConversationId) -> Result<()> {
    let then = Arc::clone(app);
    carry_through(app, "dissolve_group", async move {
        let user = actor.id;
        end_memberships(&then, actor, group, &[user], GroupCommand::Dissolve).await
    })
    .await?;
    Ok(())
}
