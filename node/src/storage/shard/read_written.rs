//! Which conversations anybody has written in.

use super::Shard;
use crate::domain::ConversationId;
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[WRITTEN];

const WRITTEN: &str = "select id from conversation where id = any($1) and last_seq > 0";

/// Of these conversations, those with an entry.
pub async fn read_written(shard: &Shard, ids: &[ConversationId]) -> Result<Vec<ConversationId>, StorageError> {
    let rows = shard.client().await?.query(WRITTEN, &[&ids]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
