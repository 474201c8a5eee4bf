//! Publishes what waits in the outboxes of the directory and of the shards, at least once. One node does it at a time, by a lock in
//! Redis that saves work and guards nothing: what is published twice is known by its id.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::App;
use crate::error::Result;
use crate::storage::outbox::{self, OutboxRow};
use crate::storage::{Database, directory};

/// How often outboxes are looked at while somebody subscribes, and while nobody does: rows may be left from before.
const INTERVAL: Duration = Duration::from_millis(300);
const IDLE_INTERVAL: Duration = Duration::from_secs(10);
const ROWS_AT_ONCE: usize = 500;
const LOCK: &str = "relay";
const LOCKED_FOR: Duration = Duration::from_secs(5);
/// What the lock's value says once Redis has all that is still in the outboxes as published. A Redis that lost its data lacks it.
const WHOLE: &str = "whole";
/// Rounds between removals of old rows.
const TIDY_ROUNDS: u32 = 200;

pub fn start(app: &Arc<App>) {
    let app = Arc::clone(app);
    app.tasks.clone().spawn("relay_topics", async move {
        let mut rounds = 0_u32;
        loop {
            let pause = if app.subscriptions.has_any() { INTERVAL } else { IDLE_INTERVAL };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = app.tasks.stopping() => return,
            }
            rounds = rounds.wrapping_add(1);
            if let Err(error) = relay(&app, rounds.is_multiple_of(TIDY_ROUNDS)).await {
                let cause: &dyn std::error::Error = &error;
                tracing::debug!(error = cause, "events wait in their outboxes");
            }
        }
    });
}

async fn relay(app: &App, is_tidy: bool) -> Result<()> {
    let Some(lock) = app.router.try_lock(LOCK, LOCKED_FOR).await? else { return Ok(()) };
    let outcome = relay_all(app, lock.value == WHOLE, is_tidy).await;
    if outcome.is_ok() {
        app.router.renew_lock(&lock, LOCKED_FOR, WHOLE).await?;
    }
    app.router.unlock(lock).await?;
    outcome
}

async fn relay_all(app: &App, is_whole: bool, is_tidy: bool) -> Result<()> {
    let shards = app.shards.all().iter().map(|shard| shard.database());
    for database in std::iter::once(app.directory.database()).chain(shards) {
        if !is_whole {
            outbox::publish_again(database).await?;
        }
        relay_one(app, database).await?;
        if is_tidy {
            outbox::forget_published(database).await?;
        }
    }
    if is_tidy {
        directory::topics::forget_handled(&app.directory).await?;
    }
    Ok(())
}

async fn relay_one(app: &App, database: &Database) -> Result<()> {
    loop {
        let rows = outbox::read_waiting(database, i64::try_from(ROWS_AT_ONCE).unwrap_or(i64::MAX)).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let entries: Vec<(String, String)> = rows.iter().map(|row| (row.topic.clone(), envelope(row))).collect();
        app.router.append_topics(&entries).await?;
        metrics::counter!("herald_topics_published_total").increment(u64::try_from(rows.len()).unwrap_or(0));
        outbox::mark_published(database, &rows.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
        if rows.len() < ROWS_AT_ONCE {
            return Ok(());
        }
    }
}

fn envelope(row: &OutboxRow) -> String {
    let data: Value = serde_json::from_str(&row.payload).unwrap_or(Value::Null);
    json!({"id": row.id, "created_at": row.created_at, "data": data}).to_string()
}
