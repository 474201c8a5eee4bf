//! The caller's own account: shown and changed.

use std::sync::Arc;

use crate::app::App;
use crate::auth::Caller;
use crate::domain::Refusal;
use crate::domain::profile::Profile;
use crate::domain::text::{AVATAR_URL_MAX, DISPLAY_NAME_MAX, STATUS_TEXT_MAX, check_length};
use crate::error::Result;
use crate::protocol::server::{UserUpdatedData, user_updated};
use crate::service::conversations::tell_positions::tell_all_positions;
use crate::service::delivery::signal::signal_users;
use crate::service::feed::follow_changes::hasten;
use crate::service::people::look_up_pairs::friends_of;
pub use crate::storage::directory::accounts::ProfileChange;
use crate::storage::directory::accounts::{self, Account};

/// Friends who are told of a changed profile; others see it where they look.
const FRIENDS_TOLD_MAX: usize = 1_000;

pub async fn read_own_account(app: &App, caller: &Caller) -> Result<Account> {
    let account = accounts::read_account(&app.directory, caller.user).await?;
    Ok(account.ok_or(Refusal::NotFound)?)
}

/// The account as it is then.
pub async fn change_profile(app: &Arc<App>, caller: &Caller, change: &ProfileChange) -> Result<Account> {
    if let Some(name) = &change.display_name {
        check_length("display_name", name, 1, DISPLAY_NAME_MAX)?;
    }
    if let Some(url) = change.avatar_url.value() {
        check_length("avatar_url", url, 0, AVATAR_URL_MAX)?;
    }
    if let Some(text) = change.status_text.value() {
        check_length("status_text", text, 0, STATUS_TEXT_MAX)?;
    }
    let had_receipts = match change.read_receipts {
        Some(_) => Some(read_own_account(app, caller).await?.read_receipts),
        None => None,
    };
    let account = accounts::update_profile(&app.directory, caller.user, change).await?;
    app.foreign_users.forget(caller.user);
    let account = account.ok_or(Refusal::NotFound)?;
    if change.display_name.is_some() {
        // What is sent from now on names the sender so, whatever its token says.
        app.standing.set_name(caller.user, app.clock.now(), account.display_name.as_str().into());
        hasten(app);
    }
    let is_seen = change.display_name.is_some() || !change.avatar_url.is_keep() || !change.status_text.is_keep();
    tell(app, &account, is_seen).await;
    if had_receipts.is_some_and(|had| had != account.read_receipts) {
        let (then, actor) = (Arc::clone(app), caller.actor());
        app.tasks.spawn("tell-positions", async move {
            if let Err(error) = tell_all_positions(&then, actor).await {
                tracing::debug!(%error, "not all are told of positions that may be seen again");
            }
        });
    }
    Ok(account)
}

/// The user's own devices show the account as it is now, and friends the profile, where they see a difference.
async fn tell(app: &App, account: &Account, is_seen_by_friends: bool) {
    let user = Profile {
        id: account.id,
        username: account.username.clone(),
        display_name: account.display_name.clone(),
        avatar_url: account.avatar_url.clone(),
        status_text: account.status_text.clone(),
        created_at: account.created_at,
        is_out: account.is_out,
    };
    let own = UserUpdatedData { user: &user, read_receipts: Some(account.read_receipts) };
    signal_users(app, &[user.id], &user_updated(&own), None).await;
    if !is_seen_by_friends {
        return;
    }
    match friends_of(app, user.id).await {
        Ok(friends) => {
            let shown = UserUpdatedData { user: &user, read_receipts: None };
            let told = friends.get(..FRIENDS_TOLD_MAX).unwrap_or(&friends);
            signal_users(app, told, &user_updated(&shown), None).await;
        }
        Err(error) => tracing::debug!(%error, "friends could not be read"),
    }
}
