//! `/notifications`: what the caller was told.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::extract::{Json, Page, Paging, Path, Query, parse_flag};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::ids::NotificationId;
use crate::domain::notification::Notification;
use crate::service::notifications::delete_notification::delete_notification;
use crate::service::notifications::list_notifications::list_notifications;
use crate::service::notifications::read_all_notifications::read_all_notifications;
use crate::service::notifications::read_notification::read_notification;

#[derive(Deserialize, JsonSchema)]
pub struct ListQuery {
    #[schemars(with = "Option<bool>")]
    unread_only: Option<String>,
}

/// GET /notifications
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<ListQuery>,
    paging: Paging,
) -> HttpResult<Json<Page<Notification>>> {
    let is_unread_only = parse_flag("unread_only", query.unread_only.as_deref())?;
    let before = paging.before(NotificationId)?;
    let found = list_notifications(&app, caller.user, before, is_unread_only, paging.limit + 1).await?;
    Ok(Json(paging.page(found, |last| (last.created_at.0, last.id))))
}

/// POST /notifications/{id}/read
pub async fn read(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<NotificationId>,
) -> HttpResult<Json<Notification>> {
    Ok(Json(read_notification(&app, caller.user, id).await?))
}

/// POST /notifications/read-all
pub async fn read_all(State(app): State<Arc<App>>, caller: Caller) -> HttpResult<StatusCode> {
    read_all_notifications(&app, caller.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE /notifications/{id}, POST /notifications/{id}/delete
pub async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<NotificationId>,
) -> HttpResult<StatusCode> {
    delete_notification(&app, caller.user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
