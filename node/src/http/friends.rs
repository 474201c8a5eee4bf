//! Friends and friend requests. `{id}` is the other user's id.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::docs::describe::Shows;
use super::extract::{Json, Page, Paging, Path, Query, created};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::friend_request::Direction;
use crate::domain::text::REQUEST_MESSAGE_MAX;
use crate::domain::{Refusal, UserId};
use crate::service::friends::answer_friend::{accept_friend, reject_friend};
use crate::service::friends::ask_friend::{Asked, ask_friend};
use crate::service::friends::end_friendship::end_friendship;
use crate::service::friends::list_friends::{FriendView, RequestView, list_friends, list_requests};

#[derive(Deserialize, JsonSchema)]
pub struct RequestBody {
    user_id: UserId,
    #[schemars(length(max = REQUEST_MESSAGE_MAX))]
    message: Option<String>,
}

/// What came of asking: a request that waits, or a friend.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Asked")]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum AskedJson {
    Pending(RequestView),
    Friends(FriendView),
}

/// POST /friends/request
pub async fn request(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<RequestBody>,
) -> HttpResult<Shows<AskedJson, 201, 200>> {
    let response = match ask_friend(&app, caller.actor(), body.user_id, body.message).await? {
        Asked::Waits { request, is_new: true } => created(AskedJson::Pending(request)).into_response(),
        Asked::Waits { request, is_new: false } => Json(AskedJson::Pending(request)).into_response(),
        Asked::Friends(friend) => created(AskedJson::Friends(friend)).into_response(),
    };
    Ok(response.into())
}

/// POST /friends/{id}/accept
pub async fn accept(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(user): Path<UserId>,
) -> HttpResult<Json<FriendView>> {
    Ok(Json(accept_friend(&app, caller.actor(), user).await?))
}

/// POST /friends/{id}/reject
pub async fn reject(State(app): State<Arc<App>>, caller: Caller, Path(user): Path<UserId>) -> HttpResult<StatusCode> {
    reject_friend(&app, caller.actor(), user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE /friends/{id}: also takes back one's own request.
pub async fn remove(State(app): State<Arc<App>>, caller: Caller, Path(user): Path<UserId>) -> HttpResult<StatusCode> {
    end_friendship(&app, caller.actor(), user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// GET /friends
pub async fn list(State(app): State<Arc<App>>, caller: Caller, paging: Paging) -> HttpResult<Json<Page<FriendView>>> {
    let items = list_friends(&app, caller.user, paging.after()?, paging.limit + 1).await?;
    Ok(Json(paging.page(items, |last| last.user.id)))
}

#[derive(Deserialize, JsonSchema)]
pub struct PendingQuery {
    /// Both where none is named.
    #[schemars(with = "Option<Direction>")]
    direction: Option<String>,
}

/// GET /friends/pending: of both directions where none is named.
pub async fn pending(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<PendingQuery>,
    paging: Paging,
) -> HttpResult<Json<Page<RequestView>>> {
    let direction = match query.direction.as_deref() {
        None | Some("") => None,
        Some("incoming") => Some(Direction::Incoming),
        Some("outgoing") => Some(Direction::Outgoing),
        Some(_) => return Err(Refusal::field("direction", "must be incoming or outgoing").into()),
    };
    let before = paging.before(UserId)?;
    let items = list_requests(&app, caller.user, direction, before, paging.limit + 1).await?;
    Ok(Json(paging.page(items, |last| (last.created_at.0, last.user.id))))
}
