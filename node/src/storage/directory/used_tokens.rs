//! Single-use tokens that were used: decided here while Redis is away, and written down here always.

use std::time::Duration;

use uuid::Uuid;

use super::Directory;
use crate::domain::Timestamp;
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[USE_TOKEN, WRITE_USED, FORGET_USED];

const USE_TOKEN: &str = "insert into used_token (id) values ($1) on conflict (id) do nothing";

const WRITE_USED: &str = "insert into used_token (id) select unnest($1::uuid[]) on conflict (id) do nothing";

const FORGET_USED: &str = "delete from used_token where used_at < $1";

/// True for the first use.
pub async fn use_token(directory: &Directory, token: Uuid) -> Result<bool, StorageError> {
    let client = directory.client().await?;
    Ok(client.execute(USE_TOKEN, &[&token]).await? == 1)
}

pub async fn write_used(directory: &Directory, tokens: &[Uuid]) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(WRITE_USED, &[&tokens]).await?;
    Ok(())
}

/// Removes uses older than any token's life.
pub async fn forget_used(directory: &Directory, now: Timestamp, life: Duration) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(FORGET_USED, &[&now.minus(life)]).await?;
    Ok(())
}
