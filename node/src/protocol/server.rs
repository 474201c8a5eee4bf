//! Frames that the server sends (contract 2.4), as JSON. Field order is part of the golden files.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::codes::problem_of;
use super::frame::Frame;
use crate::domain::message::{ForwardedFrom, Mentions, MessageType};
use crate::domain::{
    Body, ConversationId, ConversationRef, Entry, FieldError, MessageId, Refusal, Seq, Timestamp, UserId,
};

/// Envelope of every frame. `id` is the client's, on the direct answer to its frame.
#[derive(Serialize)]
struct Envelope<'a, T> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    data: T,
}

/// JSON of a frame; every server type can be serialised, so the error case is an empty object that cannot occur.
fn json<T: Serialize>(r#type: &str, action: Option<&str>, id: Option<&str>, data: T) -> Vec<u8> {
    serde_json::to_vec(&Envelope { r#type, action, id, data }).unwrap_or_else(|_| b"{}".to_vec())
}

/// A frame of any type with data of any shape.
pub fn frame<T: Serialize>(r#type: &str, action: Option<&str>, id: Option<&str>, data: T) -> Frame {
    Frame::text(&json(r#type, action, id, data))
}

pub fn pong(id: Option<&str>) -> Frame {
    #[derive(Serialize)]
    struct Pong<'a> {
        r#type: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    }
    Frame::text(&serde_json::to_vec(&Pong { r#type: "pong", id }).unwrap_or_default())
}

#[derive(Serialize)]
struct AuthSuccess<'a> {
    r#type: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    data: AuthData<'a>,
}

#[derive(Serialize)]
pub struct AuthData<'a> {
    pub user_id: UserId,
    pub username: Option<&'a str>,
    pub display_name: &'a str,
    pub session_id: Uuid,
    pub node_id: &'a str,
    pub heartbeat_s: u32,
    pub expires_at: Timestamp,
}

pub fn auth_success(id: Option<&str>, data: AuthData<'_>) -> Frame {
    let frame = AuthSuccess { r#type: "auth", status: "success", id, data };
    Frame::text(&serde_json::to_vec(&frame).unwrap_or_default())
}

/// `error`, with what belongs to the refusal.
pub fn error(id: Option<&str>, temp_id: Option<&str>, refusal: &Refusal) -> Frame {
    #[derive(Serialize)]
    struct Data<'a> {
        code: &'a str,
        message: &'a str,
        retryable: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        temp_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
        #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
        errors: &'a [FieldError],
    }
    let problem = problem_of(refusal);
    let own;
    let errors: &[FieldError] = match refusal {
        Refusal::InvalidRequest(errors) | Refusal::NotFoundFields(errors) => errors,
        Refusal::InvalidText(field) => {
            own = [FieldError { field: (*field).into(), message: problem.title.into() }];
            &own
        }
        _ => &[],
    };
    let retry_after_ms = match refusal {
        Refusal::RateLimited { retry_after_ms } | Refusal::Overloaded { retry_after_ms } => Some(*retry_after_ms),
        _ => None,
    };
    let data = Data {
        code: problem.code,
        message: problem.title,
        retryable: problem.retryable,
        temp_id,
        retry_after_ms,
        errors,
    };
    frame("error", None, id, data)
}

#[derive(Serialize)]
pub struct MessageSent<'a> {
    pub temp_id: &'a str,
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub created_at: Timestamp,
}

pub fn message_sent(id: Option<&str>, data: &MessageSent<'_>) -> Frame {
    frame("chat", Some("message_sent"), id, data)
}

/// Data of `new_message`; REST shows the same with a few fields more (`http`).
#[derive(Serialize)]
pub struct NewMessageData<'a> {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub conversation_kind: &'a str,
    pub seq: Seq,
    pub sender_id: UserId,
    pub sender_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<ConversationId>,
    pub message_type: MessageType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a str>,
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_from: Option<&'a ForwardedFrom>,
    #[serde(skip_serializing_if = "Mentions::is_none")]
    pub mentions: &'a Mentions,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a RawValue>,
    /// Null where nothing was edited.
    pub edited_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temp_id: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    pub recalled: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub offline: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What a frame of a log entry shows beside the entry itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// The client's `id`, on the answer to its own recall, edit or reaction.
    pub id: Option<&'a str>,
    /// To the sender's own devices.
    pub with_temp_id: bool,
    /// Sent by offline delivery.
    pub offline: bool,
    /// Of an edit: the message's present content; none when it is recalled or not for this reader.
    pub content: Option<&'a str>,
    /// Of an edit: when its message got the present content. None: the entry's own time.
    pub edited_at: Option<Timestamp>,
}

/// Data of `new_message` for a message entry.
pub fn new_message_data<'a>(
    conversation: &ConversationRef,
    entry: &'a Entry,
    message: &'a crate::domain::message::Message,
    shown: Shown<'a>,
) -> NewMessageData<'a> {
    let is_recalled = message.recalled.is_some();
    NewMessageData {
        message_id: entry.id,
        conversation_id: conversation.id(),
        conversation_kind: conversation.kind().as_str(),
        seq: entry.seq(),
        sender_id: entry.sender_id,
        sender_name: &entry.sender_name,
        receiver_id: conversation.peer_of(entry.sender_id),
        group_id: matches!(conversation, ConversationRef::Group { .. }).then(|| conversation.id()),
        message_type: message.message_type,
        content: if is_recalled { None } else { message.content.as_deref() },
        created_at: entry.created_at,
        reply_to: message.reply_to,
        forwarded_from: message.forwarded_from.as_ref(),
        mentions: &message.mentions,
        metadata: if is_recalled { None } else { message.metadata.as_deref() },
        edited_at: message.edited.map(|edited| edited.at),
        temp_id: if shown.with_temp_id { entry.temp_id.as_deref() } else { None },
        recalled: is_recalled,
        offline: shown.offline,
    }
}

/// JSON of the frame as which an entry of the log reaches members: `chat`/… or `conversation`/….
pub fn entry_json(conversation: &ConversationRef, entry: &Entry, shown: Shown<'_>) -> Vec<u8> {
    let conversation_id = conversation.id();
    let seq = entry.seq();
    match &entry.body {
        Body::Message(message) => {
            json("chat", Some("new_message"), shown.id, new_message_data(conversation, entry, message, shown))
        }
        Body::Recall(body) => json(
            "chat",
            Some("message_recalled"),
            shown.id,
            RecalledData {
                message_id: conversation_id.message(body.message_seq),
                conversation_id,
                seq,
                message_seq: body.message_seq,
                recalled_by: entry.sender_id,
                recalled_at: entry.created_at,
            },
        ),
        Body::Edit(body) => json(
            "chat",
            Some("message_edited"),
            shown.id,
            EditedData {
                message_id: conversation_id.message(body.message_seq),
                conversation_id,
                seq,
                message_seq: body.message_seq,
                content: shown.content,
                edited_at: shown.edited_at.unwrap_or(entry.created_at),
            },
        ),
        Body::Reaction(body) => json(
            "chat",
            Some("message_reacted"),
            shown.id,
            ReactedData {
                message_id: conversation_id.message(body.message_seq),
                conversation_id,
                seq,
                message_seq: body.message_seq,
                user_id: entry.sender_id,
                emoji: &body.emoji,
                add: body.add,
            },
        ),
        Body::Created(body) => conversation_json("created", entry, conversation_id, shown, body),
        Body::Updated(body) => conversation_json("updated", entry, conversation_id, shown, body),
        Body::MemberAdded(body) => conversation_json("member_added", entry, conversation_id, shown, body),
        Body::MemberRemoved(body) => conversation_json("member_removed", entry, conversation_id, shown, body),
        Body::MemberLeft(body) => conversation_json("member_left", entry, conversation_id, shown, body),
        Body::RoleChanged(body) => conversation_json("role_changed", entry, conversation_id, shown, body),
        Body::MemberMuted(body) => conversation_json("member_muted", entry, conversation_id, shown, body),
        Body::Dissolved => conversation_json("dissolved", entry, conversation_id, shown, Nothing {}),
    }
}

/// The same as a frame.
pub fn entry_frame(conversation: &ConversationRef, entry: &Entry, shown: Shown<'_>) -> Frame {
    Frame::text(&entry_json(conversation, entry, shown))
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
pub struct RecalledData {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub message_seq: Seq,
    pub recalled_by: UserId,
    pub recalled_at: Timestamp,
}

#[derive(Serialize)]
pub struct EditedData<'a> {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub message_seq: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a str>,
    pub edited_at: Timestamp,
}

#[derive(Serialize)]
pub struct ReactedData<'a> {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub message_seq: Seq,
    pub user_id: UserId,
    pub emoji: &'a str,
    pub add: bool,
}

fn conversation_json<T: Serialize>(
    action: &str,
    entry: &Entry,
    conversation_id: ConversationId,
    shown: Shown<'_>,
    body: T,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Data<T> {
        conversation_id: ConversationId,
        seq: Seq,
        by: UserId,
        created_at: Timestamp,
        #[serde(flatten)]
        body: T,
    }
    let data = Data { conversation_id, seq: entry.seq(), by: entry.sender_id, created_at: entry.created_at, body };
    json("conversation", Some(action), shown.id, data)
}

#[derive(Serialize)]
pub struct ReadData {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub seq: Seq,
}

pub fn read(data: &ReadData) -> Frame {
    frame("read", None, None, data)
}

#[derive(Serialize)]
pub struct UnreadCountData {
    pub conversation_id: ConversationId,
    pub unread_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_unread: Option<i64>,
}

pub fn unread_count_update(id: Option<&str>, data: &UnreadCountData) -> Frame {
    frame("unread_count_update", None, id, data)
}

#[derive(Serialize)]
pub struct SettingsData {
    pub conversation_id: ConversationId,
    pub pinned: bool,
    pub muted_until: Option<Timestamp>,
    pub read_receipts: Option<bool>,
}

pub fn conversation_settings(data: &SettingsData) -> Frame {
    frame("conversation", Some("settings"), None, data)
}

#[derive(Serialize)]
pub struct TypingData {
    pub user_id: UserId,
    pub conversation_id: ConversationId,
    pub is_typing: bool,
}

pub fn typing(data: &TypingData) -> Frame {
    frame("typing", None, None, data)
}

#[derive(Serialize)]
pub struct StatusData<'a> {
    pub user_id: UserId,
    pub status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<Timestamp>,
}

pub fn status(data: &StatusData<'_>) -> Frame {
    frame("status", None, None, data)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResyncReason {
    BusLost,
    NodeFenced,
    OfflineLimit,
    ShardLost,
}

pub fn resync(reason: ResyncReason, conversation_ids: Option<&[ConversationId]>) -> Frame {
    #[derive(Serialize)]
    struct Data<'a> {
        reason: ResyncReason,
        #[serde(skip_serializing_if = "Option::is_none")]
        conversation_ids: Option<&'a [ConversationId]>,
    }
    frame("resync", None, None, Data { reason, conversation_ids })
}

pub fn reconnect(after_ms: u64, reason: &str) -> Frame {
    #[derive(Serialize)]
    struct Data<'a> {
        after_ms: u64,
        reason: &'a str,
    }
    frame("reconnect", None, None, Data { after_ms, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Role;
    use crate::domain::entry::{Created, Edit, MemberMuted, Reaction, Recall, RoleChanged, Updated, UserIds};
    use crate::domain::message::{Edited, Message, Recalled};

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    const AT: Timestamp = Timestamp(1_770_460_200_123_456);

    fn entry(conversation: ConversationId, seq: i64, body: Body) -> Entry {
        Entry {
            id: conversation.message(Seq(seq)),
            sender_id: user(1),
            sender_name: "Alice \"A\" 李".to_owned(),
            body,
            temp_id: Some("t-1".to_owned()),
            ordinal: seq,
            created_at: AT,
        }
    }

    fn message(content: &str) -> Message {
        Message {
            message_type: MessageType::Text,
            content: Some(content.to_owned()),
            file_id: None,
            reply_to: None,
            forwarded_from: None,
            mentions: Mentions::None,
            metadata: None,
            edited: None,
            recalled: None,
        }
    }

    fn group_bodies() -> Vec<Body> {
        vec![
            Body::Created(Created {
                kind: crate::domain::ConversationKind::Group,
                title: "Team".to_owned(),
                members: vec![user(1), user(2)],
                member_count: 2,
            }),
            Body::Updated(Updated {
                title: Some("New".to_owned()),
                avatar_url: Some(None),
                announcement: None,
                muted: Some(true),
            }),
            Body::MemberAdded(UserIds { user_ids: vec![user(3)] }),
            Body::MemberRemoved(UserIds { user_ids: vec![user(3)] }),
            Body::MemberLeft(UserIds { user_ids: vec![user(2)] }),
            Body::RoleChanged(RoleChanged { user_id: user(2), role: Role::Admin }),
            Body::MemberMuted(MemberMuted { user_id: user(2), muted_until: Some(AT) }),
            Body::MemberMuted(MemberMuted { user_id: user(2), muted_until: None }),
            Body::Dissolved,
        ]
    }

    fn log_frames() -> Vec<Frame> {
        let pair = ConversationRef::direct(user(1), user(2));
        let group = ConversationRef::Group { id: ConversationId::group(user(1), "g") };
        let full = Message {
            reply_to: Some(pair.id().message(Seq(1))),
            forwarded_from: Some(ForwardedFrom {
                message_id: group.id().message(Seq(2)),
                sender_id: user(3),
                sender_name: "Carol".to_owned(),
            }),
            mentions: Mentions::Users(vec![user(2)]),
            metadata: RawValue::from_string(r#"{"a":1}"#.to_owned()).ok(),
            edited: Some(Edited { at: AT, seq: Seq(3) }),
            ..message("hi\nthere")
        };
        let recalled =
            Message { content: None, recalled: Some(Recalled { at: AT, by: user(1), seq: Seq(4) }), ..message("") };
        let all = Message { mentions: Mentions::All, ..message("all") };
        let body = |message| Body::Message(Box::new(message));
        let plain = Shown::default();
        let mut frames = vec![
            entry_frame(&pair, &entry(pair.id(), 2, body(message("hi"))), plain),
            entry_frame(&pair, &entry(pair.id(), 2, body(full)), Shown { with_temp_id: true, ..plain }),
            entry_frame(&pair, &entry(pair.id(), 2, body(recalled)), Shown { offline: true, ..plain }),
            entry_frame(&group, &entry(group.id(), 5, body(all)), Shown { offline: true, ..plain }),
        ];
        let message_seq = Seq(2);
        frames.push(entry_frame(&pair, &entry(pair.id(), 6, Body::Recall(Recall { message_seq })), plain));
        let edit = entry(pair.id(), 7, Body::Edit(Edit { message_seq }));
        frames.push(entry_frame(&pair, &edit, Shown { content: Some("new"), id: Some("c9"), ..plain }));
        frames.push(entry_frame(&pair, &edit, plain));
        let reaction = Body::Reaction(Reaction { message_seq, emoji: "👍".to_owned(), add: true });
        frames.push(entry_frame(&pair, &entry(pair.id(), 8, reaction), plain));
        frames.extend(group_bodies().into_iter().map(|body| entry_frame(&group, &entry(group.id(), 9, body), plain)));
        frames
    }

    fn other_frames() -> Vec<Frame> {
        let conversation_id = ConversationId::direct(user(1), user(2));
        let sent = MessageSent {
            temp_id: "t-1",
            message_id: conversation_id.message(Seq(2)),
            conversation_id,
            seq: Seq(2),
            created_at: AT,
        };
        let auth = AuthData {
            user_id: user(1),
            username: Some("alice"),
            display_name: "Alice",
            session_id: Uuid::from_u128(9),
            node_id: "node-1",
            heartbeat_s: 30,
            expires_at: AT,
        };
        let limited = Refusal::RateLimited { retry_after_ms: 100 };
        vec![
            auth_success(Some("c1"), auth),
            pong(None),
            pong(Some("c2")),
            message_sent(Some("c3"), &sent),
            read(&ReadData { conversation_id, user_id: user(2), seq: Seq(2) }),
            unread_count_update(None, &UnreadCountData { conversation_id, unread_count: 3, total_unread: None }),
            unread_count_update(
                Some("c4"),
                &UnreadCountData { conversation_id, unread_count: 0, total_unread: Some(7) },
            ),
            conversation_settings(&SettingsData {
                conversation_id,
                pinned: true,
                muted_until: None,
                read_receipts: Some(false),
            }),
            typing(&TypingData { user_id: user(1), conversation_id, is_typing: true }),
            status(&StatusData { user_id: user(1), status: "offline", last_seen_at: Some(AT) }),
            status(&StatusData { user_id: user(1), status: "busy", last_seen_at: None }),
            resync(ResyncReason::OfflineLimit, None),
            resync(ResyncReason::BusLost, Some(&[conversation_id])),
            reconnect(1234, "leaving"),
            error(Some("c5"), Some("t-1"), &limited),
            error(None, None, &Refusal::field("data.content", "must not be empty")),
            error(None, None, &Refusal::InvalidText("data.content")),
        ]
    }

    #[test]
    fn every_frame_is_as_in_its_golden_file() {
        let frames: Vec<String> = log_frames()
            .iter()
            .chain(&other_frames())
            .map(|frame| format!("{}\n", String::from_utf8_lossy(frame.json())))
            .collect();
        let frames = frames.concat();
        let golden = include_str!("../../tests/golden/frames.jsonl");
        for (frame, golden) in frames.lines().zip(golden.lines()) {
            assert_eq!(frame, golden);
        }
        assert_eq!(frames, golden, "left is what is written now");
    }
}
