//! Who is calling with a token of another issuer? Its keys say whether it is genuine; the account is made on first sight, and kept
//! in memory for a while, so that not every call asks the directory.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::app::App;
use crate::auth::Caller;
use crate::auth::issuers::{Checked, ForeignToken};
use crate::domain::{LoginId, Refusal, UserId};
use crate::error::Result;
use crate::memory::foreign_users::ForeignUser;
use crate::storage::directory::accounts::find_or_insert_foreign;

/// Roles that were changed within this time before the account was read may not have been in it yet.
const ROLES_MARGIN: Duration = Duration::from_mins(1);

/// The caller, if another issuer vouches for it. Whether its user is still let in is for `authenticate` to say.
pub async fn accept_foreign(app: &App, text: &str) -> Result<Caller> {
    let issuer = app.issuers.claimed_by(text).ok_or(Refusal::Unauthorized)?;
    let mut checked = issuer.check(text, app.clock.now());
    if checked == Checked::UnknownKey {
        issuer.renew().await;
        checked = issuer.check(text, app.clock.now());
    }
    match checked {
        Checked::Good(token) => caller_of(app, token).await,
        // Not a single key could be read yet: nobody can say whether it is good.
        Checked::UnknownKey if issuer.is_unknown() => Err(Refusal::Unavailable.into()),
        Checked::UnknownKey | Checked::Bad => Err(Refusal::Unauthorized.into()),
    }
}

async fn caller_of(app: &App, token: ForeignToken) -> Result<Caller> {
    let user = find_user(app, &token).await?;
    let newer = app.standing.roles_since(token.user, user.read_at.minus(ROLES_MARGIN));
    let name = app.standing.name_since(token.user, user.read_at);
    Ok(Caller {
        user: token.user,
        login: login_of(token.user),
        username: user.username,
        display_name: name.unwrap_or(user.display_name),
        named_at: user.read_at,
        roles: newer.unwrap_or_else(|| user.roles.to_vec()),
        expires_at: token.expires_at,
    })
}

async fn find_user(app: &App, token: &ForeignToken) -> Result<ForeignUser> {
    let now = app.clock.now();
    if let Some(user) = app.foreign_users.get(token.user, now) {
        return Ok(user);
    }
    let account = find_or_insert_foreign(&app.directory, token.user, &token.display_name, now).await?;
    if account.is_out {
        // Perhaps before the feed of changes has said so.
        return Err(Refusal::Unauthorized.into());
    }
    let user = ForeignUser {
        username: account.username.map(Arc::from),
        display_name: Arc::from(account.display_name),
        roles: account.roles.into(),
        read_at: now,
    };
    app.foreign_users.remember(token.user, user.clone());
    Ok(user)
}

/// They have no logins here. What stands in the place of one is the same for all tokens of a user, and no login's.
fn login_of(user: UserId) -> LoginId {
    LoginId(Uuid::new_v5(&user.0, b"a login elsewhere"))
}
