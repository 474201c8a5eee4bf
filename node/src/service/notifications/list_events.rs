//! What was reported, for administrators.

use crate::app::App;
use crate::domain::Timestamp;
use crate::domain::event::Event;
use crate::domain::ids::EventId;
use crate::error::Result;
use crate::storage::directory::events;
pub use crate::storage::directory::events::EventFilter;

/// Newest first, `before` the last one of the page before.
pub async fn list_events(
    app: &App,
    filter: &EventFilter,
    before: (Timestamp, EventId),
    limit: usize,
) -> Result<Vec<Event>> {
    Ok(events::list_events(&app.directory, filter, before, limit).await?)
}
