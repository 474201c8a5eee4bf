//! A member leaves a group. The owner hands it over first; as the only member it dissolves the group by leaving.

use std::sync::Arc;

use super::end_memberships::end_memberships;
use crate::app::App;
use crate::domain::ConversationId;
use crate::domain::command::{Actor, GroupCommand};
use crate::error::Result;
use crate::service::carry_through::carry_through;

pub async fn leave_group(app: &Arc<App>, actor: Actor, group: ConversationId) -> Result<()> {
    let then = Arc::clone(app);
    carry_through(app, "leave_group", async move {
        let user = actor.id;
        end_memberships(&then, actor, group, &[user], GroupCommand::Leave).await
    })
    .await?;
    Ok(())
}
