//! Blocks and friendship: the pair's row decides, the lists follow it.

use std::sync::Arc;
use std::time::Duration;

use herald_node::app::App;
use herald_node::domain::command::{Actor, PairState};
use herald_node::domain::{ConversationId, Timestamp, UserId};
use herald_node::service::people::look_up_pairs::{blocks_of, friends_of};
use herald_node::service::people::make_friends::make_friends;
use herald_node::service::people::sweep_pairs::sweep_pairs;
use herald_node::storage::directory::pairs::{self, PendingPair};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Cluster, Setup, User, eventually, lock_waiters};

fn actor(user: &User) -> Actor {
    Actor { id: UserId(user.id), name: user.name.as_str().into() }
}

fn low_high(one: &User, other: &User) -> (UserId, UserId) {
    (UserId(one.id.min(other.id)), UserId(one.id.max(other.id)))
}

async fn block(cluster: &Cluster, node: usize, by: &User, of: &User) {
    by.post(cluster, node, "/relationships/block", json!({"user_id": of.id})).await.expect(204);
}

async fn unblock(cluster: &Cluster, node: usize, by: &User, of: &User) {
    by.post(cluster, node, "/relationships/unblock", json!({"user_id": of.id})).await.expect(204);
}

/// What the pair's row says: does `by` block `of`?
async fn is_blocked_in_shard(cluster: &Cluster, by: &User, of: &User) -> bool {
    let id = ConversationId::direct(UserId(by.id), UserId(of.id));
    let flag = if by.id < of.id { 1 } else { 2 };
    for index in 0..2 {
        let shard = cluster.databases.shard(index).await;
        let row = shard.query_opt("select pair_flags from conversation where id = $1", &[&id.0]).await.unwrap();
        if let Some(row) = row {
            return row.get::<_, i32>(0) & flag != 0;
        }
    }
    false
}

/// What the directory's list says.
async fn is_blocked_in_list(cluster: &Cluster, by: &User, of: &User) -> bool {
    let directory = cluster.databases.directory().await;
    let row = directory
        .query_opt("select is_active from block where user_id = $1 and other_id = $2", &[&by.id, &of.id])
        .await
        .unwrap();
    row.is_some_and(|row| row.get(0))
}

async fn pending_pairs(cluster: &Cluster) -> i64 {
    let directory = cluster.databases.directory().await;
    directory.query_one("select count(*) from pair_pending", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_block_stops_messages_both_ways_until_it_is_taken_back() {
    let cluster = Setup::nodes(2).set("enable_first_message_limit", false).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut alice_phone = alice.connect(&cluster, 0).await;
    let mut bob_phone = bob.connect(&cluster, 1).await;
    bob_phone.say(alice.id, "one").await;
    assert_eq!(alice_phone.next_message().await["content"], "one");

    block(&cluster, 0, &alice, &bob).await;
    let refused = bob_phone.chat_refused(json!({"receiver_id": alice.id, "content": "two"})).await;
    assert_eq!((&refused["code"], &refused["message"]), (&json!("blocked"), &json!("you are blocked by this user")));
    let refused = alice_phone.chat_refused(json!({"receiver_id": bob.id, "content": "two"})).await;
    assert_eq!(refused["code"], "blocking");
    block(&cluster, 1, &bob, &alice).await;
    let refused = bob_phone.chat_refused(json!({"receiver_id": alice.id, "content": "two"})).await;
    assert_eq!(refused["code"], "blocking", "one's own block wins");
    let path = format!("/messages/{}", alice.id);
    let body = json!({"temp_id": "x", "message_type": "text", "content": "two"});
    bob.post(&cluster, 0, &path, body).await.refused(403, "blocking");

    let listed = alice.get(&cluster, 1, "/relationships/blocked").await.expect(200);
    assert_eq!(listed["items"][0]["user"]["id"], json!(bob.id));
    assert!(Timestamp::parse(listed["items"][0]["since"].as_str().unwrap()).is_some());
    assert_eq!(listed["next_cursor"], json!(null));

    unblock(&cluster, 1, &bob, &alice).await;
    unblock(&cluster, 1, &alice, &bob).await;
    assert_eq!(alice.get(&cluster, 0, "/relationships/blocked").await.expect(200)["items"], json!([]));
    bob_phone.say(alice.id, "three").await;
    assert_eq!(alice_phone.next_message().await["content"], "three");
    assert_eq!(pending_pairs(&cluster).await, 0);
}

#[tokio::test]
async fn a_block_before_any_message_makes_no_listed_conversation() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    block(&cluster, 0, &alice, &bob).await;
    block(&cluster, 0, &alice, &bob).await;
    let mut bob_phone = bob.connect(&cluster, 0).await;
    assert_eq!(bob_phone.chat_refused(json!({"receiver_id": alice.id, "content": "hi"})).await["code"], "blocked");
    unblock(&cluster, 0, &alice, &bob).await;
    assert_eq!(bob_phone.say(alice.id, "hi").await["seq"], 1);
}

#[tokio::test]
async fn whom_one_cannot_block() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let nobody = json!({"user_id": Uuid::new_v4()});
    alice.post(&cluster, 0, "/relationships/block", nobody.clone()).await.refused(404, "not_found");
    alice.post(&cluster, 0, "/relationships/unblock", nobody).await.refused(404, "not_found");
    let oneself = json!({"user_id": alice.id});
    alice.post(&cluster, 0, "/relationships/block", oneself).await.refused(422, "invalid_request");
    alice.post(&cluster, 0, "/relationships/block", json!({"user_id": "x"})).await.refused(422, "invalid_request");
    alice.post(&cluster, 0, "/relationships/block", json!({})).await.refused(422, "invalid_request");
}

#[tokio::test]
async fn blocked_users_are_listed_in_pages() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let mut others = Vec::new();
    for index in 0..5 {
        let other = cluster.user(&format!("other{index}")).await;
        block(&cluster, 0, &alice, &other).await;
        others.push(other.id);
    }
    others.sort();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = alice.get(&cluster, 0, &format!("/relationships/blocked?limit=2{cursor}")).await.expect(200);
        for item in page["items"].as_array().unwrap() {
            found.push(item["user"]["id"].as_str().unwrap().parse::<Uuid>().unwrap());
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, others);
    alice.get(&cluster, 0, "/relationships/blocked?cursor=%25%25").await.refused(400, "invalid_cursor");
}

/// Block and unblock, or the other way round, on two nodes, while the directory's list cannot be written: whichever copy comes last,
/// list and shard agree in the end, and what the shard says holds at once.
#[tokio::test]
async fn block_and_unblock_on_two_nodes_agree_after_a_stall_between_the_databases() {
    let cluster = Setup::nodes(2).set("enable_first_message_limit", false).start().await;
    for ends_blocked in [false, true] {
        let alice = cluster.user(&format!("alice{ends_blocked}")).await;
        let bob = cluster.user(&format!("bob{ends_blocked}")).await;
        let mut bob_phone = bob.connect(&cluster, 1).await;
        bob_phone.say(alice.id, "hi").await;
        if ends_blocked {
            block(&cluster, 0, &alice, &bob).await;
        }
        let mut directory = cluster.databases.directory().await;
        let stall = directory.transaction().await.unwrap();
        stall.batch_execute("lock table block in access exclusive mode").await.unwrap();

        let first_is_there = tokio::sync::Notify::new();
        let first = async {
            if ends_blocked {
                unblock(&cluster, 0, &alice, &bob).await;
            } else {
                block(&cluster, 0, &alice, &bob).await;
            }
        };
        let second = async {
            eventually("the first is in the shard", || async {
                is_blocked_in_shard(&cluster, &alice, &bob).await != ends_blocked
            })
            .await;
            first_is_there.notify_one();
            if ends_blocked {
                block(&cluster, 1, &alice, &bob).await;
            } else {
                unblock(&cluster, 1, &alice, &bob).await;
            }
        };
        let watch = async {
            first_is_there.notified().await;
            eventually("the second is in the shard", || async {
                is_blocked_in_shard(&cluster, &alice, &bob).await == ends_blocked
            })
            .await;
            // The list is still stuck, and the shard's word holds already.
            if ends_blocked {
                let refused = bob_phone.chat_refused(json!({"receiver_id": alice.id, "content": "slips?"})).await;
                assert_eq!(refused["code"], "blocked");
            } else {
                bob_phone.say(alice.id, "allowed").await;
            }
            let watch = cluster.databases.directory().await;
            eventually("both copies wait for the list", || async { lock_waiters(&watch).await >= 2 }).await;
            stall.rollback().await.unwrap();
        };
        // The second begins when the first is committed, so that the shard's order is known; the copies race.
        futures_util::future::join3(first, second, watch).await;
        assert_eq!(is_blocked_in_shard(&cluster, &alice, &bob).await, ends_blocked);
        assert_eq!(is_blocked_in_list(&cluster, &alice, &bob).await, ends_blocked);
        assert_eq!(pending_pairs(&cluster).await, 0);
    }
}

#[tokio::test]
async fn a_late_copy_changes_nothing() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let (low, high) = low_high(&alice, &bob);
    let directory = &cluster.app(0).directory;
    let state = |version, is_blocked, is_friends| PairState {
        low_blocks_high: is_blocked,
        high_blocks_low: false,
        is_friends,
        low_asks: false,
        high_asks: false,
        epoch: 1,
        version,
        at: Timestamp::from_millis(1_000 * version),
    };
    let pending = PendingPair { low, high, token: Uuid::new_v4(), telling: None };
    let copy = async |state| pairs::finish_pending(directory, &pending, &state, None, None).await.unwrap();
    copy(state(2, false, true)).await;
    copy(state(1, true, false)).await;
    assert_eq!(pairs::read_blocks(directory, low).await.unwrap(), []);
    assert_eq!(pairs::read_friends(directory, low).await.unwrap(), [high]);
    copy(state(3, true, true)).await;
    copy(state(4, true, false)).await;
    let blocked = pairs::read_blocked(directory, low, UserId(Uuid::nil()), 10).await.unwrap();
    assert_eq!(blocked, [pairs::Listed { other: high, since: Timestamp::from_millis(3_000) }], "since it began");
    assert_eq!(pairs::read_friends(directory, high).await.unwrap(), []);
    copy(PairState { epoch: 2, ..state(1, false, false) }).await;
    assert_eq!(pairs::read_blocks(directory, high).await.unwrap(), [], "a newer epoch wins whatever the version");
}

#[tokio::test]
async fn a_sweep_finishes_what_a_dead_node_began() {
    let cluster = Cluster::start(1).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    block(&cluster, 0, &alice, &bob).await;
    let directory = cluster.databases.directory().await;
    // As if the node had died between the shard's commit and the copies, and, for carol, before the commit.
    directory.execute("delete from block", &[]).await.unwrap();
    for other in [&bob, &carol] {
        let (low, high) = low_high(&alice, other);
        directory
            .execute(
                "insert into pair_pending (low_user, high_user, token) values ($1, $2, $3)",
                &[&low.0, &high.0, &Uuid::new_v4()],
            )
            .await
            .unwrap();
    }
    assert_eq!(sweep_pairs(cluster.app(0), Duration::from_hours(1)).await.unwrap(), 0, "too young");
    assert_eq!(sweep_pairs(cluster.app(0), Duration::ZERO).await.unwrap(), 2);
    assert!(is_blocked_in_list(&cluster, &alice, &bob).await);
    assert!(!is_blocked_in_list(&cluster, &alice, &carol).await);
    assert_eq!(pending_pairs(&cluster).await, 0);
}

#[tokio::test]
async fn a_block_ends_friendship() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let app: &Arc<App> = cluster.app(0);
    make_friends(app, actor(&alice), UserId(bob.id), true).await.unwrap();
    assert_eq!(*friends_of(app, UserId(alice.id)).await.unwrap(), [UserId(bob.id)]);
    assert_eq!(*friends_of(cluster.app(1), UserId(bob.id)).await.unwrap(), [UserId(alice.id)]);
    block(&cluster, 0, &bob, &alice).await;
    assert!(friends_of(app, UserId(alice.id)).await.unwrap().is_empty());
    assert!(blocks_of(app, UserId(alice.id)).await.unwrap().hides(UserId(bob.id)));
    assert!(blocks_of(app, UserId(bob.id)).await.unwrap().by_user.contains(&UserId(alice.id)));
    eventually("the other node forgets within a second", || async {
        friends_of(cluster.app(1), UserId(bob.id)).await.unwrap().is_empty()
    })
    .await;
    unblock(&cluster, 0, &bob, &alice).await;
    assert!(friends_of(app, UserId(alice.id)).await.unwrap().is_empty(), "friendship does not come back by itself");
}

/// Both block and unblock each other at random on two nodes, with the lists held up; between an answered block and the next unblock
/// nothing gets through; in the end lists and shard agree.
#[tokio::test]
async fn blocks_at_random_let_nothing_slip_and_agree_in_the_end() {
    let cluster = Setup::nodes(2)
        .set("enable_first_message_limit", false)
        .set("max_messages_per_second", 100_000)
        .configure(|config| config.directory.pool_size = 16)
        .start()
        .await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut bob_phone = bob.connect(&cluster, 1).await;
    bob_phone.say(alice.id, "hi").await;
    for round in 0..6 {
        let directory = cluster.databases.directory().await;
        let hold = async {
            directory.batch_execute("begin; lock table block in access exclusive mode").await.unwrap();
            let watch = cluster.databases.directory().await;
            eventually("somebody waits for the lists", || async { lock_waiters(&watch).await > 0 }).await;
            directory.batch_execute("rollback").await.unwrap();
        };
        let acts = (0..6).map(|act| {
            let (by, of) = if act % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
            let path = if (round + act) % 3 == 0 { "/relationships/unblock" } else { "/relationships/block" };
            let cluster = &cluster;
            async move { by.post(cluster, act % 2, path, json!({"user_id": of.id})).await.expect(204) }
        });
        futures_util::future::join(hold, futures_util::future::join_all(acts)).await;
        for (by, of) in [(&alice, &bob), (&bob, &alice)] {
            let in_shard = is_blocked_in_shard(&cluster, by, of).await;
            assert_eq!(in_shard, is_blocked_in_list(&cluster, by, of).await, "round {round}");
        }
        block(&cluster, round % 2, &alice, &bob).await;
        for attempt in 0..5 {
            let data = json!({"receiver_id": alice.id, "content": format!("{round}.{attempt}")});
            let code = bob_phone.chat_refused(data).await["code"].clone();
            assert!(code == "blocked" || code == "blocking", "{code}");
        }
    }
    assert_eq!(pending_pairs(&cluster).await, 0);
}
