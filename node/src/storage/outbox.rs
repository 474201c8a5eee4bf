//! Events that are still to be published, written in the transaction of what they tell of: in the directory and in every shard. Rows
//! stay a while after that, for the case that Redis loses what it was given.

use tokio_postgres::Row;
use uuid::Uuid;

use super::pool::Database;
use crate::domain::Timestamp;
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[
    READ_WAITING,
    MARK_PUBLISHED,
    PUBLISH_AGAIN,
    FORGET_PUBLISHED,
    COUNT_SURPLUS,
    DROP_PUBLISHED,
    DROP_WAITING,
    MEASURE_WAITING,
];

/// An event to be published.
#[derive(Clone, Debug)]
pub struct OutboxRow {
    pub id: Uuid,
    pub topic: String,
    /// JSON.
    pub payload: String,
    pub created_at: Timestamp,
}

const READ_WAITING: &str = "\
select id, topic, payload, created_at from outbox where published_at is null order by created_at, id limit $1";

/// The oldest that wait.
pub async fn read_waiting(database: &Database, limit: i64) -> Result<Vec<OutboxRow>, StorageError> {
    let rows = database.client().await?.query(READ_WAITING, &[&limit]).await?;
    let row_of = |row: &Row| {
        Ok(OutboxRow {
            id: row.try_get(0)?,
            topic: row.try_get(1)?,
            payload: row.try_get(2)?,
            created_at: row.try_get(3)?,
        })
    };
    rows.iter().map(row_of).collect()
}

const MARK_PUBLISHED: &str = "update outbox set published_at = clock_timestamp() where id = any($1)";

pub async fn mark_published(database: &Database, ids: &[Uuid]) -> Result<(), StorageError> {
    database.client().await?.execute(MARK_PUBLISHED, &[&ids]).await?;
    Ok(())
}

const PUBLISH_AGAIN: &str = "\
update outbox set published_at = null where id in (
    select id from outbox where published_at is not null order by published_at limit $1
)";

/// After Redis lost its data: some of what is still here is published once more; answers how many.
pub async fn publish_again(database: &Database, limit: i64) -> Result<u64, StorageError> {
    database.client().await?.execute(PUBLISH_AGAIN, &[&limit]).await
}

const FORGET_PUBLISHED: &str = "\
delete from outbox where id in (
    select id from outbox where published_at < clock_timestamp() - interval '1 hour' order by published_at limit $1
)";

/// Removes some of what Redis has had for long; answers how many.
pub async fn forget_published(database: &Database, limit: i64) -> Result<u64, StorageError> {
    database.client().await?.execute(FORGET_PUBLISHED, &[&limit]).await
}

const COUNT_SURPLUS: &str = "select greatest(count(*) - $1, 0) from outbox";
const DROP_PUBLISHED: &str = "\
delete from outbox where id in (select id from outbox where published_at is not null order by published_at limit $1)";

/// Counts for itself: another node may have removed the surplus meanwhile, and what waits goes only where nothing else is left.
const DROP_WAITING: &str = "\
delete from outbox where id in (
    select id from outbox where published_at is null order by created_at, id
    limit least($2, greatest((select count(*) from outbox) - $1, 0)))
  and not exists (select from outbox where published_at is not null)";

/// What a bound cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Would have been published again if Redis had lost its data.
    pub published: u64,
    /// Nobody who subscribes hears of these any more.
    pub waiting: u64,
}

/// Removes the oldest rows beyond `rows_max`, `limit` at most: the published ones first.
pub async fn drop_surplus(database: &Database, rows_max: i64, limit: i64) -> Result<Dropped, StorageError> {
    let client = database.client().await?;
    let surplus: i64 = client.query_one(COUNT_SURPLUS, &[&rows_max]).await?.try_get(0)?;
    let surplus = surplus.min(limit);
    if surplus == 0 {
        return Ok(Dropped::default());
    }
    let published = client.execute(DROP_PUBLISHED, &[&surplus]).await?;
    let waiting = if published == 0 { client.execute(DROP_WAITING, &[&rows_max, &limit]).await? } else { 0 };
    Ok(Dropped { published, waiting })
}

const MEASURE_WAITING: &str = "\
select count(*), coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8
from (select created_at from outbox where published_at is null order by created_at, id limit $1) waiting";

/// How many rows wait, counted up to `most`, and for how many seconds the oldest has.
pub async fn measure_waiting(database: &Database, most: i64) -> Result<(i64, f64), StorageError> {
    let row = database.client().await?.query_one(MEASURE_WAITING, &[&most]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
