//! How much a shard holds, as PostgreSQL estimates it: counting would read all of it.

use super::Shard;
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[READ_SIZES];

#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub conversations: i64,
    pub entries: i64,
}

const READ_SIZES: &str = "\
select coalesce(sum(n_live_tup) filter (where relname = 'conversation'), 0)::int8,
       coalesce(sum(n_live_tup) filter (where relname ~ '^entry_[0-9]+$'), 0)::int8
from pg_stat_user_tables";

pub async fn read_sizes(shard: &Shard) -> Result<Sizes, StorageError> {
    let client = shard.client().await?;
    let row = client.query_one(READ_SIZES, &[]).await?;
    Ok(Sizes { conversations: row.try_get(0)?, entries: row.try_get(1)? })
}
