//! `/users`: the caller's own account, and what is shown of others.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::extract::{Json, Path};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::auth::password::Password;
use crate::domain::patch::Patch;
use crate::domain::profile::Profile;
use crate::domain::{Timestamp, UserId};
use crate::service::accounts::change_profile::{ProfileChange, read_own_account};
use crate::service::accounts::issue_tokens::{Account, Origin};
use crate::service::accounts::{change_password, change_profile};
use crate::service::people::read_profile::read_profile;

/// The caller's own account: a User and what only its owner sees.
#[derive(Serialize)]
pub struct UserBody {
    id: UserId,
    username: Option<String>,
    display_name: String,
    avatar_url: Option<String>,
    status_text: Option<String>,
    created_at: Timestamp,
    email: Option<String>,
    roles: Vec<String>,
    read_receipts: bool,
}

impl From<Account> for UserBody {
    fn from(account: Account) -> Self {
        Self {
            id: account.id,
            username: account.username,
            display_name: account.display_name,
            avatar_url: account.avatar_url,
            status_text: account.status_text,
            created_at: account.created_at,
            email: account.email,
            roles: account.roles,
            read_receipts: account.read_receipts,
        }
    }
}

pub async fn me(State(app): State<Arc<App>>, caller: Caller) -> HttpResult<Json<UserBody>> {
    Ok(Json(read_own_account(&app, &caller).await?.into()))
}

#[derive(Deserialize)]
pub struct PatchBody {
    display_name: Option<String>,
    #[serde(default)]
    avatar_url: Patch<String>,
    #[serde(default)]
    status_text: Patch<String>,
    read_receipts: Option<bool>,
}

pub async fn patch_me(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<PatchBody>,
) -> HttpResult<Json<UserBody>> {
    let change = ProfileChange {
        display_name: body.display_name,
        avatar_url: body.avatar_url,
        status_text: body.status_text,
        read_receipts: body.read_receipts,
    };
    Ok(Json(change_profile::change_profile(&app, &caller, &change).await?.into()))
}

#[derive(Deserialize)]
pub struct PasswordBody {
    current_password: String,
    new_password: String,
}

pub async fn change_password(
    State(app): State<Arc<App>>,
    caller: Caller,
    origin: Origin,
    Json(body): Json<PasswordBody>,
) -> HttpResult<StatusCode> {
    let new = Password::parse("new_password", &body.new_password)?;
    change_password::change_password(&app, &caller, &body.current_password, new, origin.address).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn one(State(app): State<Arc<App>>, _: Caller, Path(user): Path<UserId>) -> HttpResult<Json<Profile>> {
    Ok(Json(read_profile(&app, user).await?))
}
