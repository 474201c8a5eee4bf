//! Keeps what a user reports.

use crate::app::App;
use crate::domain::event::{Event, NewEvent};
use crate::domain::topic::Topic;
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::service::limits::check_rate::check_event;
use crate::storage::directory::events::insert_event;

pub async fn report_event(app: &App, user: UserId, new: &NewEvent) -> Result<Event> {
    check_event(app, user).await.map_err(|retry_after_ms| Refusal::RateLimited { retry_after_ms })?;
    let topic = Topic::Event.to_string();
    let topic = app.subscriptions.wants(&topic).then_some(topic);
    Ok(insert_event(&app.directory, user, new, topic.as_deref()).await?)
}
