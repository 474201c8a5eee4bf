//! Whom a user blocks.

use uuid::Uuid;

use crate::app::App;
use crate::domain::profile::Profile;
use crate::domain::{Timestamp, UserId};
use crate::error::Result;
use crate::storage::directory::{pairs, profiles};

/// Up to `limit` of them in the order of their ids, after `after`, with when it began.
pub async fn list_blocked(
    app: &App,
    user: UserId,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<(Profile, Timestamp)>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let listed = pairs::read_blocked(&app.directory, user, after.unwrap_or(UserId(Uuid::nil())), limit).await?;
    let others: Vec<UserId> = listed.iter().map(|listed| listed.other).collect();
    let mut found = profiles::read_profiles(&app.directory, &others).await?;
    Ok(listed.into_iter().filter_map(|listed| Some((found.remove(&listed.other)?, listed.since))).collect())
}
