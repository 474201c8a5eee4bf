//! Groups and their members. A group is a conversation of kind `group`: both prefixes lead here.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::extract::{Json, Page, Paging, Path, patch};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::text::IDS_MAX;
use crate::domain::{ConversationId, Refusal, Role, Timestamp, UserId};
use crate::service::add_members::add_members;
use crate::service::change_group::{mute_member, set_role};
use crate::service::dissolve_group::dissolve_group;
use crate::service::leave_group::leave_group;
use crate::service::list_members::{MemberView, check_member, find_members, list_members};
use crate::service::remove_members::remove_members;

/// A group's id from the path: what can be none is not found.
fn group_id(id: Uuid) -> Result<ConversationId, Refusal> {
    ConversationId::from_uuid(id).ok_or(Refusal::NotFound)
}

/// Ids of a call, each once, without `own`.
fn each_once(field: &'static str, ids: Vec<UserId>, own: Option<UserId>) -> Result<Vec<UserId>, Refusal> {
    if ids.len() > IDS_MAX {
        return Err(Refusal::field(field, "at most 1,000 ids"));
    }
    let mut seen: HashSet<UserId> = own.into_iter().collect();
    Ok(ids.into_iter().filter(|&id| seen.insert(id)).collect())
}

/// GET …/{id}/members
pub async fn members(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    paging: Paging,
) -> HttpResult<Json<Page<MemberView>>> {
    let items = list_members(&app, caller.user, group_id(id)?, paging.after()?, paging.limit + 1).await?;
    Ok(Json(Page::of(items, paging.limit, |last| last.user.id)))
}

#[derive(Deserialize)]
pub struct UserIdsBody {
    user_ids: Vec<UserId>,
}

#[derive(Serialize)]
pub struct MembersJson {
    items: Vec<MemberView>,
}

/// POST …/{id}/members
pub async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<UserIdsBody>,
) -> HttpResult<Json<MembersJson>> {
    let group = group_id(id)?;
    let users = each_once("user_ids", body.user_ids, Some(caller.user))?;
    add_members(&app, caller.actor(), group, &users).await?;
    Ok(Json(MembersJson { items: find_members(&app, group, &users).await? }))
}

/// DELETE …/{id}/members/{user_id}
pub async fn remove_one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, user)): Path<(Uuid, Uuid)>,
) -> HttpResult<StatusCode> {
    remove_members(&app, caller.actor(), group_id(id)?, vec![UserId(user)]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// POST …/{id}/members/remove
pub async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<UserIdsBody>,
) -> HttpResult<StatusCode> {
    let users = each_once("user_ids", body.user_ids, None)?;
    if users.is_empty() {
        check_member(&app, caller.user, group_id(id)?).await?;
    } else {
        remove_members(&app, caller.actor(), group_id(id)?, users).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub struct MuteBody {
    /// Null ends it; it must be said.
    #[serde(default, deserialize_with = "patch")]
    muted_until: Option<Option<Timestamp>>,
}

/// POST …/{id}/members/{user_id}/mute
pub async fn mute(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, user)): Path<(Uuid, Uuid)>,
    Json(body): Json<MuteBody>,
) -> HttpResult<Json<MemberView>> {
    let (group, user) = (group_id(id)?, UserId(user));
    let muted_until = body.muted_until.ok_or_else(|| Refusal::field("muted_until", "is required"))?;
    mute_member(&app, caller.actor(), group, user, muted_until).await?;
    one_member(&app, group, user).await
}

#[derive(Deserialize)]
pub struct RoleBody {
    role: Role,
}

/// POST …/{id}/members/{user_id}/role
pub async fn role(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, user)): Path<(Uuid, Uuid)>,
    Json(body): Json<RoleBody>,
) -> HttpResult<Json<MemberView>> {
    let (group, user) = (group_id(id)?, UserId(user));
    set_role(&app, caller.actor(), group, user, body.role).await?;
    one_member(&app, group, user).await
}

async fn one_member(app: &Arc<App>, group: ConversationId, user: UserId) -> HttpResult<Json<MemberView>> {
    let found = find_members(app, group, &[user]).await?;
    Ok(Json(found.into_iter().next().ok_or(Refusal::NotFound)?))
}

/// POST …/{id}/leave
pub async fn leave(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<Uuid>) -> HttpResult<StatusCode> {
    leave_group(&app, caller.actor(), group_id(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE …/{id}
pub async fn dissolve(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<Uuid>) -> HttpResult<StatusCode> {
    dissolve_group(&app, caller.actor(), group_id(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
