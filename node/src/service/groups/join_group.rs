//! A user comes into a group by a link. The lane decides, and counts the use in the same transaction.

use std::sync::Arc;

use super::join_members::join_members;
use crate::app::App;
use crate::domain::command::{Actor, GroupCommand};
use crate::domain::invite::InviteToken;
use crate::domain::limits::{Limit, LimitKey};
use crate::domain::{ConversationId, Refusal};
use crate::error::Result;
use crate::service::carry_through::carry_through;
use crate::service::limits::check_limit::check_limit;
use crate::storage::directory::pairs::find_blocks;
use crate::storage::shard::invites::find_invite;

/// Answers the group. Who is a member already is answered the same, whatever has become of the link, as long as it was not withdrawn:
/// an answer may have been lost. What is looked at here saves work and names the right reason.
pub async fn join_group(app: &Arc<App>, actor: Actor, token: &str) -> Result<ConversationId> {
    check_limit(app, Limit::JoinsPerUser, LimitKey::User(actor.id)).await?;
    let InviteToken { group, secret } = InviteToken::parse(token).ok_or(Refusal::NotFound)?;
    let found = find_invite(app.shards.of(group)?, group, secret, actor.id).await?.ok_or(Refusal::NotFound)?;
    if found.is_member {
        return Ok(group);
    }
    if !found.is_good {
        return Err(Refusal::NotFound.into());
    }
    let blocks = find_blocks(&app.directory, actor.id, &[found.created_by]).await?;
    if blocks.iter().any(|block| block.user == actor.id) {
        return Err(Refusal::Blocking.into());
    }
    if !blocks.is_empty() {
        return Err(Refusal::Blocked.into());
    }
    let then = Arc::clone(app);
    carry_through(app, "join_group", async move {
        let user = actor.id;
        let command = |joinings: Vec<_>, not_after| GroupCommand::Join { joinings, secret, not_after };
        join_members(&then, actor, group, &[user], command).await
    })
    .await?;
    Ok(group)
}
