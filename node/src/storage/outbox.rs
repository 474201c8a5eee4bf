//! Events that are still to be published, written in the transaction of what they tell of: in the directory and in every shard. Rows
//! stay a while after that, for the case that Redis loses what it was given.

use tokio_postgres::Row;
use uuid::Uuid;

use super::pool::Database;
use crate::domain::Timestamp;
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[READ_WAITING, MARK_PUBLISHED, PUBLISH_AGAIN, FORGET_PUBLISHED];

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

const PUBLISH_AGAIN: &str = "update outbox set published_at = null where published_at is not null";

/// After Redis lost its data: all that is still here is published once more.
pub async fn publish_again(database: &Database) -> Result<u64, StorageError> {
    database.client().await?.execute(PUBLISH_AGAIN, &[]).await
}

const FORGET_PUBLISHED: &str = "delete from outbox where published_at < clock_timestamp() - interval '1 hour'";

pub async fn forget_published(database: &Database) -> Result<u64, StorageError> {
    database.client().await?.execute(FORGET_PUBLISHED, &[]).await
}
