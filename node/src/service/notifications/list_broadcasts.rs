//! The history of broadcasts: all of it for administrators, for others what came after their account was made.

use crate::app::App;
use crate::auth::Caller;
use crate::error::Result;
use crate::storage::directory::broadcasts::{self, Broadcast};

/// Newest first, with numbers below `before`.
pub async fn list_broadcasts(app: &App, caller: &Caller, before: Option<i64>, limit: usize) -> Result<Vec<Broadcast>> {
    let before = before.unwrap_or(i64::MAX);
    Ok(broadcasts::list_broadcasts(&app.directory, caller.user, caller.is_admin(), before, limit).await?)
}
