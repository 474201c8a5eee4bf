//! Deletes a notification for one user, on all devices.

use crate::app::App;
use crate::domain::ids::NotificationId;
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::protocol::server::{NotificationsDeletedData, notifications_deleted};
use crate::service::delivery::signal::signal_users;
use crate::storage::directory::notifications;

pub async fn delete_notification(app: &App, user: UserId, id: NotificationId) -> Result<()> {
    if !notifications::delete_notification(&app.directory, user, id).await? {
        return Err(Refusal::NotFound.into());
    }
    let frame = notifications_deleted(&NotificationsDeletedData { notification_ids: &[id] });
    signal_users(app, &[user], &frame, None).await;
    Ok(())
}
