//! Writes a payload, item by item.

use bytes::{BufMut, Bytes, BytesMut};

use super::{EntryItem, VERSION, field_tag, item_tag};
use crate::domain::{ConversationId, ConversationRef, SessionId, UserId};
use crate::protocol::codes::CloseCode;
use crate::protocol::frame::Frame;

/// Collects the items of one payload.
#[derive(Debug)]
pub struct Encoder {
    out: BytesMut,
    item: BytesMut,
}

impl Default for Encoder {
    fn default() -> Self {
        let mut out = BytesMut::with_capacity(1024);
        out.put_u8(VERSION);
        Self { out, item: BytesMut::with_capacity(512) }
    }
}

impl Encoder {
    /// True while no item was added.
    pub fn is_empty(&self) -> bool {
        self.out.len() <= 1
    }

    pub fn finish(self) -> Bytes {
        self.out.freeze()
    }

    /// Adds an entry; `temp_id` only where the receiving node has sessions of the sender.
    pub fn entry(&mut self, entry: &EntryItem, with_temp_id: bool) {
        self.field(field_tag::CONVERSATION, entry.conversation.id().0.as_bytes());
        if let ConversationRef::Direct { low, high, .. } = entry.conversation {
            self.field(field_tag::LOW, low.0.as_bytes());
            self.field(field_tag::HIGH, high.0.as_bytes());
        }
        self.number(field_tag::EPOCH, entry.epoch);
        self.number(field_tag::SEQ, entry.seq.0);
        self.field(field_tag::SENDER, entry.sender.0.as_bytes());
        self.number(field_tag::CREATED_AT, entry.created_at.0);
        if let Some(previous) = entry.previous_created_at {
            self.number(field_tag::PREVIOUS_CREATED_AT, previous.0);
        }
        self.field(field_tag::FRAME, &entry.frame.0);
        if let (true, Some(temp_id)) = (with_temp_id, &entry.temp_id) {
            self.field(field_tag::TEMP_ID, temp_id.as_bytes());
        }
        if let Some(frame) = &entry.bare_frame {
            self.field(field_tag::BARE_FRAME, &frame.0);
            self.number(field_tag::MESSAGE_SEQ, entry.message_seq.0);
            self.users(field_tag::HIDDEN_BY, &entry.hidden_by);
        }
        if matches!(entry.conversation, ConversationRef::Group { .. }) {
            self.number(field_tag::MEMBERS_VERSION, entry.members_version);
            self.number(field_tag::MEMBER_COUNT, i64::from(entry.member_count));
        }
        self.users(field_tag::JOINED, &entry.joined);
        self.users(field_tag::LEFT, &entry.left);
        if entry.is_message {
            self.field(field_tag::IS_MESSAGE, &[]);
        }
        if let Some((last, low, high)) = entry.positions {
            let mut bytes = [0_u8; 24];
            let (head, tail) = bytes.split_at_mut(8);
            let (middle, end) = tail.split_at_mut(8);
            head.copy_from_slice(&last.to_be_bytes());
            middle.copy_from_slice(&low.to_be_bytes());
            end.copy_from_slice(&high.to_be_bytes());
            self.field(field_tag::POSITIONS, &bytes);
        }
        self.end_item(item_tag::ENTRY);
    }

    pub fn signal(&mut self, users: &[UserId], frame: &Frame, except: Option<SessionId>) {
        self.users(field_tag::USERS, users);
        self.field(field_tag::FRAME, &frame.0);
        if let Some(session) = except {
            self.field(field_tag::SESSION, session.0.as_bytes());
        }
        self.end_item(item_tag::SIGNAL);
    }

    pub fn close(&mut self, user: UserId, session: SessionId, code: CloseCode) {
        self.users(field_tag::USERS, &[user]);
        self.field(field_tag::SESSION, session.0.as_bytes());
        self.number(field_tag::CODE, i64::from(code.number()));
        self.end_item(item_tag::CLOSE);
    }

    pub fn unread(
        &mut self,
        user: UserId,
        conversation: ConversationId,
        last_ordinal: i64,
        read_ordinal: i64,
        is_told: bool,
    ) {
        self.users(field_tag::USERS, &[user]);
        self.field(field_tag::CONVERSATION, conversation.0.as_bytes());
        let mut bytes = [0_u8; 24];
        let (head, tail) = bytes.split_at_mut(8);
        head.copy_from_slice(&last_ordinal.to_be_bytes());
        if let Some(place) = tail.first_chunk_mut::<8>() {
            *place = read_ordinal.to_be_bytes();
        }
        self.field(field_tag::POSITIONS, &bytes);
        if is_told {
            self.field(field_tag::IS_TOLD, &[]);
        }
        self.end_item(item_tag::UNREAD);
    }

    pub fn resync(&mut self, users: &[UserId], conversation: ConversationId) {
        self.users(field_tag::USERS, users);
        self.field(field_tag::CONVERSATION, conversation.0.as_bytes());
        self.end_item(item_tag::RESYNC);
    }

    fn field(&mut self, tag: u8, bytes: &[u8]) {
        self.item.put_u8(tag);
        put_varint(&mut self.item, bytes.len());
        self.item.put_slice(bytes);
    }

    fn number(&mut self, tag: u8, number: i64) {
        self.field(tag, &number.to_be_bytes());
    }

    fn users(&mut self, tag: u8, users: &[UserId]) {
        if users.is_empty() {
            return;
        }
        self.item.put_u8(tag);
        put_varint(&mut self.item, users.len() * 16);
        for user in users {
            self.item.put_slice(user.0.as_bytes());
        }
    }

    fn end_item(&mut self, tag: u8) {
        self.out.put_u8(tag);
        put_varint(&mut self.out, self.item.len());
        self.out.put_slice(&self.item);
        self.item.clear();
    }
}

fn put_varint(out: &mut BytesMut, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            return out.put_u8(low);
        }
        out.put_u8(low | 0x80);
    }
}
