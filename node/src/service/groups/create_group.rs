//! Makes a group. With a `temp_id` its id is a hash of that and the creator, so that a repeat finds the first.

use std::sync::Arc;

use super::check_invited::check_invited;
use super::join_members::join_members;
use crate::app::App;
use crate::domain::command::{Actor, GroupCommand};
use crate::domain::{ConversationId, Refusal, UserId};
use crate::error::Result;
use crate::service::carry_through::carry_through;
use crate::storage::shard::read_members::is_created;

/// Members that a group can have at most, whatever its creator says.
pub const MEMBERS_MAX: i32 = 100_000;

/// A group to be made, its parts checked.
#[derive(Clone, Debug)]
pub struct NewGroup {
    pub title: String,
    pub avatar_url: Option<String>,
    /// None: as the settings say.
    pub max_members: Option<i32>,
    /// Each once, without the creator.
    pub members: Vec<UserId>,
    pub temp_id: Option<String>,
    /// What the request calls `members`.
    pub members_field: &'static str,
}

/// Makes the group with the actor as its owner, or finds that this `temp_id` has made it. Answers its id.
pub async fn create_group(app: &Arc<App>, actor: Actor, group: NewGroup) -> Result<ConversationId> {
    let id = match &group.temp_id {
        Some(temp_id) => {
            let id = ConversationId::group(actor.id, temp_id);
            if is_created(app.shards.of(id)?, id).await? {
                return Ok(id);
            }
            id
        }
        None => ConversationId::random(),
    };
    check_invited(app, actor.id, &group.members, group.members_field).await?;
    let default_max = i32::try_from(app.settings.load().group_members_max).unwrap_or(MEMBERS_MAX);
    let max_members = group.max_members.unwrap_or(default_max).min(MEMBERS_MAX);
    let mut users = vec![actor.id];
    users.extend(&group.members);
    if i32::try_from(users.len()).is_ok_and(|count| count > max_members) {
        return Err(Refusal::GroupFull.into());
    }
    let then = Arc::clone(app);
    carry_through(app, "create_group", async move {
        let NewGroup { title, avatar_url, .. } = group;
        join_members(&then, actor, id, &users, |members, not_after| GroupCommand::Create {
            title,
            avatar_url,
            max_members,
            members,
            not_after,
        })
        .await
    })
    .await?;
    Ok(id)
}
