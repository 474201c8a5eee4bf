//! Marks all that a user has been told as read.

use crate::app::App;
use crate::domain::UserId;
use crate::error::Result;
use crate::storage::directory::notifications;

pub async fn read_all_notifications(app: &App, user: UserId) -> Result<()> {
    Ok(notifications::read_all(&app.directory, user).await?)
}
