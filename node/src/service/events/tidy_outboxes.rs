//! Keeps bounded what events leave behind: rows of outboxes, what consumers have done, dead letters.

use super::outboxes::outboxes;
use crate::app::App;
use crate::error::Result;
use crate::storage::directory::topics;
use crate::storage::error::cause;
use crate::storage::{Database, outbox};

/// Rows of one statement.
const ROWS_AT_ONCE: i64 = 5_000;

pub async fn tidy_outboxes(app: &App) -> Result<()> {
    for database in outboxes(app) {
        // One that is away has its turn when it is back.
        if let Err(error) = tidy_outbox(app, database).await {
            tracing::debug!(error = cause(&error), database = database.name(), "old events stay for now");
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
