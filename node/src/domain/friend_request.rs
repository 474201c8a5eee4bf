//! Friend requests, as one of the two sees them, and what is told of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The user has asked.
    Outgoing,
    /// The other has.
    Incoming,
}

impl Direction {
    /// As kept in the database; 0 is none.
    pub const fn code(self) -> i16 {
        match self {
            Self::Outgoing => 1,
            Self::Incoming => 2,
        }
    }
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            1 => Some(Self::Outgoing),
            2 => Some(Self::Incoming),
            _ => None,
        }
    }
}

/// What one user does about friendship that the other is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FriendAction {
    Ask,
    Accept,
    Reject,
}

impl FriendAction {
    /// As kept in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Accept => "accept",
            Self::Reject => "reject",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ask, Self::Accept, Self::Reject].into_iter().find(|action| action.as_str() == text)
    }
}
