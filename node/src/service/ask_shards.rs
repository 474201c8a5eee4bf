//! Questions about many conversations are asked of their shards at once; those that do not answer are noted.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::App;
use crate::domain::ConversationId;
use crate::error::{Error, Result};
use crate::storage::{ShardId, StorageError};

/// Conversations by the shard that holds them.
pub fn by_shard(
    app: &App,
    ids: Vec<ConversationId>,
    lost: &mut BTreeSet<ShardId>,
) -> BTreeMap<ShardId, Vec<ConversationId>> {
    let mut map: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for id in ids {
        match app.shards.of(id) {
            Ok(shard) => map.entry(shard.id).or_default().push(id),
            // Nobody is known to hold its slot: some shard was away when the map was read.
            Err(_) => {
                lost.extend(app.shards.all().iter().filter(|shard| shard.database().is_away()).map(|shard| shard.id));
            }
        }
    }
    map
}

/// What all shards answered; those that did not are noted.
pub fn gather<T>(
    reads: Vec<(ShardId, std::result::Result<Vec<T>, StorageError>)>,
    lost: &mut BTreeSet<ShardId>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for (id, read) in reads {
        match read.map_err(Error::from) {
            Ok(some) => all.extend(some),
            Err(error) if error.is_passing() => {
                lost.insert(id);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
