//! Writes down what a user has received: known from Pongs and `ack`, kept by the session until then.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::app::App;
use crate::domain::{ConversationId, Seq, UserId};
use crate::storage::ShardId;
pub use crate::storage::shard::write_received::Moment;
use crate::storage::shard::write_received::write_received;

/// Conversations written by one statement.
const WRITTEN_AT_ONCE: usize = 500;

/// Writes positions down; they only move forward. Answers those that could not be written, or wait until the socket closes.
pub async fn mark_received(
    app: &App,
    user: UserId,
    positions: &[(ConversationId, Seq)],
    moment: Moment,
) -> Vec<(ConversationId, Seq)> {
    let mut unwritten = Vec::new();
    let mut by_shard: BTreeMap<ShardId, Vec<(ConversationId, Seq)>> = BTreeMap::new();
    for position in positions {
        match app.shards.id_of(position.0.slot()) {
            Some(shard) => by_shard.entry(shard).or_default().push(*position),
            None => unwritten.push(*position),
        }
    }
    let writes = by_shard.iter().map(async |(id, positions)| {
        let Some(shard) = app.shards.get(*id) else { return positions.clone() };
        let mut unwritten = Vec::new();
        for part in positions.chunks(WRITTEN_AT_ONCE) {
            match write_received(shard, user, part, moment).await {
                Ok(waiting) => unwritten.extend(waiting),
                Err(error) => {
                    tracing::debug!(shard = id.0, %error, "received positions are not written");
                    unwritten.extend_from_slice(part);
                }
            }
        }
        unwritten
    });
    unwritten.extend(join_all(writes).await.into_iter().flatten());
    unwritten
}
