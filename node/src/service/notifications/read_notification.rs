//! Marks a notification as read, on all devices.

use crate::app::App;
use crate::domain::ids::NotificationId;
use crate::domain::notification::Notification;
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::protocol::server::{NotificationsReadData, notifications_read};
use crate::service::delivery::signal::signal_users;
use crate::storage::directory::notifications;

/// The notification as it is then.
pub async fn read_notification(app: &App, user: UserId, id: NotificationId) -> Result<Notification> {
    let read = notifications::read_notification(&app.directory, user, id).await?.ok_or(Refusal::NotFound)?;
    let frame = notifications_read(&NotificationsReadData { all: false, notification_ids: &[id] });
    signal_users(app, &[user], &frame, None).await;
    Ok(read)
}
