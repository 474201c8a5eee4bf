//! Clients that mean harm, or do not know what they do: it stays with them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use herald_node::domain::{ConversationId, UserId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::sessions::{Raw, masked};
use super::support::{Cluster, DEADLINE, Setup};

fn direct(one: Uuid, other: Uuid) -> ConversationId {
    ConversationId::direct(UserId(one), UserId(other))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_named_as_a_group_by_a_third_stays_a_pair() {
    let cluster = Setup::nodes(1).set("enable_first_message_limit", false).start().await;
    let (mallory, bob, carol) = (cluster.user("mallory").await, cluster.user("bob").await, cluster.user("carol").await);
    let mut evil = mallory.connect(&cluster, 0).await;
    // The id of a pair can be computed by everyone. Nobody has written there yet.
    let pair = direct(bob.id, carol.id);
    let nobodys = ConversationId::random();
    for id in [pair, nobodys] {
        let refused = evil.chat_refused(json!({"group_id": id, "content": "x"})).await;
        assert_eq!((&refused["code"], &refused["retryable"]), (&json!("not_found"), &json!(false)), "{refused}");
    }
    for shard in 0..2 {
        let client = cluster.databases.shard(shard).await;
        let rows: i64 = client.query_one("select count(*) from conversation", &[]).await.unwrap().get(0);
        assert_eq!(rows, 0, "a message to nobody leaves no row");
    }
    let mut device = bob.connect(&cluster, 0).await;
    let sent = device.say(carol.id, "hello").await;
    assert_eq!((&sent["conversation_id"], &sent["seq"]), (&json!(pair), &json!(1)));
    // One's own pair is no group either, and those who write at the same time notice nothing.
    let own = evil.say(bob.id, "hi").await;
    let refused = evil.chat_refused(json!({"group_id": own["conversation_id"], "content": "x"})).await;
    assert_eq!(refused["code"], "not_found", "{refused}");
    assert_eq!(evil.say(bob.id, "again").await["seq"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn seqs_beyond_all_numbers_are_beyond_the_newest() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let made = alice.post(&cluster, 0, "/groups", json!({"name": "g"})).await.expect(201);
    let group = made["id"].as_str().unwrap().to_owned();
    let mut owner = alice.connect(&cluster, 0).await;
    owner.say_in(&group, "before bob").await;
    alice.post(&cluster, 0, &format!("/groups/{group}/members"), json!({"user_ids": [bob.id]})).await.expect(200);
    let mut device = bob.connect(&cluster, 0).await;
    device.expect("sync/complete").await;
    for seq in [json!(i64::MAX), json!(u64::MAX), json!(1_u64 << 40), json!(i64::MIN), json!(-1)] {
        let asked = json!({"conversations": [{"conversation_id": group, "after_seq": seq}]});
        let page = device.ask(json!({"type": "sync", "data": asked})).await;
        assert_eq!((&page["action"], &page["data"]["last_seq"]), (&json!("page"), &json!(3)), "{seq}: {page}");
        assert!(!page.to_string().contains("before bob"), "{seq}: {page}");
        let seen = json!({"seen": [{"conversation_id": Uuid::new_v4(), "seq": seq}]});
        device.ask(json!({"type": "sync", "data": seen})).await;
        device.send(json!({"type": "ack", "data": {"conversation_id": group, "seq": seq}})).await;
        device.ask(json!({"type": "read", "data": {"conversation_id": group, "seq": seq}})).await;
    }
    // She who writes, and he who claimed all that, go on as ever.
    for content in ["one", "two", "three"] {
        owner.say_in(&group, content).await;
        assert_eq!(device.next_message().await["content"], content);
    }
    let path = format!("/groups/{group}/messages");
    for query in ["after_seq=9223372036854775807", "before_seq=0", "after_seq=1099511627776"] {
        assert_eq!(bob.get(&cluster, 0, &format!("{path}?{query}")).await.expect(200)["items"], json!([]), "{query}");
    }
    for query in ["after_seq=-1", "before_seq=x", "limit=0", "after_seq=9223372036854775808"] {
        bob.get(&cluster, 0, &format!("{path}?{query}")).await.refused(422, "invalid_request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_cannot_be_shown_are_refused_where_they_come_in() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let made = alice.post(&cluster, 0, "/groups", json!({"name": "g", "members": [bob.id]})).await.expect(201);
    let group = made["id"].as_str().unwrap();
    // With its offset it is of the year 10000.
    for time in ["9999-12-31T23:59:59-23:59", "0000-06-01T00:00:00Z", "0001-01-01T00:00:00+00:01"] {
        let body = json!({"muted_until": time});
        let refused = bob.patch(&cluster, 0, &format!("/conversations/{group}/settings"), body.clone()).await;
        assert_eq!(refused.body["errors"][0]["field"], "muted_until", "{}", refused.body);
        refused.refused(422, "invalid_request");
        let mute = format!("/groups/{group}/members/{}/mute", bob.id);
        alice.post(&cluster, 0, &mute, body).await.refused(422, "invalid_request");
    }
    let latest = json!({"muted_until": "9999-12-31T23:59:59Z"});
    let shown = bob.patch(&cluster, 0, &format!("/conversations/{group}/settings"), latest).await.expect(200);
    assert_eq!(shown["muted_until"], "9999-12-31T23:59:59.000Z");
    bob.get(&cluster, 0, "/conversations").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_cursors_of_lists_are_refused_as_such() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let id = ConversationId::random().to_string();
    for path in ["/conversations", "/groups", "/auth/sessions", "/relationships/blocked"] {
        let forged = [
            json!([true, i64::MIN, id]),
            json!([true, i64::MAX, id]),
            json!([i64::MAX, id]),
            json!([i64::MIN, id]),
            json!({"a": 1}),
            json!("not-an-id"),
        ];
        for cursor in
            forged.iter().map(|cursor| URL_SAFE_NO_PAD.encode(cursor.to_string())).chain(["%25%25".to_owned()])
        {
            alice.get(&cluster, 0, &format!("{path}?cursor={cursor}")).await.refused(400, "invalid_cursor");
        }
    }
}

#[tokio::test]
async fn pongs_that_nothing_asked_for_are_flooding_in_the_end() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let mut raw = Raw::enter(&cluster, &alice).await;
    raw.write(&masked(0x8a, b"keepalive").repeat(300)).await;
    assert_eq!(raw.closed().await, 4029);
}

/// What is answered to these bytes, up to the end of the connection.
async fn answers(cluster: &Cluster, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(cluster.node(0).address).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut answer)).await;
    read.expect("the connection stays open").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_are_answered_and_end_nothing_but_themselves() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let bearer = format!("authorization: Bearer {}\r\n", alice.token());
    let status = |answer: &str| answer.get(9..12).unwrap_or_default().to_owned();
    let one = async |line: &str, headers: &str, body: &str| {
        let request = format!("{line}\r\nhost: x\r\nconnection: close\r\n{headers}\r\n{body}");
        answers(&cluster, request.as_bytes()).await
    };
    // In one go, and in the old way.
    let two = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let both = answers(&cluster, two.as_bytes()).await;
    assert!(both.starts_with("HTTP/1.1 200 ") && both.contains("HTTP/1.1 404 "), "{both}");
    assert_eq!(status(&answers(&cluster, b"GET /livez HTTP/1.0\r\n\r\n").await), "200");
    // Pieces.
    let json = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let body = "1f\r\n{\"username\":\"x\",\"password\":\"y\"}\r\n0\r\n\r\n";
    assert_eq!(status(&one("POST /api/v1/auth/login HTTP/1.1", json, body).await), "401");
    // Paths and queries that are no text, or lead nowhere.
    for path in [
        "/api/v1/users/%ff%fe",
        "/api/v1/../../etc/passwd",
        "/api/v1/%2e%2e/%2e%2e/etc/passwd",
        "//api/v1/users/me",
        "/api/v1/users/me/",
        "/api/v1/conversations/%00",
    ] {
        assert_eq!(status(&one(&format!("GET {path} HTTP/1.1"), &bearer, "").await), "404", "{path}");
    }
    for query in ["cursor=%ff%fe", "cursor=%00", "limit=%ff", "limit=1&limit=2", "cursor=a&cursor=b"] {
        let answer = one(&format!("GET /api/v1/conversations?{query} HTTP/1.1"), &bearer, "").await;
        assert!(["400", "422"].contains(&status(&answer).as_str()), "{query}: {answer}");
        assert!(answer.contains("application/problem+json"), "{query}: {answer}");
    }
    assert_eq!(status(&one("GET /api/v1/conversations?limit=1000000&unknown=%ff HTTP/1.1", &bearer, "").await), "200");
    // Smuggling, and heads without end.
    let twice = "content-type: application/json\r\ncontent-length: 2\r\ncontent-length: 3\r\n";
    assert_eq!(status(&one("POST /api/v1/auth/login HTTP/1.1", twice, "{}x").await), "400");
    let large = format!("x-large: {}\r\n", "x".repeat(64 * 1024));
    assert_eq!(status(&one("GET /livez HTTP/1.1", &large, "").await), "431");
    let many = "x-many: 1\r\n".repeat(1_000);
    assert_eq!(status(&one("GET /livez HTTP/1.1", &many, "").await), "431");
    assert_eq!(status(&one("NONSENSE", "", "").await), "400");
    assert_eq!(status(&one("OPTIONS * HTTP/1.1", "", "").await), "404");
    // A second token beside a good one does not make the good one worse, nor the other way round.
    let first_counts = format!("{bearer}authorization: Bearer nonsense\r\n");
    assert_eq!(status(&one("GET /api/v1/users/me HTTP/1.1", &first_counts, "").await), "200");
    alice.get(&cluster, 0, "/users/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_none_is_told_by_its_field() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let field = async |path: &str, body: &str| {
        let request = cluster.http.post(format!("{}/api/v1{path}", cluster.url(0))).bearer_auth(alice.token());
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!((&answer["code"], &answer["status"]), (&json!("invalid_text"), &json!(422)), "{answer}");
        answer["errors"][0]["field"].as_str().unwrap().to_owned()
    };
    let message = r#"{"temp_id":"t","message_type":"text","content":"\ud83d\ude00 \ud800"}"#;
    assert_eq!(field(&format!("/messages/{}", bob.id), message).await, "content");
    assert_eq!(field("/groups", r#"{"name":"a\u0000"}"#).await, "name");
    assert_eq!(field("/groups", r#"{"name":"a","members":["\udc00"]}"#).await, "members[0]");
    let sent = alice
        .post(
            &cluster,
            0,
            &format!("/messages/{}", bob.id),
            json!({"temp_id": "t", "message_type": "text", "content": "x"}),
        )
        .await
        .expect(201);
    let emoji = format!("/messages/{}/reactions/%00", sent["id"].as_str().unwrap());
    alice.put(&cluster, 0, &emoji, json!({})).await.refused(422, "invalid_text");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_let_in_a_few_at_a_time() {
    let cluster = Setup::nodes(1)
        .set("max_connections_per_user", 1_000)
        .configure(|config| config.limits.admissions_max = 2)
        .start()
        .await;
    let alice = cluster.user("alice").await;
    let connecting = (0..300).map(|_| alice.connect(&cluster, 0));
    let devices =
        tokio::time::timeout(Duration::from_secs(60), futures_util::future::join_all(connecting)).await.unwrap();
    assert_eq!(cluster.app(0).hub.len(), devices.len());
}
