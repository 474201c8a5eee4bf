//! Removes old notifications and reports, some at a time. Broadcasts and the audit log stay.

use std::time::Duration;

use crate::app::App;
use crate::error::Result;
use crate::storage::directory::{events, notifications};

/// How long a notification is in its user's list.
const NOTIFICATIONS_KEPT: Duration = Duration::from_hours(180 * 24);
/// How long reports can be asked for.
const EVENTS_KEPT: Duration = Duration::from_hours(30 * 24);
/// Rows of one statement and round; a busy cluster writes fewer in a minute.
const ROWS_AT_ONCE: i64 = 10_000;

pub async fn forget_old(app: &App) -> Result<()> {
    notifications::forget_notifications(&app.directory, NOTIFICATIONS_KEPT, ROWS_AT_ONCE).await?;
    events::forget_events(&app.directory, EVENTS_KEPT, ROWS_AT_ONCE).await?;
    Ok(())
}
