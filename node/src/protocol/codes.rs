//! Stable codes: of refusals (with their HTTP status), and of closing a WebSocket.

use std::borrow::Cow;

use crate::domain::Refusal;

/// Why the server closes a socket (contract 2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    Normal = 1000,
    GoingAway = 1001,
    ProtocolError = 1002,
    Unsupported = 1003,
    InvalidUtf8 = 1007,
    Unauthorized = 1008,
    TooBig = 1009,
    Internal = 1011,
    Overloaded = 1013,
    TokenExpired = 4001,
    HeartbeatMissed = 4008,
    Flooding = 4029,
    SlowConsumer = 4030,
    Replaced = 4500,
    SessionEnded = 4501,
}

impl CloseCode {
    pub const ALL: &[Self] = &[
        Self::Normal,
        Self::GoingAway,
        Self::ProtocolError,
        Self::Unsupported,
        Self::InvalidUtf8,
        Self::Unauthorized,
        Self::TooBig,
        Self::Internal,
        Self::Overloaded,
        Self::TokenExpired,
        Self::HeartbeatMissed,
        Self::Flooding,
        Self::SlowConsumer,
        Self::Replaced,
        Self::SessionEnded,
    ];

    pub const fn number(self) -> u16 {
        #[expect(clippy::as_conversions, reason = "the discriminants are the numbers")]
        {
            self as u16
        }
    }

    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1000 => Self::Normal,
            1001 => Self::GoingAway,
            1002 => Self::ProtocolError,
            1003 => Self::Unsupported,
            1007 => Self::InvalidUtf8,
            1008 => Self::Unauthorized,
            1009 => Self::TooBig,
            1011 => Self::Internal,
            1013 => Self::Overloaded,
            4001 => Self::TokenExpired,
            4008 => Self::HeartbeatMissed,
            4029 => Self::Flooding,
            4030 => Self::SlowConsumer,
            4500 => Self::Replaced,
            4501 => Self::SessionEnded,
            _ => return None,
        })
    }

    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::GoingAway => "node leaving",
            Self::ProtocolError => "protocol error",
            Self::Unsupported => "binary frames are not supported",
            Self::InvalidUtf8 => "not UTF-8",
            Self::Unauthorized => "no, bad or expired token",
            Self::TooBig => "message too big",
            Self::Internal => "internal error",
            Self::Overloaded => "overloaded",
            Self::TokenExpired => "token expired",
            Self::HeartbeatMissed => "heartbeat missed",
            Self::Flooding => "flooding",
            Self::SlowConsumer => "slow consumer",
            Self::Replaced => "replaced by a newer connection",
            Self::SessionEnded => "session ended",
        }
    }
}

/// How a refusal is told: one line for each code of the contract's section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    pub code: &'static str,
    pub status: u16,
    pub title: &'static str,
    pub retryable: bool,
}

const fn final_problem(status: u16, code: &'static str, title: &'static str) -> Problem {
    Problem { code, status, title, retryable: false }
}

const fn retryable(status: u16, code: &'static str, title: &'static str) -> Problem {
    Problem { code, status, title, retryable: true }
}

/// Code, HTTP status and title of a refusal.
pub const fn problem_of(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::InvalidJson => final_problem(400, "invalid_json", "not JSON, or nested too deep"),
        Refusal::InvalidCursor => final_problem(400, "invalid_cursor", "the cursor is damaged or not yours"),
        Refusal::Unauthorized => final_problem(401, "unauthorized", "no, bad, expired or ended token"),
        Refusal::InvalidCredentials => final_problem(401, "invalid_credentials", "wrong name or password"),
        Refusal::InvalidRefreshToken => final_problem(401, "invalid_refresh_token", "the refresh token is not good"),
        Refusal::Forbidden => final_problem(403, "forbidden", "not permitted"),
        Refusal::Blocked => final_problem(403, "blocked", "you are blocked by this user"),
        Refusal::Blocking => final_problem(403, "blocking", "you are blocking this user"),
        Refusal::NotFriends => final_problem(403, "not_friends", "only friends may write to each other"),
        Refusal::FirstMessageLimit => {
            final_problem(403, "first_message_limit", "wait for an answer before you write again")
        }
        Refusal::Muted => final_problem(403, "muted", "you may not write here now"),
        Refusal::NotFound | Refusal::NotFoundFields(_) => final_problem(404, "not_found", "not found"),
        Refusal::MethodNotAllowed => final_problem(405, "method_not_allowed", "this path has no such method"),
        Refusal::UsernameTaken => final_problem(409, "username_taken", "this username is taken"),
        Refusal::EmailTaken => final_problem(409, "email_taken", "this email address is taken"),
        Refusal::TempIdReused => final_problem(409, "temp_id_reused", "this temp_id was used for something else"),
        Refusal::RecallWindowPassed => final_problem(409, "recall_window_passed", "too late to recall"),
        Refusal::EditWindowPassed => final_problem(409, "edit_window_passed", "too late to edit"),
        Refusal::NotEditable => final_problem(409, "not_editable", "this cannot be changed"),
        Refusal::OwnerMustTransfer => final_problem(409, "owner_must_transfer", "hand the group over before you leave"),
        Refusal::GroupFull => final_problem(409, "group_full", "the group is full"),
        Refusal::TooManyPins => final_problem(409, "too_many_pins", "unpin a message first"),
        Refusal::AlreadyFriends => final_problem(409, "already_friends", "you are friends already"),
        Refusal::TooLarge => final_problem(413, "too_large", "too large"),
        Refusal::UnsupportedType => final_problem(415, "unsupported_type", "unsupported media type"),
        Refusal::InvalidRequest(_) => final_problem(422, "invalid_request", "the request is not valid"),
        Refusal::InvalidText(_) => final_problem(422, "invalid_text", "text must not contain U+0000"),
        Refusal::UnknownType => final_problem(422, "unknown_type", "unknown type or action"),
        Refusal::RateLimited { .. } => retryable(429, "rate_limited", "too many requests"),
        Refusal::Internal => retryable(500, "internal", "internal error"),
        Refusal::Unavailable => retryable(503, "unavailable", "cannot be reached now; it may or may not have happened"),
        Refusal::Overloaded { .. } => retryable(503, "overloaded", "overloaded; try again later"),
    }
}

/// One refusal of each kind, so that documents can say which codes there are.
pub const EACH_REFUSAL: &[Refusal] = &[
    Refusal::InvalidJson,
    Refusal::InvalidCursor,
    Refusal::Unauthorized,
    Refusal::InvalidCredentials,
    Refusal::InvalidRefreshToken,
    Refusal::Forbidden,
    Refusal::Blocked,
    Refusal::Blocking,
    Refusal::NotFriends,
    Refusal::FirstMessageLimit,
    Refusal::Muted,
    Refusal::NotFound,
    Refusal::MethodNotAllowed,
    Refusal::UsernameTaken,
    Refusal::EmailTaken,
    Refusal::TempIdReused,
    Refusal::RecallWindowPassed,
    Refusal::EditWindowPassed,
    Refusal::NotEditable,
    Refusal::OwnerMustTransfer,
    Refusal::GroupFull,
    Refusal::TooManyPins,
    Refusal::AlreadyFriends,
    Refusal::TooLarge,
    Refusal::UnsupportedType,
    Refusal::InvalidRequest(Vec::new()),
    Refusal::InvalidText(Cow::Borrowed("")),
    Refusal::UnknownType,
    Refusal::RateLimited { retry_after_ms: 0 },
    Refusal::Internal,
    Refusal::Unavailable,
    Refusal::Overloaded { retry_after_ms: 0 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_listed_once() {
        // A new kind does not compile until it has a number here, and is missed below until it is listed.
        let number = |refusal: &Refusal| match refusal {
            Refusal::InvalidJson => 0,
            Refusal::InvalidCursor => 1,
            Refusal::Unauthorized => 2,
            Refusal::InvalidCredentials => 3,
            Refusal::InvalidRefreshToken => 4,
            Refusal::Forbidden => 5,
            Refusal::Blocked => 6,
            Refusal::Blocking => 7,
            Refusal::NotFriends => 8,
            Refusal::FirstMessageLimit => 9,
            Refusal::Muted => 10,
            Refusal::NotFound | Refusal::NotFoundFields(_) => 11,
            Refusal::MethodNotAllowed => 12,
            Refusal::UsernameTaken => 13,
            Refusal::EmailTaken => 14,
            Refusal::TempIdReused => 15,
            Refusal::RecallWindowPassed => 16,
            Refusal::EditWindowPassed => 17,
            Refusal::NotEditable => 18,
            Refusal::OwnerMustTransfer => 19,
            Refusal::GroupFull => 20,
            Refusal::TooManyPins => 21,
            Refusal::AlreadyFriends => 22,
            Refusal::TooLarge => 23,
            Refusal::UnsupportedType => 24,
            Refusal::InvalidRequest(_) => 25,
            Refusal::InvalidText(_) => 26,
            Refusal::UnknownType => 27,
            Refusal::RateLimited { .. } => 28,
            Refusal::Internal => 29,
            Refusal::Unavailable => 30,
            Refusal::Overloaded { .. } => 31,
        };
        let numbers: Vec<usize> = EACH_REFUSAL.iter().map(number).collect();
        assert_eq!(numbers, (0..32).collect::<Vec<_>>());
    }
}
