//! GET /messages/search

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::docs::describe::Shows;
use super::extract::{Json, Page, Paging, Query};
use super::message_json::{MessageJson, view_json};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::search::{QUERY_MAX, Query as Words};
use crate::domain::{ConversationId, Refusal, Timestamp, UserId};
use crate::service::messages::search_messages::{Search, search_messages};

#[derive(Debug, Deserialize, JsonSchema)]
pub struct SearchQuery {
    /// All of these words, in any order.
    #[schemars(with = "String", length(min = 1, max = QUERY_MAX))]
    q: Option<String>,
    #[schemars(with = "Option<Uuid>")]
    conversation_id: Option<String>,
    /// The sender.
    #[schemars(with = "Option<Uuid>")]
    from: Option<String>,
    #[schemars(with = "Option<Timestamp>")]
    before: Option<String>,
    #[schemars(with = "Option<Timestamp>")]
    after: Option<String>,
}

impl SearchQuery {
    fn parse(&self) -> Result<Search, Refusal> {
        let words = self.q.as_deref().ok_or_else(|| Refusal::field("q", "is required"))?;
        let sender = id("from", self.from.as_deref())?.map(UserId);
        let conversation = match id("conversation_id", self.conversation_id.as_deref())? {
            Some(id) => Some(ConversationId::from_uuid(id).ok_or(Refusal::NotFound)?),
            None => None,
        };
        Ok(Search {
            query: Words::parse(words, sender)?,
            conversation,
            before: time("before", self.before.as_deref())?,
            after: time("after", self.after.as_deref())?,
        })
    }
}

/// An empty parameter is one that was left out.
fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn id(field: &'static str, text: Option<&str>) -> Result<Option<Uuid>, Refusal> {
    let parse = |text: &str| Uuid::parse_str(text).map_err(|_| Refusal::field(field, "must be a UUID"));
    given(text).map(parse).transpose()
}

fn time(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    let parse = |text: &str| Timestamp::parse(text).ok_or_else(|| Refusal::field(field, "must be an RFC 3339 time"));
    given(text).map(parse).transpose()
}

/// GET /messages/search
pub async fn search(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<SearchQuery>,
    paging: Paging,
) -> HttpResult<Shows<Page<MessageJson<'static>>>> {
    let search = query.parse()?;
    let (found, next) = search_messages(&app, caller.user, &search, paging.after()?, paging.limit).await?;
    let items = found.iter().filter_map(|view| view_json(view, caller.user)).collect();
    Ok(Json(Page { items, next_cursor: next.map(|next| paging.cursor(&next)) }).into_response().into())
}
