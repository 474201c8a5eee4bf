//! Deletes a notification for one user.

use crate::app::App;
use crate::domain::ids::NotificationId;
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::storage::directory::notifications;

pub async fn delete_notification(app: &App, user: UserId, id: NotificationId) -> Result<()> {
    if notifications::delete_notification(&app.directory, user, id).await? {
        Ok(())
    } else {
        Err(Refusal::NotFound.into())
    }
}
