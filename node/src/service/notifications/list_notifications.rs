//! What a user was told, its own and what everyone was told.

use crate::app::App;
use crate::domain::ids::NotificationId;
use crate::domain::notification::Notification;
use crate::domain::{Timestamp, UserId};
use crate::error::Result;
use crate::storage::directory::notifications;

/// Newest first, `before` the last one of the page before.
pub async fn list_notifications(
    app: &App,
    user: UserId,
    before: (Timestamp, NotificationId),
    is_unread_only: bool,
    limit: usize,
) -> Result<Vec<Notification>> {
    Ok(notifications::list_notifications(&app.directory, user, before, is_unread_only, limit).await?)
}
