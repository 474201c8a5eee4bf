//! How many friend requests a user may make: a bucket that holds an hour's and fills over the hour, in one row that all nodes share.

use std::time::Duration;

use super::Directory;
use crate::domain::{Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[TAKE, READ, GIVE_BACK];

const HOUR: Duration = Duration::from_hours(1);

/// The row's lock makes it exact; the clock of a node that is behind counts as standing still.
const TAKE: &str = "\
insert into friend_budget as b (user_id, tokens, counted_at) select $1::uuid, $2::float8 - 1, $3::timestamptz where $2::float8 >= 1
on conflict (user_id) do update
set tokens = least($2, b.tokens + greatest(0, extract(epoch from $3 - b.counted_at)::float8) * $2 / 3600) - 1,
    counted_at = greatest(b.counted_at, $3)
where least($2, b.tokens + greatest(0, extract(epoch from $3 - b.counted_at)::float8) * $2 / 3600) >= 1";

const READ: &str = "\
select b.tokens + greatest(0, extract(epoch from $3::timestamptz - b.counted_at)::float8) * $2::float8 / 3600
from friend_budget b where b.user_id = $1";

/// Takes one, or says how long until there is one.
pub async fn take(
    directory: &Directory,
    user: UserId,
    per_hour: u32,
    now: Timestamp,
) -> Result<Result<(), Duration>, StorageError> {
    let client = directory.client().await?;
    let size = f64::from(per_hour);
    if client.execute(TAKE, &[&user, &size, &now]).await? == 1 {
        return Ok(Ok(()));
    }
    let row = client.query_opt(READ, &[&user, &size, &now]).await?;
    let tokens: f64 = row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0.0);
    let missing = (1.0 - tokens).clamp(0.0, 1.0);
    // With none allowed at all there is nothing to wait for; an administrator may change that.
    let wait = Duration::try_from_secs_f64(missing / size * HOUR.as_secs_f64()).unwrap_or(HOUR);
    Ok(Err(wait.clamp(Duration::from_secs(1), HOUR)))
}

const GIVE_BACK: &str = "update friend_budget set tokens = least($2::float8, tokens + 1) where user_id = $1";

/// Gives one back that came to nothing.
pub async fn give_back(directory: &Directory, user: UserId, per_hour: u32) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(GIVE_BACK, &[&user, &f64::from(per_hour)]).await?;
    Ok(())
}
