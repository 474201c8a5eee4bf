//! Blocks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::{Json, Page, Paging};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::profile::Profile;
use crate::domain::{Timestamp, UserId};
use crate::service::friends::block_user::block_user;
use crate::service::friends::unblock_user::unblock_user;
use crate::service::people::list_blocked::list_blocked;

#[derive(Deserialize, JsonSchema)]
pub struct OtherBody {
    user_id: UserId,
}

/// POST /relationships/block
pub async fn block(State(app): State<Arc<App>>, caller: Caller, Json(body): Json<OtherBody>) -> HttpResult<StatusCode> {
    block_user(&app, caller.actor(), body.user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// POST /relationships/unblock
pub async fn unblock(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<OtherBody>,
) -> HttpResult<StatusCode> {
    unblock_user(&app, caller.actor(), body.user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BlockedUser")]
pub struct BlockedJson {
    pub(super) user: Profile,
    pub(super) since: Timestamp,
}

/// GET /relationships/blocked
pub async fn blocked(
    State(app): State<Arc<App>>,
    caller: Caller,
    paging: Paging,
) -> HttpResult<Json<Page<BlockedJson>>> {
    let found = list_blocked(&app, caller.user, paging.after()?, paging.limit + 1).await?;
    let items = found.into_iter().map(|(user, since)| BlockedJson { user, since }).collect();
    Ok(Json(paging.page(items, |last: &BlockedJson| last.user.id)))
}
