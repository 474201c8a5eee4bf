//! Away and back over real sockets, on several nodes.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Cluster, DEADLINE, Device, Setup, User, eventually};

async fn friends(cluster: &Cluster) -> (User, User) {
    (cluster.user("alice").await, cluster.user("bob").await)
}

async fn cluster(nodes: usize) -> Cluster {
    Setup::nodes(nodes).set("enable_first_message_limit", false).set("max_messages_per_second", 1_000).start().await
}

/// Frames of a sync up to and with `complete`, which has no `partial`.
async fn pages(device: &mut Device) -> (Vec<Value>, Value) {
    let mut pages = Vec::new();
    loop {
        let mut frame = device.find(DEADLINE, |frame| frame["type"] == "sync").await.expect("a sync goes on");
        if frame["action"] == "complete" {
            assert!(frame["data"].get("partial").is_none());
            return (pages, frame["data"].take());
        }
        pages.push(frame["data"].take());
    }
}

fn contents(pages: &[Value]) -> Vec<&str> {
    let frames = pages.iter().flat_map(|page| page["frames"].as_array().unwrap());
    frames.filter_map(|frame| frame["data"]["content"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_missed_comes_on_any_node_until_a_pong_proves_it() {
    let cluster = cluster(2).await;
    let (alice, bob) = friends(&cluster).await;
    let mut a = alice.connect(&cluster, 0).await;
    a.say(bob.id, "one").await;
    a.say(bob.id, "two").await;
    let mut b = bob.connect(&cluster, 1).await;
    for content in ["one", "two"] {
        let message = b.next_message().await;
        assert_eq!((&message["content"], &message["offline"]), (&json!(content), &json!(true)));
    }
    assert_eq!(pages(&mut b).await, (vec![], json!({})));
    a.say(bob.id, "three").await;
    let live = b.next_message().await;
    assert_eq!((&live["content"], live.get("offline")), (&json!("three"), None));
    // The client's Pong is on its way by itself; the position is written when the socket closes.
    b.close().await;
    b.closed().await;
    eventually("nothing is missed any more", async || {
        let mut again = bob.connect(&cluster, 0).await;
        let frame = again.next().await;
        again.close().await;
        again.closed().await;
        frame["type"] == "sync"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_in_the_first_frame_takes_the_place_of_offline_delivery() {
    let cluster = cluster(2).await;
    let (alice, bob) = friends(&cluster).await;
    let mut a = alice.connect(&cluster, 0).await;
    a.say(bob.id, "one").await;
    let mut b = bob.connect_with_sync(&cluster, 1, json!({})).await;
    let (first, complete) = pages(&mut b).await;
    assert_eq!(contents(&first), ["one"]);
    let cursor = complete["cursor"].as_str().unwrap().to_owned();
    b.close().await;
    b.closed().await;
    let sent = a.say(bob.id, "two").await;
    let frame = json!({"type": "chat", "action": "recall", "data": {"message_id": sent["message_id"]}});
    assert_eq!(a.ask(frame).await["action"], "message_recalled");
    a.say(bob.id, "three").await;
    let mut b = bob.connect_with_sync(&cluster, 0, json!({"cursor": cursor})).await;
    let (second, _) = pages(&mut b).await;
    assert_eq!(contents(&second), ["one", "three"], "repeats are allowed, what was recalled is not shown");
    let last = second.last().unwrap();
    assert_eq!((&last["last_seq"], &last["unread_count"]), (&json!(4), &json!(3)));
    // And live from there on.
    a.say(bob.id, "four").await;
    assert_eq!(b.next_message().await["content"], "four");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_cursor_is_refused_and_the_connection_stays() {
    let cluster = cluster(1).await;
    let (alice, bob) = friends(&cluster).await;
    let mut a = alice.connect(&cluster, 0).await;
    a.say(bob.id, "one").await;
    let mut b = bob.connect_with_sync(&cluster, 0, json!({"cursor": "AAAA"})).await;
    assert_eq!(b.next().await["data"]["code"], "invalid_cursor");
    assert_eq!(b.next_message().await["offline"], true);
    let answer = b.ask(json!({"type": "sync", "data": {"cursor": "AAAA"}})).await;
    assert_eq!((&answer["type"], &answer["data"]["code"]), (&json!("error"), &json!("invalid_cursor")));
    let answer = b.ask(json!({"type": "sync", "data": {}})).await;
    assert_eq!((&answer["type"], &answer["action"]), (&json!("sync"), &json!("page")));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_beyond_every_log_do_no_harm() {
    let cluster = cluster(1).await;
    let (alice, bob) = friends(&cluster).await;
    let (mut a, mut b) = (alice.connect(&cluster, 0).await, bob.connect(&cluster, 0).await);
    let sent = a.say(bob.id, "one").await;
    let id = sent["conversation_id"].clone();
    b.next_message().await;
    assert!(pages(&mut b).await.0.is_empty());
    for beyond in [2, i64::MAX - 1, i64::MAX, i64::MIN, -1] {
        let held = json!([{"conversation_id": id, "after_seq": beyond, "seq": beyond}]);
        for data in
            [json!({"conversations": held}), json!({"conversations": held, "seen": held}), json!({"seen": held})]
        {
            b.send(json!({"type": "sync", "data": data})).await;
            let (pages, _) = pages(&mut b).await;
            assert_eq!((pages.len(), &pages[0]["last_seq"]), (1, &json!(1)), "{data}");
        }
        b.send(json!({"type": "ack", "data": {"conversation_id": id, "seq": beyond}})).await;
        b.ask(json!({"type": "read", "data": {"conversation_id": id, "seq": beyond}})).await;
    }
    // What the client only says to hold is shown to it all the same.
    a.say(bob.id, "two").await;
    assert_eq!(b.next_message().await["content"], "two");
    b.say(alice.id, "three").await;
    a.say(bob.id, "four").await;
    assert_eq!(b.next_message().await["content"], "four");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_is_told_to_all_whom_it_concerns() {
    let cluster = cluster(2).await;
    let (alice, bob) = friends(&cluster).await;
    let mut a = alice.connect(&cluster, 0).await;
    let mut phone = bob.connect(&cluster, 0).await;
    let mut desk = bob.connect(&cluster, 1).await;
    let sent = a.say(bob.id, "one").await;
    a.say(bob.id, "two").await;
    let id = sent["conversation_id"].clone();
    let is_update =
        |frame: &Value| frame["type"] == "unread_count_update" && frame["data"].get("total_unread").is_some();
    let answer = phone.ask(json!({"type": "read", "data": {"conversation_id": id, "seq": 1}})).await;
    let expected = json!({"conversation_id": id, "unread_count": 1, "total_unread": 1});
    assert_eq!((&answer["type"], &answer["data"]), (&json!("unread_count_update"), &expected));
    assert_eq!(desk.find(DEADLINE, is_update).await.unwrap()["data"], expected);
    let read = a.expect("read").await;
    assert_eq!(read["data"], json!({"conversation_id": id, "user_id": bob.id, "seq": 1}));
    // Backwards nothing changes; beyond the newest is the newest.
    let answer = phone.ask(json!({"type": "read", "data": {"conversation_id": id, "seq": 0}})).await;
    assert_eq!(answer["data"]["unread_count"], 1);
    let answer = phone.ask(json!({"type": "read", "data": {"conversation_id": id, "seq": 99}})).await;
    assert_eq!((&answer["data"]["unread_count"], &answer["data"]["total_unread"]), (&json!(0), &json!(0)));
    assert_eq!(a.expect("read").await["data"]["seq"], 2);
    let path = format!("/conversations/{}", id.as_str().unwrap());
    let shown = alice.get(&cluster, 1, &path).await.expect(200);
    assert_eq!((&shown["peer_read_seq"], &shown["read_seq"]), (&json!(2), &json!(2)));
    // Who does not let others see it does not see theirs.
    alice.patch(&cluster, 1, &format!("{path}/settings"), json!({"read_receipts": false})).await.expect(200);
    a.expect("conversation/settings").await;
    assert_eq!(alice.get(&cluster, 0, &path).await.expect(200)["peer_read_seq"], Value::Null);
    assert_eq!(bob.get(&cluster, 0, &path).await.expect(200)["peer_read_seq"], Value::Null);
    a.say(bob.id, "three").await;
    bob.post(&cluster, 0, &format!("{path}/read"), json!({})).await.expect(204);
    assert!(a.has_none("read", Duration::from_millis(500)).await);
    let unknown = phone.ask(json!({"type": "read", "data": {"conversation_id": Uuid::new_v4()}})).await;
    assert_eq!(unknown["data"]["code"], "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_told_to_ones_own_devices_and_by_sync() {
    let cluster = cluster(2).await;
    let (alice, bob) = friends(&cluster).await;
    let mut a = alice.connect(&cluster, 0).await;
    let sent = a.say(bob.id, "one").await;
    let first = a.ask(json!({"type": "sync", "data": {}})).await;
    assert_eq!(first["data"]["settings"], json!({"pinned": false, "muted_until": null, "read_receipts": null}));
    let cursor = pages(&mut a).await.1["cursor"].clone();
    let path = format!("/conversations/{}/settings", sent["conversation_id"].as_str().unwrap());
    let muted = "2030-01-01T00:00:00.000Z";
    let shown = alice.patch(&cluster, 1, &path, json!({"pinned": true, "muted_until": muted})).await.expect(200);
    assert_eq!((&shown["pinned"], &shown["muted_until"]), (&json!(true), &json!(muted)));
    let frame = a.expect("conversation/settings").await;
    assert_eq!((&frame["data"]["pinned"], &frame["data"]["muted_until"]), (&json!(true), &json!(muted)));
    let page = a.ask(json!({"type": "sync", "data": {"cursor": cursor}})).await;
    assert_eq!(page["data"]["settings"], json!({"pinned": true, "muted_until": muted, "read_receipts": null}));
    let shown = alice.patch(&cluster, 1, &path, json!({"muted_until": null})).await.expect(200);
    assert_eq!((&shown["pinned"], &shown["muted_until"]), (&json!(true), &Value::Null));
}

/// More syncs at once than may wait: the others are refused, those that wait are answered in turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_few_syncs_wait_for_their_turn() {
    let cluster = cluster(1).await;
    let alice = cluster.user("alice").await;
    let mut a = alice.connect(&cluster, 0).await;
    pages(&mut a).await;
    for number in 0..12 {
        a.send(json!({"type": "sync", "id": number.to_string(), "data": {}})).await;
    }
    let mut answered = 0;
    for _ in 0..12 {
        let answer = a.find(DEADLINE, |frame| frame.get("id").is_some()).await.unwrap();
        match answer["type"].as_str().unwrap() {
            "sync" => answered += 1,
            _ => assert_eq!(answer["data"]["code"], "rate_limited"),
        }
    }
    assert!(answered >= 5, "{answered}");
}

/// A database that takes no connections, as one that is down.
async fn shut(cluster: &Cluster, shard: usize, is_shut: bool) {
    let url = &cluster.databases.shards[shard].url;
    let name = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    let admin = cluster.databases.directory().await;
    admin.batch_execute(&format!("alter database \"{name}\" with allow_connections {}", !is_shut)).await.unwrap();
    if is_shut {
        admin
            .execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", &[&name])
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_down_is_left_out_and_told_of_when_it_is_back() {
    let cluster = cluster(1).await;
    let alice = cluster.user("alice").await;
    let app = cluster.app(0);
    // One conversation in each shard.
    let mut by_shard = [None, None];
    for number in 0.. {
        if by_shard.iter().all(Option::is_some) {
            break;
        }
        let other = cluster.user(&format!("other{number}")).await;
        let pair = herald_node::domain::ConversationRef::direct(
            herald_node::domain::UserId(alice.id),
            herald_node::domain::UserId(other.id),
        );
        by_shard[usize::from(app.shards.of(pair.id()).unwrap().id.0)] = Some(other);
    }
    let [Some(here), Some(there)] = by_shard else { unreachable!() };
    let mut a = alice.connect(&cluster, 0).await;
    pages(&mut a).await;
    a.say(here.id, "here").await;
    let sent = a.say(there.id, "there").await;
    let first = a.ask(json!({"type": "sync", "data": {}})).await;
    assert_eq!(first["action"], "page");
    let cursor = pages(&mut a).await.1["cursor"].clone();
    shut(&cluster, 1, true).await;
    let begun = std::time::Instant::now();
    let data = json!({"conversations": [{"conversation_id": sent["conversation_id"], "after_seq": 0}]});
    let answer = a.ask(json!({"type": "sync", "data": data})).await;
    assert_eq!((&answer["action"], &answer["data"]), (&json!("complete"), &json!({"partial": true})));
    a.send(json!({"type": "sync", "data": {"cursor": cursor}})).await;
    let mut said = Vec::new();
    let cursor = loop {
        let frame = a.find(DEADLINE, |frame| frame["type"] == "sync").await.unwrap();
        if frame["action"] == "complete" {
            assert_eq!(frame["data"]["partial"], true);
            break frame["data"]["cursor"].clone();
        }
        said.push(frame["data"].clone());
    };
    assert_eq!(contents(&said), ["here"]);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    shut(&cluster, 1, false).await;
    let resync = a.expect("resync").await;
    assert_eq!(resync["data"]["reason"], "shard_lost");
    a.send(json!({"type": "sync", "data": {"cursor": cursor}})).await;
    assert!(contents(&pages(&mut a).await.0).contains(&"there"));
}
