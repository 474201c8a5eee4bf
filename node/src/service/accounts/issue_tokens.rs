//! What a login, a registration and a refresh give: an access token and a refresh token.

use std::net::IpAddr;
use std::time::Duration;

use crate::app::App;
use crate::auth::refresh::RefreshToken;
use crate::auth::tokens::{Bearer, sign_access};
use crate::domain::{LoginId, Refusal};
use crate::error::{Error, Result};
pub use crate::storage::directory::accounts::Account;
use crate::storage::directory::logins::{NewLogin, insert_login};

/// Longest name of a device that is kept, in code points.
const DEVICE_MAX: usize = 200;

/// Where a call comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    pub address: IpAddr,
    /// What the client says that it is.
    pub device: Option<String>,
}

/// A pair of tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access_token: String,
    pub refresh_token: String,
    /// Seconds until the access token ends.
    pub expires_in: u64,
}

/// Begins a login for an account whose password was checked against `account.password_hash`. `None`: it was changed meanwhile, or the
/// user was disabled.
pub async fn begin_login(app: &App, account: &Account, origin: &Origin) -> Result<Option<Tokens>> {
    let Some(password_hash) = &account.password_hash else {
        return Ok(None);
    };
    let login = LoginId::random();
    let refresh = RefreshToken::first(&app.keys, login).ok_or(Refusal::Internal)?;
    let row = NewLogin {
        id: login,
        user: account.id,
        device: origin.device.as_ref().map(|device| device.chars().take(DEVICE_MAX).collect()),
        address: Some(origin.address.to_string()),
        refresh_hash: refresh.hash(),
    };
    if !insert_login(&app.directory, &row, password_hash, app.clock.now()).await? {
        return Ok(None);
    }
    issue_tokens(app, account, &refresh).map(Some)
}

/// The pair for a login whose refresh token is `refresh`.
pub fn issue_tokens(app: &App, account: &Account, refresh: &RefreshToken) -> Result<Tokens> {
    let expires_in = app.config.auth.access_token_s;
    let bearer = Bearer {
        user: account.id,
        login: refresh.login(),
        username: account.username.as_deref(),
        display_name: &account.display_name,
        roles: &account.roles,
    };
    let life = Duration::from_secs(expires_in);
    let access_token = sign_access(&app.keys, &bearer, app.clock.now(), life).map_err(Error::internal)?;
    Ok(Tokens { access_token, refresh_token: refresh.text(), expires_in })
}
