//! Ends a login: by its refresh token (logging out), or by its owner from another device.

use crate::app::App;
use crate::auth::Caller;
use crate::auth::refresh::RefreshToken;
use crate::domain::{LoginId, Refusal};
use crate::error::Result;
use crate::service::feed::follow_changes;
use crate::storage::directory::logins;

/// Ends the login of a refresh token. One that is not ours, or whose login has ended, is no error: it is logged out.
pub async fn log_out(app: &App, token: &str) -> Result<()> {
    let Some(token) = RefreshToken::parse(token).filter(|token| token.is_genuine(&app.keys)) else {
        return Ok(());
    };
    if logins::end_login(&app.directory, token.login(), None, app.clock.now()).await? {
        follow_changes::announce_ended_logins(app, &[token.login()]);
    }
    Ok(())
}

/// Ends one of the caller's logins, this one too.
pub async fn end_login(app: &App, caller: &Caller, login: LoginId) -> Result<()> {
    if !logins::end_login(&app.directory, login, Some(caller.user), app.clock.now()).await? {
        return Err(Refusal::NotFound.into());
    }
    follow_changes::announce_ended_logins(app, &[login]);
    Ok(())
}
