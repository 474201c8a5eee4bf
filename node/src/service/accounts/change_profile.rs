//! The caller's own account: shown and changed.

use crate::app::App;
use crate::auth::Caller;
use crate::domain::Refusal;
use crate::domain::text::{AVATAR_URL_MAX, DISPLAY_NAME_MAX, STATUS_TEXT_MAX, check_length};
use crate::error::Result;
use crate::service::feed::follow_changes::hasten;
pub use crate::storage::directory::accounts::ProfileChange;
use crate::storage::directory::accounts::{self, Account};

pub async fn read_own_account(app: &App, caller: &Caller) -> Result<Account> {
    let account = accounts::read_account(&app.directory, caller.user).await?;
    Ok(account.ok_or(Refusal::NotFound)?)
}

/// The account as it is then.
pub async fn change_profile(app: &App, caller: &Caller, change: &ProfileChange) -> Result<Account> {
    if let Some(name) = &change.display_name {
        check_length("display_name", name, 1, DISPLAY_NAME_MAX)?;
    }
    if let Some(url) = change.avatar_url.value() {
        check_length("avatar_url", url, 0, AVATAR_URL_MAX)?;
    }
    if let Some(text) = change.status_text.value() {
        check_length("status_text", text, 0, STATUS_TEXT_MAX)?;
    }
    let account = accounts::update_profile(&app.directory, caller.user, change).await?;
    app.foreign_users.forget(caller.user);
    let account = account.ok_or(Refusal::NotFound)?;
    if change.display_name.is_some() {
        // What is sent from now on names the sender so, whatever its token says.
        app.standing.set_name(caller.user, app.clock.now(), account.display_name.as_str().into());
        hasten(app);
    }
    Ok(account)
}
