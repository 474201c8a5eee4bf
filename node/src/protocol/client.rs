//! Frames that clients send (contract 2.3): from bytes to a type that cannot be wrong, or to the refusal that says what is.

use std::cell::RefCell;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use simd_json::Buffers;
use uuid::Uuid;

use super::check_json::check_json;
use super::field::{Faults, Text};
use super::send::SendData;
use crate::domain::command::Position;
use crate::domain::send::SendRequest;
use crate::domain::sync::{CONVERSATIONS_MAX, Held, SEEN_MAX, SyncRequest};
use crate::domain::text::{CONTENT_MAX, EMOJI_MAX};
use crate::domain::{ConversationId, MessageId, Refusal, Seq, UserId};

/// Greatest `id` of a frame, in code points: it is kept while its answer is made.
const FRAME_ID_MAX: usize = 256;
/// Greatest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8_192;

/// One frame of a client, or why it is none.
#[derive(Debug)]
pub struct Parsed {
    /// The client's `id`, for the answer, wherever it can be read.
    pub id: Option<String>,
    /// Of a send, for the answer, wherever it can be read.
    pub temp_id: Option<String>,
    pub frame: Result<ClientFrame, Refusal>,
}

#[derive(Debug)]
pub enum ClientFrame {
    Auth(Auth),
    Send(Box<SendRequest>),
    Recall { message: MessageId },
    Edit { message: MessageId, content: String },
    React { message: MessageId, emoji: String, add: bool },
    Read { conversation: ConversationId, position: Position },
    Acknowledge { conversation: ConversationId, seq: Seq },
    Typing { to: TypingTo, is_typing: bool },
    Status(ChosenStatus),
    Sync(SyncRequest),
    Ping,
}

#[derive(Debug)]
pub struct Auth {
    pub token: String,
    /// A damaged one is told after success: the connection stays.
    pub sync: Option<Result<SyncRequest, Refusal>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypingTo {
    User(UserId),
    Conversation(ConversationId),
}

/// What a user wants to be seen as while connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenStatus {
    Online,
    Away,
    Busy,
    Invisible,
}

impl ChosenStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Away => "away",
            Self::Busy => "busy",
            Self::Invisible => "invisible",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Online, Self::Away, Self::Busy, Self::Invisible].into_iter().find(|status| status.as_str() == text)
    }
}

thread_local! {
    /// The parser's buffers, reused by all sessions of a thread: making them anew costs more than parsing.
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers::new(4_096));
}

/// Reads one frame; the bytes are used up, since the parser unescapes in place.
pub fn parse(json: &mut [u8]) -> Parsed {
    let refused = |refusal| Parsed { id: None, temp_id: None, frame: Err(refusal) };
    let checked = match check_json(json) {
        Err(Refusal::InvalidJson) => return refused(Refusal::InvalidJson),
        Err(refusal) => {
            silence_surrogates(json);
            Err(refusal)
        }
        Ok(()) => Ok(()),
    };
    let is_object = json.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let envelope = BUFFERS.with_borrow_mut(|buffers| {
        let mut reader =
            simd_json::Deserializer::from_slice_with_buffers(json, buffers).map_err(|_| Refusal::InvalidJson)?;
        if !is_object {
            return Err(Refusal::field("type", "the frame must be an object"));
        }
        Envelope::deserialize(&mut reader).map_err(|_| Refusal::field("", "a field is there twice"))
    });
    let envelope = match envelope {
        Ok(envelope) => envelope,
        Err(refusal) => return refused(refusal),
    };
    let (id, temp_id) = (shown(&envelope.id), envelope.data.temp_id());
    let frame = read(envelope);
    let frame = match checked {
        // What is wrong with a text is told by its field where it is one of the frame's own.
        Err(refusal) if frame.is_ok() => Err(refusal),
        _ => frame,
    };
    Parsed { id, temp_id, frame }
}

/// Turns the escapes of surrogates into those of U+0000, which the parser reads: the frame is refused, but for its `id`.
fn silence_surrogates(json: &mut [u8]) {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (_, from) = std::mem::take(&mut rest).split_at_mut(at);
        if let [_, b'u', first @ (b'd' | b'D'), second, third, fourth, ..] = from
            && matches!(second, b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
        {
            [*first, *second, *third, *fourth] = *b"0000";
        }
        rest = from.get_mut(2..).unwrap_or_default();
    }
}

fn shown(text: &Text) -> Option<String> {
    match text {
        Text::Given(text) if !text.contains('\0') && text.chars().count() <= FRAME_ID_MAX => Some(text.clone()),
        _ => None,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Envelope {
    r#type: Text,
    action: Text,
    id: Text,
    token: Text,
    sync: DataField,
    data: DataField,
}

/// Fields of all frames together: which are meant says `type`, which may come after them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    temp_id: Text,
    receiver_id: Text,
    conversation_id: Text,
    group_id: Text,
    message_type: Text,
    content: Text,
    file_id: Text,
    reply_to: Text,
    mentions: Option<Value>,
    metadata: Option<Value>,
    message_id: Text,
    emoji: Text,
    add: Scalar,
    seq: Scalar,
    is_typing: Scalar,
    status: Text,
    cursor: Text,
    conversations: Option<Value>,
    seen: Option<Value>,
    limit: Scalar,
}

fn read(envelope: Envelope) -> Result<ClientFrame, Refusal> {
    let Envelope { r#type, action, id, token, sync, data } = envelope;
    let mut faults = Faults::default();
    if faults.optional_text("id", id, 0, FRAME_ID_MAX).is_none() {
        faults.check()?;
        faults = Faults::default();
    }
    let Some(kind) = faults.text("type", r#type, 0, usize::MAX) else {
        return Err(faults.check().err().unwrap_or(Refusal::UnknownType));
    };
    match kind.as_str() {
        "ping" | "heartbeat" => Ok(ClientFrame::Ping),
        "auth" => read_auth(faults, token, sync),
        "chat" => {
            let Some(action) = faults.text("action", action, 0, usize::MAX) else {
                return Err(faults.check().err().unwrap_or(Refusal::UnknownType));
            };
            match action.as_str() {
                "send" => data.given()?.into_send().parse().map(|request| ClientFrame::Send(Box::new(request))),
                "recall" => read_change(data, |_, _| (), |message, ()| ClientFrame::Recall { message }),
                "edit" => read_change(
                    data,
                    |faults, data| faults.text("content", data.content, 1, CONTENT_MAX),
                    |message, content| ClientFrame::Edit { message, content: content.unwrap_or_default() },
                ),
                "react" => read_change(
                    data,
                    |faults, data| (faults.text("emoji", data.emoji, 1, EMOJI_MAX), flag(faults, "add", data.add)),
                    |message, (emoji, add)| ClientFrame::React { message, emoji: emoji.unwrap_or_default(), add },
                ),
                _ => Err(Refusal::UnknownType),
            }
        }
        "read" => read_read(data.given()?.as_ref()),
        "ack" => read_acknowledge(data.given()?.as_ref()),
        "typing" => read_typing(data.given()?.as_ref()),
        "status" => read_status(*data.given()?),
        "sync" => read_sync(*data.given()?).map(ClientFrame::Sync),
        _ => Err(Refusal::UnknownType),
    }
}

fn read_auth(mut faults: Faults, token: Text, sync: DataField) -> Result<ClientFrame, Refusal> {
    let token = faults.text("token", token, 1, TOKEN_BYTES_MAX);
    faults.check()?;
    let sync = match sync {
        DataField::Absent => None,
        DataField::Wrong => Some(Err(Refusal::field("sync", "must be an object"))),
        DataField::Given(data) => Some(read_sync(*data)),
    };
    Ok(ClientFrame::Auth(Auth { token: token.unwrap_or_default(), sync }))
}

/// A frame that names a message. What no message can have as its id is not found.
fn read_change<T>(
    data: DataField,
    more: impl FnOnce(&mut Faults, Data) -> T,
    make: impl FnOnce(MessageId, T) -> ClientFrame,
) -> Result<ClientFrame, Refusal> {
    let data = *data.given()?;
    let mut faults = Faults::default();
    let message = faults.id("message_id", &data.message_id);
    let rest = more(&mut faults, data);
    faults.check()?;
    let message = message.and_then(MessageId::from_uuid).ok_or(Refusal::NotFound)?;
    Ok(make(message, rest))
}

fn read_read(data: &Data) -> Result<ClientFrame, Refusal> {
    let mut faults = Faults::default();
    let conversation = faults.id("conversation_id", &data.conversation_id);
    let seq = whole(&mut faults, "seq", data.seq);
    let message = faults.optional_id("message_id", &data.message_id);
    faults.check()?;
    let conversation = conversation.and_then(ConversationId::from_uuid).ok_or(Refusal::NotFound)?;
    let position = match (seq, message) {
        (Some(seq), _) => Position::At(seq),
        (None, Some(message)) => {
            let message = MessageId::from_uuid(message).filter(|message| message.conversation() == conversation);
            Position::At(message.ok_or(Refusal::NotFound)?.seq())
        }
        (None, None) => Position::Newest,
    };
    Ok(ClientFrame::Read { conversation, position })
}

fn read_acknowledge(data: &Data) -> Result<ClientFrame, Refusal> {
    let mut faults = Faults::default();
    let conversation = faults.id("conversation_id", &data.conversation_id);
    if matches!(data.seq, Scalar::Absent) {
        faults.add("seq", "is required");
    }
    let seq = whole(&mut faults, "seq", data.seq);
    faults.check()?;
    let conversation = conversation.and_then(ConversationId::from_uuid).ok_or(Refusal::NotFound)?;
    Ok(ClientFrame::Acknowledge { conversation, seq: seq.unwrap_or_default() })
}

fn read_typing(data: &Data) -> Result<ClientFrame, Refusal> {
    let mut faults = Faults::default();
    let receiver = faults.optional_id("receiver_id", &data.receiver_id);
    let place = if data.conversation_id.is_absent() { &data.group_id } else { &data.conversation_id };
    let conversation = faults.optional_id("conversation_id", place);
    if data.receiver_id.is_absent() == place.is_absent() {
        faults.add("receiver_id", "one of receiver_id and conversation_id says where to");
    }
    let is_typing = flag(&mut faults, "is_typing", data.is_typing);
    faults.check()?;
    let to = match (receiver, conversation) {
        (Some(user), _) => TypingTo::User(UserId(user)),
        (None, id) => TypingTo::Conversation(id.and_then(ConversationId::from_uuid).ok_or(Refusal::NotFound)?),
    };
    Ok(ClientFrame::Typing { to, is_typing })
}

fn read_status(data: Data) -> Result<ClientFrame, Refusal> {
    let mut faults = Faults::default();
    let status = faults.text("status", data.status, 0, usize::MAX);
    faults.check()?;
    status
        .and_then(|status| ChosenStatus::parse(&status))
        .map(ClientFrame::Status)
        .ok_or_else(|| Refusal::field("status", "is not one of online, away, busy, invisible"))
}

fn read_sync(data: Data) -> Result<SyncRequest, Refusal> {
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
            Some(seq) => seq.as_i64()?,
        };
        Some(Held { conversation_id, seq: Seq(seq) })
    };
    let list: Option<Vec<Held>> = items.iter().map(held).collect();
    if list.is_none() {
        faults.add(field, "each needs a conversation_id and a seq");
    }
    list
}

fn whole(faults: &mut Faults, field: &'static str, value: Scalar) -> Option<Seq> {
    match value {
        Scalar::Absent => None,
        Scalar::Whole(number) => Some(Seq(number)),
        Scalar::Flag(_) | Scalar::Wrong => {
            faults.add(field, "must be a whole number");
            None
        }
    }
}

fn flag(faults: &mut Faults, field: &'static str, value: Scalar) -> bool {
    match value {
        Scalar::Flag(flag) => return flag,
        Scalar::Absent => faults.add(field, "is required"),
        Scalar::Whole(_) | Scalar::Wrong => faults.add(field, "must be true or false"),
    }
    false
}

/// A field that should be an object.
#[derive(Debug, Default)]
enum DataField {
    #[default]
    Absent,
    Given(Box<Data>),
    Wrong,
}

impl DataField {
    /// Its fields; where there is none each field is missing.
    fn given(self) -> Result<Box<Data>, Refusal> {
        match self {
            Self::Given(data) => Ok(data),
            Self::Absent => Ok(Box::default()),
            Self::Wrong => Err(Refusal::field("data", "must be an object")),
        }
    }

    fn temp_id(&self) -> Option<String> {
        match self {
            Self::Given(data) => shown(&data.temp_id),
            _ => None,
        }
    }
}

impl Data {
    fn into_send(self) -> SendData {
        SendData {
            temp_id: self.temp_id,
            receiver_id: self.receiver_id,
            conversation_id: self.conversation_id,
            group_id: self.group_id,
            message_type: self.message_type,
            content: self.content,
            file_id: self.file_id,
            reply_to: self.reply_to,
            mentions: self.mentions,
            metadata: self.metadata,
        }
    }
}

/// A field that should be a whole number or true or false. `null` counts as absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Scalar {
    #[default]
    Absent,
    Whole(i64),
    Flag(bool),
    Wrong,
}

macro_rules! lenient {
    ($name:ident, $visitor:ident { $($body:tt)* }) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($visitor)
            }
        }

        struct $visitor;

        impl<'de> Visitor<'de> for $visitor {
            type Value = $name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E>(self) -> Result<$name, E> {
                Ok($name::Absent)
            }
            fn visit_none<E>(self) -> Result<$name, E> {
                Ok($name::Absent)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_any(self)
            }
            fn visit_f64<E>(self, _: f64) -> Result<$name, E> {
                Ok($name::Wrong)
            }
            fn visit_str<E>(self, _: &str) -> Result<$name, E> {
                Ok($name::Wrong)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<$name, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok($name::Wrong)
            }
            $($body)*
        }
    };
}

lenient!(Scalar, ScalarVisitor {
    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(i64::try_from(value).unwrap_or(i64::MAX)))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Scalar, A::Error> {
        while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Wrong)
    }
});

lenient!(DataField, DataVisitor {
    fn visit_bool<E>(self, _: bool) -> Result<DataField, E> {
        Ok(DataField::Wrong)
    }
    fn visit_i64<E>(self, _: i64) -> Result<DataField, E> {
        Ok(DataField::Wrong)
    }
    fn visit_u64<E>(self, _: u64) -> Result<DataField, E> {
        Ok(DataField::Wrong)
    }
    fn visit_map<A: MapAccess<'de>>(self, items: A) -> Result<DataField, A::Error> {
        Data::deserialize(MapAccessDeserializer::new(items)).map(|data| DataField::Given(Box::new(data)))
    }
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::send::SendTo;
    use crate::protocol::codes::problem_of;

    const USER: &str = "11111111-1111-4111-8111-111111111111";

    fn parse_text(json: &str) -> Parsed {
        parse(&mut json.as_bytes().to_vec())
    }

    fn ok(json: &str) -> ClientFrame {
        parse_text(json).frame.unwrap_or_else(|refusal| panic!("{json}: {refusal:?}"))
    }

    fn code(json: &str) -> &'static str {
        problem_of(&parse_text(json).frame.expect_err(json)).code
    }

    fn fields(json: &str) -> Vec<String> {
        match parse_text(json).frame {
            Err(Refusal::InvalidRequest(errors)) => errors.into_iter().map(|error| error.field.into_owned()).collect(),
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn every_frame_of_the_contract_is_read() {
        let conversation = ConversationId::random();
        let message = conversation.message(Seq(7));
        assert!(matches!(ok(r#"{"type":"ping"}"#), ClientFrame::Ping));
        assert!(matches!(ok(r#" {"data":null,"type":"heartbeat"}"#), ClientFrame::Ping));
        assert!(matches!(ok(r#"{"type":"auth","token":"x"}"#), ClientFrame::Auth(Auth { sync: None, .. })));
        let ClientFrame::Auth(auth) = ok(r#"{"type":"auth","token":"x","sync":{"cursor":"abc"}}"#) else { panic!() };
        assert_eq!(auth.sync.unwrap().unwrap().cursor.as_deref(), Some("abc"));
        let send = format!(
            r#"{{"data":{{"content":"hi","message_type":"text","temp_id":"t1","receiver_id":"{USER}"}},"id":"7","action":"send","type":"chat"}}"#
        );
        let parsed = parse_text(&send);
        assert_eq!((parsed.id.as_deref(), parsed.temp_id.as_deref()), (Some("7"), Some("t1")));
        let Ok(ClientFrame::Send(request)) = parsed.frame else { panic!() };
        assert_eq!(request.to, SendTo::User(USER.parse().unwrap()));
        for (json, wanted) in [
            (
                format!(r#"{{"type":"chat","action":"recall","data":{{"message_id":"{message}"}}}}"#),
                format!("Recall {{ message: {message} }}"),
            ),
            (
                format!(r#"{{"type":"chat","action":"edit","data":{{"message_id":"{message}","content":"x"}}}}"#),
                format!("Edit {{ message: {message}, content: \"x\" }}"),
            ),
            (
                format!(
                    r#"{{"type":"chat","action":"react","data":{{"message_id":"{message}","emoji":"👍","add":false}}}}"#
                ),
                format!("React {{ message: {message}, emoji: \"👍\", add: false }}"),
            ),
            (
                format!(r#"{{"type":"read","data":{{"conversation_id":"{conversation}","seq":4}}}}"#),
                format!("Read {{ conversation: {conversation}, position: At(Seq(4)) }}"),
            ),
            (
                format!(
                    r#"{{"type":"read","data":{{"conversation_id":"{conversation}","message_id":"{message}","seq":null}}}}"#
                ),
                format!("Read {{ conversation: {conversation}, position: At(Seq(7)) }}"),
            ),
            (
                format!(r#"{{"type":"read","data":{{"conversation_id":"{conversation}"}}}}"#),
                format!("Read {{ conversation: {conversation}, position: Newest }}"),
            ),
            (
                format!(r#"{{"type":"ack","data":{{"conversation_id":"{conversation}","seq":18446744073709551615}}}}"#),
                format!("Acknowledge {{ conversation: {conversation}, seq: Seq({}) }}", i64::MAX),
            ),
            (
                format!(r#"{{"type":"typing","data":{{"receiver_id":"{USER}","is_typing":true}}}}"#),
                format!("Typing {{ to: User({USER}), is_typing: true }}"),
            ),
            (
                format!(r#"{{"type":"typing","data":{{"conversation_id":"{conversation}","is_typing":false}}}}"#),
                format!("Typing {{ to: Conversation({conversation}), is_typing: false }}"),
            ),
            (r#"{"type":"status","data":{"status":"away"}}"#.to_owned(), "Status(Away)".to_owned()),
            (
                r#"{"type":"sync"}"#.to_owned(),
                "Sync(SyncRequest { cursor: None, conversations: None, seen: [], limit: None })".to_owned(),
            ),
            (
                format!(
                    r#"{{"type":"sync","data":{{"conversations":[{{"conversation_id":"{USER}","after_seq":3}}],"seen":[],"limit":5000}}}}"#
                ),
                format!(
                    "Sync(SyncRequest {{ cursor: None, conversations: Some([Held {{ conversation_id: {USER}, seq: Seq(3) }}]), seen: [], limit: Some(5000) }})"
                ),
            ),
        ] {
            assert_eq!(format!("{:?}", ok(&json)), wanted);
        }
    }

    #[test]
    fn what_is_wrong_has_the_code_of_the_contract() {
        for json in ["", "{", "hello", r#"{"type":}"#, "{} {}", r#"{"type":"ping",}"#, "\u{feff}{}", "nul"] {
            assert_eq!(code(json), "invalid_json", "{json}");
        }
        assert_eq!(code(&format!("{}{}", "[".repeat(33), "]".repeat(33))), "invalid_json");
        assert_eq!(code(&"[".repeat(65_000)), "invalid_json");
        let deep = format!(r#"{{"type":"ping","data":{}{}}}"#, "[".repeat(31), "]".repeat(31));
        assert!(matches!(ok(&deep), ClientFrame::Ping));
        for json in ["[]", "7", "null", r#""ping""#, "{}", r#"{"type":7}"#, r#"{"type":null}"#] {
            assert_eq!(fields(json), ["type"], "{json}");
        }
        for json in [
            r#"{"type":""}"#,
            r#"{"type":"dance"}"#,
            r#"{"type":"chat","action":"shout"}"#,
            r#"{"type":"new_message","data":[]}"#,
        ] {
            assert_eq!(code(json), "unknown_type", "{json}");
        }
        assert_eq!(fields(r#"{"type":"chat"}"#), ["action"]);
        assert_eq!(fields(r#"{"type":"chat","action":"send","data":[]}"#), ["data"]);
        assert_eq!(fields(r#"{"type":"chat","action":"recall"}"#), ["message_id"]);
        assert_eq!(fields(r#"{"type":"chat","action":"react","data":{}}"#), ["message_id", "emoji", "add"]);
        assert_eq!(
            fields(r#"{"type":"read","data":{"seq":"1","message_id":3}}"#),
            ["conversation_id", "seq", "message_id"]
        );
        assert_eq!(fields(&format!(r#"{{"type":"ack","data":{{"conversation_id":"{USER}"}}}}"#)), ["seq"]);
        assert_eq!(fields(r#"{"type":"typing","data":{"is_typing":1}}"#), ["receiver_id", "is_typing"]);
        assert_eq!(fields(r#"{"type":"status","data":{"status":"asleep"}}"#), ["status"]);
        assert_eq!(
            fields(r#"{"type":"sync","data":{"cursor":1,"conversations":{},"limit":-1}}"#),
            ["cursor", "conversations", "limit"]
        );
        assert_eq!(fields(r#"{"type":"auth"}"#), ["token"]);
        assert_eq!(
            code(&format!(r#"{{"type":"chat","action":"recall","data":{{"message_id":"{USER}"}}}}"#)),
            "not_found"
        );
        assert_eq!(code(r#"{"type":"ping","type":"ping"}"#), "invalid_request");
    }

    #[test]
    fn the_id_is_echoed_wherever_it_can_be_read() {
        for json in [
            r#"{"type":"dance","id":"a"}"#,
            r#"{"id":"a"}"#,
            r#"{"id":"a","type":"chat","action":"send","data":7}"#,
            r#"{"id":"a","type":"ping","data":{"x":"\ud800"}}"#,
        ] {
            let parsed = parse_text(json);
            assert!(parsed.frame.is_err(), "{json}");
            assert_eq!(parsed.id.as_deref(), Some("a"), "{json}");
        }
        assert_eq!(fields(r#"{"type":"ping","id":7}"#), ["id"]);
        let unsafe_text = format!(
            r#"{{"type":"chat","action":"send","id":"a","data":{{"temp_id":"t","receiver_id":"{USER}","message_type":"text","content":"a\ud800"}}}}"#
        );
        let parsed = parse_text(&unsafe_text);
        assert_eq!(parsed.temp_id.as_deref(), Some("t"));
        assert_eq!(problem_of(&parsed.frame.unwrap_err()).code, "invalid_text");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn all_unicode_text_comes_through_as_it_was(text in "\\PC{1,200}|[\\x01-\\x7f]{1,200}|\\p{any}{1,200}") {
            let json = serde_json::json!({"type": "chat", "action": "send", "id": "i", "data":
                {"temp_id": "t", "receiver_id": USER, "message_type": "text", "content": text}});
            let parsed = parse(&mut serde_json::to_vec(&json).unwrap());
            if text.contains('\0') {
                prop_assert_eq!(problem_of(&parsed.frame.unwrap_err()).code, "invalid_text");
            } else {
                let Ok(ClientFrame::Send(request)) = parsed.frame else { panic!() };
                prop_assert_eq!(request.message.message.content, Some(text));
            }
        }

        #[test]
        fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&mut bytes.clone());
            let mut frame = br#"{"type":"chat","action":"send","data":{"temp_id":""#.to_vec();
            frame.extend(&bytes);
            let _ = parse(&mut frame);
        }
    }
}
