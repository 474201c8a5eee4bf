//! Groups and their members. A group is a conversation of kind `group`: both prefixes lead here.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::conversation_json::ConversationJson;
use super::conversations::{ShowsConversation, conversation_id, show};
use super::docs::describe::Shows;
use super::extract::{Json, Page, Paging, Path};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::entry::Updated;
use crate::domain::patch::Patch;
use crate::domain::text::{ANNOUNCEMENT_MAX, AVATAR_URL_MAX, GROUP_NAME_MAX, IDS_MAX, TEMP_ID_MAX, check_length};
use crate::domain::{ConversationId, Refusal, Role, Timestamp, UserId};
use crate::protocol::field::Faults;
use crate::service::conversations::list_conversations::view_conversation;
use crate::service::groups::add_members::add_members;
use crate::service::groups::change_group::{mute_member, set_role, update_group};
use crate::service::groups::create_group::{MEMBERS_MAX, NewGroup, create_group};
use crate::service::groups::dissolve_group::dissolve_group;
use crate::service::groups::leave_group::leave_group;
use crate::service::groups::list_members::{MemberView, find_members, list_members};
use crate::service::groups::remove_members::remove_members;

/// Ids of a call, each once, without `own`.
fn each_once(field: &'static str, ids: Vec<UserId>, own: Option<UserId>) -> Result<Vec<UserId>, Refusal> {
    if ids.len() > IDS_MAX {
        return Err(Refusal::field(field, "at most 1,000 ids"));
    }
    let mut seen: HashSet<UserId> = own.into_iter().collect();
    Ok(ids.into_iter().filter(|&id| seen.insert(id)).collect())
}

/// Body of both ways to make a group: `members` and `member_ids` are the same; where both are given, both count.
#[derive(Deserialize, JsonSchema)]
pub struct CreateBody {
    #[schemars(length(min = 1, max = GROUP_NAME_MAX))]
    name: String,
    #[schemars(length(max = IDS_MAX))]
    members: Option<Vec<UserId>>,
    #[schemars(length(max = IDS_MAX))]
    member_ids: Option<Vec<UserId>>,
    #[schemars(length(max = AVATAR_URL_MAX))]
    avatar_url: Option<String>,
    #[schemars(range(min = 1, max = MEMBERS_MAX))]
    max_members: Option<i64>,
    #[schemars(length(min = 1, max = TEMP_ID_MAX))]
    temp_id: Option<String>,
}

impl CreateBody {
    fn parse(self, creator: UserId) -> Result<NewGroup, Refusal> {
        let mut faults = Faults::default();
        let members_field = if self.members.is_none() && self.member_ids.is_some() { "member_ids" } else { "members" };
        let members = faults.take(each_once("members", self.members.unwrap_or_default(), Some(creator)));
        let member_ids = faults.take(each_once("member_ids", self.member_ids.unwrap_or_default(), Some(creator)));
        let both = members.into_iter().chain(member_ids).flatten().collect();
        let members = faults.take(each_once(members_field, both, Some(creator)));
        faults.take(check_length("name", &self.name, 1, GROUP_NAME_MAX));
        if let Some(url) = &self.avatar_url {
            faults.take(check_length("avatar_url", url, 0, AVATAR_URL_MAX));
        }
        if let Some(temp_id) = &self.temp_id {
            faults.take(check_length("temp_id", temp_id, 1, TEMP_ID_MAX));
        }
        let max_members = self.max_members.map(|max| i32::try_from(max).unwrap_or(-1));
        if max_members.is_some_and(|max| !(1..=MEMBERS_MAX).contains(&max)) {
            faults.add("max_members", "must be from 1 to 100,000");
        }
        faults.check()?;
        Ok(NewGroup {
            title: self.name,
            avatar_url: self.avatar_url.filter(|url| !url.is_empty()),
            max_members,
            members: members.unwrap_or_default(),
            temp_id: self.temp_id,
            members_field,
        })
    }
}

/// POST /groups, POST /conversations/group
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<CreateBody>,
) -> HttpResult<Shows<ConversationJson<'static>, 201>> {
    let group = body.parse(caller.user)?;
    let id = create_group(&app, caller.actor(), group).await?;
    let view = view_conversation(&app, caller.user, id).await?;
    Ok((StatusCode::CREATED, show(&caller, &view)).into_response().into())
}

#[derive(Deserialize, JsonSchema)]
pub struct UpdateBody {
    #[schemars(length(min = 1, max = GROUP_NAME_MAX))]
    name: Option<String>,
    #[serde(default)]
    #[schemars(length(max = AVATAR_URL_MAX))]
    avatar_url: Patch<String>,
    #[serde(default)]
    #[schemars(length(max = ANNOUNCEMENT_MAX))]
    announcement: Patch<String>,
    muted: Option<bool>,
}

impl UpdateBody {
    fn parse(self) -> Result<Updated, Refusal> {
        let mut faults = Faults::default();
        if let Some(name) = &self.name {
            faults.take(check_length("name", name, 1, GROUP_NAME_MAX));
        }
        if let Some(url) = self.avatar_url.value() {
            faults.take(check_length("avatar_url", url, 0, AVATAR_URL_MAX));
        }
        if let Some(text) = self.announcement.value() {
            faults.take(check_length("announcement", text, 0, ANNOUNCEMENT_MAX));
        }
        faults.check()?;
        let not_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Updated {
            title: self.name,
            avatar_url: self.avatar_url.into_change().map(not_empty),
            announcement: self.announcement.into_change().map(not_empty),
            muted: self.muted,
        })
    }
}

/// PUT …/{id}
pub async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<UpdateBody>,
) -> HttpResult<ShowsConversation> {
    let (group, updated) = (conversation_id(id)?, body.parse()?);
    update_group(&app, caller.actor(), group, updated).await?;
    Ok(show(&caller, &view_conversation(&app, caller.user, group).await?))
}

/// GET …/{id}/members
pub async fn members(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    paging: Paging,
) -> HttpResult<Json<Page<MemberView>>> {
    let items = list_members(&app, caller.user, conversation_id(id)?, paging.after()?, paging.limit + 1).await?;
    Ok(Json(paging.page(items, |last| last.user.id)))
}

#[derive(Deserialize, JsonSchema)]
pub struct UserIdsBody {
    #[schemars(length(max = IDS_MAX))]
    user_ids: Vec<UserId>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Members")]
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
    let group = conversation_id(id)?;
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
    remove_members(&app, caller.actor(), conversation_id(id)?, vec![UserId(user)]).await?;
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
    remove_members(&app, caller.actor(), conversation_id(id)?, users).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, JsonSchema)]
pub struct MuteBody {
    /// Null ends it; it must be said.
    #[serde(default)]
    muted_until: Patch<Timestamp>,
}

/// POST …/{id}/members/{user_id}/mute
pub async fn mute(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, user)): Path<(Uuid, Uuid)>,
    Json(body): Json<MuteBody>,
) -> HttpResult<Json<MemberView>> {
    let (group, user) = (conversation_id(id)?, UserId(user));
    let muted_until = body.muted_until.into_change().ok_or_else(|| Refusal::field("muted_until", "is required"))?;
    mute_member(&app, caller.actor(), group, user, muted_until).await?;
    one_member(&app, group, user).await
}

#[derive(Deserialize, JsonSchema)]
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
    let (group, user) = (conversation_id(id)?, UserId(user));
    set_role(&app, caller.actor(), group, user, body.role).await?;
    one_member(&app, group, user).await
}

async fn one_member(app: &Arc<App>, group: ConversationId, user: UserId) -> HttpResult<Json<MemberView>> {
    let found = find_members(app, group, &[user]).await?;
    Ok(Json(found.into_iter().next().ok_or(Refusal::NotFound)?))
}

/// POST …/{id}/leave
pub async fn leave(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<Uuid>) -> HttpResult<StatusCode> {
    leave_group(&app, caller.actor(), conversation_id(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE …/{id}
pub async fn dissolve(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<Uuid>) -> HttpResult<StatusCode> {
    dissolve_group(&app, caller.actor(), conversation_id(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
