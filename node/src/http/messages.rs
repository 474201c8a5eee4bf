//! Messages: sending, recalling, editing, reacting, hiding, forwarding, and who has read them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::docs::describe::Shows;
use super::extract::{Json, Page, Paging, Path, created};
use super::message_json::{MessageJson, view_json};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::profile::Profile;
use crate::domain::send::{SendRequest, SendTo};
use crate::domain::text::{CONTENT_MAX, EMOJI_MAX, IDS_MAX, TEMP_ID_MAX, check_length};
use crate::domain::{ConversationId, MessageId, Refusal, Timestamp, UserId};
use crate::protocol::send::SendData;
use crate::service::messages::edit_message::edit_message_and_wait;
use crate::service::messages::forward_message::forward_message;
use crate::service::messages::hide_message::hide_message;
use crate::service::messages::list_receipts::list_receipts;
use crate::service::messages::react::react_and_wait;
use crate::service::messages::read_message::{MessageView, read_message, read_sent_message};
use crate::service::messages::recall_message::recall_message_and_wait;
use crate::service::messages::send_message::send_and_wait;

type ShowsMessage = Shows<MessageJson<'static>>;
/// 200 is a repeat.
type ShowsSent = Shows<MessageJson<'static>, 201, 200>;

/// POST /messages/{user_id}
pub async fn send_to_user(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(user): Path<Uuid>,
    Json(body): Json<SendData>,
) -> HttpResult<ShowsSent> {
    send(&app, &caller, body.parse_to(SendTo::User(UserId(user)))?).await
}

/// POST /conversations/{id}/messages, POST /groups/{id}/messages
pub async fn send_to_conversation(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<SendData>,
) -> HttpResult<ShowsSent> {
    let to = ConversationId::from_uuid(id).map_or(SendTo::Nowhere, SendTo::Conversation);
    send(&app, &caller, body.parse_to(to)?).await
}

async fn send(app: &Arc<App>, caller: &Caller, request: SendRequest) -> HttpResult<ShowsSent> {
    let sent = send_and_wait(app, caller.actor(), request).await?;
    let status = if sent.is_repeat { StatusCode::OK } else { StatusCode::CREATED };
    // A repeat is answered even to one who has been removed since.
    show(status, caller, &read_sent_message(app, caller.user, sent.message_id()).await?)
}

fn show<const STATUS: u16, const OTHER: u16>(
    status: StatusCode,
    caller: &Caller,
    view: &MessageView,
) -> HttpResult<Shows<MessageJson<'static>, STATUS, OTHER>> {
    let json = view_json(view, caller.user).ok_or(Refusal::NotFound)?;
    Ok((status, Json(json)).into_response().into())
}

/// POST /messages/{id}/recall
pub async fn recall(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<Uuid>) -> HttpResult<ShowsMessage> {
    recall_message_and_wait(&app, caller.actor(), id).await?;
    show(StatusCode::OK, &caller, &read_message(&app, caller.user, MessageId(id)).await?)
}

#[derive(Deserialize, JsonSchema)]
pub struct EditBody {
    #[schemars(length(min = 1, max = CONTENT_MAX))]
    content: String,
}

/// PATCH /messages/{id}
pub async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<EditBody>,
) -> HttpResult<ShowsMessage> {
    edit_message_and_wait(&app, caller.actor(), id, body.content).await?;
    show(StatusCode::OK, &caller, &read_message(&app, caller.user, MessageId(id)).await?)
}

/// Of the path.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Emoji(#[schemars(length(min = 1, max = EMOJI_MAX))] String);

/// PUT /messages/{id}/reactions/{emoji}
pub async fn add_reaction(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, Emoji(emoji))): Path<(Uuid, Emoji)>,
) -> HttpResult<ShowsMessage> {
    react_and_wait(&app, caller.actor(), id, emoji, true).await?;
    show(StatusCode::OK, &caller, &read_message(&app, caller.user, MessageId(id)).await?)
}

/// DELETE /messages/{id}/reactions/{emoji}
pub async fn remove_reaction(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, Emoji(emoji))): Path<(Uuid, Emoji)>,
) -> HttpResult<StatusCode> {
    react_and_wait(&app, caller.actor(), id, emoji, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE /messages/{id}: hidden for the caller.
pub async fn hide(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<Uuid>) -> HttpResult<StatusCode> {
    let message = MessageId::from_uuid(id).ok_or(Refusal::NotFound)?;
    hide_message(&app, caller.actor(), message).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, JsonSchema)]
pub struct ForwardBody {
    #[schemars(length(min = 1, max = IDS_MAX))]
    conversation_ids: Vec<Uuid>,
    #[schemars(length(min = 1, max = TEMP_ID_MAX))]
    temp_id: String,
}

impl ForwardBody {
    /// Each conversation once, in the order given.
    fn targets(&self) -> Result<Vec<ConversationId>, Refusal> {
        check_length("temp_id", &self.temp_id, 1, TEMP_ID_MAX)?;
        if self.conversation_ids.is_empty() {
            return Err(Refusal::field("conversation_ids", "must not be empty"));
        }
        if self.conversation_ids.len() > IDS_MAX {
            return Err(Refusal::field("conversation_ids", "at most 1,000 ids"));
        }
        let mut targets = Vec::with_capacity(self.conversation_ids.len());
        for id in &self.conversation_ids {
            let target = ConversationId::from_uuid(*id).ok_or(Refusal::NotFound)?;
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        Ok(targets)
    }
}

/// POST /messages/{id}/forward: 201, also of a repeat.
pub async fn forward(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<ForwardBody>,
) -> HttpResult<Shows<Items<MessageJson<'static>>, 201>> {
    let targets = body.targets()?;
    let message = MessageId::from_uuid(id).ok_or(Refusal::NotFound)?;
    let made = forward_message(&app, caller.actor(), message, &targets, body.temp_id).await?;
    let items: Vec<MessageJson<'_>> = made.iter().filter_map(|view| view_json(view, caller.user)).collect();
    Ok(created(Items { items }).into_response().into())
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Items")]
pub struct Items<T> {
    items: Vec<T>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Receipt")]
pub struct ReceiptJson<'a> {
    user: &'a Profile,
    read_at: Timestamp,
}

/// GET /messages/{id}/receipts
pub async fn receipts(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    paging: Paging,
) -> HttpResult<Shows<Page<ReceiptJson<'static>>>> {
    let message = MessageId::from_uuid(id).ok_or(Refusal::NotFound)?;
    let (receipts, next) = list_receipts(&app, caller.user, message, paging.after()?, paging.limit).await?;
    let items = receipts.iter().map(|receipt| ReceiptJson { user: &receipt.user, read_at: receipt.read_at }).collect();
    Ok(Json(Page { items, next_cursor: next.map(|next| paging.cursor(&next)) }).into_response().into())
}
