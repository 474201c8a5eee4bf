//! Chooses a status: one per user, kept until another is chosen.

use std::time::Instant;

use crate::app::App;
use crate::domain::UserId;
use crate::domain::status::ChosenStatus;
use crate::error::Result;
use crate::memory::presence::Cause;

/// Keeps the choice and lets friends know within a second.
pub async fn set_status(app: &App, user: UserId, status: ChosenStatus) -> Result<()> {
    app.router.set_status(user.0, status.as_str()).await?;
    if status == ChosenStatus::Invisible && app.hub.has_user(user) {
        // Seen until now, as one who leaves.
        let _ = app.router.set_last_seen(&[(user.0, app.clock.now().as_millis())]).await;
    }
    app.presence.note(user, Cause::Chosen, Instant::now());
    Ok(())
}
