//! Messages pinned for all of a conversation.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::conversations::conversation_id;
use super::docs::describe::Shows;
use super::extract::{Json, Page, Paging, Path};
use super::message_json::{MessageJson, view_json};
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::{MessageId, Refusal, Timestamp, UserId};
use crate::service::messages::list_pins::list_pins;
use crate::service::messages::pin_message::pin_message;
use crate::service::messages::read_message::read_message;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Pin")]
pub struct PinJson<'a> {
    message: MessageJson<'a>,
    pinned_by: UserId,
    pinned_at: Timestamp,
}

/// PUT /messages/{id}/pin
pub async fn pin(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> HttpResult<Shows<MessageJson<'static>>> {
    pin_message(&app, caller.actor(), id, true).await?;
    let view = read_message(&app, caller.user, MessageId(id)).await?;
    let json = view_json(&view, caller.user).ok_or(Refusal::NotFound)?;
    Ok(Json(json).into_response().into())
}

/// DELETE /messages/{id}/pin
pub async fn unpin(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<Uuid>) -> HttpResult<StatusCode> {
    pin_message(&app, caller.actor(), id, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// GET …/{id}/pins
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    paging: Paging,
) -> HttpResult<Shows<Page<PinJson<'static>>>> {
    let pins = list_pins(&app, caller.user, conversation_id(id)?, paging.after()?, paging.limit + 1).await?;
    let page = paging.page(pins.iter().collect(), |last| last.seq);
    let shown = page.items.iter().filter(|pin| !pin.message.is_hidden).filter_map(|pin| {
        let message = view_json(&pin.message, caller.user)?;
        Some(PinJson { message, pinned_by: pin.pinned_by, pinned_at: pin.pinned_at })
    });
    let shown = Page { items: shown.collect(), next_cursor: page.next_cursor };
    Ok(Json(shown).into_response().into())
}
