//! Messages: sending, recalling, editing, reacting.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::extract::{Json, Path};
use super::message_json::message_json;
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::send::{SendRequest, SendTo};
use crate::domain::{ConversationId, MessageId, Refusal, UserId};
use crate::protocol::send::SendData;
use crate::service::messages::edit_message::edit_message_and_wait;
use crate::service::messages::react::react_and_wait;
use crate::service::messages::read_message::{MessageView, read_message, read_sent_message};
use crate::service::messages::recall_message::recall_message_and_wait;
use crate::service::messages::send_message::send_and_wait;

/// POST /messages/{user_id}
pub async fn send_to_user(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(user): Path<Uuid>,
    Json(body): Json<SendData>,
) -> HttpResult<Response> {
    send(&app, &caller, body.parse_to(SendTo::User(UserId(user)))?).await
}

/// POST /conversations/{id}/messages, POST /groups/{id}/messages
pub async fn send_to_conversation(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<SendData>,
) -> HttpResult<Response> {
    let to = ConversationId::from_uuid(id).map_or(SendTo::Nowhere, SendTo::Conversation);
    send(&app, &caller, body.parse_to(to)?).await
}

async fn send(app: &Arc<App>, caller: &Caller, request: SendRequest) -> HttpResult<Response> {
    let sent = send_and_wait(app, caller.actor(), request).await?;
    let status = if sent.is_repeat { StatusCode::OK } else { StatusCode::CREATED };
    // A repeat is answered even to one who has been removed since.
    show(status, caller, &read_sent_message(app, caller.user, sent.message_id()).await?)
}

fn show(status: StatusCode, caller: &Caller, view: &MessageView) -> HttpResult<Response> {
    let json = message_json(&view.conversation, &view.entry, &view.reactions, caller.user);
    let json = json.ok_or(Refusal::NotFound)?;
    Ok((status, Json(json)).into_response())
}

/// POST /messages/{id}/recall
pub async fn recall(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<Uuid>) -> HttpResult<Response> {
    recall_message_and_wait(&app, caller.actor(), id).await?;
    show(StatusCode::OK, &caller, &read_message(&app, caller.user, MessageId(id)).await?)
}

#[derive(Deserialize)]
pub struct EditBody {
    content: String,
}

/// PATCH /messages/{id}
pub async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<EditBody>,
) -> HttpResult<Response> {
    edit_message_and_wait(&app, caller.actor(), id, body.content).await?;
    show(StatusCode::OK, &caller, &read_message(&app, caller.user, MessageId(id)).await?)
}

/// PUT /messages/{id}/reactions/{emoji}
pub async fn add_reaction(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, emoji)): Path<(Uuid, String)>,
) -> HttpResult<Response> {
    react_and_wait(&app, caller.actor(), id, emoji, true).await?;
    show(StatusCode::OK, &caller, &read_message(&app, caller.user, MessageId(id)).await?)
}

/// DELETE /messages/{id}/reactions/{emoji}
pub async fn remove_reaction(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, emoji)): Path<(Uuid, String)>,
) -> HttpResult<StatusCode> {
    react_and_wait(&app, caller.actor(), id, emoji, false).await?;
    Ok(StatusCode::NO_CONTENT)
}
