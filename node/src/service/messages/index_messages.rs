//! Keeps the search index: every few seconds what this node has committed, and now and then whatever was left out. Searches read what
//! is not indexed yet from the log, so nothing depends on it but their speed; therefore it gives way to all else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::domain::ConversationId;
use crate::storage::error::cause;
use crate::storage::shard::Shard;
use crate::storage::shard::index_logs::{LOGS_MAX, index_logs, read_unindexed};

/// Between two rounds over what was committed: a conversation in which much is written is indexed once for all of it.
const INTERVAL: Duration = Duration::from_secs(5);
/// After each transaction, as a multiple of its time.
const REST: u32 = 3;
/// The first look for what was left out, and the others.
const FIRST_SWEEP: Duration = Duration::from_secs(20);
const SWEEP_INTERVAL: Duration = Duration::from_hours(1);
const LOCK: &str = "search-sweep";
const LOCKED_FOR: Duration = Duration::from_mins(1);
/// Conversations looked at by one statement of a sweep.
const SWEPT_AT_ONCE: i64 = 2_000;

/// Starts both.
pub fn start(app: &Arc<App>) {
    let task_app = Arc::clone(app);
    app.tasks.spawn("index", async move {
        while pause(&task_app, INTERVAL).await {
            index_noted(&task_app).await;
        }
    });
    let task_app = Arc::clone(app);
    app.tasks.spawn("index-sweep", async move {
        let mut interval = FIRST_SWEEP;
        while pause(&task_app, interval).await {
            interval = SWEEP_INTERVAL;
            // The lock saves work, it guards nothing: without Redis every node sweeps.
            if !matches!(task_app.router.try_lock(LOCK, LOCKED_FOR).await, Ok(None)) {
                sweep(&task_app).await;
            }
        }
    });
}

/// False: the node stops.
async fn pause(app: &App, time: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = app.tasks.stopping() => false,
    }
}

async fn index_noted(app: &App) {
    for shard in app.shards.all() {
        let is_here = |id: &ConversationId| app.shards.id_of(id.slot()) == Some(shard.id);
        let noted = app.search_notes.take(is_here);
        for (place, part) in noted.chunks(LOGS_MAX).enumerate() {
            match index(app, shard, part).await {
                Some(again) => app.search_notes.put_back(again),
                None => {
                    // The shard is away: with the next round.
                    return app.search_notes.put_back(noted.iter().skip(place * LOGS_MAX).copied());
                }
            }
        }
    }
}

/// One transaction and its rest. None: it failed, or the node stops.
async fn index(app: &App, shard: &Shard, ids: &[ConversationId]) -> Option<Vec<ConversationId>> {
    let begun = Instant::now();
    let done = index_logs(shard, ids).await;
    let took = begun.elapsed();
    metrics::histogram!("herald_search_index_seconds", "shard" => shard.name.clone()).record(took.as_secs_f64());
    match done {
        Ok(again) => pause(app, took * REST).await.then_some(again),
        Err(error) => {
            tracing::debug!(shard = shard.name, error = cause(&error), "logs could not be indexed");
            None
        }
    }
}

/// Looks at all conversations, and indexes those whose index does not reach their end: after a crash, and when the index is new.
async fn sweep(app: &App) {
    for shard in app.shards.all() {
        let mut after = Some(ConversationId(uuid::Uuid::nil()));
        while let Some(place) = after {
            let (behind, last) = match read_unindexed(shard, place, SWEPT_AT_ONCE).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(shard = shard.name, error = cause(&error), "a sweep of the index stopped");
                    break;
                }
            };
            after = last;
            let mut behind = behind;
            while !behind.is_empty() {
                let part: Vec<_> = behind.drain(..behind.len().min(LOGS_MAX)).collect();
                // What has much more, or what another node is at, comes again.
                let Some(again) = index(app, shard, &part).await else { return };
                behind.extend(again);
            }
            if !pause(app, Duration::from_millis(10)).await {
                return;
            }
        }
    }
}
