//! Conversations as lists: mine, one, the direct one with a user, what I have read of it and set for it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::conversation_json::{ConversationJson, conversation_json};
use super::docs::describe::Shows;
use super::extract::{Json, OptionalJson, Page, Paging, Path};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::command::Position;
use crate::domain::patch::Patch;
use crate::domain::{ConversationId, ConversationKind, MessageId, Refusal, Seq, Timestamp, UserId};
use crate::service::conversations::change_settings::{SettingsChange, change_settings};
use crate::service::conversations::count_unread::count_unread;
use crate::service::conversations::list_conversations::{
    ConversationView, list_conversations, open_direct, view_conversation,
};
use crate::service::conversations::mark_read::mark_read;

pub type ShowsConversation = Shows<ConversationJson<'static>>;
type ShowsPage = Shows<Page<ConversationJson<'static>>>;

/// What can be no conversation's id is not found.
pub fn conversation_id(id: Uuid) -> Result<ConversationId, Refusal> {
    ConversationId::from_uuid(id).ok_or(Refusal::NotFound)
}

/// GET /conversations
pub async fn list(State(app): State<Arc<App>>, caller: Caller, paging: Paging) -> HttpResult<ShowsPage> {
    list_of(&app, &caller, &paging, None).await
}

/// GET /groups
pub async fn list_groups(State(app): State<Arc<App>>, caller: Caller, paging: Paging) -> HttpResult<ShowsPage> {
    list_of(&app, &caller, &paging, Some(ConversationKind::Group)).await
}

async fn list_of(
    app: &Arc<App>,
    caller: &Caller,
    paging: &Paging,
    kind: Option<ConversationKind>,
) -> HttpResult<ShowsPage> {
    let (views, next) = list_conversations(app, caller.user, kind, paging.after()?, paging.limit).await?;
    let items = views.iter().map(|view| conversation_json(view, caller.user)).collect();
    Ok(Json(Page { items, next_cursor: next.map(|next| paging.cursor(&next)) }).into_response().into())
}

#[derive(Deserialize, JsonSchema)]
pub struct OpenBody {
    user_id: UserId,
}

/// POST /conversations
pub async fn open(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<OpenBody>,
) -> HttpResult<ShowsConversation> {
    Ok(show(&caller, &open_direct(&app, caller.user, body.user_id).await?))
}

/// GET /conversations/{id}, GET /groups/{id}
pub async fn one(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<Uuid>) -> HttpResult<ShowsConversation> {
    Ok(show(&caller, &view_conversation(&app, caller.user, conversation_id(id)?).await?))
}

/// A conversation as its member sees it.
pub fn show(caller: &Caller, view: &ConversationView) -> ShowsConversation {
    Json(conversation_json(view, caller.user)).into_response().into()
}

#[derive(Deserialize, JsonSchema)]
pub struct SettingsBody {
    pinned: Option<bool>,
    #[serde(default)]
    muted_until: Patch<Timestamp>,
    #[serde(default)]
    read_receipts: Patch<bool>,
}

/// PATCH …/{id}/settings
pub async fn settings(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<SettingsBody>,
) -> HttpResult<ShowsConversation> {
    let id = conversation_id(id)?;
    let SettingsBody { pinned, muted_until, read_receipts } = body;
    let change = SettingsChange {
        is_pinned: pinned,
        muted_until: muted_until.into_change(),
        read_receipts: read_receipts.into_change(),
    };
    change_settings(&app, caller.actor(), id, change).await?;
    Ok(show(&caller, &view_conversation(&app, caller.user, id).await?))
}

#[derive(Default, Deserialize, JsonSchema)]
pub struct ReadBody {
    seq: Option<Seq>,
    message_id: Option<MessageId>,
}

/// POST …/{id}/read
pub async fn read(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    OptionalJson(body): OptionalJson<ReadBody>,
) -> HttpResult<StatusCode> {
    let id = conversation_id(id)?;
    let ReadBody { seq, message_id } = body.unwrap_or_default();
    let position = match (seq, message_id) {
        (Some(seq), _) if seq < Seq::ZERO => return Err(Refusal::field("seq", "must not be negative").into()),
        (Some(seq), _) => Position::At(seq),
        (None, Some(message)) if message.conversation() == id => Position::Message(message.seq()),
        (None, Some(_)) => return Err(Refusal::NotFound.into()),
        (None, None) => Position::Newest,
    };
    mark_read(&app, caller.actor(), id, position, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// POST /messages/{id}/read
pub async fn read_message(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<Uuid>) -> HttpResult<StatusCode> {
    let message = MessageId::from_uuid(id).ok_or(Refusal::NotFound)?;
    mark_read(&app, caller.actor(), message.conversation(), Position::Message(message.seq()), None).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Unread")]
pub struct UnreadJson {
    total: i64,
    conversations: Vec<UnreadOne>,
}

#[derive(Serialize, JsonSchema)]
struct UnreadOne {
    conversation_id: ConversationId,
    unread_count: i64,
}

/// GET /messages/unread-count
pub async fn unread_count(State(app): State<Arc<App>>, caller: Caller) -> HttpResult<Json<UnreadJson>> {
    let counts = count_unread(&app, caller.user).await?;
    let one = |(conversation_id, unread_count)| UnreadOne { conversation_id, unread_count };
    let mut conversations: Vec<UnreadOne> = counts.into_iter().map(one).collect();
    conversations.sort_unstable_by_key(|one| one.conversation_id);
    let total = conversations.iter().map(|one| one.unread_count).sum();
    Ok(Json(UnreadJson { total, conversations }))
}
