//! One connected client: who is let in, what the socket bears, and how it ends.

use std::time::Duration;

use herald_node::domain::{Seq, UserId};
use herald_node::memory::presence::RECONNECT_TIME;
use herald_node::service::people::look_up_pairs::blocks_of;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use uuid::Uuid;

use super::support::client::{Device, User, now_s, sign};
use super::support::cluster::{Cluster, Setup};
use super::support::{DEADLINE, eventually};

#[tokio::test]
async fn a_token_in_the_first_frame_or_the_header_lets_in_and_none_does_not() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let by_header = alice.connect(&cluster, 0).await;
    assert_eq!(by_header.session["user_id"], json!(alice.id));
    assert_eq!(by_header.session["username"], json!("alice"));
    assert_eq!((&by_header.session["node_id"], &by_header.session["heartbeat_s"]), (&json!("node-1"), &json!(30)));
    assert!(by_header.session["expires_at"].as_str().unwrap().ends_with('Z'));

    let mut by_frame = Device::connect(&cluster.ws_url(0), None).await;
    let answer = by_frame.ask(json!({"type": "auth", "token": alice.token()})).await;
    assert_eq!((&answer["type"], &answer["status"]), (&json!("auth"), &json!("success")));
    by_frame.expect("sync/complete").await;

    for (token, frame) in [
        (Some("nonsense".to_owned()), None),
        (Some(expired(&alice)), None),
        (None, Some(json!({"type": "auth", "token": "nonsense"}))),
        (None, Some(json!({"type": "auth", "token": expired(&alice)}))),
        (None, Some(json!({"type": "ping"}))),
    ] {
        let mut device = Device::connect(&cluster.ws_url(0), token.as_deref()).await;
        if let Some(frame) = frame {
            device.send(frame).await;
        }
        assert_eq!(device.closed().await, 1008);
    }
    // An access token in the URL would end up in logs: only a ws_token is taken there.
    let mut in_url = Device::connect(&format!("{}?token={}", cluster.ws_url(0), alice.token()), None).await;
    assert_eq!(in_url.closed().await, 1008);
}

fn expired(user: &User) -> String {
    let mut claims = user.claims();
    claims["exp"] = json!(now_s() - 1);
    sign(&claims)
}

#[tokio::test]
async fn messages_are_answered_and_reach_the_other_side() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut from = alice.connect(&cluster, 0).await;
    let mut to = bob.connect(&cluster, 1).await;
    let sent = from.say(bob.id, "hi").await;
    let got = to.next_message().await;
    assert_eq!((&got["content"], &got["message_id"], &got["seq"]), (&json!("hi"), &sent["message_id"], &json!(1)));
}

// --- The handshake

/// A socket spoken to byte by byte.
pub struct Raw {
    tcp: TcpStream,
    head: String,
    buffer: Vec<u8>,
}

impl Raw {
    async fn open(cluster: &Cluster, extra: &[(&str, &str)]) -> Self {
        let address = cluster.node(0).address;
        let mut headers = vec![
            ("Host", address.to_string()),
            ("Connection", "Upgrade".to_owned()),
            ("Upgrade", "websocket".to_owned()),
            ("Sec-WebSocket-Version", "13".to_owned()),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==".to_owned()),
        ];
        for (name, value) in extra {
            headers.retain(|(present, _)| present != name);
            headers.push((name, (*value).to_owned()));
        }
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(format!("GET /ws HTTP/1.1\r\n{lines}\r\n").as_bytes()).await.unwrap();
        let mut raw = Self { tcp, head: String::new(), buffer: Vec::new() };
        let end = loop {
            if let Some(at) = raw.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(raw.more().await, "closed within the head");
        };
        raw.head = String::from_utf8(raw.buffer.drain(..end).collect()).unwrap();
        raw
    }

    /// Authenticated, with `success` and `complete` read.
    pub async fn enter(cluster: &Cluster, user: &User) -> Self {
        let mut raw = Self::open(cluster, &[("Authorization", &format!("Bearer {}", user.token()))]).await;
        assert_eq!(raw.text().await["status"], "success");
        assert_eq!(raw.text().await["action"], "complete");
        raw
    }

    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(DEADLINE, self.tcp.read_buf(&mut self.buffer)).await;
        read.expect("the server says nothing").is_ok_and(|read| read > 0)
    }

    /// The next frame: first byte and payload. `None` when the socket ended.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let [first, length, rest @ ..] = &self.buffer[..] {
                let (extra, length) = match length {
                    126 if rest.len() >= 2 => (2, usize::from(u16::from_be_bytes([rest[0], rest[1]]))),
                    127 if rest.len() >= 8 => {
                        (8, usize::try_from(u64::from_be_bytes(rest[..8].try_into().unwrap())).unwrap())
                    }
                    126 | 127 => (0, usize::MAX),
                    length => (0, usize::from(*length)),
                };
                if length != usize::MAX && rest.len() >= extra + length {
                    let frame = (*first, rest[extra..extra + length].to_vec());
                    self.buffer.drain(..2 + extra + length);
                    return Some(frame);
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next text frame; Pings and Pongs are passed over.
    async fn text(&mut self) -> Value {
        loop {
            let (first, payload) = self.frame().await.expect("the socket ended");
            match first {
                0x81 => return serde_json::from_slice(&payload).unwrap(),
                0x88 => panic!("closed with {:?}", payload),
                _ => {}
            }
        }
    }

    /// Waits for the close frame and answers its code; 1006 without one.
    pub async fn closed(&mut self) -> u16 {
        while let Some((first, payload)) = self.frame().await {
            if first == 0x88 {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
        1006
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.tcp.write_all(bytes).await;
    }
}

/// A masked frame.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0xfe);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0xff);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    bytes.extend(mask);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    bytes
}

#[tokio::test]
async fn only_a_websocket_request_is_upgraded() {
    let cluster = Cluster::start(1).await;
    assert_eq!(Raw::open(&cluster, &[("Sec-WebSocket-Key", "x")]).await.status(), "400");
    let old = Raw::open(&cluster, &[("Sec-WebSocket-Version", "8")]).await;
    assert_eq!(old.status(), "426");
    assert!(old.head.to_lowercase().contains("sec-websocket-version: 13"));
    assert_eq!(Raw::open(&cluster, &[("Upgrade", "h2c")]).await.status(), "426");
    let raw = Raw::open(&cluster, &[("Sec-WebSocket-Protocol", "herald, other")]).await;
    assert_eq!(raw.status(), "101");
    assert!(raw.head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "the example of RFC 6455, 1.3: {}", raw.head);
    assert!(raw.head.to_lowercase().contains("sec-websocket-protocol: herald\r\n"));
    let alice = cluster.user("alice").await;
    for path in ["/ws", "/ws/chat", "/api/v1/ws/chat", "/api/v1/realtime"] {
        let url = cluster.url(0).replace("http", "ws") + path;
        Device::connect(&url, Some(&alice.token())).await.authenticated().await;
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_let_in_and_closed() {
    let cluster = Setup::nodes(1)
        .configure(|config| config.allowed_origins = vec!["https://chat.example".to_owned()])
        .start()
        .await;
    let alice = cluster.user("alice").await;
    let open = async |origin: &str| {
        let mut request = cluster.ws_url(0).into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request.headers_mut().insert("authorization", format!("Bearer {}", alice.token()).parse().unwrap());
        Device::open(request).await
    };
    assert_eq!(open("https://evil.example").await.closed().await, 1008);
    open("https://chat.example").await.authenticated().await;
    open(&cluster.url(0)).await.authenticated().await;
}

#[tokio::test]
async fn a_ws_token_opens_one_socket_by_its_url() {
    let cluster = Cluster::start(2).await;
    let alice = cluster.user("alice").await;
    let answer = alice.post(&cluster, 0, "/auth/ws-token", json!({})).await.expect(201);
    let token = answer["ws_token"].as_str().unwrap();
    let device = Device::connect(&format!("{}?token={token}", cluster.ws_url(0)), None).await.authenticated().await;
    assert_eq!(device.session["user_id"], json!(alice.id));
    let mut again = Device::connect(&format!("{}?token={token}", cluster.ws_url(1)), None).await;
    assert_eq!(again.closed().await, 1008);
}

#[tokio::test]
async fn without_an_auth_frame_a_socket_is_closed_after_five_seconds() {
    let cluster = Cluster::start(1).await;
    let began = std::time::Instant::now();
    let mut device = Device::connect(&cluster.ws_url(0), None).await;
    assert_eq!(device.closed().await, 1008);
    assert!((4..7).contains(&began.elapsed().as_secs()));
}

#[tokio::test]
async fn a_damaged_cursor_in_auth_is_told_and_the_connection_stays() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let mut device = alice.connect_with_sync(&cluster, 0, json!({"cursor": "damaged"})).await;
    assert_eq!(device.expect("error").await["data"]["code"], "invalid_cursor");
    device.expect("sync/complete").await;
    let mut device = alice.connect_with_sync(&cluster, 0, json!({})).await;
    assert!(device.expect("sync/complete").await["data"]["cursor"].is_string());
    device.send(json!({"type": "ping"})).await;
    device.expect("pong").await;
}

// --- Connections of one user

#[tokio::test]
async fn the_fourth_connection_over_the_cluster_replaces_the_oldest() {
    let cluster = Cluster::start(2).await;
    let alice = cluster.user("alice").await;
    let mut first = alice.connect(&cluster, 0).await;
    let mut second = alice.connect(&cluster, 1).await;
    let mut third = alice.connect(&cluster, 0).await;
    let mut fourth = alice.connect(&cluster, 1).await;
    let since = std::time::Instant::now();
    assert_eq!(first.closed().await, 4500);
    assert!(since.elapsed() < Duration::from_secs(1));
    let mut fifth = alice.connect(&cluster, 1).await;
    assert_eq!(second.closed().await, 4500);
    for device in [&mut third, &mut fourth, &mut fifth] {
        device.ask(json!({"type": "ping"})).await;
    }
    third.close().await;
    third.closed().await;
    wait_until("the third has left", || cluster.app(0).hub.is_empty()).await;
    wait_for_routes(&cluster, alice.id, 2).await;
    let mut sixth = alice.connect(&cluster, 0).await;
    for device in [&mut fourth, &mut fifth, &mut sixth] {
        device.ask(json!({"type": "ping"})).await;
    }
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || std::future::ready(holds())).await;
}

async fn wait_for_routes(cluster: &Cluster, user: Uuid, count: usize) {
    let routes = async || cluster.app(0).router.routes(&[user]).await.unwrap()[0].len();
    eventually("the user has that many routes", || async { routes().await == count }).await;
}

// --- Liveness

#[tokio::test]
async fn a_client_without_heartbeat_is_closed_and_one_with_it_is_not() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut silent = alice.connect(&cluster, 0).await;
    let mut lively = bob.connect(&cluster, 0).await;
    cluster.app(0).clock.advance(Duration::from_secs(40));
    lively.ask(json!({"type": "heartbeat"})).await;
    cluster.app(0).clock.advance(Duration::from_secs(6));
    assert_eq!(silent.closed().await, 4008);
    let answer = lively.ask(json!({"type": "ping"})).await;
    assert_eq!(answer["type"], "pong");
}

#[tokio::test]
async fn a_token_ends_its_connection_unless_it_is_renewed() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut old = alice.connect(&cluster, 0).await;
    let mut renewed = alice.connect(&cluster, 0).await;
    let mut claims = alice.claims();
    claims["exp"] = json!(now_s() + 3_000);
    let answer = renewed.ask(json!({"type": "auth", "token": sign(&claims)})).await;
    assert_eq!(answer["status"], "success");
    let refused = renewed.ask(json!({"type": "auth", "token": bob.token()})).await;
    assert_eq!((&refused["type"], &refused["data"]["code"]), (&json!("error"), &json!("invalid_request")));
    let clock = &cluster.app(0).clock;
    for _ in 0..30 {
        clock.advance(Duration::from_secs(31));
        renewed.ask(json!({"type": "ping"})).await;
        if clock.now().as_millis() / 1_000 < now_s() + 890 {
            old.ask(json!({"type": "ping"})).await;
        }
    }
    assert_eq!(old.closed().await, 4001);
    renewed.ask(json!({"type": "ping"})).await;
    renewed.send(json!({"type": "auth", "token": "nonsense"})).await;
    assert_eq!(renewed.closed().await, 1008);
}

// --- Frames

#[tokio::test]
async fn wrong_frames_are_answered_and_the_connection_stays() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let mut device = alice.connect(&cluster, 0).await;
    device.expect("sync/complete").await;
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    for (text, code) in [
        ("not json", "invalid_json"),
        (&deep, "invalid_json"),
        ("[]", "invalid_request"),
        ("{}", "invalid_request"),
        (r#"{"type":"dance"}"#, "unknown_type"),
        (r#"{"type":"chat","action":"dance"}"#, "unknown_type"),
        (r#"{"type":"chat","action":"send","data":{}}"#, "invalid_request"),
        (r#"{"type":"ack","data":{}}"#, "invalid_request"),
        (r#"{"type":"ping","data":"\ud800"}"#, "invalid_text"),
    ] {
        device.send_text(text).await;
        let error = device.expect("error").await;
        assert_eq!(error["data"]["code"], code, "{}", &text[..text.len().min(60)]);
        assert_eq!(error["data"]["retryable"], false);
    }
    let answer = device.ask(json!({"type": "dance"})).await;
    assert_eq!(answer["data"]["code"], "unknown_type");
    let answer = device.ask(json!({"type": "chat", "action": "send", "data": {"temp_id": "t1"}})).await;
    assert_eq!(answer["data"]["temp_id"], "t1");
    let fields: Vec<_> =
        answer["data"]["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!(fields, ["receiver_id", "message_type", "content"]);
}

#[tokio::test]
async fn flooding_ends_a_connection_and_a_burst_does_not() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let mut device = alice.connect(&cluster, 0).await;
    for _ in 0..100 {
        device.send(json!({"type": "ping"})).await;
    }
    let limited = device.expect("error").await;
    assert_eq!((&limited["data"]["code"], &limited["data"]["retryable"]), (&json!("rate_limited"), &json!(true)));
    for _ in 0..45 {
        device.expect("pong").await;
    }
    for _ in 0..120 {
        device.send_text("nonsense").await;
    }
    assert_eq!(device.closed().await, 4029);
}

#[tokio::test]
async fn what_breaks_the_protocol_is_closed_with_its_code() {
    let cluster = Setup::nodes(1).set("max_connections_per_user", 100).start().await;
    let alice = cluster.user("alice").await;
    let bomb: Vec<u8> = std::iter::once(masked(0x01, &[b' '; 60_000]))
        .chain((0..20).map(|_| masked(0x00, &[b' '; 60_000])))
        .flatten()
        .collect();
    let many: Vec<u8> =
        std::iter::once(masked(0x01, b" ")).chain((0..64).map(|_| masked(0x00, b" "))).flatten().collect();
    let mut cut_character = masked(0x01, &"語".as_bytes()[..2]);
    cut_character.extend(masked(0x80, b"x"));
    for (name, bytes, code) in [
        ("a binary frame", masked(0x82, b"{}"), 1003),
        ("not UTF-8", masked(0x81, b"\xff\xfe"), 1007),
        ("not UTF-8 over fragments", cut_character, 1007),
        ("a large message", masked(0x81, &[b' '; 65_537]), 1009),
        ("a claim of a terabyte", vec![0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1009),
        ("a bomb of fragments", bomb, 1009),
        ("65 fragments", many, 1009),
        ("unmasked", vec![0x81, 2, b'{', b'}'], 1002),
        ("a reserved bit", masked(0xc1, b"{}"), 1002),
        ("a reserved opcode", masked(0x83, b"{}"), 1002),
        ("a continuation of nothing", masked(0x80, b"{}"), 1002),
        ("text within fragments", [masked(0x01, b"{"), masked(0x81, b"{}")].concat(), 1002),
        ("a fragmented ping", masked(0x09, b"x"), 1002),
        ("a long ping", masked(0x89, &[0; 126]), 1002),
        ("a long pong", masked(0x8a, &[0; 126]), 1002),
        ("a close of one byte", masked(0x88, &[3]), 1002),
        ("a close with a forbidden code", masked(0x88, &1005_u16.to_be_bytes()), 1002),
        ("a close", masked(0x88, &3001_u16.to_be_bytes()), 3001),
        ("an empty close", masked(0x88, b""), 1000),
    ] {
        let mut raw = Raw::enter(&cluster, &alice).await;
        raw.write(&bytes).await;
        assert_eq!(raw.closed().await, code, "{name}");
    }
    wait_until("all have left", || cluster.app(0).hub.is_empty()).await;
}

#[tokio::test]
async fn messages_may_come_in_any_pieces() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let mut raw = Raw::enter(&cluster, &alice).await;
    // Byte by byte.
    for byte in masked(0x81, br#"{"type":"ping","id":"slow"}"#) {
        raw.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(raw.text().await["id"], "slow");
    // In fragments, with a Ping between them.
    let pieces = [
        masked(0x01, br#"{"type":"pi"#),
        masked(0x89, b"between"),
        masked(0x00, br#"ng","id":""#),
        masked(0x80, br#"cut"}"#),
    ];
    raw.write(&pieces.concat()).await;
    assert_eq!(raw.frame().await, Some((0x8a, b"between".to_vec())));
    assert_eq!(raw.text().await["id"], "cut");
    // Several at once, and half of another.
    let next = masked(0x81, br#"{"type":"ping","id":"3"}"#);
    let (head, tail) = next.split_at(9);
    raw.write(
        &[&masked(0x81, br#"{"type":"ping","id":"1"}"#), &masked(0x81, br#"{"type":"ping","id":"2"}"#), head].concat(),
    )
    .await;
    assert_eq!((&raw.text().await["id"], &raw.text().await["id"]), (&json!("1"), &json!("2")));
    raw.write(tail).await;
    assert_eq!(raw.text().await["id"], "3");
    // As large as may be.
    let mut large = br#"{"type":"ping","id":"large","data":""#.to_vec();
    large.resize(65_536 - 2, b'x');
    large.extend(b"\"}");
    raw.write(&masked(0x81, &large)).await;
    assert_eq!(raw.text().await["id"], "large");
}

#[tokio::test]
async fn a_client_that_does_not_read_harms_only_itself() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let stuck = Raw::open(&cluster, &[("Authorization", &format!("Bearer {}", alice.token()))]).await;
    let mut lively = bob.connect(&cluster, 0).await;
    let alice_id = herald_node::domain::UserId(alice.id);
    wait_until("she is in", || cluster.app(0).hub.has_user(alice_id)).await;
    let session = cluster.app(0).hub.of_user(alice_id)[0].clone();
    let frame = herald_node::protocol::frame::Frame::text(&vec![b' '; 60_000]);
    // More than the kernel takes for it.
    wait_until("she is closed", || {
        session.send(&frame);
        session.is_closed()
    })
    .await;
    lively.ask(json!({"type": "ping"})).await;
    wait_until("she has left", || !cluster.app(0).hub.has_user(alice_id)).await;
    drop(stuck);
    // One who reads again in time sees why.
    let mut slow = Raw::enter(&cluster, &alice).await;
    let session = cluster.app(0).hub.of_user(alice_id)[0].clone();
    for _ in 0..200 {
        session.send(&frame);
    }
    assert!(session.is_closed());
    assert_eq!(slow.closed().await, 4030);
}

#[tokio::test]
async fn a_pong_proves_what_was_given_before_it() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let mut device = alice.connect(&cluster, 0).await;
    device.expect("sync/complete").await;
    let session = cluster.app(0).hub.of_user(herald_node::domain::UserId(alice.id))[0].clone();
    let conversation = herald_node::domain::ConversationId::random();
    let mut proved = herald_node::domain::Seq(0);
    for seq in 1..=3 {
        let frame = herald_node::protocol::frame::Frame::text(br#"{"type":"pong"}"#);
        let log = herald_node::hub::received::Log { conversation, epoch: 0 };
        session.send_entry(&frame, log, herald_node::domain::Seq(seq));
        device.expect("pong").await;
    }
    wait_until("all three are received", || {
        if let Some((_, seq)) = session.take_received().first() {
            proved = *seq;
        }
        proved == herald_node::domain::Seq(3)
    })
    .await;
    device.send(json!({"type": "ack", "data": {"conversation_id": conversation, "seq": 9}})).await;
    wait_until("the ack is noted", || session.take_received() == [(conversation, herald_node::domain::Seq(9))]).await;
}

// --- Leaving

#[tokio::test]
async fn a_node_that_leaves_says_so() {
    let mut cluster = Cluster::start(2).await;
    let alice = cluster.user("alice").await;
    let mut device = alice.connect(&cluster, 0).await;
    cluster.stop(0).await;
    let reconnect = device.expect("reconnect").await;
    assert!(reconnect["data"]["after_ms"].as_u64().unwrap() <= 1_000);
    assert_eq!(device.closed().await, 1001);
    let routes = cluster.app(1).router.routes(&[alice.id]).await.unwrap();
    assert!(routes[0].is_empty());
    alice.connect(&cluster, 1).await;
}

#[tokio::test]
async fn an_ended_login_ends_its_sockets_everywhere() {
    let cluster = Cluster::start(2).await;
    let alice = cluster.user("alice").await;
    let mut here = alice.connect(&cluster, 0).await;
    let mut there = alice.connect(&cluster, 1).await;
    let path = format!("/auth/sessions/{}", alice.login);
    let answer = alice.delete(&cluster, 0, &path).await;
    if answer.status == 404 {
        // The support's logins are tokens only.
        return;
    }
    assert_eq!((here.closed().await, there.closed().await), (4501, 4501));
}

// --- Signals

#[tokio::test]
async fn typing_reaches_the_other_node_unless_one_blocks_the_other() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut one = alice.connect(&cluster, 0).await;
    let mut other = bob.connect(&cluster, 1).await;
    one.send(json!({"type": "typing", "data": {"receiver_id": bob.id, "is_typing": true}})).await;
    let typing = other.expect("typing").await;
    assert_eq!((&typing["data"]["user_id"], &typing["data"]["is_typing"]), (&json!(alice.id), &json!(true)));
    assert!(one.has_none("typing", Duration::from_millis(100)).await);
    bob.post(&cluster, 1, "/relationships/block", json!({"user_id": alice.id})).await.expect(204);
    eventually("the first node knows of the block, a second later at most", || async {
        blocks_of(cluster.app(0), UserId(alice.id)).await.unwrap().hides(UserId(bob.id))
    })
    .await;
    one.send(json!({"type": "typing", "data": {"receiver_id": bob.id, "is_typing": false}})).await;
    one.ask(json!({"type": "ping"})).await;
    assert!(other.has_none("typing", Duration::from_millis(300)).await);
}

#[tokio::test]
async fn friends_see_each_other_come_choose_and_go() {
    let cluster = Cluster::start(2).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let actor = herald_node::domain::command::Actor {
        id: herald_node::domain::UserId(alice.id),
        name: alice.name.as_str().into(),
    };
    let bob_id = herald_node::domain::UserId(bob.id);
    herald_node::service::people::make_friends::make_friends(cluster.app(0), actor, bob_id, true).await.unwrap();
    let mut friend = bob.connect(&cluster, 1).await;
    let mut stranger = carol.connect(&cluster, 1).await;
    let mut device = alice.connect(&cluster, 0).await;
    let mut seen = async |wanted: &str| {
        let of_alice = |frame: &Value| frame["type"] == "status" && frame["data"]["user_id"] == json!(alice.id);
        let frame = friend.find(Duration::from_secs(20), of_alice).await.expect(wanted);
        assert_eq!(frame["data"]["status"], wanted);
        frame
    };
    seen("online").await;
    for (chosen, shown) in [("busy", "busy"), ("invisible", "offline"), ("away", "away")] {
        device.send(json!({"type": "status", "data": {"status": chosen}})).await;
        let frame = seen(shown).await;
        // One who became invisible looks like one who left.
        assert_eq!(frame["data"]["last_seen_at"].is_string(), shown == "offline", "{frame}");
    }
    // Away and back within ten seconds is nothing to tell; kept over connections is what was chosen.
    device.close().await;
    device.closed().await;
    let mut device = alice.connect(&cluster, 1).await;
    let left = std::time::Instant::now();
    device.close().await;
    device.closed().await;
    let frame = seen("offline").await;
    assert!(frame["data"]["last_seen_at"].is_string());
    assert!(left.elapsed() > Duration::from_secs(9));
    assert!(stranger.has_none("status", Duration::from_millis(100)).await);
}

#[tokio::test]
async fn nobody_sees_the_invisible_leave() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    alice.post(&cluster, 0, "/friends/request", json!({"user_id": bob.id})).await.expect(201);
    bob.post(&cluster, 0, &format!("/friends/{}/accept", alice.id), json!({})).await.expect(200);
    let mut friend = bob.connect(&cluster, 1).await;
    let mut device = alice.connect(&cluster, 0).await;
    assert_eq!(friend.expect("status").await["data"]["status"], "online");
    device.send(json!({"type": "status", "data": {"status": "invisible"}})).await;
    let shown = friend.expect("status").await;
    assert_eq!(shown["data"]["status"], "offline");
    let presence = async || {
        let body = json!({"user_ids": [alice.id]});
        bob.post(&cluster, 1, "/users/presence", body).await.expect(200)["presence"][alice.id.to_string()].clone()
    };
    let before = presence().await;
    assert_eq!(before["last_seen_at"], shown["data"]["last_seen_at"]);
    device.close().await;
    device.closed().await;
    assert!(friend.has_none("status", RECONNECT_TIME + Duration::from_secs(1)).await);
    assert_eq!(presence().await, before);
}

#[tokio::test]
async fn what_is_sent_names_its_sender_as_he_is_called_now() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut reader = bob.connect(&cluster, 1).await;
    let mut device = alice.connect(&cluster, 1).await;
    device.say(bob.id, "before").await;
    let before = reader.next_message().await;
    reader.say(alice.id, "so that alice may go on").await;
    alice.patch(&cluster, 0, "/users/me", json!({"display_name": "Alice the Second"})).await.expect(200);
    let body = |number: usize| json!({"temp_id": format!("r{number}"), "message_type": "text", "content": "by REST"});
    let path = format!("/messages/{}", bob.id);
    let sent = alice.post(&cluster, 0, &path, body(0)).await.expect(201);
    assert_eq!(sent["sender_name"], "Alice the Second", "at once where the name was changed");
    let number = std::cell::Cell::new(0);
    eventually("the other node knows, within a second or two", async || {
        number.set(number.get() + 1);
        let sent = alice.post(&cluster, 1, &path, body(number.get())).await;
        sent.status == 201 && sent.body["sender_name"] == "Alice the Second"
    })
    .await;
    let sent = device.say(bob.id, "after").await;
    let after = reader.find(DEADLINE, |frame| frame["data"]["message_id"] == sent["message_id"]).await.unwrap();
    assert_eq!(after["data"]["sender_name"], "Alice the Second");
    let page = bob.get(&cluster, 0, &format!("/messages/{}?limit=200", alice.id)).await.expect(200);
    let first = page["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&first["content"], &first["sender_name"]), (&json!("before"), &before["sender_name"]));
}

#[tokio::test]
async fn with_redis_away_sockets_are_taken_and_limited_here() {
    let mut redis = super::support::own::OwnRedis::start().await;
    let cluster = Setup::nodes(1).redis(&redis.url()).start().await;
    let alice = cluster.user("alice").await;
    let mut first = alice.connect(&cluster, 0).await;
    redis.kill();
    wait_until("it is noticed", || !cluster.app(0).router.is_up()).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(alice.connect(&cluster, 0).await);
    }
    assert_eq!(first.closed().await, 4500);
    for device in &mut others {
        device.ask(json!({"type": "ping"})).await;
    }
}

// --- Rates

#[tokio::test]
async fn ten_messages_a_second_and_repeats_beyond() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut to = bob.connect(&cluster, 0).await;
    to.say(alice.id, "go on").await;
    let mut from = alice.connect(&cluster, 0).await;
    let mut first = json!(null);
    let (mut sent, mut refused) = (0, 0);
    // All at once, so that a slow machine does not make them slow.
    for number in 0..20 {
        let id = format!("t{number}");
        let data = json!({"temp_id": id, "receiver_id": bob.id, "message_type": "text", "content": "x"});
        from.send(json!({"type": "chat", "action": "send", "id": id, "data": data})).await;
    }
    for number in 0..20 {
        let id = json!(format!("t{number}"));
        let answer = from.find(DEADLINE, |frame| frame["id"] == id).await.unwrap();
        assert_eq!(answer["data"]["temp_id"], id);
        if answer["type"] == "error" {
            assert_eq!(answer["data"]["code"], "rate_limited");
            assert!(answer["data"]["retry_after_ms"].as_u64().unwrap() <= 1_000);
            refused += 1;
        } else {
            first = if number == 0 { answer["data"].clone() } else { first };
            sent += 1;
        }
    }
    assert!(sent >= 10 && refused >= 5, "{sent} sent, {refused} refused");
    let repeat = from.chat(json!({"temp_id": "t0", "receiver_id": bob.id, "content": "x"})).await;
    assert_eq!(repeat, first, "a repeat is answered over the rate, too");
}

#[tokio::test]
async fn nodes_share_the_rate_of_a_user() {
    let cluster = Setup::nodes(3).set("max_messages_per_second", 20).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    bob.connect(&cluster, 0).await.say(alice.id, "go on").await;
    let mut devices = Vec::new();
    for node in 0..3 {
        devices.push(alice.connect(&cluster, node).await);
    }
    // The first node was alone when she came. It learns that it is not by what it delivers.
    devices[0].say(bob.id, "first").await;
    devices[1].next_message().await;
    let mut sent = 0;
    let began = std::time::Instant::now();
    for number in 0..90 {
        let device = &mut devices[number % 3];
        let data =
            json!({"temp_id": format!("t{number}"), "receiver_id": bob.id, "message_type": "text", "content": "x"});
        let answer = device.ask(json!({"type": "chat", "action": "send", "data": data})).await;
        sent += usize::from(answer["type"] != "error");
    }
    // What all share, what each node may have taken ahead of it, and what flows in meanwhile: at one rate.
    let most = 20 + 3 * 5 + (began.elapsed().as_secs_f64() * 20.0) as usize + 1;
    assert!((20..=most).contains(&sent), "{sent} of at most {most}");
}

// --- What was received is written

#[tokio::test]
async fn what_a_pong_proved_is_written_when_the_socket_closes() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut from = alice.connect(&cluster, 0).await;
    let mut to = bob.connect(&cluster, 1).await;
    to.say(alice.id, "go on").await;
    for number in 0..3 {
        from.say(bob.id, &format!("{number}")).await;
        to.next_message().await;
    }
    let session = cluster.app(1).hub.of_user(UserId(bob.id))[0].clone();
    eventually("the Pong of the last Ping is here", || async {
        let received = session.take_received();
        session.put_back_received(&received);
        received.iter().any(|(_, seq)| *seq == Seq(4))
    })
    .await;
    to.close().await;
    wait_for_routes(&cluster, bob.id, 0).await;
    let mut again = bob.connect(&cluster, 0).await;
    again.expect("sync/complete").await;
    assert!(again.take_waiting().iter().all(|frame| frame["action"] != "new_message"), "all were received before");
    from.say(bob.id, "last").await;
    assert_eq!(again.next_message().await["content"], "last");
}
