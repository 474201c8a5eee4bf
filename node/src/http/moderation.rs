//! `/moderation`: what moderators see and do, a part of what administrators may under `/admin/users`. They see no addresses, give no
//! roles, and act on nobody who is a moderator or more.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::admin_users::UsersQuery;
use super::extract::{Json, Page, Paging, Path, Query};
use super::permitted::Moderator;
use super::problem::HttpResult;
use crate::app::App;
use crate::domain::{Timestamp, UserId};
use crate::service::admin::change_user::{AccountChange, AdminAccount, Reach, change_user};
use crate::service::admin::end_user_sessions::end_user_sessions;
use crate::service::admin::find_users::{find_user, find_users};

/// A User with what moderators see beside.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ModeratedUser")]
pub struct ModeratedUserJson {
    id: UserId,
    username: Option<String>,
    display_name: String,
    avatar_url: Option<String>,
    status_text: Option<String>,
    created_at: Timestamp,
    roles: Vec<String>,
    disabled: bool,
    disabled_at: Option<Timestamp>,
    deleted_at: Option<Timestamp>,
}

impl From<AdminAccount> for ModeratedUserJson {
    fn from(found: AdminAccount) -> Self {
        let AdminAccount { account, disabled_at, deleted_at } = found;
        Self {
            id: account.id,
            username: account.username,
            display_name: account.display_name,
            avatar_url: account.avatar_url,
            status_text: account.status_text,
            created_at: account.created_at,
            roles: account.roles,
            disabled: disabled_at.is_some(),
            disabled_at,
            deleted_at,
        }
    }
}

/// GET /moderation/users
pub async fn list(
    State(app): State<Arc<App>>,
    _: Moderator,
    Query(query): Query<UsersQuery>,
    paging: Paging,
) -> HttpResult<Json<Page<ModeratedUserJson>>> {
    let found = find_users(&app, query.query.as_deref(), false, paging.after()?, paging.limit).await?;
    let items = found.users.into_iter().map(Into::into).collect();
    Ok(Json(Page { items, next_cursor: found.next.map(|next| paging.cursor(&next)) }))
}

/// GET /moderation/users/{id}
pub async fn one(
    State(app): State<Arc<App>>,
    _: Moderator,
    Path(user): Path<UserId>,
) -> HttpResult<Json<ModeratedUserJson>> {
    Ok(Json(find_user(&app, user).await?.into()))
}

#[derive(Deserialize, JsonSchema)]
pub struct ModerationBody {
    disabled: Option<bool>,
}

/// PATCH /moderation/users/{id}
pub async fn change(
    State(app): State<Arc<App>>,
    moderator: Moderator,
    Path(user): Path<UserId>,
    Json(body): Json<ModerationBody>,
) -> HttpResult<Json<ModeratedUserJson>> {
    let change = AccountChange { is_disabled: body.disabled, roles: None };
    let reach = Reach::Moderated(&moderator.roles);
    Ok(Json(change_user(&app, &moderator.author, reach, user, &change).await?.into()))
}

/// DELETE /moderation/users/{id}/sessions
pub async fn end_sessions(
    State(app): State<Arc<App>>,
    moderator: Moderator,
    Path(user): Path<UserId>,
) -> HttpResult<StatusCode> {
    end_user_sessions(&app, &moderator.author, Reach::Moderated(&moderator.roles), user).await?;
    Ok(StatusCode::NO_CONTENT)
}
