//! The links into a group, for owner and admins.

use std::sync::Arc;

use super::check_role::check_admin;
use crate::app::App;
use crate::domain::invite::InviteToken;
use crate::domain::{ConversationId, InviteId, UserId};
use crate::error::Result;
use crate::storage::shard::invites::{Invite, read_invites};

/// A link with the token that it carries.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub invite: Invite,
    pub token: InviteToken,
}

impl Link {
    pub(super) const fn new(group: ConversationId, invite: Invite) -> Self {
        Self { token: InviteToken { group, secret: invite.secret }, invite }
    }
}

/// The group's links, newest first, before `before`.
pub async fn list_invites(
    app: &Arc<App>,
    actor: UserId,
    group: ConversationId,
    before: Option<InviteId>,
    limit: usize,
) -> Result<Vec<Link>> {
    check_admin(app, actor, group).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = read_invites(app.shards.of(group)?, group, before, limit).await?;
    Ok(found.into_iter().map(|invite| Link::new(group, invite)).collect())
}
