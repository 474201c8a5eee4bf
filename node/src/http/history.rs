//! Messages of one conversation: newest first, or oldest first after a seq.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::conversations::conversation_id;
use super::docs::describe::Shows;
use super::extract::{Json, Page, Path, Query, parse_limit};
use super::message_json::{MessageJson, view_json};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::{Refusal, Seq, UserId};
use crate::service::messages::read_history::{Between, History, read_direct_history, read_history};

type ShowsHistory = Shows<Page<MessageJson<'static>>>;

/// Messages of a page, without and with a `limit`.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 200;

#[derive(Debug, Deserialize, JsonSchema)]
pub struct HistoryQuery {
    /// Below this seq.
    #[schemars(with = "Option<Seq>")]
    before_seq: Option<String>,
    /// Above this seq: oldest first then.
    #[schemars(with = "Option<Seq>")]
    after_seq: Option<String>,
    /// 50 by default; more than 200 are cut.
    #[schemars(with = "Option<u64>", range(min = 1))]
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
) -> HttpResult<ShowsHistory> {
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
) -> HttpResult<ShowsHistory> {
    let (between, limit) = query.parse()?;
    let history = read_direct_history(&app, caller.user, UserId(user), between, limit).await?;
    Ok(show(&caller, &history))
}

fn show(caller: &Caller, history: &History) -> ShowsHistory {
    let shown = history.messages.iter().filter_map(|view| view_json(view, caller.user));
    Json(Page::whole(shown.collect())).into_response().into()
}
