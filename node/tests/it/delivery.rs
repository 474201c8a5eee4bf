//! One order for everyone, once, on whatever node; and what is lost on the way is found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use herald_node::domain::{ConversationRef, Seq, UserId};
use herald_node::hub::SessionHandle;
use herald_node::memory::gates::Arrival;
use herald_node::service::delivery::item_of_stored::item_of_stored;
use herald_node::service::delivery::{fill, show_entry};
use herald_node::service::recovery::{bury, repair};
use herald_node::storage::shard::read_delivery::{FoundEntries, read_hole};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{Device, User};
use crate::support::cluster::{Cluster, Setup};
use crate::support::eventually;

async fn busy_cluster(nodes: usize) -> Cluster {
    Setup::nodes(nodes).set("max_messages_per_second", 1_000_000).set("enable_first_message_limit", false).start().await
}

/// A third node that shares the databases and no Redis: what it commits, nobody is told of.
async fn cluster_with_silent_node() -> Cluster {
    Setup::nodes(3)
        .set("max_messages_per_second", 1_000_000)
        .set("enable_first_message_limit", false)
        .configure(|config| {
            if config.node_id == "node-3" {
                config.redis.key_prefix.push_str("silent:");
            }
        })
        .start()
        .await
}

async fn group_of(cluster: &Cluster, owner: &User, members: &[&User]) -> String {
    let ids: Vec<Uuid> = members.iter().map(|user| user.id).collect();
    let group = owner.post(cluster, 0, "/groups", json!({"name": "all", "members": ids})).await.expect(201);
    group["id"].as_str().unwrap().to_owned()
}

/// A session without a socket, which only its node knows of: nothing is routed to it.
fn unrouted(cluster: &Cluster, node: usize, user: &User) -> Arc<SessionHandle> {
    let session = Arc::new(SessionHandle::for_test(UserId(user.id)));
    session.heard(cluster.app(node).clock.now());
    cluster.app(node).hub.enter(Arc::clone(&session));
    session
}

fn frames_of(session: &SessionHandle) -> Vec<Value> {
    session.drain_for_test().iter().map(|frame| serde_json::from_slice(frame.json()).unwrap()).collect()
}

async fn whole_log(cluster: &Cluster, node: usize, conversation: ConversationRef) -> FoundEntries {
    let shard = cluster.app(node).shards.of(conversation.id()).unwrap();
    read_hole(shard, conversation, Seq(0), Seq(100), 100).await.unwrap()
}

fn seq_of(frame: &Value) -> i64 {
    frame["data"]["seq"].as_i64().unwrap()
}

/// The log frames of a conversation that a device gets, until `last`.
async fn log_until(device: &mut Device, conversation: &str, last: i64) -> Vec<i64> {
    let mut seqs = Vec::new();
    while seqs.last().is_none_or(|seq| *seq < last) {
        let frame = device
            .find(Duration::from_secs(20), |frame| {
                frame["data"]["conversation_id"] == *conversation
                    && frame["action"] != "message_sent"
                    && frame["data"]["seq"].is_i64()
                    && frame["type"] != "read"
            })
            .await;
        let frame = frame.unwrap_or_else(|| panic!("nothing after {seqs:?}, wanted {last}"));
        seqs.push(seq_of(&frame));
    }
    seqs
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_senders_on_three_nodes_write_one_log_that_everyone_sees_in_order_and_once() {
    const MESSAGES: usize = 25;
    let cluster = busy_cluster(3).await;
    let users = join_all((0..8).map(|index| {
        let cluster = &cluster;
        async move { cluster.user(&format!("sender{index}")).await }
    }))
    .await;
    let group = group_of(&cluster, &users[0], &users[1..].iter().collect::<Vec<_>>()).await;
    let watcher_devices = join_all((0..3).map(|node| users[0].connect(&cluster, node))).await;
    let senders = join_all(users[1..].iter().enumerate().map(|(index, user)| {
        let (cluster, group) = (&cluster, &group);
        async move {
            let mut device = user.connect(cluster, index % 3).await;
            for message in 0..MESSAGES {
                device.say_in(group, &format!("{index}-{message}")).await;
            }
            device
        }
    }))
    .await;
    let last = i64::try_from(1 + 7 * MESSAGES).unwrap();
    for mut device in watcher_devices {
        // The first entry is the group's `created`, from before these sockets.
        let seqs = log_until(&mut device, &group, last).await;
        let first = seqs[0];
        assert!(first <= 2, "{seqs:?}");
        assert_eq!(seqs, (first..=last).collect::<Vec<_>>());
    }
    // A sender sees all that the others wrote. (Its own are answered; one that a gate had to read from the shard it may see, too.)
    for (mut device, user) in senders.into_iter().zip(&users[1..]) {
        let frames = log_until_quiet(&mut device, &group).await;
        let seqs: Vec<i64> = frames.iter().map(seq_of).collect();
        assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
        let of_others =
            |frame: &&Value| frame["data"]["sender_id"].as_str().is_some_and(|id| id != user.id.to_string());
        assert_eq!(frames.iter().filter(of_others).count(), 6 * MESSAGES, "{seqs:?}");
    }
}

/// All log frames that have come and come within a short time.
async fn log_until_quiet(device: &mut Device, conversation: &str) -> Vec<Value> {
    let mut frames = Vec::new();
    while let Some(frame) = device
        .find(Duration::from_millis(1500), |frame| {
            frame["data"]["conversation_id"] == *conversation && frame["action"] == "new_message"
                || frame["action"] == "created"
        })
        .await
    {
        frames.push(frame);
    }
    frames
}

#[tokio::test(flavor = "multi_thread")]
async fn one_temp_id_from_twenty_tasks_on_three_nodes_is_one_message() {
    let cluster = busy_cluster(3).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut watcher = bob.connect(&cluster, 2).await;
    let body = json!({"temp_id": "same", "message_type": "text", "content": "once"});
    let answers = join_all((0..20).map(|index| {
        let (cluster, alice, body) = (&cluster, &alice, body.clone());
        let path = format!("/messages/{}", bob.id);
        async move { alice.post(cluster, index % 3, &path, body).await }
    }))
    .await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1, "{answers:?}");
    let keys: Vec<_> = answers
        .iter()
        .map(|answer| {
            assert!(matches!(answer.status, 200 | 201), "{}", answer.body);
            let body = &answer.body;
            (body["message_id"].clone(), body["seq"].clone(), body["created_at"].clone())
        })
        .collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(watcher.next_message().await["content"], "once");
    assert!(watcher.has_none("chat/new_message", Duration::from_millis(500)).await);
    // With something else in it, it is not the same message.
    let other = json!({"temp_id": "same", "message_type": "text", "content": "twice"});
    alice.post(&cluster, 1, &format!("/messages/{}", bob.id), other).await.refused(409, "temp_id_reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_who_write_first_at_once_on_two_nodes_share_one_conversation() {
    let cluster = busy_cluster(2).await;
    for round in 0..10 {
        let (one, other) = (cluster.user(&format!("one{round}")).await, cluster.user(&format!("other{round}")).await);
        let (mut left, mut right) = (one.connect(&cluster, 0).await, other.connect(&cluster, 1).await);
        let (from_left, from_right) = tokio::join!(left.say(other.id, "a"), right.say(one.id, "b"));
        assert_eq!(from_left["conversation_id"], from_right["conversation_id"]);
        let mut seqs = [from_left["seq"].as_i64().unwrap(), from_right["seq"].as_i64().unwrap()];
        seqs.sort_unstable();
        assert_eq!(seqs, [1, 2]);
        assert_eq!(left.next_message().await["content"], "b");
        assert_eq!(right.next_message().await["content"], "a");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_nobody_was_told_of_is_filled_in_without_a_resync() {
    let cluster = cluster_with_silent_node().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut receiver = bob.connect(&cluster, 1).await;
    let mut sender = alice.connect(&cluster, 0).await;
    sender.say(bob.id, "first").await;
    let path = format!("/messages/{}", bob.id);
    let silent = json!({"temp_id": "s", "message_type": "text", "content": "second"});
    alice.post(&cluster, 2, &path, silent).await.expect(201);
    sender.say(bob.id, "third").await;
    let mut contents = Vec::new();
    for _ in 0..3 {
        contents.push(receiver.next_message().await["content"].clone());
    }
    assert_eq!(contents, ["first", "second", "third"]);
    assert!(receiver.has_none("resync", Duration::from_millis(300)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_entry_that_comes_after_a_newer_one_is_not_shown_but_announced() {
    let cluster = cluster_with_silent_node().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut receiver = bob.connect(&cluster, 1).await;
    let path = format!("/messages/{}", bob.id);
    let silent = json!({"temp_id": "s", "message_type": "text", "content": "first"});
    let first = alice.post(&cluster, 2, &path, silent).await.expect(201);
    // What was made moments ago is read before the gate begins; this one is older.
    age_all_entries(&cluster, 60).await;
    alice.connect(&cluster, 0).await.say(bob.id, "second").await;
    assert_eq!(receiver.next_message().await["content"], "second");
    // The silent node dies in the eyes of the others: its entries are delivered for it.
    let boot = cluster.app(2).router.boot();
    herald_node::service::recovery::bury::bury(cluster.app(0), boot, Duration::from_secs(90));
    let resync = receiver.expect("resync").await;
    assert_eq!(resync["data"]["conversation_ids"], json!([first["conversation_id"]]));
    assert!(receiver.has_none("chat/new_message", Duration::from_millis(300)).await);
}

/// As while Redis is away: one hole after the other, for longer than any of them may stay open.
#[tokio::test(flavor = "multi_thread")]
async fn holes_are_filled_however_long_there_are_new_ones() {
    let cluster = cluster_with_silent_node().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut receiver = bob.connect(&cluster, 1).await;
    let mut sender = alice.connect(&cluster, 0).await;
    let until = Instant::now() + Duration::from_secs(6);
    let heard = async {
        while Instant::now() < until {
            sender.say(bob.id, "heard").await;
        }
    };
    let silent = async {
        while Instant::now() < until {
            let body = json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": "silent"});
            alice.post(&cluster, 2, &format!("/messages/{}", bob.id), body).await.expect(201);
        }
    };
    tokio::join!(heard, silent);
    let last = sender.say(bob.id, "the last").await["seq"].as_i64().unwrap();
    for seq in 1..=last {
        assert_eq!(receiver.next_message().await["seq"].as_i64(), Some(seq));
    }
    assert!(receiver.has_none("resync", Duration::from_millis(1)).await);
}

/// What the node itself wrote a moment ago stands between what others wrote, and comes from its lanes no more.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_to_a_node_does_not_wait_for_each_entry_that_it_wrote_there() {
    let cluster = busy_cluster(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut stays = alice.connect(&cluster, 0).await;
    let mut leaves = bob.connect(&cluster, 1).await;
    for _ in 0..8 {
        stays.say(bob.id, "hers").await;
        assert_eq!(leaves.next_message().await["content"], "hers");
        leaves.say(alice.id, "his").await;
        assert_eq!(stays.next_message().await["content"], "his");
    }
    leaves.close().await;
    leaves.closed().await;
    eventually("his route is gone", || async {
        let routes = cluster.app(0).router.routes(&[bob.id]).await;
        routes.is_ok_and(|routes| routes[0].is_empty())
    })
    .await;
    stays.say(bob.id, "while he is away").await;
    let mut back = bob.connect(&cluster, 1).await;
    back.expect("sync/complete").await;
    let said = Instant::now();
    stays.say(bob.id, "when he is back").await;
    let shown = |frame: &Value| frame["data"]["content"] == "when he is back";
    assert!(back.find(Duration::from_secs(10), shown).await.is_some());
    assert!(said.elapsed() < Duration::from_secs(3), "{:?}", said.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_entry_tells_the_true_unread_count_and_not_that_of_its_time() {
    let cluster = busy_cluster(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let sent = alice.connect(&cluster, 0).await.say(bob.id, "one").await;
    bob.post(&cluster, 0, &format!("/conversations/{}/read", sent["conversation_id"].as_str().unwrap()), json!({}))
        .await
        .expect(204);
    let session = unrouted(&cluster, 1, &bob);
    let conversation = ConversationRef::direct(UserId(alice.id), UserId(bob.id));
    let found = whole_log(&cluster, 1, conversation).await;
    let mut item = item_of_stored(&conversation, found.epoch, 0, 0, &found.entries[0]);
    // As it was when it was written, and waited for Redis since.
    item.positions = Some((1, 0, 0));
    item.created_at = item.created_at.minus(Duration::from_secs(20));
    show_entry::show_entry(cluster.app(1), Arrival { item, origin: None });
    let mut counts = Vec::new();
    eventually("the count is told", || {
        let told = frames_of(&session).into_iter().filter(|frame| frame["type"] == "unread_count_update");
        counts.extend(told.map(|frame| frame["data"]["unread_count"].clone()));
        std::future::ready(!counts.is_empty())
    })
    .await;
    assert_eq!(counts, [json!(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_survivor_sent_for_the_dead_and_was_lost_is_repaired_too() {
    let cluster = cluster_with_silent_node().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut here = bob.connect(&cluster, 0).await;
    let lost = unrouted(&cluster, 1, &bob);
    let body = json!({"temp_id": "k", "message_type": "text", "content": "kept"});
    alice.post(&cluster, 2, &format!("/messages/{}", bob.id), body).await.expect(201);
    // As old as what a node has written is when its death is seen, on a busy server: other losses are not looked for so far back
    // (1,000 transactions and some seconds).
    let much = "do $$ begin for i in 1..1100 loop perform pg_current_xact_id(); commit; end loop; end $$";
    cluster.databases.shard(0).await.batch_execute(much).await.unwrap();
    age_all_entries(&cluster, 7).await;
    let dead = cluster.app(2).router.boot();
    bury::bury(cluster.app(0), dead, Duration::ZERO);
    assert_eq!(here.next_message().await["content"], "kept");
    // The other survivor takes part, and holds no lock. What was sent to it did not come.
    bury::bury(cluster.app(1), dead, Duration::ZERO);
    repair::after_loss(cluster.app(1), Some(cluster.app(0).router.boot()), herald_router::Moment::now());
    eventually("it is shown", || async { frames_of(&lost).iter().any(|frame| frame["data"]["content"] == "kept") })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_synced_since_is_told_nothing_when_the_dead_are_buried() {
    let cluster = cluster_with_silent_node().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let silent = json!({"temp_id": "s", "message_type": "text", "content": "first"});
    alice.post(&cluster, 2, &format!("/messages/{}", bob.id), silent).await.expect(201);
    age_all_entries(&cluster, 60).await;
    let mut offline = bob.connect(&cluster, 1).await;
    assert_eq!(offline.next_message().await["content"], "first");
    let mut synced = bob.connect_with_sync(&cluster, 1, json!({})).await;
    synced.expect("sync/complete").await;
    alice.connect(&cluster, 0).await.say(bob.id, "second").await;
    for device in [&mut offline, &mut synced] {
        assert_eq!(device.next_message().await["content"], "second");
    }
    let boot = cluster.app(2).router.boot();
    bury::bury(cluster.app(1), boot, Duration::from_secs(90));
    for device in [&mut offline, &mut synced] {
        assert!(device.has_none("resync", Duration::from_millis(700)).await);
    }
}

/// After a failover the nodes learn of the new epoch one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_lanes_know_only_the_old_epoch_fills_holes_of_the_new() {
    let cluster = cluster_with_silent_node().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut receiver = bob.connect(&cluster, 1).await;
    let mut sender = alice.connect(&cluster, 0).await;
    receiver.say(alice.id, "the old epoch").await;
    sender.next_message().await;
    for shard in 0..2 {
        cluster.databases.shard(shard).await.execute("update epoch set epoch = epoch + 1", &[]).await.unwrap();
    }
    sender.say(bob.id, "first").await;
    let silent = json!({"temp_id": "s", "message_type": "text", "content": "second"});
    alice.post(&cluster, 2, &format!("/messages/{}", bob.id), silent).await.expect(201);
    sender.say(bob.id, "third").await;
    let mut contents = Vec::new();
    while contents.last().is_none_or(|content| *content != "third") {
        contents.push(receiver.next_message().await["content"].clone());
    }
    // In a new epoch what came moments ago may come again.
    contents.retain(|content| *content != "the old epoch");
    assert_eq!(contents, ["first", "second", "third"]);
    let given_up = receiver.find(Duration::from_millis(300), |frame| frame["data"]["reason"] == "bus_lost").await;
    assert_eq!(given_up, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_saw_the_lost_end_of_a_log_is_told_and_shown_what_takes_its_place() {
    let cluster = busy_cluster(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut receiver = bob.connect(&cluster, 1).await;
    let mut sender = alice.connect(&cluster, 0).await;
    for content in ["one", "two", "lost"] {
        sender.say(bob.id, content).await;
        assert_eq!(receiver.next_message().await["content"], content);
    }
    // As a standby that was a little behind has it.
    for shard in 0..2 {
        let client = cluster.databases.shard(shard).await;
        client
            .batch_execute(
                "delete from entry where ordinal = 3; update epoch set epoch = epoch + 1;
                 update conversation set last_seq = 2, last_ordinal = 2 where last_seq = 3",
            )
            .await
            .unwrap();
    }
    assert_eq!(sender.say(bob.id, "anew").await["seq"], 3);
    let resync = receiver.expect("resync").await;
    assert_eq!(resync["data"], json!({"reason": "shard_lost"}));
    let anew = receiver.find(Duration::from_secs(5), |frame| frame["data"]["content"] == "anew").await;
    assert_eq!(anew.expect("what took its place")["data"]["seq"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_shown_its_own_message_though_the_shard_was_faster_than_its_lane() {
    let cluster = busy_cluster(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut elsewhere = alice.connect(&cluster, 0).await;
    elsewhere.chat(json!({"receiver_id": bob.id, "content": "mine", "temp_id": "t1"})).await;
    let (sends, waits) = (unrouted(&cluster, 1, &alice), unrouted(&cluster, 1, &alice));
    let mut place = sends.begin_send(8).await.unwrap();
    place.note("t1");
    let conversation = ConversationRef::direct(UserId(alice.id), UserId(bob.id));
    fill::show_found(cluster.app(1), &whole_log(&cluster, 1, conversation).await);
    assert_eq!(frames_of(&sends), Vec::<Value>::new());
    let shown = frames_of(&waits);
    assert_eq!((shown.len(), &shown[0]["data"]["temp_id"]), (1, &json!("t1")), "{shown:?}");
    drop(place);
    assert!(!sends.is_sending("t1"));
}

async fn age_all_entries(cluster: &Cluster, seconds: u32) {
    for shard in 0..2 {
        let client = cluster.databases.shard(shard).await;
        let by = format!("interval '{seconds} seconds'");
        client
            .batch_execute(&format!(
                "update entry set created_at = created_at - {by};
                 update conversation set last_created_at = last_created_at - {by}"
            ))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_committed_and_did_not_send_is_delivered_for_it() {
    let cluster = cluster_with_silent_node().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut receiver = bob.connect(&cluster, 1).await;
    alice.connect(&cluster, 0).await.say(bob.id, "first").await;
    assert_eq!(receiver.next_message().await["content"], "first");
    for content in ["second", "third"] {
        let body = json!({"temp_id": content, "message_type": "text", "content": content});
        alice.post(&cluster, 2, &format!("/messages/{}", bob.id), body).await.expect(201);
    }
    let boot = cluster.app(2).router.boot();
    for node in 0..2 {
        herald_node::service::recovery::bury::bury(cluster.app(node), boot, Duration::ZERO);
    }
    assert_eq!(receiver.next_message().await["content"], "second");
    assert_eq!(receiver.next_message().await["content"], "third");
    assert!(receiver.has_none("resync", Duration::from_millis(300)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_is_noticed_what_was_missed_is_shown() {
    let cluster = cluster_with_silent_node().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut receiver = bob.connect(&cluster, 1).await;
    let body = json!({"temp_id": "s", "message_type": "text", "content": "lost"});
    let well_at = herald_router::Moment::now();
    alice.post(&cluster, 2, &format!("/messages/{}", bob.id), body).await.expect(201);
    let boot = cluster.app(2).router.boot();
    herald_node::service::recovery::repair::after_loss(cluster.app(1), Some(boot), well_at);
    assert_eq!(receiver.next_message().await["content"], "lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_counts_follow_messages_and_reading_on_every_device() {
    let cluster = busy_cluster(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let (mut phone, mut desk) = (bob.connect(&cluster, 0).await, bob.connect(&cluster, 1).await);
    let mut sender = alice.connect(&cluster, 0).await;
    let sent = sender.say(bob.id, "one").await;
    for _ in 0..4 {
        sender.say(bob.id, "more").await;
    }
    for device in [&mut phone, &mut desk] {
        device
            .find(Duration::from_secs(5), |frame| {
                frame["type"] == "unread_count_update" && frame["data"]["unread_count"] == 5
            })
            .await
            .expect("the count of five");
    }
    let read = json!({"type": "read", "data": {"conversation_id": sent["conversation_id"]}});
    let answer = phone.ask(read).await;
    assert_eq!((&answer["data"]["unread_count"], &answer["data"]["total_unread"]), (&json!(0), &json!(0)));
    desk.find(Duration::from_secs(5), |frame| {
        frame["type"] == "unread_count_update" && frame["data"]["unread_count"] == 0
    })
    .await
    .expect("the count of none");
    desk.take_waiting();
    // Nothing that was under way tells an older count afterwards.
    let stale = desk
        .find(Duration::from_millis(1500), |frame| {
            frame["type"] == "unread_count_update" && frame["data"]["unread_count"] != 0
        })
        .await;
    assert_eq!(stale, None);
    let seen = sender.expect("read").await;
    assert_eq!(seen["data"]["seq"], 5);
    eventually("REST agrees", || async {
        bob.get(&cluster, 1, "/messages/unread-count").await.expect(200)["total"] == 0
    })
    .await;
}
