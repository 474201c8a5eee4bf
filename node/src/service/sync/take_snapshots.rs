//! The snapshots of the shards that a sync is about, taken before anything else of it is read.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use crate::app::App;
use crate::domain::cursor::Snapshot;
use crate::storage::shard::read_snapshot::read_snapshot;
use crate::storage::{ShardId, StorageError};

/// A shard that has not answered by then is told of later.
const SHARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Shards at the beginning of a sync.
pub struct Snapshots {
    pub taken: Vec<(ShardId, Snapshot)>,
    /// Those that do not answer.
    pub lost: BTreeSet<ShardId>,
}

pub async fn take_snapshots(app: &App, ids: impl Iterator<Item = ShardId>) -> Snapshots {
    let reads = ids.filter_map(|id| app.shards.get(id)).map(async |shard| {
        let snapshot = tokio::time::timeout(SHARD_TIMEOUT, read_snapshot(shard)).await;
        (shard.id, snapshot.unwrap_or(Err(StorageError::Unavailable(None))))
    });
    let mut snapshots = Snapshots { taken: Vec::new(), lost: BTreeSet::new() };
    for (id, snapshot) in join_all(reads).await {
        match snapshot {
            Ok(snapshot) => snapshots.taken.push((id, snapshot)),
            Err(error) => {
                tracing::debug!(shard = id.0, %error, "a sync goes without this shard");
                snapshots.lost.insert(id);
            }
        }
    }
    snapshots
}
