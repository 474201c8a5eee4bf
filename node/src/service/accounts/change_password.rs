//! Changes the caller's password and ends all its other logins.

use crate::app::App;
use crate::auth::Caller;
use crate::auth::password::Password;
use crate::domain::Refusal;
use crate::error::Result;
use crate::service::feed::follow_changes;
use crate::service::limits::begin_attempt::begin_attempt;
use crate::storage::directory::accounts;
use std::net::IpAddr;

pub async fn change_password(app: &App, caller: &Caller, current: &str, new: Password, address: IpAddr) -> Result<()> {
    // A stolen access token must not be a way to guess the password.
    let attempt = begin_attempt(app, &caller.user.to_string(), address).await?;
    let account = accounts::read_account(&app.directory, caller.user).await?;
    let old_hash = account.and_then(|account| account.password_hash);
    if !app.passwords.verify(Password::given(current), old_hash.clone()).await? {
        attempt.fail().await;
        return Err(Refusal::InvalidCredentials.into());
    }
    drop(attempt);
    let new_hash = app.passwords.hash(new).await?;
    let old_hash = old_hash.unwrap_or_default();
    let now = app.clock.now();
    let ended = accounts::change_password(&app.directory, caller.user, &old_hash, &new_hash, caller.login, now).await?;
    // Changed by someone else while this was checked: what was given is no longer the current password.
    let ended = ended.ok_or(Refusal::InvalidCredentials)?;
    follow_changes::announce_ended_logins(app, &ended);
    Ok(())
}
