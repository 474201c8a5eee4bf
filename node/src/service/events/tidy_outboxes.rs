//! Keeps bounded what events leave behind: rows of outboxes, what consumers have done, dead letters.

use crate::app::App;
use crate::error::Result;
use crate::storage::directory::topics;
use crate::storage::{Database, outbox};

/// Rows of one statement.
const ROWS_AT_ONCE: i64 = 5_000;

pub async fn tidy_outboxes(app: &App) -> Result<()> {
    let shards = app.shards.all().iter().map(|shard| shard.database());
    for database in std::iter::once(app.directory.database()).chain(shards) {
        // One that is away has its turn when it is back.
        if let Err(error) = tidy_outbox(app, database).await {
            let cause: &dyn std::error::Error = &error;
            tracing::debug!(error = cause, database = database.name(), "old events stay for now");
        }
    }
    while topics::forget_handled(&app.directory, ROWS_AT_ONCE).await? > 0 {}
    while topics::forget_dead(&app.directory, ROWS_AT_ONCE).await? > 0 {}
    Ok(())
}

async fn tidy_outbox(app: &App, database: &Database) -> Result<()> {
    while outbox::forget_published(database, ROWS_AT_ONCE).await? > 0 {}
    let rows_max = i64::from(app.config.events.outbox_rows_max);
    loop {
        let dropped = outbox::drop_surplus(database, rows_max, ROWS_AT_ONCE).await?;
        if dropped.waiting > 0 {
            tracing::warn!(
                database = database.name(),
                events = dropped.waiting,
                "events were dropped: too many waited"
            );
            metrics::counter!("herald_topics_dropped_total", "database" => database.name().to_owned())
                .increment(dropped.waiting);
        }
        if dropped == outbox::Dropped::default() {
            return Ok(());
        }
    }
}
