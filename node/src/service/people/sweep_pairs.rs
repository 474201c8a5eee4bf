//! Finishes changes of pairs that a node began and did not live to copy into the directory's lists, and to tell of: the shard says how
//! the pair stands.

use std::sync::Arc;
use std::time::Duration;

use super::change_pair::finish_pair;
use crate::app::App;
use crate::domain::ConversationRef;
use crate::error::Result;
use crate::storage::directory::pairs::{self, PendingPair, TellWhen};
use crate::storage::shard::read_members::read_pair;

/// A change takes some seconds at most, however slow the databases are; then its node is gone or has given up.
pub const PAIR_AGE: Duration = Duration::from_secs(30);
/// Pairs of one look.
const PAIRS_MAX: i64 = 500;

/// Looks at changes that began longer ago than `age`. Answers how many were finished.
pub async fn sweep_pairs(app: &Arc<App>, age: Duration) -> Result<usize> {
    let mut finished = 0;
    for pending in pairs::read_pending(&app.directory, age, PAIRS_MAX).await? {
        match finish(app, &pending).await {
            Ok(()) => finished += 1,
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(error = cause, "a pair's change waits for its shard");
            }
        }
    }
    Ok(finished)
}

async fn finish(app: &App, pending: &PendingPair) -> Result<()> {
    let conversation = ConversationRef::direct(pending.low, pending.high).id();
    match read_pair(app.shards.of(conversation)?, conversation).await? {
        Some((_, state)) => finish_pair(app, pending, &state, TellWhen::IfNew).await,
        None => Ok(pairs::delete_pending(&app.directory, pending).await?),
    }
}
