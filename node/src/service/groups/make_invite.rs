//! Owner and admins make a link into their group. It belongs to the group, not to the one who made it.

use std::sync::Arc;
use std::time::Duration;

use super::check_role::check_admin;
use super::list_invites::Link;
use crate::app::App;
use crate::domain::invite::{INVITES_MAX, LIFE_MAX_S, USES_MAX};
use crate::domain::limits::{Limit, LimitKey};
use crate::domain::{ConversationId, InviteId, InviteSecret, Refusal, Timestamp, UserId};
use crate::error::Result;
use crate::service::limits::check_limit::check_limit;
use crate::storage::shard::invites::{Attempt, NewInvite, insert_invite};

/// What a new link is to be, as a client says it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub expires_at: Option<Timestamp>,
    pub expires_in_s: Option<i64>,
    pub max_uses: Option<i64>,
}

pub async fn make_invite(app: &Arc<App>, actor: UserId, group: ConversationId, wanted: Wanted) -> Result<Link> {
    let expires_at = end_of(wanted, app.clock.now())?;
    let max_uses = uses_of(wanted)?;
    check_admin(app, actor, group).await?;
    check_limit(app, Limit::InvitesPerUser, LimitKey::User(actor)).await?;
    let new =
        NewInvite { id: InviteId::of_now(), secret: InviteSecret::random(), created_by: actor, expires_at, max_uses };
    let invites_max = i64::try_from(INVITES_MAX).unwrap_or(i64::MAX);
    let made = insert_invite(app.shards.of(group)?, group, &new, invites_max).await?;
    match made {
        Attempt::Done(Some(invite)) => Ok(Link::new(group, invite)),
        Attempt::Done(None) => Err(Refusal::field("", "the group has 100 links; withdraw one first").into()),
        // Demoted a moment ago, or no member any more.
        Attempt::NoAdmin => check_admin(app, actor, group).await.and(Err(Refusal::Forbidden.into())),
    }
}

/// When the link ends; either way of saying it, or never.
fn end_of(wanted: Wanted, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    match (wanted.expires_at, wanted.expires_in_s) {
        (Some(_), Some(_)) => Err(Refusal::field("expires_in_s", "give either this or expires_at")),
        (Some(end), None) if end <= now => Err(Refusal::field("expires_at", "must be in the future")),
        (end, None) => Ok(end),
        (None, Some(life_s)) => match u64::try_from(life_s) {
            Ok(life @ 1..) if life_s <= LIFE_MAX_S => Ok(Some(now.plus(Duration::from_secs(life)))),
            _ => Err(Refusal::field("expires_in_s", "must be from 1 to 31,622,400")),
        },
    }
}

fn uses_of(wanted: Wanted) -> Result<Option<i32>, Refusal> {
    let Some(max_uses) = wanted.max_uses else { return Ok(None) };
    let max_uses = i32::try_from(max_uses).ok().filter(|max| (1..=USES_MAX).contains(max));
    max_uses.map(Some).ok_or_else(|| Refusal::field("max_uses", "must be from 1 to 100,000"))
}
