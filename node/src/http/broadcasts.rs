//! `/broadcasts`: what everyone is told.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::extract::{Json, Page, Paging, created};
use super::permitted::Admin;
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::notification::{NewNotification, NotificationKind};
use crate::domain::text::{CONTENT_MAX, NOTIFICATION_TITLE_MAX};
use crate::service::notifications::list_broadcasts::list_broadcasts;
use crate::service::notifications::send_broadcast::{Broadcast, send_broadcast};

#[derive(Deserialize, JsonSchema)]
pub struct BroadcastBody {
    #[schemars(length(min = 1, max = NOTIFICATION_TITLE_MAX))]
    title: String,
    #[schemars(length(min = 1, max = CONTENT_MAX))]
    content: String,
    data: Option<Value>,
}

/// POST /broadcasts
pub async fn send(
    State(app): State<Arc<App>>,
    Admin(author): Admin,
    Json(body): Json<BroadcastBody>,
) -> HttpResult<(StatusCode, Json<Broadcast>)> {
    let new = NewNotification::parse(NotificationKind::System, body.title, body.content, body.data)?;
    Ok(created(send_broadcast(&app, &author, &new).await?))
}

/// GET /broadcasts
pub async fn list(State(app): State<Arc<App>>, caller: Caller, paging: Paging) -> HttpResult<Json<Page<Broadcast>>> {
    let found = list_broadcasts(&app, &caller, paging.after()?, paging.limit + 1).await?;
    Ok(Json(paging.page(found, |last| last.number)))
}
