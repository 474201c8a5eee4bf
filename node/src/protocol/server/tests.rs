use serde_json::value::RawValue;
use uuid::Uuid;

use super::*;
use crate::domain::entry::{Created, Edit, MemberMuted, Pin, Reaction, Recall, RoleChanged, Updated, UserIds};
use crate::domain::friend_request::Direction;
use crate::domain::ids::NotificationId;
use crate::domain::message::{Edited, ForwardedFrom, Mentions, Message, Recalled};
use crate::domain::profile::Profile;
use crate::domain::{Body, ConversationId, ConversationRef, Entry, Refusal, Role, Seq, Timestamp, UserId};

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
        ..Message::text("hi\nthere")
    };
    let recalled =
        Message { content: None, recalled: Some(Recalled { at: AT, by: user(1), seq: Seq(4) }), ..Message::text("") };
    let all = Message { mentions: Mentions::All, ..Message::text("all") };
    let body = |message| Body::Message(Box::new(message));
    let plain = Shown::default();
    let mut frames = vec![
        entry_frame(&pair, &entry(pair.id(), 2, body(Message::text("hi"))), plain),
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
    let pin = entry(pair.id(), 9, Body::Pin(Pin { message_seq, add: true }));
    frames.push(entry_frame(&pair, &pin, plain));
    frames.extend(group_bodies().into_iter().map(|body| entry_frame(&group, &entry(group.id(), 9, body), plain)));
    frames
}

fn other_frames() -> Vec<Frame> {
    let conversation_id = ConversationId::direct(user(1), user(2));
    let profile = Profile {
        id: user(2),
        username: Some("bob".to_owned()),
        display_name: "Bob".to_owned(),
        avatar_url: None,
        status_text: Some("here".to_owned()),
        created_at: AT,
        is_out: false,
    };
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
        unread_count_update(Some("c4"), &UnreadCountData { conversation_id, unread_count: 0, total_unread: Some(7) }),
        conversation_settings(&SettingsData {
            conversation_id,
            pinned: true,
            muted_until: None,
            read_receipts: Some(false),
        }),
        message_hidden(&HiddenData {
            message_id: conversation_id.message(Seq(2)),
            conversation_id,
            message_seq: Seq(2),
        }),
        typing(&TypingData { user_id: user(1), conversation_id, is_typing: true }),
        status(&StatusData { user_id: user(1), status: "offline", last_seen_at: Some(AT) }),
        status(&StatusData { user_id: user(1), status: "busy", last_seen_at: None }),
        notification(&NotificationData {
            notification_id: NotificationId(Uuid::from_u128(7)),
            r#type: "friend",
            title: "Bob",
            content: "hi",
            data: serde_json::json!({"user_id": user(2)}),
            created_at: AT,
        }),
        notifications_read(&NotificationsReadData {
            all: false,
            notification_ids: &[NotificationId(Uuid::from_u128(7))],
        }),
        notifications_read(&NotificationsReadData { all: true, notification_ids: &[] }),
        notifications_deleted(&NotificationsDeletedData { notification_ids: &[NotificationId(Uuid::from_u128(7))] }),
        user_updated(&UserUpdatedData { user: &profile, read_receipts: Some(false) }),
        user_updated(&UserUpdatedData { user: &profile, read_receipts: None }),
        relationship_updated(&RelationshipData {
            user: &profile,
            friend: false,
            request: Some(Direction::Incoming),
            blocked: false,
            updated_at: AT,
        }),
        resync(ResyncReason::OfflineLimit, None),
        resync(ResyncReason::BusLost, Some(&[conversation_id])),
        reconnect(1234, "leaving"),
        error(Some("c5"), Some("t-1"), &limited),
        error(None, None, &Refusal::field("data.content", "must not be empty")),
        error(None, None, &Refusal::InvalidText("data.content".into())),
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
    let golden = include_str!("../../../tests/golden/frames.jsonl");
    for (frame, golden) in frames.lines().zip(golden.lines()) {
        assert_eq!(frame, golden);
    }
    assert_eq!(frames, golden, "left is what is written now");
}
