//! Marks a notification as read.

use crate::app::App;
use crate::domain::ids::NotificationId;
use crate::domain::notification::Notification;
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::storage::directory::notifications;

/// The notification as it is then.
pub async fn read_notification(app: &App, user: UserId, id: NotificationId) -> Result<Notification> {
    let read = notifications::read_notification(&app.directory, user, id).await?;
    Ok(read.ok_or(Refusal::NotFound)?)
}
