//! Publishes what waits in the outboxes of the directory and of the shards, at least once. One node does it at a time, by a lock in
//! Redis that saves work and guards nothing: what is published twice is known by its id.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use herald_router::Lock;
use serde_json::Value;

use super::outboxes::outboxes;
use super::publish::{envelope, has_room, publish};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::feed::load_subscriptions::load_subscriptions;
use crate::storage::Database;
use crate::storage::outbox::{self, OutboxRow};

/// How often outboxes are looked at while somebody subscribes, and while nobody does: rows may be left from before.
const INTERVAL: Duration = Duration::from_millis(300);
const IDLE_INTERVAL: Duration = Duration::from_secs(10);
/// Of up to 16 KiB each.
const ROWS_AT_ONCE: i64 = 100;
const ROWS_AGAIN_AT_ONCE: i64 = 5_000;
const LOCK: &str = "relay_topics";
const LOCKED_FOR: Duration = Duration::from_secs(5);

/// The lock, and the names of databases of which Redis has all that their outboxes have as published: the lock's value. A Redis that
/// lost its data lacks it.
struct Turn {
    lock: Lock,
    whole: BTreeSet<String>,
}

pub fn start(app: &Arc<App>) {
    let app = Arc::clone(app);
    app.tasks.clone().spawn("relay_topics", async move {
        loop {
            let pause = if app.subscriptions.has_any() { INTERVAL } else { IDLE_INTERVAL };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = app.tasks.stopping() => return,
            }
            if let Err(error) = relay(&app).await {
                let cause: &dyn std::error::Error = &error;
                tracing::debug!(error = cause, "events wait in their outboxes");
            }
        }
    });
}

async fn relay(app: &App) -> Result<()> {
    let Some(lock) = app.router.try_lock(LOCK, LOCKED_FOR).await? else { return Ok(()) };
    let whole = lock.value.split(' ').map(str::to_owned).collect();
    let mut turn = Turn { lock, whole };
    let outcome = relay_all(app, &mut turn).await;
    hold(app, &turn).await?;
    app.router.unlock(turn.lock).await?;
    outcome
}

/// Prolongs the turn and writes down how far it got. False: it is another node's.
async fn hold(app: &App, turn: &Turn) -> Result<bool> {
    let whole: Vec<&str> = turn.whole.iter().map(String::as_str).collect();
    Ok(app.router.renew_lock(&turn.lock, LOCKED_FOR, &whole.join(" ")).await?)
}

/// A database that is away holds up no other; the first failure is answered.
async fn relay_all(app: &App, turn: &mut Turn) -> Result<()> {
    let mut outcome = Ok(());
    for database in outboxes(app) {
        match relay_one(app, turn, database).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error @ Error::Router(_)) => return Err(error),
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    outcome
}

/// False: this node is not to go on now.
async fn relay_one(app: &App, turn: &mut Turn, database: &Database) -> Result<bool> {
    let name = database.name().replace(' ', "_");
    if !turn.whole.contains(&name) {
        while outbox::publish_again(database, ROWS_AGAIN_AT_ONCE).await? > 0 {
            if app.tasks.is_stopping() || !hold(app, turn).await? {
                return Ok(false);
            }
        }
        turn.whole.insert(name);
    }
    loop {
        let rows = outbox::read_waiting(database, ROWS_AT_ONCE).await?;
        if rows.is_empty() {
            return Ok(true);
        }
        // Another node may have heard of a subscription before this one, and written rows for it.
        load_subscriptions(app).await?;
        if !has_room(app).await? {
            return Ok(false);
        }
        publish(app, &rows.iter().map(event_of).collect::<Vec<_>>()).await?;
        outbox::mark_published(database, &rows.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
        metrics::counter!("herald_topics_published_total").increment(u64::try_from(rows.len()).unwrap_or(0));
        if app.tasks.is_stopping() || !hold(app, turn).await? {
            return Ok(false);
        }
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) < ROWS_AT_ONCE {
            return Ok(true);
        }
    }
}

fn event_of(row: &OutboxRow) -> (String, String) {
    let data: Value = serde_json::from_str(&row.payload).unwrap_or(Value::Null);
    (row.topic.clone(), envelope(row.id, row.created_at, &data))
}
