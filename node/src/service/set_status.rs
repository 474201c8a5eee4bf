//! Chooses a status: one per user, kept until another is chosen.

use std::time::Instant;

use crate::app::App;
use crate::domain::UserId;
use crate::error::Result;
use crate::presence::Cause;

/// What a user may choose; others see `invisible` as offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChosenStatus {
    Online,
    Away,
    Busy,
    Invisible,
}

impl ChosenStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Away => "away",
            Self::Busy => "busy",
            Self::Invisible => "invisible",
        }
    }
}

/// Keeps the choice and lets friends know within a second.
pub async fn set_status(app: &App, user: UserId, status: ChosenStatus) -> Result<()> {
    app.router.set_status(user.0, status.as_str()).await?;
    app.presence.note(user, Cause::Chosen, Instant::now());
    Ok(())
}
