//! Ids as types. A conversation's id is a hash of 82 significant bits in a UUID of version 8 whose low 40 bits are zero; a
//! message's id is its conversation's id with the entry's seq in those 40 bits, so it is an address.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use herald_router::{BootId, NodeId, SessionId};

/// Number of low bits of a message id that hold its seq.
const SEQ_BITS: u32 = 40;
const SEQ_MASK: u128 = (1 << SEQ_BITS) - 1;
/// Greatest seq a log can have: 2^40 - 1, also below 2^53 so that JavaScript can count it.
pub const SEQ_MAX: i64 = (1 << SEQ_BITS) - 1;
/// Number of slots, the first 10 bits of a conversation's id.
pub const SLOT_COUNT: u16 = 1024;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A user: random (version 4), or a hash for users of other issuers.
    UserId
);
uuid_id!(
    /// A login: the `sid` of tokens. What REST calls a session.
    LoginId
);
uuid_id!(
    /// One joining of one member, random, in the directory's and the shard's row.
    JoinToken
);
uuid_id!(
    /// A link by which users join a group themselves: version 7, so that newer ones are greater.
    InviteId
);
uuid_id!(
    /// What only those know who have the link. Not to be logged.
    InviteSecret
);
uuid_id!(
    /// A conversation.
    ConversationId
);
uuid_id!(
    /// An entry of a log: conversation and seq in one.
    MessageId
);
uuid_id!(
    /// What a user is told beside messages, by itself or with everyone.
    NotificationId
);
uuid_id!(
    /// A template of notifications.
    TemplateId
);
uuid_id!(
    /// A reported event.
    EventId
);
uuid_id!(
    /// An entry of the audit log.
    AuditId
);

impl UserId {
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
    /// Stands for everyone in mentions.
    pub const ALL: Self = Self(Uuid::nil());
}

impl LoginId {
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl NotificationId {
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl TemplateId {
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl EventId {
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl AuditId {
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl InviteId {
    pub fn of_now() -> Self {
        Self(Uuid::now_v7())
    }
}

impl InviteSecret {
    pub fn random() -> Self {
        Self(Uuid::from_bytes(rand::random()))
    }
}

impl JoinToken {
    /// The token of direct conversations, which are never joined.
    pub const DIRECT: Self = Self(Uuid::nil());

    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

/// The position of an entry in its log: 1, 2, 3, ...; 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Seq(#[schemars(range(min = 0))] pub i64);

impl Seq {
    pub const ZERO: Self = Self(0);

    /// Stays where it is at the end of all numbers: clients name seqs, too.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
    /// What a client named, as a place that a log can have: one before the first is 0, one beyond all is the last there can be.
    #[must_use]
    pub fn within_log(self) -> Self {
        Self(self.0.clamp(0, SEQ_MAX))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One of 1024 ranges of conversation ids; slots are what shards hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl ConversationId {
    /// The one conversation of two users, whoever asks.
    pub fn direct(one: UserId, other: UserId) -> Self {
        let (low, high) = if one < other { (one, other) } else { (other, one) };
        Self::hashed(&[b"direct", low.0.as_bytes(), high.0.as_bytes()])
    }

    /// A group's id, the same for every repeat of its creation.
    pub fn group(creator: UserId, temp_id: &str) -> Self {
        Self::hashed(&[b"group", creator.0.as_bytes(), temp_id.as_bytes()])
    }

    pub fn random() -> Self {
        Self::from_bits(Uuid::new_v4().as_u128() ^ Uuid::new_v4().as_u128().rotate_left(17))
    }

    fn hashed(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        let digest = hash.finalize();
        let bits = digest.iter().take(16).fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
        Self::from_bits(bits)
    }

    fn from_bits(bits: u128) -> Self {
        let marked = Uuid::new_v8((bits & !SEQ_MASK).to_be_bytes());
        Self(marked)
    }

    /// What a client or a row gave, if it can be a conversation's id at all.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().and_then(Self::from_uuid)
    }

    pub fn from_uuid(id: Uuid) -> Option<Self> {
        (id.as_u128() & SEQ_MASK == 0 && id.get_version_num() == 8).then_some(Self(id))
    }

    pub fn slot(self) -> Slot {
        Slot(u16::try_from(self.0.as_u128() >> 118).unwrap_or(0))
    }

    /// The id of this log's entry `seq`. Seqs beyond [`SEQ_MAX`] cannot occur: the judge refuses to give them out.
    pub fn message(self, seq: Seq) -> MessageId {
        let low = u128::from(seq.0.unsigned_abs()) & SEQ_MASK;
        MessageId(Uuid::from_u128(self.0.as_u128() | low))
    }

    /// The id's first 64 bits: what `client_key` begins with.
    pub fn high_bits(self) -> u64 {
        self.0.as_u64_pair().0
    }
}

impl MessageId {
    pub fn conversation(self) -> ConversationId {
        ConversationId(Uuid::from_u128(self.0.as_u128() & !SEQ_MASK))
    }

    pub fn seq(self) -> Seq {
        Seq(i64::try_from(self.0.as_u128() & SEQ_MASK).unwrap_or(0))
    }

    /// What a client gave, if it can be an entry's id at all.
    pub fn from_uuid(id: Uuid) -> Option<Self> {
        let message = Self(id);
        (message.seq() > Seq::ZERO && id.get_version_num() == 8).then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_conversation() {
        let (one, other) = (UserId::random(), UserId::random());
        assert_eq!(ConversationId::direct(one, other), ConversationId::direct(other, one));
        assert_ne!(ConversationId::direct(one, other), ConversationId::direct(one, one));
    }

    #[test]
    fn a_message_id_is_an_address() {
        for conversation in [ConversationId::random(), ConversationId::group(UserId::random(), "x")] {
            assert_eq!(ConversationId::from_uuid(conversation.0), Some(conversation));
            for seq in [1, 77, SEQ_MAX] {
                let message = conversation.message(Seq(seq));
                assert_eq!(message.conversation(), conversation);
                assert_eq!(message.seq(), Seq(seq));
                assert_eq!(MessageId::from_uuid(message.0), Some(message));
                assert_eq!(ConversationId::from_uuid(message.0), None);
                assert!(message.0 > conversation.0);
            }
        }
    }

    #[test]
    fn a_slot_is_the_first_ten_bits() {
        let low = ConversationId(Uuid::parse_str("00400000-0000-8000-8000-000000000000").unwrap());
        assert_eq!(low.slot(), Slot(1));
        let high = ConversationId(Uuid::parse_str("ffc00000-0000-8000-8000-000000000000").unwrap());
        assert_eq!(high.slot(), Slot(1023));
    }
}
