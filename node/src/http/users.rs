//! `/users`: the caller's own account, finding others, and what is shown of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::{Json, Page, Paging, Path, Query};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::auth::password::{PASSWORD_MAX, PASSWORD_MIN, Password};
use crate::domain::patch::Patch;
use crate::domain::profile::Profile;
use crate::domain::search_name::SearchQuery;
use crate::domain::text::{AVATAR_URL_MAX, DISPLAY_NAME_MAX, STATUS_TEXT_MAX};
use crate::domain::{Refusal, Timestamp, UserId};
use crate::service::accounts::change_password;
use crate::service::accounts::issue_tokens::{Account, Origin};
use crate::service::own_data::change_profile::{ProfileChange, change_profile, read_own_account};
use crate::service::own_data::delete_account::delete_account;
use crate::service::people::read_profile::read_profile;
use crate::service::people::search_users::search_users;
use crate::service::presence::announce_presence::Seen;
use crate::service::presence::look_up_presence::look_up_presence;

/// The caller's own account: a User and what only its owner sees.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OwnAccount")]
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

#[derive(Deserialize, JsonSchema)]
pub struct PatchBody {
    #[schemars(length(min = 1, max = DISPLAY_NAME_MAX))]
    display_name: Option<String>,
    #[serde(default)]
    #[schemars(length(max = AVATAR_URL_MAX))]
    avatar_url: Patch<String>,
    #[serde(default)]
    #[schemars(length(max = STATUS_TEXT_MAX))]
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
    Ok(Json(change_profile(&app, &caller, &change).await?.into()))
}

#[derive(Deserialize, JsonSchema)]
pub struct PasswordBody {
    current_password: String,
    #[schemars(length(min = PASSWORD_MIN, max = PASSWORD_MAX))]
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

/// DELETE /users/me
pub async fn delete_me(State(app): State<Arc<App>>, caller: Caller) -> HttpResult<StatusCode> {
    delete_account(&app, caller.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, JsonSchema)]
pub struct SearchQueryParams {
    /// The beginning of a name, or something like one.
    #[schemars(with = "String", length(max = DISPLAY_NAME_MAX))]
    query: Option<String>,
}

/// GET /users?query=
pub async fn search(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(params): Query<SearchQueryParams>,
    paging: Paging,
) -> HttpResult<Json<Page<Profile>>> {
    let text = params.query.ok_or_else(|| Refusal::field("query", "is required"))?;
    let after = paging.after()?;
    let Some(query) = SearchQuery::parse("query", &text)? else {
        return Ok(Json(Page::whole(Vec::new())));
    };
    let found = search_users(&app, caller.user, &query, after, paging.limit + 1).await?;
    let page = paging.page(found, |last| last.place.clone());
    let items = page.items.into_iter().map(|found| found.user).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor }))
}

/// Users of one call of `POST /users/presence`.
const PRESENCE_MAX: usize = 200;

#[derive(Deserialize, JsonSchema)]
pub struct PresenceBody {
    #[schemars(length(max = PRESENCE_MAX))]
    user_ids: Vec<UserId>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Presence")]
pub struct PresenceJson {
    presence: BTreeMap<UserId, Seen>,
}

/// POST /users/presence
pub async fn presence(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<PresenceBody>,
) -> HttpResult<Json<PresenceJson>> {
    if body.user_ids.len() > PRESENCE_MAX {
        return Err(Refusal::field("user_ids", "at most 200 ids").into());
    }
    Ok(Json(PresenceJson { presence: look_up_presence(&app, caller.user, &body.user_ids).await? }))
}

/// GET /users/{id}
pub async fn one(State(app): State<Arc<App>>, _: Caller, Path(user): Path<UserId>) -> HttpResult<Json<Profile>> {
    Ok(Json(read_profile(&app, user).await?))
}
