//! What a conversation is, as far as sending and delivering need to know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::{ConversationId, UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    Direct,
    Group,
}

impl ConversationKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
        }
    }
    /// As kept in the databases.
    pub const fn code(self) -> i16 {
        match self {
            Self::Direct => 1,
            Self::Group => 2,
        }
    }
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            1 => Some(Self::Direct),
            2 => Some(Self::Group),
            _ => None,
        }
    }
}

/// A conversation and, where it is direct, whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConversationRef {
    /// `low` < `high`.
    Direct {
        id: ConversationId,
        low: UserId,
        high: UserId,
    },
    Group {
        id: ConversationId,
    },
}

impl ConversationRef {
    pub fn direct(one: UserId, other: UserId) -> Self {
        let (low, high) = if one < other { (one, other) } else { (other, one) };
        Self::Direct { id: ConversationId::direct(one, other), low, high }
    }
    pub const fn id(&self) -> ConversationId {
        match self {
            Self::Direct { id, .. } | Self::Group { id } => *id,
        }
    }
    pub const fn kind(&self) -> ConversationKind {
        match self {
            Self::Direct { .. } => ConversationKind::Direct,
            Self::Group { .. } => ConversationKind::Group,
        }
    }
    /// The other user of a direct conversation.
    pub fn peer_of(&self, user: UserId) -> Option<UserId> {
        match self {
            Self::Direct { low, high, .. } => Some(if *low == user { *high } else { *low }),
            Self::Group { .. } => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Member,
    Admin,
    Owner,
}

impl Role {
    /// As kept in the databases.
    pub const fn code(self) -> i16 {
        match self {
            Self::Member => 0,
            Self::Admin => 1,
            Self::Owner => 2,
        }
    }
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Member),
            1 => Some(Self::Admin),
            2 => Some(Self::Owner),
            _ => None,
        }
    }
}
