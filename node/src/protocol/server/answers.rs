//! Direct answers to a client's frames.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::frame;
use crate::domain::{ConversationId, FieldError, MessageId, Refusal, Seq, Timestamp, UserId};
use crate::protocol::codes::problem_of;
use crate::protocol::frame::Frame;

pub fn pong(id: Option<&str>) -> Frame {
    #[derive(Serialize)]
    struct Pong<'a> {
        r#type: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    }
    Frame::text(&serde_json::to_vec(&Pong { r#type: "pong", id }).unwrap_or_default())
}

#[derive(Serialize)]
struct AuthSuccess<'a> {
    r#type: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    data: AuthData<'a>,
}

#[derive(Serialize, JsonSchema)]
pub struct AuthData<'a> {
    pub user_id: UserId,
    pub username: Option<&'a str>,
    pub display_name: &'a str,
    pub session_id: Uuid,
    pub node_id: &'a str,
    pub heartbeat_s: u32,
    pub expires_at: Timestamp,
}

pub fn auth_success(id: Option<&str>, data: AuthData<'_>) -> Frame {
    let frame = AuthSuccess { r#type: "auth", status: "success", id, data };
    Frame::text(&serde_json::to_vec(&frame).unwrap_or_default())
}

#[derive(Serialize, JsonSchema)]
pub struct ErrorData<'a> {
    pub code: &'a str,
    pub message: &'a str,
    pub retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub temp_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    pub errors: &'a [FieldError],
}

/// `error`, with what belongs to the refusal.
pub fn error(id: Option<&str>, temp_id: Option<&str>, refusal: &Refusal) -> Frame {
    let problem = problem_of(refusal);
    let own;
    let errors: &[FieldError] = match refusal {
        Refusal::InvalidRequest(errors) | Refusal::NotFoundFields(errors) => errors,
        Refusal::InvalidText(field) => {
            own = [FieldError { field: field.clone(), message: problem.title.into() }];
            &own
        }
        _ => &[],
    };
    let retry_after_ms = match refusal {
        Refusal::RateLimited { retry_after_ms } | Refusal::Overloaded { retry_after_ms } => Some(*retry_after_ms),
        _ => None,
    };
    let data = ErrorData {
        code: problem.code,
        message: problem.title,
        retryable: problem.retryable,
        temp_id,
        retry_after_ms,
        errors,
    };
    frame("error", None, id, data)
}

#[derive(Serialize, JsonSchema)]
pub struct MessageSent<'a> {
    pub temp_id: &'a str,
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub created_at: Timestamp,
}

pub fn message_sent(id: Option<&str>, data: &MessageSent<'_>) -> Frame {
    frame("chat", Some("message_sent"), id, data)
}
