//! The caller's logins that stand.

use std::time::Duration;

use crate::app::App;
use crate::auth::Caller;
use crate::domain::{LoginId, Timestamp};
use crate::error::Result;
use crate::storage::directory::logins;
pub use crate::storage::directory::logins::Login;

/// Newest first, `after` the last one of the page before.
pub async fn list_logins(
    app: &App,
    caller: &Caller,
    after: Option<(Timestamp, LoginId)>,
    limit: usize,
) -> Result<Vec<Login>> {
    let life = Duration::from_secs(app.config.auth.refresh_token_s);
    let used_since = app.clock.now().minus(life);
    Ok(logins::list_logins(&app.directory, caller.user, used_since, after, limit).await?)
}
