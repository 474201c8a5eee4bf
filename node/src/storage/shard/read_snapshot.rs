//! A shard at one moment, as cursors need it.

use crate::domain::cursor::Snapshot;
use crate::storage::StorageError;
use crate::storage::types::Xid8;

use super::Shard;

pub const STATEMENTS: &[&str] = &[SNAPSHOT];

/// `pg_walfile_name` fails on a standby: a snapshot is the primary's.
const SNAPSHOT: &str = "
    select epoch, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), pg_snapshot_xmin(pg_current_snapshot())
    from epoch where is_only";

/// Everything below the snapshot's `xmin` had ended before this returns.
pub async fn read_snapshot(shard: &Shard) -> Result<Snapshot, StorageError> {
    let client = shard.client().await?;
    let row = client.query_one(SNAPSHOT, &[]).await?;
    let timeline: String = row.try_get(1)?;
    let timeline = u32::from_str_radix(&timeline, 16).map_err(|error| StorageError::Failed(Box::new(error)))?;
    Ok(Snapshot { epoch: row.try_get(0)?, timeline, xmin: row.try_get::<_, Xid8>(2)?.0 })
}
