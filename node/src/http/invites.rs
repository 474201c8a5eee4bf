//! Links by which users join a group themselves.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::conversations::{ShowsConversation, conversation_id, show};
use super::extract::{Json, OptionalJson, Page, Paging, Path, created};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::invite::{LIFE_MAX_S, USES_MAX};
use crate::domain::{InviteId, Timestamp, UserId};
use crate::service::conversations::list_conversations::view_conversation;
use crate::service::groups::join_group::join_group;
use crate::service::groups::list_invites::{Link, list_invites};
use crate::service::groups::make_invite::{Wanted, make_invite};
use crate::service::groups::withdraw_invite::withdraw_invite;

#[derive(Default, Deserialize, JsonSchema)]
pub struct MakeBody {
    expires_at: Option<Timestamp>,
    #[schemars(range(min = 1, max = LIFE_MAX_S))]
    expires_in_s: Option<i64>,
    #[schemars(range(min = 1, max = USES_MAX))]
    max_uses: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Invite")]
pub struct InviteJson {
    id: InviteId,
    token: String,
    /// Where the configuration says what links look like.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    url: Option<String>,
    expires_at: Option<Timestamp>,
    max_uses: Option<i32>,
    uses: i32,
    created_by: UserId,
    created_at: Timestamp,
}

impl InviteJson {
    fn new(app: &App, link: Link) -> Self {
        let Link { invite, token } = link;
        let (token, pattern) = (token.text(), &app.config.invite_url);
        Self {
            id: invite.id,
            url: (!pattern.is_empty()).then(|| pattern.replace("{token}", &token)),
            token,
            expires_at: invite.expires_at,
            max_uses: invite.max_uses,
            uses: invite.uses,
            created_by: invite.created_by,
            created_at: invite.created_at,
        }
    }
}

/// POST …/{id}/invites
pub async fn make(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    OptionalJson(body): OptionalJson<MakeBody>,
) -> HttpResult<(StatusCode, Json<InviteJson>)> {
    let MakeBody { expires_at, expires_in_s, max_uses } = body.unwrap_or_default();
    let wanted = Wanted { expires_at, expires_in_s, max_uses };
    let link = make_invite(&app, caller.user, conversation_id(id)?, wanted).await?;
    Ok(created(InviteJson::new(&app, link)))
}

/// GET …/{id}/invites
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    paging: Paging,
) -> HttpResult<Json<Page<InviteJson>>> {
    let found = list_invites(&app, caller.user, conversation_id(id)?, paging.after()?, paging.limit + 1).await?;
    let items = found.into_iter().map(|link| InviteJson::new(&app, link)).collect();
    Ok(Json(paging.page(items, |last: &InviteJson| last.id)))
}

/// DELETE …/{id}/invites/{invite_id}
pub async fn withdraw(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, invite)): Path<(Uuid, Uuid)>,
) -> HttpResult<StatusCode> {
    withdraw_invite(&app, caller.user, conversation_id(id)?, InviteId(invite)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, JsonSchema)]
pub struct JoinBody {
    token: String,
}

/// POST /groups/join
pub async fn join(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<JoinBody>,
) -> HttpResult<ShowsConversation> {
    let group = join_group(&app, caller.actor(), &body.token).await?;
    Ok(show(&caller, &view_conversation(&app, caller.user, group).await?))
}
