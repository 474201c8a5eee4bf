//! Marks all that a user has been told as read, on all devices.

use crate::app::App;
use crate::domain::UserId;
use crate::error::Result;
use crate::protocol::server::{NotificationsReadData, notifications_read};
use crate::service::delivery::signal::signal_users;
use crate::storage::directory::notifications;

pub async fn read_all_notifications(app: &App, user: UserId) -> Result<()> {
    notifications::read_all(&app.directory, user).await?;
    let frame = notifications_read(&NotificationsReadData { all: true, notification_ids: &[] });
    signal_users(app, &[user], &frame, None).await;
    Ok(())
}
