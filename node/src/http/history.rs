//! Messages of one conversation: newest first, or oldest first after a seq.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::conversations::conversation_id;
use super::extract::{Json, Page, Path, Query, parse_limit};
use super::message_json::view_json;
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::{Refusal, Seq, UserId};
use crate::service::messages::read_history::{Between, History, read_direct_history, read_history};

/// Messages of a page, without and with a `limit`.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 200;

#[derive(Debug, Deserialize)]
pub struct HistoryQuery {
    before_seq: Option<String>,
    after_seq: Option<String>,
    limit: Option<String>,
}

impl HistoryQuery {
    fn parse(&self) -> Result<(Between, usize), Refusal> {
        let seq = |field: &'static str, text: Option<&str>| match text.map(str::parse::<i64>) {
            None => Ok(None),
            Some(Ok(seq @ 0..)) => Ok(Some(Seq(seq))),
            Some(_) => Err(Refusal::field(field, "must be a whole number")),
        };
        let between = Between {
            before: seq("before_seq", self.before_seq.as_deref())?,
            after: seq("after_seq", self.after_seq.as_deref())?,
        };
        Ok((between, parse_limit(self.limit.as_deref(), PAGE_DEFAULT, PAGE_MAX)?))
    }
}

/// GET …/{id}/messages
pub async fn of_conversation(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Query(query): Query<HistoryQuery>,
) -> HttpResult<Response> {
    let (between, limit) = query.parse()?;
    let history = read_history(&app, caller.user, conversation_id(id)?, between, limit).await?;
    Ok(show(&caller, &history))
}

/// GET /messages/{user_id}
pub async fn with_user(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(user): Path<Uuid>,
    Query(query): Query<HistoryQuery>,
) -> HttpResult<Response> {
    let (between, limit) = query.parse()?;
    let history = read_direct_history(&app, caller.user, UserId(user), between, limit).await?;
    Ok(show(&caller, &history))
}

fn show(caller: &Caller, history: &History) -> Response {
    let shown = history.messages.iter().filter_map(|view| view_json(view, caller.user));
    Json(Page::whole(shown.collect())).into_response()
}
