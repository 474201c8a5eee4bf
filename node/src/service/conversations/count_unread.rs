//! Counts what a user has not read, from positions, in all conversations.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use futures_util::future::try_join_all;

use crate::app::App;
use crate::domain::{ConversationId, UserId};
use crate::error::Result;
use crate::service::ask_shards::by_shard;
use crate::storage::directory::read_listing;
use crate::storage::shard::read_states;
use crate::storage::{ShardId, StorageError};

/// Unread messages: only conversations that have some.
pub async fn count_unread(app: &App, user: UserId) -> Result<HashMap<ConversationId, i64>> {
    let begun = Instant::now();
    let mut lost: BTreeSet<ShardId> = BTreeSet::new();
    let ids = by_shard(app, read_listing::read_listed(&app.directory, user).await?, &mut lost);
    if !lost.is_empty() {
        return Err(StorageError::Unavailable(None).into());
    }
    let reads = ids.iter().filter_map(|(id, ids)| Some((app.shards.get(*id)?, ids)));
    let reads = reads.map(async |(shard, ids)| read_states::read_unread(shard, user, ids).await);
    let counts: HashMap<_, _> = try_join_all(reads).await?.into_iter().flatten().collect();
    app.away.remember_total(user, begun, counts.clone());
    Ok(counts)
}

/// The total, at most 10 s old, in which one conversation counts what is known of it now. `None` while it cannot be counted.
pub async fn total_unread(app: &App, user: UserId, conversation: ConversationId, unread_count: i64) -> Option<i64> {
    if let Some(total) = app.away.total(user, conversation, unread_count) {
        return Some(total);
    }
    match count_unread(app, user).await {
        Ok(counts) => Some(
            counts.iter().filter(|(id, _)| **id != conversation).map(|(_, count)| *count).sum::<i64>() + unread_count,
        ),
        Err(error) => {
            tracing::debug!(%error, "the total of unread messages cannot be counted");
            None
        }
    }
}
