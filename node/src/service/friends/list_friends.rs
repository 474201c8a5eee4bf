//! A user's friends with their presence, and the requests that wait for an answer.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::app::App;
use crate::domain::friend_request::Direction;
use crate::domain::profile::Profile;
use crate::domain::{Timestamp, UserId};
use crate::error::Result;
use crate::service::presence::announce_presence::{Seen, presence_of};
use crate::storage::directory::{pairs, profiles};

/// A friend as REST shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Friend")]
pub struct FriendView {
    pub user: Profile,
    pub since: Timestamp,
    pub presence: Seen,
}

/// A friend request as REST shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "FriendRequest")]
pub struct RequestView {
    /// The other user.
    pub user: Profile,
    pub direction: Direction,
    pub message: Option<String>,
    pub created_at: Timestamp,
}

/// Up to `limit` friends in the order of their ids, after `after`.
pub async fn list_friends(app: &App, user: UserId, after: Option<UserId>, limit: usize) -> Result<Vec<FriendView>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let listed = pairs::list_friends(&app.directory, user, after.unwrap_or(UserId(Uuid::nil())), limit).await?;
    let others: Vec<UserId> = listed.iter().map(|listed| listed.other).collect();
    let mut found = profiles::read_profiles(&app.directory, &others).await?;
    let presence = presence_of(app, &others).await;
    let view = |(listed, presence): (pairs::Listed, Seen)| {
        Some(FriendView { user: found.remove(&listed.other)?, since: listed.since, presence })
    };
    Ok(listed.into_iter().zip(presence).filter_map(view).collect())
}

/// Up to `limit` pending requests of one direction, or of both, newest first, from `before` on.
pub async fn list_requests(
    app: &App,
    user: UserId,
    direction: Option<Direction>,
    before: (Timestamp, UserId),
    limit: usize,
) -> Result<Vec<RequestView>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = pairs::list_requests(&app.directory, user, direction, before, limit).await?;
    let others: Vec<UserId> = rows.iter().map(|row| row.other).collect();
    let mut found = profiles::read_profiles(&app.directory, &others).await?;
    let view = |row: pairs::RequestRow| {
        let user = found.remove(&row.other)?;
        Some(RequestView { user, direction: row.direction, message: row.message, created_at: row.since })
    };
    Ok(rows.into_iter().filter_map(view).collect())
}

/// One friend, since when the list says, or since `at` where it does not know yet.
pub(super) async fn view_friend(app: &App, user: UserId, friend: Profile, at: Timestamp) -> Result<FriendView> {
    let since = pairs::find_friend(&app.directory, user, friend.id).await?.unwrap_or(at);
    let presence = presence_of(app, &[friend.id]).await;
    let offline = Seen { status: "offline", last_seen_at: None };
    Ok(FriendView { since, presence: presence.into_iter().next().unwrap_or(offline), user: friend })
}
