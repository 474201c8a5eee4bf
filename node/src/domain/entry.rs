//! An entry of a log in its present state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conversation::{ConversationKind, Role};
use super::ids::{MessageId, Seq, UserId};
use super::message::Message;
use super::timestamp::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    Message,
    Recall,
    Edit,
    Reaction,
    Pin,
    Created,
    Updated,
    MemberAdded,
    MemberRemoved,
    MemberLeft,
    RoleChanged,
    MemberMuted,
    Dissolved,
}

impl EntryKind {
    /// As kept in the databases.
    pub const fn code(self) -> i16 {
        match self {
            Self::Message => 1,
            Self::Recall => 2,
            Self::Edit => 3,
            Self::Reaction => 4,
            Self::Pin => 5,
            Self::Created => 10,
            Self::Updated => 11,
            Self::MemberAdded => 12,
            Self::MemberRemoved => 13,
            Self::MemberLeft => 14,
            Self::RoleChanged => 15,
            Self::MemberMuted => 16,
            Self::Dissolved => 17,
        }
    }
}

/// What an entry says; `entry.body` is the JSON of the inner value, `entry.kind` says of which.
#[derive(Clone, Debug)]
pub enum Body {
    Message(Box<Message>),
    Recall(Recall),
    Edit(Edit),
    Reaction(Reaction),
    Pin(Pin),
    Created(Created),
    Updated(Updated),
    MemberAdded(UserIds),
    MemberRemoved(UserIds),
    MemberLeft(UserIds),
    RoleChanged(RoleChanged),
    MemberMuted(MemberMuted),
    Dissolved,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    pub message_seq: Seq,
}

/// The text itself is the edited message's: an edit always shows its present content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    pub message_seq: Seq,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    pub message_seq: Seq,
    pub emoji: String,
    pub add: bool,
}

/// Pinned for all, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub message_seq: Seq,
    pub add: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    pub kind: ConversationKind,
    pub title: String,
    /// At most 200, the owner first.
    pub members: Vec<UserId>,
    pub member_count: i32,
}

/// `None`: unchanged. An inner `None`: taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Updated {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub title: Option<String>,
    #[serde(default, with = "present_or_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub avatar_url: Option<Option<String>>,
    #[serde(default, with = "present_or_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub announcement: Option<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub muted: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserIds {
    pub user_ids: Vec<UserId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleChanged {
    pub user_id: UserId,
    pub role: Role,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberMuted {
    pub user_id: UserId,
    pub muted_until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub id: MessageId,
    pub sender_id: UserId,
    pub sender_name: String,
    pub body: Body,
    /// The sender's, of messages only.
    pub temp_id: Option<String>,
    /// Number of messages up to here, this one counted.
    pub ordinal: i64,
    pub created_at: Timestamp,
}

impl Entry {
    pub fn seq(&self) -> Seq {
        self.id.seq()
    }
}

impl Body {
    pub const fn kind(&self) -> EntryKind {
        match self {
            Self::Message(_) => EntryKind::Message,
            Self::Recall(_) => EntryKind::Recall,
            Self::Edit(_) => EntryKind::Edit,
            Self::Reaction(_) => EntryKind::Reaction,
            Self::Pin(_) => EntryKind::Pin,
            Self::Created(_) => EntryKind::Created,
            Self::Updated(_) => EntryKind::Updated,
            Self::MemberAdded(_) => EntryKind::MemberAdded,
            Self::MemberRemoved(_) => EntryKind::MemberRemoved,
            Self::MemberLeft(_) => EntryKind::MemberLeft,
            Self::RoleChanged(_) => EntryKind::RoleChanged,
            Self::MemberMuted(_) => EntryKind::MemberMuted,
            Self::Dissolved => EntryKind::Dissolved,
        }
    }

    /// JSON for `entry.body`.
    pub fn to_json(&self) -> serde_json::Result<String> {
        match self {
            Self::Message(body) => serde_json::to_string(body),
            Self::Recall(body) => serde_json::to_string(body),
            Self::Edit(body) => serde_json::to_string(body),
            Self::Reaction(body) => serde_json::to_string(body),
            Self::Pin(body) => serde_json::to_string(body),
            Self::Created(body) => serde_json::to_string(body),
            Self::Updated(body) => serde_json::to_string(body),
            Self::MemberAdded(body) | Self::MemberRemoved(body) | Self::MemberLeft(body) => serde_json::to_string(body),
            Self::RoleChanged(body) => serde_json::to_string(body),
            Self::MemberMuted(body) => serde_json::to_string(body),
            Self::Dissolved => Ok("{}".to_owned()),
        }
    }

    /// Reads `entry.kind` and `entry.body`. An unknown kind is an error: readers are upgraded before writers.
    pub fn from_json(kind: i16, json: &str) -> serde_json::Result<Self> {
        Ok(match kind {
            1 => Self::Message(serde_json::from_str(json)?),
            2 => Self::Recall(serde_json::from_str(json)?),
            3 => Self::Edit(serde_json::from_str(json)?),
            4 => Self::Reaction(serde_json::from_str(json)?),
            5 => Self::Pin(serde_json::from_str(json)?),
            10 => Self::Created(serde_json::from_str(json)?),
            11 => Self::Updated(serde_json::from_str(json)?),
            12 => Self::MemberAdded(serde_json::from_str(json)?),
            13 => Self::MemberRemoved(serde_json::from_str(json)?),
            14 => Self::MemberLeft(serde_json::from_str(json)?),
            15 => Self::RoleChanged(serde_json::from_str(json)?),
            16 => Self::MemberMuted(serde_json::from_str(json)?),
            17 => Self::Dissolved,
            _ => return Err(serde::de::Error::custom("unknown kind of entry")),
        })
    }

    /// The message that a recall, edit, reaction or pin speaks of.
    pub const fn message_seq(&self) -> Option<Seq> {
        match self {
            Self::Recall(body) => Some(body.message_seq),
            Self::Edit(body) => Some(body.message_seq),
            Self::Reaction(body) => Some(body.message_seq),
            Self::Pin(body) => Some(body.message_seq),
            _ => None,
        }
    }
}

/// Tells an absent field (`None`) from `null` (`Some(None)`).
pub mod present_or_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(value: &Option<Option<T>>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(serializer)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::<T>::deserialize(deserializer).map(Some)
    }
}
