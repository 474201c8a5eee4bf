//! What nodes send each other: one payload per node and batch, made of items, made of tagged fields.
//!
//! ```text
//! payload = version:u8 item*        item = tag:u8 length:varint field*        field = tag:u8 length:varint bytes
//! ```
//! Lengths are LEB128. Unknown tags, of items and of fields, are skipped; an unknown version is said to the caller, who treats all that
//! the payload may have held as lost. So fields may be added while nodes of two versions run side by side. Golden file:
//! `node/tests/golden/delivery.hex`.

mod decode;
mod encode;

use super::codes::CloseCode;
use super::frame::Frame;
use crate::domain::{ConversationId, ConversationRef, Seq, SessionId, Timestamp, UserId};
pub use decode::decode;
pub use encode::Encoder;

/// The version that this code writes, and the only one it reads.
pub const VERSION: u8 = 1;

/// A log entry for all sessions of its members on the receiving node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryItem {
    pub conversation: ConversationRef,
    /// Of the shard when it was committed.
    pub epoch: i64,
    pub seq: Seq,
    pub sender: UserId,
    pub created_at: Timestamp,
    /// When the entry before it was made; none for the log's first, and where it is not known.
    pub previous_created_at: Option<Timestamp>,
    pub frame: Frame,
    /// Of messages: for the sender's own devices, see [`EntryItem::own_frame`].
    pub temp_id: Option<String>,
    /// Of an edit: its frame without content, for those who may not see the message or have hidden it.
    pub bare_frame: Option<Frame>,
    /// Of an edit: the message's seq, and who has hidden it.
    pub message_seq: Seq,
    pub hidden_by: Vec<UserId>,
    /// Of groups: the version of the member set from this entry on, and how it changed.
    pub members_version: i64,
    pub member_count: i32,
    pub joined: Vec<UserId>,
    pub left: Vec<UserId>,
    /// True for messages: they change unread counts.
    pub is_message: bool,
    /// Of pairs: `last_ordinal` and both read ordinals after the commit (low, high).
    pub positions: Option<(i64, i64, i64)>,
}

impl EntryItem {
    /// The frame for the sender's own devices: the same with `temp_id`. Made where there is such a device, which is seldom.
    pub fn own_frame(&self) -> Frame {
        self.temp_id.as_deref().map_or_else(|| self.frame.clone(), |temp_id| self.frame.with_temp_id(temp_id))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Entry(Box<EntryItem>),
    /// A frame for all sessions of these users, but one.
    Signal {
        users: Vec<UserId>,
        frame: Frame,
        except: Option<SessionId>,
    },
    /// The session is to be closed.
    Close {
        user: UserId,
        session: SessionId,
        code: CloseCode,
    },
    /// A user's unread count is `last_ordinal - read_ordinal`, each the greatest seen.
    Unread {
        user: UserId,
        conversation: ConversationId,
        last_ordinal: i64,
        read_ordinal: i64,
        is_told: bool,
    },
    /// All sessions of these users may have missed something of the conversation.
    Resync {
        users: Vec<UserId>,
        conversation: ConversationId,
    },
}

/// Why a payload cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("version {0} of the delivery format is not known")]
    UnknownVersion(u8),
    #[error("the payload is cut short or malformed")]
    Malformed,
}

mod item_tag {
    pub const ENTRY: u8 = 1;
    pub const SIGNAL: u8 = 2;
    pub const CLOSE: u8 = 3;
    pub const UNREAD: u8 = 4;
    pub const RESYNC: u8 = 5;
}

mod field_tag {
    pub const CONVERSATION: u8 = 1;
    pub const LOW: u8 = 2;
    pub const HIGH: u8 = 3;
    pub const EPOCH: u8 = 4;
    pub const SEQ: u8 = 5;
    pub const SENDER: u8 = 6;
    pub const CREATED_AT: u8 = 7;
    pub const FRAME: u8 = 8;
    pub const TEMP_ID: u8 = 9;
    pub const MEMBERS_VERSION: u8 = 10;
    pub const MEMBER_COUNT: u8 = 11;
    pub const JOINED: u8 = 12;
    pub const LEFT: u8 = 13;
    pub const IS_MESSAGE: u8 = 14;
    pub const POSITIONS: u8 = 15;
    pub const USERS: u8 = 16;
    pub const SESSION: u8 = 17;
    pub const CODE: u8 = 18;
    pub const IS_TOLD: u8 = 19;
    pub const PREVIOUS_CREATED_AT: u8 = 20;
    pub const BARE_FRAME: u8 = 21;
    pub const MESSAGE_SEQ: u8 = 22;
    pub const HIDDEN_BY: u8 = 23;
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, Bytes, BytesMut};
    use uuid::Uuid;

    use super::*;

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn direct_entry() -> EntryItem {
        EntryItem {
            conversation: ConversationRef::direct(user(1), user(2)),
            epoch: 3,
            seq: Seq(77),
            sender: user(1),
            created_at: Timestamp(1_770_460_200_123_456),
            previous_created_at: Some(Timestamp(1_770_460_200_000_000)),
            frame: Frame::text(br#"{"type":"chat"}"#),
            temp_id: Some("x".to_owned()),
            bare_frame: None,
            message_seq: Seq::ZERO,
            hidden_by: vec![],
            members_version: 0,
            member_count: 0,
            joined: vec![],
            left: vec![],
            is_message: true,
            positions: Some((70, 70, 12)),
        }
    }

    fn group_entry() -> EntryItem {
        EntryItem {
            conversation: ConversationRef::Group { id: ConversationId::group(user(1), "g") },
            temp_id: None,
            members_version: 5,
            member_count: 300,
            joined: vec![user(7), user(8)],
            left: vec![user(9)],
            is_message: false,
            positions: None,
            ..direct_entry()
        }
    }

    fn payload() -> (Vec<Item>, Bytes) {
        let conversation = ConversationId::group(user(1), "g");
        let frame = Frame::text(b"{}");
        let session = SessionId(Uuid::from_u128(99));
        let mut encoder = Encoder::default();
        encoder.entry(&direct_entry(), true);
        encoder.entry(&group_entry(), true);
        encoder.signal(&[user(1), user(2)], &frame, Some(session));
        encoder.close(user(1), session, CloseCode::Replaced);
        encoder.unread(user(1), conversation, 12, 5, true);
        encoder.resync(&[user(1)], conversation);
        let items = vec![
            Item::Entry(Box::new(direct_entry())),
            Item::Entry(Box::new(group_entry())),
            Item::Signal { users: vec![user(1), user(2)], frame, except: Some(session) },
            Item::Close { user: user(1), session, code: CloseCode::Replaced },
            Item::Unread { user: user(1), conversation, last_ordinal: 12, read_ordinal: 5, is_told: true },
            Item::Resync { users: vec![user(1)], conversation },
        ];
        (items, encoder.finish())
    }

    #[test]
    fn the_senders_own_devices_see_its_temp_id() {
        let item = EntryItem {
            frame: Frame::text(br#"{"type":"chat","data":{"seq":77}}"#),
            temp_id: Some("a\"b".to_owned()),
            ..direct_entry()
        };
        assert_eq!(item.own_frame().json(), br#"{"type":"chat","data":{"seq":77,"temp_id":"a\"b"}}"#);
        assert_eq!(EntryItem { temp_id: None, ..item.clone() }.own_frame(), item.frame);
    }

    #[test]
    fn what_was_written_is_read() {
        let (items, bytes) = payload();
        assert_eq!(decode(bytes).unwrap(), items);
    }

    #[test]
    fn an_edit_says_who_does_not_see_what() {
        let bare = Some(Frame::text(b"{}"));
        let edit = EntryItem { bare_frame: bare, message_seq: Seq(70), hidden_by: vec![user(3)], ..group_entry() };
        let mut encoder = Encoder::default();
        encoder.entry(&edit, false);
        assert_eq!(decode(encoder.finish()).unwrap(), [Item::Entry(Box::new(edit))]);
    }

    #[test]
    fn the_format_is_the_golden_file() {
        let (_, bytes) = payload();
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = hex.concat();
        assert_eq!(hex, include_str!("../../tests/golden/delivery.hex").trim());
    }

    #[test]
    fn unknown_tags_are_skipped_and_unknown_versions_said() {
        let (items, bytes) = payload();
        let mut more = BytesMut::from(&bytes[..]);
        more.put_slice(&[200, 3, 1, 1, 7]);
        assert_eq!(decode(more.freeze()).unwrap(), items);
        let mut other = BytesMut::from(&bytes[..]);
        other[0] = 9;
        assert_eq!(decode(other.freeze()), Err(DecodeError::UnknownVersion(9)));
    }

    #[test]
    fn a_cut_payload_never_panics() {
        let (_, bytes) = payload();
        for end in 0..bytes.len() {
            let _ = decode(bytes.slice(..end));
        }
    }
}
