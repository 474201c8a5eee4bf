//! From the fields of a frame to the frame, one function a type.

use serde_json::Value;
use uuid::Uuid;

use super::data::{Data, DataField};
use super::{Auth, ClientFrame, TOKEN_BYTES_MAX, TypingTo};
use crate::domain::command::Position;
use crate::domain::status::ChosenStatus;
use crate::domain::sync::{CONVERSATIONS_MAX, Held, SEEN_MAX, SyncRequest};
use crate::domain::{ConversationId, MessageId, Refusal, Seq, UserId};
use crate::protocol::field::{Faults, Scalar, Text};

pub fn read_auth(mut faults: Faults, token: Text, sync: DataField) -> Result<ClientFrame, Refusal> {
    let token = faults.text("token", token, 1, TOKEN_BYTES_MAX);
    faults.check()?;
    let sync = match sync {
        DataField::Absent => None,
        DataField::Wrong => Some(Err(Refusal::field("sync", "must be an object"))),
        DataField::Given(data) => Some(read_sync(*data)),
    };
    Ok(ClientFrame::Auth(Auth { token: token.unwrap_or_default(), sync }))
}

/// A frame that names a message, by whatever id: what is none is not found, as one that does not exist.
pub fn read_change<T>(
    data: DataField,
    more: impl FnOnce(&mut Faults, Data) -> T,
    make: impl FnOnce(Uuid, T) -> ClientFrame,
) -> Result<ClientFrame, Refusal> {
    let data = *data.given()?;
    let mut faults = Faults::default();
    let message = faults.id("message_id", &data.message_id);
    let rest = more(&mut faults, data);
    faults.check()?;
    let message = message.ok_or(Refusal::NotFound)?;
    Ok(make(message, rest))
}

pub fn read_read(data: &Data) -> Result<ClientFrame, Refusal> {
    let mut faults = Faults::default();
    let conversation = faults.id("conversation_id", &data.conversation_id);
    let seq = faults.optional_whole("seq", data.seq).map(|seq| Seq(seq).within_log());
    let message = faults.optional_id("message_id", &data.message_id);
    faults.check()?;
    let conversation = conversation.and_then(ConversationId::from_uuid).ok_or(Refusal::NotFound)?;
    let position = match (seq, message) {
        (Some(seq), _) => Position::At(seq),
        (None, Some(message)) => {
            let message = MessageId::from_uuid(message).filter(|message| message.conversation() == conversation);
            Position::Message(message.ok_or(Refusal::NotFound)?.seq())
        }
        (None, None) => Position::Newest,
    };
    Ok(ClientFrame::Read { conversation, position })
}

pub fn read_acknowledge(data: &Data) -> Result<ClientFrame, Refusal> {
    let mut faults = Faults::default();
    let conversation = faults.id("conversation_id", &data.conversation_id);
    if matches!(data.seq, Scalar::Absent) {
        faults.add("seq", "is required");
    }
    let seq = faults.optional_whole("seq", data.seq).map(|seq| Seq(seq).within_log());
    faults.check()?;
    let conversation = conversation.and_then(ConversationId::from_uuid).ok_or(Refusal::NotFound)?;
    Ok(ClientFrame::Acknowledge { conversation, seq: seq.unwrap_or_default() })
}

pub fn read_typing(data: &Data) -> Result<ClientFrame, Refusal> {
    let mut faults = Faults::default();
    let receiver = faults.optional_id("receiver_id", &data.receiver_id);
    let place = if data.conversation_id.is_absent() { &data.group_id } else { &data.conversation_id };
    let conversation = faults.optional_id("conversation_id", place);
    if data.receiver_id.is_absent() == place.is_absent() {
        faults.add("receiver_id", "one of receiver_id and conversation_id says where to");
    }
    let is_typing = faults.flag("is_typing", data.is_typing);
    faults.check()?;
    let to = match (receiver, conversation) {
        (Some(user), _) => TypingTo::User(UserId(user)),
        (None, id) => TypingTo::Conversation(id.and_then(ConversationId::from_uuid).ok_or(Refusal::NotFound)?),
    };
    Ok(ClientFrame::Typing { to, is_typing })
}

pub fn read_status(data: Data) -> Result<ClientFrame, Refusal> {
    let mut faults = Faults::default();
    let status = faults.text("status", data.status, 0, usize::MAX);
    faults.check()?;
    status
        .and_then(|status| ChosenStatus::parse(&status))
        .map(ClientFrame::Status)
        .ok_or_else(|| Refusal::field("status", "is not one of online, away, busy, invisible"))
}

pub fn read_sync(data: Data) -> Result<SyncRequest, Refusal> {
    let mut faults = Faults::default();
    let cursor = match data.cursor {
        Text::Absent => None,
        Text::Given(cursor) => Some(cursor),
        Text::Wrong => {
            faults.add("cursor", "must be text");
            None
        }
    };
    let conversations =
        positions(&mut faults, "conversations", "after_seq", data.conversations, CONVERSATIONS_MAX, "at most 100");
    let seen = positions(&mut faults, "seen", "seq", data.seen, SEEN_MAX, "at most 500");
    let limit = match data.limit {
        Scalar::Absent => None,
        Scalar::Whole(limit) if limit > 0 => Some(u32::try_from(limit).unwrap_or(u32::MAX)),
        _ => {
            faults.add("limit", "must be a number above 0");
            None
        }
    };
    faults.check()?;
    Ok(SyncRequest { cursor, conversations, seen: seen.unwrap_or_default(), limit })
}

/// A list of `{"conversation_id", <seq_field>}`.
fn positions(
    faults: &mut Faults,
    field: &'static str,
    seq_field: &str,
    value: Option<Value>,
    max: usize,
    too_many: &'static str,
) -> Option<Vec<Held>> {
    let items = match value {
        None | Some(Value::Null) => return None,
        Some(Value::Array(items)) => items,
        Some(_) => {
            faults.add(field, "must be a list");
            return None;
        }
    };
    if items.len() > max {
        faults.add(field, too_many);
        return None;
    }
    let held = |item: &Value| {
        let conversation_id = Uuid::parse_str(item.get("conversation_id")?.as_str()?).ok()?;
        let seq = match item.get(seq_field) {
            None | Some(Value::Null) => 0,
            Some(Value::Number(seq)) if seq.is_u64() => seq.as_i64().unwrap_or(i64::MAX),
            Some(seq) => seq.as_i64()?,
        };
        Some(Held { conversation_id, seq: Seq(seq).within_log() })
    };
    let list: Option<Vec<Held>> = items.iter().map(held).collect();
    if list.is_none() {
        faults.add(field, "each needs a conversation_id and a seq");
    }
    list
}
