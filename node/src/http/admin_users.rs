//! `/admin/users`: accounts as administrators see and change them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::{Json, Page, Paging, Path, Query};
use super::moderation::ModeratedUserJson;
use super::permitted::Admin;
use super::problem::HttpResult;
use crate::app::App;
use crate::domain::UserId;
use crate::domain::roles::parse_roles;
use crate::domain::text::QUERY_MAX;
use crate::service::admin::change_user::{AccountChange, AdminAccount, Reach, change_user};
use crate::service::admin::end_user_sessions::end_user_sessions;
use crate::service::admin::find_users::{find_user, find_users};

/// What moderators see, and the address.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AdminUser")]
pub struct AdminUserJson {
    #[serde(flatten)]
    user: ModeratedUserJson,
    email: Option<String>,
}

impl From<AdminAccount> for AdminUserJson {
    fn from(mut found: AdminAccount) -> Self {
        let email = found.account.email.take();
        Self { user: found.into(), email }
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct UsersQuery {
    #[schemars(length(max = QUERY_MAX))]
    pub(super) query: Option<String>,
}

/// GET /admin/users
pub async fn list(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(query): Query<UsersQuery>,
    paging: Paging,
) -> HttpResult<Json<Page<AdminUserJson>>> {
    let found = find_users(&app, query.query.as_deref(), true, paging.after()?, paging.limit).await?;
    let items = found.users.into_iter().map(Into::into).collect();
    Ok(Json(Page { items, next_cursor: found.next.map(|next| paging.cursor(&next)) }))
}

/// GET /admin/users/{id}
pub async fn one(State(app): State<Arc<App>>, _: Admin, Path(user): Path<UserId>) -> HttpResult<Json<AdminUserJson>> {
    Ok(Json(find_user(&app, user).await?.into()))
}

#[derive(Deserialize, JsonSchema)]
pub struct ChangeBody {
    disabled: Option<bool>,
    roles: Option<Vec<String>>,
}

/// PATCH /admin/users/{id}
pub async fn change(
    State(app): State<Arc<App>>,
    Admin(author): Admin,
    Path(user): Path<UserId>,
    Json(body): Json<ChangeBody>,
) -> HttpResult<Json<AdminUserJson>> {
    let roles = body.roles.as_deref().map(parse_roles).transpose()?;
    let change = AccountChange { is_disabled: body.disabled, roles };
    Ok(Json(change_user(&app, &author, Reach::Everyone, user, &change).await?.into()))
}

/// DELETE /admin/users/{id}/sessions
pub async fn end_sessions(
    State(app): State<Arc<App>>,
    Admin(author): Admin,
    Path(user): Path<UserId>,
) -> HttpResult<StatusCode> {
    end_user_sessions(&app, &author, Reach::Everyone, user).await?;
    Ok(StatusCode::NO_CONTENT)
}
