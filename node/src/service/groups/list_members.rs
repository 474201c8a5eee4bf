//! Members of a group, for its members.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::app::App;
use crate::domain::profile::Profile;
use crate::domain::{ConversationId, Refusal, Role, Timestamp, UserId};
use crate::error::Result;
use crate::storage::directory::profiles;
use crate::storage::shard::read_members::{Member, read_members, read_some_members};

/// A member as REST shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Member")]
pub struct MemberView {
    pub user: Profile,
    pub role: Role,
    pub joined_at: Timestamp,
    /// None also once it has passed.
    pub muted_until: Option<Timestamp>,
}

/// Up to `limit` members in the order of their ids, after `after`. Not found for those who are no members.
pub async fn list_members(
    app: &Arc<App>,
    reader: UserId,
    group: ConversationId,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<MemberView>> {
    let shard = app.shards.of(group)?;
    check_member(app, reader, group).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let members = read_members(shard, group, after.unwrap_or(UserId(Uuid::nil())), limit).await?;
    with_profiles(app, members).await
}

/// Those of `users` that are members now, in the order of their ids.
pub async fn find_members(app: &Arc<App>, group: ConversationId, users: &[UserId]) -> Result<Vec<MemberView>> {
    let members = read_some_members(app.shards.of(group)?, group, users).await?;
    with_profiles(app, members).await
}

/// Refuses who is no member now.
async fn check_member(app: &Arc<App>, user: UserId, group: ConversationId) -> Result<()> {
    let own = read_some_members(app.shards.of(group)?, group, &[user]).await?;
    if own.is_empty() { Err(Refusal::NotFound.into()) } else { Ok(()) }
}

async fn with_profiles(app: &Arc<App>, members: Vec<Member>) -> Result<Vec<MemberView>> {
    let users: Vec<UserId> = members.iter().map(|member| member.user).collect();
    let mut profiles = profiles::read_profiles(&app.directory, &users).await?;
    let now = app.clock.now();
    let view = |member: Member| {
        let user = profiles.remove(&member.user)?;
        let muted_until = member.muted_until.filter(|&until| until > now);
        Some(MemberView { user, role: member.role, joined_at: member.joined_at, muted_until })
    };
    Ok(members.into_iter().filter_map(view).collect())
}
