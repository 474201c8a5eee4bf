//! `/events`: what is reported.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::extract::{Json, Page, Paging, Query, created};
use super::permitted::Admin;
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::event::{Event, EventLevel, NewEvent};
use crate::domain::ids::EventId;
use crate::domain::text::{EVENT_TYPE_MAX, check_length};
use crate::domain::{Refusal, Timestamp};
use crate::service::notifications::list_events::{EventFilter, list_events};
use crate::service::notifications::report_event::report_event;

#[derive(Deserialize, JsonSchema)]
pub struct EventBody {
    #[schemars(length(min = 1, max = EVENT_TYPE_MAX))]
    r#type: String,
    #[schemars(extend("enum" = ["debug", "info", "warning", "error", "critical"]))]
    level: String,
    payload: Option<Value>,
}

/// POST /events
pub async fn report(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<EventBody>,
) -> HttpResult<(StatusCode, Json<Event>)> {
    let new = NewEvent::parse(body.r#type, &body.level, body.payload)?;
    Ok(created(report_event(&app, caller.user, &new).await?))
}

#[derive(Deserialize, JsonSchema)]
pub struct EventQuery {
    #[schemars(length(max = EVENT_TYPE_MAX))]
    r#type: Option<String>,
    #[schemars(extend("enum" = ["debug", "info", "warning", "error", "critical"]))]
    level: Option<String>,
    #[schemars(with = "Option<Timestamp>")]
    since: Option<String>,
}

impl EventQuery {
    /// An empty value is none.
    fn parse(self) -> Result<EventFilter, Refusal> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let kind = given(self.r#type);
        if let Some(kind) = &kind {
            check_length("type", kind, 1, EVENT_TYPE_MAX)?;
        }
        let level = given(self.level).map(|level| EventLevel::parse(&level)).transpose()?;
        let parse_since =
            |text: String| Timestamp::parse(&text).ok_or_else(|| Refusal::field("since", "is no RFC 3339 time"));
        let since = given(self.since).map(parse_since).transpose()?;
        Ok(EventFilter { r#type: kind, level, since })
    }
}

/// GET /events
pub async fn list(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(query): Query<EventQuery>,
    paging: Paging,
) -> HttpResult<Json<Page<Event>>> {
    let found = list_events(&app, &query.parse()?, paging.before(EventId)?, paging.limit + 1).await?;
    Ok(Json(paging.page(found, |last| (last.created_at.0, last.id))))
}
