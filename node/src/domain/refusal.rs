//! Why something is refused. One variant for each stable code of the contract; `protocol::codes` says code, HTTP status and
//! whether sending the same again may help.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldError {
    pub field: Cow<'static, str>,
    pub message: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    InvalidJson,
    InvalidCursor,
    Unauthorized,
    InvalidCredentials,
    InvalidRefreshToken,
    Forbidden,
    Blocked,
    Blocking,
    NotFriends,
    FirstMessageLimit,
    Muted,
    NotFound,
    /// Unknown ids, named by field.
    NotFoundFields(Vec<FieldError>),
    MethodNotAllowed,
    UsernameTaken,
    EmailTaken,
    TempIdReused,
    RecallWindowPassed,
    EditWindowPassed,
    NotEditable,
    OwnerMustTransfer,
    GroupFull,
    TooManyPins,
    AlreadyFriends,
    TooLarge,
    UnsupportedType,
    InvalidRequest(Vec<FieldError>),
    InvalidText(Cow<'static, str>),
    UnknownType,
    RateLimited {
        retry_after_ms: u64,
    },
    Internal,
    Unavailable,
    Overloaded {
        retry_after_ms: u64,
    },
}

impl Refusal {
    pub fn field(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidRequest(vec![FieldError { field: field.into(), message: message.into() }])
    }
}
