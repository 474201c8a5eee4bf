//! A client that stops reading without going away: closed when its socket has taken nothing for 30 s, and complete when it is back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::support::{Cluster, Setup, User, eventually_within};

/// More than the kernel takes for a socket (4 MiB by default, and what the other end takes).
const BYTES_SENT: usize = 12 << 20;
/// 10,000 code points at most.
const CONTENT_BYTES: usize = 39_600;
/// PROTOCOL: no progress for so long is a slow consumer's.
const STALL: Duration = Duration::from_secs(30);

type Socket = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

/// A socket that takes little in advance, past `success`.
async fn narrow(cluster: &Cluster, user: &User) -> Socket {
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.set_recv_buffer_size(8 * 1024).unwrap();
    let tcp = tcp.connect(cluster.node(0).address).await.unwrap();
    let mut request = cluster.ws_url(0).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", user.token()).parse().unwrap());
    tokio_tungstenite::client_async(request, tcp).await.unwrap().0
}

/// The next frame; an error is the code of the close.
async fn next(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(1006),
        }
    }
}

/// A message's seq and content, of a frame of its own or of a page's.
fn message_of(frame: &Value) -> Option<(i64, String)> {
    let data = (frame["action"] == "new_message").then_some(&frame["data"])?;
    Some((data["seq"].as_i64()?, data["content"].as_str()?.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_for_half_a_minute_is_closed_alone_and_misses_nothing() {
    let cluster = Setup::nodes(1)
        .set("max_messages_per_second", 100_000)
        // Not by its bytes: by its time.
        .configure(|config| config.limits.outgoing_bytes_max = 2 * BYTES_SENT)
        .start()
        .await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let group = json!({"name": "g", "members": [bob.id, carol.id]});
    let made = alice.post(&cluster, 0, "/groups", group).await.expect(201);
    let group = made["id"].as_str().unwrap().to_owned();
    let (mut a, mut c) = (alice.connect(&cluster, 0).await, carol.connect(&cluster, 0).await);
    let mut slow = narrow(&cluster, &bob).await;
    slow.send(Message::text(json!({"type": "sync", "data": {}}).to_string())).await.unwrap();
    let cursor = loop {
        let frame = next(&mut slow).await.unwrap();
        if frame["action"] == "complete" && frame["data"]["cursor"].is_string() {
            break frame["data"]["cursor"].clone();
        }
    };
    // From here on he reads nothing. The kernel takes some of it for him, then nothing goes on.
    let begun_at = Instant::now();
    let mut expected = BTreeMap::new();
    for number in 0..BYTES_SENT / CONTENT_BYTES {
        let content = format!("{number} {}", "𝕏".repeat(CONTENT_BYTES / 4));
        let sent = a.say_in(&group, &content).await;
        expected.insert(sent["seq"].as_i64().unwrap(), content);
        assert_eq!(c.next_message().await["seq"], sent["seq"]);
    }
    let all_sent = Instant::now();
    let session = cluster.app(0).hub.of_user(herald_node::domain::UserId(bob.id))[0].clone();
    let mut slowest = Duration::ZERO;
    let mut pinged = Instant::now();
    while !session.is_closed() {
        assert!(all_sent.elapsed() < STALL + Duration::from_secs(6), "still open after {:?}", all_sent.elapsed());
        if pinged.elapsed() > Duration::from_secs(5) {
            // His application is alive, only it does not read.
            pinged = Instant::now();
            slow.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
        }
        let begun = Instant::now();
        let sent = a.say_in(&group, "to all").await;
        expected.insert(sent["seq"].as_i64().unwrap(), "to all".to_owned());
        assert_eq!(c.next_message().await["seq"], sent["seq"]);
        slowest = slowest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let after = begun_at.elapsed();
    println!("closed {after:?} after the first message; the others' slowest message took {slowest:?}");
    assert!(after > STALL, "{after:?}");
    assert!(slowest < Duration::from_secs(2), "the others waited {slowest:?}");

    // What the kernel had taken is there, then the reason.
    let mut held = BTreeMap::new();
    let code = loop {
        match next(&mut slow).await {
            Ok(frame) => held.extend(message_of(&frame)),
            Err(code) => break code,
        }
    };
    assert_eq!(code, 4030);
    assert!(held.len() < expected.len() / 2, "{} of {} were read before", held.len(), expected.len());
    eventually_within(Duration::from_secs(10), "he has left", async || {
        cluster.app(0).hub.of_user(herald_node::domain::UserId(bob.id)).is_empty()
    })
    .await;
    let last = a.say_in(&group, "while he was away").await;
    expected.insert(last["seq"].as_i64().unwrap(), "while he was away".to_owned());

    let sync =
        json!({"conversations": [{"conversation_id": group, "after_seq": held.keys().max().copied().unwrap_or(1)}]});
    let by_cursor = json!({"cursor": cursor});
    for sync in [sync, by_cursor] {
        let mut back = bob.connect_with_sync(&cluster, 0, sync.clone()).await;
        let mut whole = held.clone();
        let (mut has_more, mut after) = (true, 0);
        while has_more {
            has_more = false;
            loop {
                let frame = back.next().await;
                if frame["action"] == "complete" {
                    break;
                }
                assert_ne!(frame["data"]["has_gap"], true, "{sync}");
                let frames = frame["data"]["frames"].as_array().into_iter().flatten();
                whole.extend(frames.filter_map(message_of));
                has_more = frame["data"]["has_more"] == true;
                after = whole.keys().max().copied().unwrap_or(0);
            }
            if has_more {
                let rest = json!({"conversations": [{"conversation_id": group, "after_seq": after}]});
                back.send(json!({"type": "sync", "data": rest})).await;
            }
        }
        assert!(whole == expected, "{} of {} after {sync}", whole.len(), expected.len());
    }
}
