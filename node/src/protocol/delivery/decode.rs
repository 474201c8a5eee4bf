//! Reads a payload; what it does not know it skips.

use bytes::{Buf, Bytes};
use uuid::Uuid;

use super::{DecodeError, EntryItem, Item, VERSION, field_tag, item_tag};
use crate::domain::{ConversationId, ConversationRef, Seq, SessionId, Timestamp, UserId};
use crate::protocol::codes::CloseCode;
use crate::protocol::frame::Frame;

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
    temp_id: Option<String>,
    bare_frame: Option<Frame>,
    message_seq: i64,
    hidden_by: Vec<UserId>,
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
            field_tag::TEMP_ID => fields.temp_id = String::from_utf8(bytes.to_vec()).ok(),
            field_tag::BARE_FRAME => fields.bare_frame = Some(Frame(bytes)),
            field_tag::MESSAGE_SEQ => fields.message_seq = number_of(&bytes)?,
            field_tag::HIDDEN_BY => fields.hidden_by = users_of(&bytes)?,
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
                temp_id: fields.temp_id,
                bare_frame: fields.bare_frame,
                message_seq: Seq(fields.message_seq),
                hidden_by: fields.hidden_by,
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
