//! What nodes send each other: one payload per node and batch, made of items, made of tagged fields.
//!
//! ```text
//! payload = version:u8 item*        item = tag:u8 length:varint field*        field = tag:u8 length:varint bytes
//! ```
//! Lengths are LEB128. Unknown tags, of items and of fields, are skipped; an unknown version is said to the caller, who treats all that
//! the payload may have held as lost. So fields may be added while nodes of two versions run side by side. Golden file:
//! `node/tests/golden/delivery.hex`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use uuid::Uuid;

use super::codes::CloseCode;
use super::frame::Frame;
use crate::domain::{ConversationId, ConversationRef, Seq, SessionId, Timestamp, UserId};

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
    /// For the sender's own devices, where it differs (`temp_id`).
    pub own_frame: Option<Frame>,
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
    pub const OWN_FRAME: u8 = 9;
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
}

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

    /// Adds an entry; `own_frame` only where the receiving node has sessions of the sender.
    pub fn entry(&mut self, entry: &EntryItem, with_own_frame: bool) {
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
        if let (true, Some(frame)) = (with_own_frame, &entry.own_frame) {
            self.field(field_tag::OWN_FRAME, &frame.0);
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

/// Takes `tag length bytes` off the front; `None` when malformed.
fn take_tagged(bytes: &mut Bytes) -> Option<(u8, Bytes)> {
    if !bytes.has_remaining() {
        return None;
    }
    let tag = bytes.get_u8();
    let mut length = 0_usize;
    for shift in (0..35).step_by(7) {
        if !bytes.has_remaining() {
            return None;
        }
        let byte = bytes.get_u8();
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (length <= bytes.len()).then(|| (tag, bytes.split_to(length)));
        }
    }
    None
}

/// The fields of an item of any kind, as found.
#[derive(Default)]
struct Fields {
    conversation: Option<ConversationId>,
    low: Option<UserId>,
    high: Option<UserId>,
    epoch: i64,
    seq: i64,
    sender: Option<UserId>,
    created_at: i64,
    frame: Option<Frame>,
    own_frame: Option<Frame>,
    members_version: i64,
    member_count: i64,
    joined: Vec<UserId>,
    left: Vec<UserId>,
    is_message: bool,
    positions: Option<(i64, i64, i64)>,
    users: Vec<UserId>,
    session: Option<SessionId>,
    code: i64,
    is_told: bool,
    previous_created_at: Option<i64>,
}

/// All items of a payload, in order. Frames share the payload's buffer.
pub fn decode(mut payload: Bytes) -> Result<Vec<Item>, DecodeError> {
    if !payload.has_remaining() {
        return Err(DecodeError::Malformed);
    }
    let version = payload.get_u8();
    if version != VERSION {
        return Err(DecodeError::UnknownVersion(version));
    }
    let mut items = Vec::new();
    while payload.has_remaining() {
        let (tag, body) = take_tagged(&mut payload).ok_or(DecodeError::Malformed)?;
        if (item_tag::ENTRY..=item_tag::RESYNC).contains(&tag) {
            let item = decode_fields(body).and_then(|fields| item_of(tag, fields));
            items.push(item.ok_or(DecodeError::Malformed)?);
        }
    }
    Ok(items)
}

fn decode_fields(mut body: Bytes) -> Option<Fields> {
    let mut fields = Fields::default();
    while body.has_remaining() {
        let (tag, bytes) = take_tagged(&mut body)?;
        match tag {
            field_tag::CONVERSATION => fields.conversation = Some(ConversationId(uuid_of(&bytes)?)),
            field_tag::LOW => fields.low = Some(UserId(uuid_of(&bytes)?)),
            field_tag::HIGH => fields.high = Some(UserId(uuid_of(&bytes)?)),
            field_tag::EPOCH => fields.epoch = number_of(&bytes)?,
            field_tag::SEQ => fields.seq = number_of(&bytes)?,
            field_tag::SENDER => fields.sender = Some(UserId(uuid_of(&bytes)?)),
            field_tag::CREATED_AT => fields.created_at = number_of(&bytes)?,
            field_tag::FRAME => fields.frame = Some(Frame(bytes)),
            field_tag::OWN_FRAME => fields.own_frame = Some(Frame(bytes)),
            field_tag::MEMBERS_VERSION => fields.members_version = number_of(&bytes)?,
            field_tag::MEMBER_COUNT => fields.member_count = number_of(&bytes)?,
            field_tag::JOINED => fields.joined = users_of(&bytes)?,
            field_tag::LEFT => fields.left = users_of(&bytes)?,
            field_tag::IS_MESSAGE => fields.is_message = true,
            field_tag::POSITIONS => {
                let (last, rest) = bytes.split_at_checked(8)?;
                let (low, high) = rest.split_at_checked(8)?;
                fields.positions = Some((number_of(last)?, number_of(low)?, number_of(high)?));
            }
            field_tag::USERS => fields.users = users_of(&bytes)?,
            field_tag::SESSION => fields.session = Some(SessionId(uuid_of(&bytes)?)),
            field_tag::CODE => fields.code = number_of(&bytes)?,
            field_tag::IS_TOLD => fields.is_told = true,
            field_tag::PREVIOUS_CREATED_AT => fields.previous_created_at = Some(number_of(&bytes)?),
            _ => {}
        }
    }
    Some(fields)
}

/// `None`: a field that the item needs is missing.
fn item_of(tag: u8, fields: Fields) -> Option<Item> {
    Some(match tag {
        item_tag::ENTRY => {
            let id = fields.conversation?;
            let conversation = match (fields.low, fields.high) {
                (Some(low), Some(high)) => ConversationRef::Direct { id, low, high },
                _ => ConversationRef::Group { id },
            };
            Item::Entry(Box::new(EntryItem {
                conversation,
                epoch: fields.epoch,
                seq: Seq(fields.seq),
                sender: fields.sender?,
                created_at: Timestamp(fields.created_at),
                previous_created_at: fields.previous_created_at.map(Timestamp),
                frame: fields.frame?,
                own_frame: fields.own_frame,
                members_version: fields.members_version,
                member_count: i32::try_from(fields.member_count).ok()?,
                joined: fields.joined,
                left: fields.left,
                is_message: fields.is_message,
                positions: fields.positions,
            }))
        }
        item_tag::SIGNAL => Item::Signal { users: fields.users, frame: fields.frame?, except: fields.session },
        item_tag::CLOSE => Item::Close {
            user: *fields.users.first()?,
            session: fields.session?,
            code: CloseCode::from_number(u16::try_from(fields.code).ok()?)?,
        },
        item_tag::UNREAD => {
            let (last_ordinal, read_ordinal, _) = fields.positions?;
            Item::Unread {
                user: *fields.users.first()?,
                conversation: fields.conversation?,
                last_ordinal,
                read_ordinal,
                is_told: fields.is_told,
            }
        }
        _ => Item::Resync { users: fields.users, conversation: fields.conversation? },
    })
}

fn uuid_of(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

fn number_of(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_be_bytes)
}

fn users_of(bytes: &[u8]) -> Option<Vec<UserId>> {
    bytes.chunks(16).map(|chunk| uuid_of(chunk).map(UserId)).collect()
}

#[cfg(test)]
mod tests {
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
            own_frame: Some(Frame::text(br#"{"type":"chat","data":{"temp_id":"x"}}"#)),
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
            own_frame: None,
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
    fn what_was_written_is_read() {
        let (items, bytes) = payload();
        assert_eq!(decode(bytes).unwrap(), items);
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
