//! Friend requests and friends: the pair's row decides, the lists follow it, the other side is told.

use std::time::Duration;

use futures_util::future::{join, join_all};
use herald_node::domain::{ConversationId, UserId};
use herald_node::service::people::sweep_pairs::sweep_pairs;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::client::Answer;
use crate::support::{Cluster, Setup, User, eventually};

async fn ask(cluster: &Cluster, node: usize, by: &User, of: &User) -> Answer {
    by.post(cluster, node, "/friends/request", json!({"user_id": of.id})).await
}

async fn answer(cluster: &Cluster, node: usize, by: &User, of: &User, verb: &str) -> Answer {
    by.post(cluster, node, &format!("/friends/{}/{verb}", of.id), json!({})).await
}

async fn block(cluster: &Cluster, node: usize, by: &User, of: &User) {
    by.post(cluster, node, "/relationships/block", json!({"user_id": of.id})).await.expect(204);
}

async fn make_friends(cluster: &Cluster, one: &User, other: &User) {
    ask(cluster, 0, one, other).await.expect(201);
    answer(cluster, 0, other, one, "accept").await.expect(200);
}

/// Ids of the users in a list, of which there is only one page.
async fn users_of(cluster: &Cluster, by: &User, path: &str) -> Vec<Uuid> {
    let list = by.get(cluster, 0, path).await.expect(200);
    assert_eq!(list["next_cursor"], Value::Null);
    ids(&list)
}

fn ids(list: &Value) -> Vec<Uuid> {
    list["items"].as_array().unwrap().iter().map(|item| item["user"]["id"].as_str().unwrap().parse().unwrap()).collect()
}

async fn all_pages(cluster: &Cluster, by: &User, path: &str) -> Vec<Uuid> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = by.get(cluster, 0, &format!("{path}{cursor}")).await.expect(200);
        found.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { return found };
        cursor = format!("&cursor={next}");
    }
}

/// What the shard and both users' lists say, which must be the same: friends, who asks, and whether either blocks.
async fn standing(cluster: &Cluster, one: &User, other: &User) -> (bool, Option<Uuid>, bool) {
    let shards = [cluster.databases.shard(0).await, cluster.databases.shard(1).await];
    standing_in(&cluster.databases.directory().await, &shards, one, other).await
}

/// The same over connections that are there already.
pub async fn standing_in(
    directory: &Client,
    shards: &[Client],
    one: &User,
    other: &User,
) -> (bool, Option<Uuid>, bool) {
    let id = ConversationId::direct(UserId(one.id), UserId(other.id));
    let mut flags = 0;
    for shard in shards {
        if let Some(row) = shard.query_opt("select pair_flags from conversation where id = $1", &[&id.0]).await.unwrap()
        {
            flags = row.get::<_, i32>(0);
        }
    }
    let (low, high) = (one.id.min(other.id), one.id.max(other.id));
    let asker = if flags & 32 != 0 { Some(low) } else { Some(high).filter(|_| flags & 64 != 0) };
    let in_shard = (flags & 4 != 0, asker, flags & 3 != 0);
    let friends = "select coalesce(bool_or(is_active), false) from friend where user_id = $1 and other_id = $2";
    let direction = "select coalesce(max(direction), 0::int2) from friend_request where user_id = $1 and other_id = $2";
    let blocks = "select coalesce(bool_or(is_active), false) from block where user_id = any($1) and other_id = any($1)";
    let pair = [low, high];
    let is_blocked: bool = directory.query_one(blocks, &[&pair.as_slice()]).await.unwrap().get(0);
    for (user, peer) in [(low, high), (high, low)] {
        let is_friends: bool = directory.query_one(friends, &[&user, &peer]).await.unwrap().get(0);
        let direction: i16 = directory.query_one(direction, &[&user, &peer]).await.unwrap().get(0);
        let asker = [None, Some(user), Some(peer)][usize::try_from(direction).unwrap()];
        assert_eq!((is_friends, asker, is_blocked), in_shard, "the lists say what the shard says");
    }
    let pending = "select count(*) from pair_pending where low_user = $1 and high_user = $2";
    let pending: i64 = directory.query_one(pending, &[&low, &high]).await.unwrap().get(0);
    assert_eq!(pending, 0);
    in_shard
}

#[tokio::test]
async fn a_request_is_told_listed_and_accepted() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let (mut alice_phone, mut bob_phone) = (alice.connect(&cluster, 0).await, bob.connect(&cluster, 1).await);

    let body = json!({"user_id": bob.id, "message": "remember me?"});
    let asked = alice.post(&cluster, 0, "/friends/request", body).await.expect(201);
    assert_eq!((&asked["status"], &asked["direction"]), (&json!("pending"), &json!("outgoing")));
    assert_eq!((&asked["message"], &asked["user"]["id"]), (&json!("remember me?"), &json!(bob.id)));
    let told = bob_phone.expect("notification").await["data"].clone();
    assert_eq!((&told["type"], &told["content"]), (&json!("friend"), &json!("remember me?")));
    assert_eq!((&told["data"]["event"], &told["data"]["user_id"]), (&json!("request"), &json!(alice.id)));

    let incoming = bob.get(&cluster, 1, "/friends/pending?direction=incoming").await.expect(200);
    let item = &incoming["items"][0];
    assert_eq!((&item["user"]["id"], &item["direction"]), (&json!(alice.id), &json!("incoming")));
    assert_eq!((&item["message"], &item["created_at"]), (&json!("remember me?"), &asked["created_at"]));
    assert!(users_of(&cluster, &bob, "/friends/pending?direction=outgoing").await.is_empty());
    assert_eq!(users_of(&cluster, &alice, "/friends/pending?direction=outgoing").await, [bob.id]);
    assert_eq!(users_of(&cluster, &alice, "/friends/pending").await, [bob.id]);
    assert!(users_of(&cluster, &alice, "/friends").await.is_empty());
    let again = alice.post(&cluster, 1, "/friends/request", json!({"user_id": bob.id})).await.expect(200);
    assert_eq!(again, asked, "asking again changes nothing");

    let friend = answer(&cluster, 1, &bob, &alice, "accept").await.expect(200);
    assert_eq!((&friend["user"]["id"], &friend["presence"]["status"]), (&json!(alice.id), &json!("online")));
    let told = alice_phone.expect("notification").await["data"].clone();
    assert_eq!((&told["data"]["event"], &told["data"]["user"]["username"]), (&json!("accepted"), &json!("bob")));
    for (one, other) in [(&alice, &bob), (&bob, &alice)] {
        let list = one.get(&cluster, 0, "/friends").await.expect(200);
        assert_eq!(list["items"][0]["user"]["id"], json!(other.id));
        assert_eq!(list["items"][0]["since"], friend["since"]);
        assert_eq!(list["items"][0]["presence"], json!({"status": "online", "last_seen_at": null}));
        assert!(users_of(&cluster, one, "/friends/pending").await.is_empty());
        ask(&cluster, 1, one, other).await.refused(409, "already_friends");
    }
    assert_eq!(answer(&cluster, 0, &bob, &alice, "accept").await.expect(200)["since"], friend["since"]);
    answer(&cluster, 0, &bob, &alice, "reject").await.refused(404, "not_found");
    // Once each, and what was told live is in the lists.
    for user in [&alice, &bob] {
        let list = user.get(&cluster, 0, "/notifications").await.expect(200);
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
        assert_eq!(list["items"][0]["type"], "friend");
    }

    alice.delete(&cluster, 1, &format!("/friends/{}", bob.id)).await.expect(204);
    assert_eq!(standing(&cluster, &alice, &bob).await, (false, None, false));
    alice.delete(&cluster, 1, &format!("/friends/{}", bob.id)).await.refused(404, "not_found");
    ask(&cluster, 0, &bob, &alice).await.expect(201);
}

#[tokio::test]
async fn a_rejected_request_is_told_and_may_be_made_again() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut alice_phone = alice.connect(&cluster, 1).await;
    ask(&cluster, 0, &alice, &bob).await.expect(201);
    answer(&cluster, 0, &alice, &bob, "accept").await.refused(404, "not_found");
    answer(&cluster, 0, &bob, &alice, "reject").await.expect(204);
    let told = alice_phone.expect("notification").await["data"].clone();
    assert_eq!((&told["type"], &told["data"]["event"]), (&json!("friend"), &json!("rejected")));
    assert_eq!(standing(&cluster, &alice, &bob).await, (false, None, false));
    answer(&cluster, 0, &bob, &alice, "accept").await.refused(404, "not_found");
    ask(&cluster, 1, &alice, &bob).await.expect(201);
    alice.delete(&cluster, 0, &format!("/friends/{}", bob.id)).await.expect(204);
    assert!(users_of(&cluster, &bob, "/friends/pending").await.is_empty(), "it was taken back");
}

#[tokio::test]
async fn whom_one_cannot_ask() {
    let cluster = Cluster::start(1).await;
    let (alice, bob, gone) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("gone").await);
    let request = "/friends/request";
    alice.post(&cluster, 0, request, json!({"user_id": alice.id})).await.refused(422, "invalid_request");
    alice.post(&cluster, 0, request, json!({"user_id": "x"})).await.refused(422, "invalid_request");
    alice.post(&cluster, 0, request, json!({})).await.refused(422, "invalid_request");
    alice.post(&cluster, 0, request, json!({"user_id": Uuid::new_v4()})).await.refused(404, "not_found");
    let long = json!({"user_id": bob.id, "message": "李".repeat(501)});
    alice.post(&cluster, 0, request, long).await.refused(422, "invalid_request");
    let zero = json!({"user_id": bob.id, "message": "a\u{0}b"});
    alice.post(&cluster, 0, request, zero).await.refused(422, "invalid_text");
    gone.delete(&cluster, 0, "/users/me").await.expect(204);
    ask(&cluster, 0, &alice, &gone).await.refused(404, "not_found");
    for (verb, other) in [("accept", json!("x")), ("reject", json!("x")), ("accept", json!(Uuid::new_v4()))] {
        let path = format!("/friends/{}/{verb}", other.as_str().unwrap());
        alice.post(&cluster, 0, &path, json!({})).await.refused(404, "not_found");
    }
    alice.delete(&cluster, 0, "/friends/x").await.refused(404, "not_found");
    alice.get(&cluster, 0, "/friends/pending?direction=up").await.refused(422, "invalid_request");
    alice.get(&cluster, 0, "/friends/pending?cursor=xx").await.refused(400, "invalid_cursor");

    block(&cluster, 0, &bob, &alice).await;
    ask(&cluster, 0, &alice, &bob).await.refused(403, "blocked");
    ask(&cluster, 0, &bob, &alice).await.refused(403, "blocking");
    block(&cluster, 0, &alice, &bob).await;
    ask(&cluster, 0, &alice, &bob).await.refused(403, "blocking");
    let message = json!({"user_id": cluster.user("carol").await.id, "message": "李".repeat(500)});
    assert_eq!(alice.post(&cluster, 0, request, message.clone()).await.expect(201)["message"], message["message"]);
}

#[tokio::test]
async fn twenty_requests_an_hour_over_all_nodes() {
    let cluster = Cluster::start(2).await;
    let alice = cluster.user("alice").await;
    let mut others = Vec::new();
    for index in 0..22 {
        others.push(cluster.user(&format!("other{index}")).await);
    }
    let stranger = others.pop().unwrap();
    let answers =
        join_all(others.iter().enumerate().map(|(index, other)| ask(&cluster, index % 2, &alice, other))).await;
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 201).collect();
    assert_eq!(refused.len(), 1, "twenty of twenty-one");
    assert_eq!((refused[0].status, &refused[0].body["code"]), (429, &json!("rate_limited")));
    let wait: u64 = refused[0].headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=180).contains(&wait), "{wait}");
    // What is no new request does not count, and is not refused.
    let asked = others.iter().zip(&answers).find(|(_, answer)| answer.status == 201).unwrap().0;
    ask(&cluster, 0, &alice, asked).await.expect(200);
    ask(&cluster, 0, &alice, &stranger).await.refused(429, "rate_limited");
    ask(&cluster, 1, &stranger, &alice).await.expect(201);
    assert_eq!(ask(&cluster, 0, &alice, &stranger).await.expect(201)["status"], "friends", "an answer is none");
}

#[tokio::test]
async fn a_block_ends_friendship_and_requests() {
    let cluster = Cluster::start(2).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    make_friends(&cluster, &alice, &bob).await;
    ask(&cluster, 0, &carol, &alice).await.expect(201);
    block(&cluster, 1, &alice, &bob).await;
    block(&cluster, 1, &alice, &carol).await;
    assert_eq!(standing(&cluster, &alice, &bob).await, (false, None, true));
    assert_eq!(standing(&cluster, &alice, &carol).await, (false, None, true));
    assert!(users_of(&cluster, &bob, "/friends").await.is_empty());
    assert!(users_of(&cluster, &carol, "/friends/pending").await.is_empty());
    answer(&cluster, 0, &alice, &carol, "accept").await.refused(404, "not_found");
    alice.post(&cluster, 0, "/relationships/unblock", json!({"user_id": carol.id})).await.expect(204);
    assert_eq!(standing(&cluster, &alice, &carol).await, (false, None, false), "nothing comes back by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_asking_at_once_are_friends() {
    let cluster = Setup::nodes(2).set("friend_requests_per_hour", 10_000).start().await;
    let alice = cluster.user("alice").await;
    for round in 0..20 {
        let bob = cluster.user(&format!("bob{round}")).await;
        let (one, other) = join(ask(&cluster, 0, &alice, &bob), ask(&cluster, 1, &bob, &alice)).await;
        let statuses = [one.expect(201)["status"].clone(), other.expect(201)["status"].clone()];
        assert!(statuses.contains(&json!("friends")), "{statuses:?}");
        assert_eq!(standing(&cluster, &alice, &bob).await, (true, None, false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_wins_against_whatever_comes_with_it() {
    let cluster = Setup::nodes(3).set("friend_requests_per_hour", 10_000).start().await;
    let alice = cluster.user("alice").await;
    for round in 0..20 {
        let bob = cluster.user(&format!("bob{round}")).await;
        ask(&cluster, 0, &alice, &bob).await.expect(201);
        let other = async {
            match round % 2 {
                0 => answer(&cluster, 1, &bob, &alice, "accept").await,
                _ => ask(&cluster, 1, &bob, &alice).await,
            }
        };
        join(other, block(&cluster, 2, &alice, &bob)).await;
        assert_eq!(standing(&cluster, &alice, &bob).await, (false, None, true));
    }
}

#[tokio::test]
async fn friends_and_requests_are_listed_in_pages_that_stay_as_they_are() {
    let cluster = Setup::nodes(1).set("friend_requests_per_hour", 10_000).start().await;
    let alice = cluster.user("alice").await;
    let (mut friends, mut asking) = (Vec::new(), Vec::new());
    for index in 0..5 {
        let (friend, other) = (cluster.user(&format!("friend{index}")).await, cluster.user(&format!("o{index}")).await);
        make_friends(&cluster, &alice, &friend).await;
        ask(&cluster, 0, &other, &alice).await.expect(201);
        friends.push(friend.id);
        asking.push(other.id);
    }
    friends.sort();
    assert_eq!(all_pages(&cluster, &alice, "/friends?limit=2").await, friends);
    asking.reverse();
    assert_eq!(all_pages(&cluster, &alice, "/friends/pending?limit=2").await, asking, "newest first");

    // What comes meanwhile neither repeats nor hides what was there.
    let first = alice.get(&cluster, 0, "/friends/pending?limit=2").await.expect(200);
    let late = cluster.user("late").await;
    ask(&cluster, 0, &late, &alice).await.expect(201);
    let path = format!("/friends/pending?limit=10&cursor={}", first["next_cursor"].as_str().unwrap());
    let rest = alice.get(&cluster, 0, &path).await.expect(200);
    assert_eq!([ids(&first), ids(&rest)].concat(), asking);
    assert_eq!(rest["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_sweep_finishes_a_request_with_its_message() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let body = json!({"user_id": bob.id, "message": "hello"});
    alice.post(&cluster, 0, "/friends/request", body).await.expect(201);
    // As if the node had died between the shard's commit and the copies.
    let directory = cluster.databases.directory().await;
    directory.execute("delete from friend_request", &[]).await.unwrap();
    let pending =
        "insert into pair_pending (low_user, high_user, token, asker_id, message) values ($1, $2, $3, $4, 'hello')";
    let (low, high) = (alice.id.min(bob.id), alice.id.max(bob.id));
    directory.execute(pending, &[&low, &high, &Uuid::new_v4(), &alice.id]).await.unwrap();
    assert_eq!(sweep_pairs(cluster.app(0), Duration::ZERO).await.unwrap(), 1);
    let list = bob.get(&cluster, 0, "/friends/pending?direction=incoming").await.expect(200);
    assert_eq!(list["items"][0]["message"], "hello");
    assert_eq!(standing(&cluster, &alice, &bob).await, (false, Some(alice.id), false));
}

/// Twenty at once, from three nodes, to somebody who does not know the sender: one arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_one_message_however_many_are_sent_at_once() {
    let cluster = Setup::nodes(3).set("max_messages_per_second", 1_000).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = format!("/messages/{}", bob.id);
    let sends = (0..20).map(|index| {
        let body = json!({"temp_id": format!("t{index}"), "message_type": "text", "content": format!("{index}")});
        alice.post(&cluster, index % 3, &path, body)
    });
    let answers = join_all(sends).await;
    let sent: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(sent.len(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!((refused.status, &refused.body["code"]), (403, &json!("first_message_limit")));
    }
    let history = bob.get(&cluster, 1, &format!("/messages/{}", alice.id)).await.expect(200);
    assert_eq!(history["items"].as_array().unwrap().len(), 1);
    // An answer, or friendship, opens the way.
    make_friends(&cluster, &alice, &bob).await;
    let body = json!({"temp_id": "later", "message_type": "text", "content": "now"});
    alice.post(&cluster, 2, &path, body).await.expect(201);
}

#[tokio::test]
async fn with_require_friendship_only_friends_write() {
    let cluster = Setup::nodes(2).set("require_friendship", true).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut alice_phone = alice.connect(&cluster, 0).await;
    let hello = json!({"receiver_id": bob.id, "content": "hello"});
    assert_eq!(alice_phone.chat_refused(hello.clone()).await["code"], "not_friends");
    make_friends(&cluster, &alice, &bob).await;
    alice_phone.chat(hello.clone()).await;
    bob.delete(&cluster, 1, &format!("/friends/{}", alice.id)).await.expect(204);
    assert_eq!(alice_phone.chat_refused(hello).await["code"], "not_friends");
}

/// What a node was about to tell when it died, or the directory refused, is told when its work is finished: neither is a request listed
/// of which its receiver was not told, nor the other way round.
#[tokio::test]
async fn nobody_is_asked_or_answered_without_being_told() {
    let cluster = Cluster::start(2).await;
    let directory = cluster.databases.directory().await;
    let shards = [cluster.databases.shard(0).await, cluster.databases.shard(1).await];
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let mut phones =
        [alice.connect(&cluster, 1).await, bob.connect(&cluster, 1).await, carol.connect(&cluster, 1).await];
    let told = async |user: &User| {
        let page = user.get(&cluster, 0, "/notifications").await.expect(200);
        page["items"].as_array().unwrap().iter().map(|item| item["data"]["event"].clone()).collect::<Vec<_>>()
    };
    let ask = |user: &User| ("/friends/request".to_owned(), json!({"user_id": user.id, "message": "remember me?"}));
    let answer = |user: &User, how: &str| (format!("/friends/{}/{how}", user.id), json!({}));
    // Who acts, how, who is told, what, and how many that one has been told then.
    let steps = [
        (&alice, ask(&bob), 1, "request", 1),
        (&bob, answer(&alice, "accept"), 0, "accepted", 1),
        (&carol, ask(&alice), 0, "request", 2),
        (&alice, answer(&carol, "reject"), 2, "rejected", 1),
        (&bob, ask(&carol), 2, "request", 2),
        (&carol, ask(&bob), 1, "accepted", 2),
    ];
    for (actor, (path, body), receiver, event, count) in steps {
        let user = [&alice, &bob, &carol][receiver];
        directory.batch_execute("alter table notification rename to away").await.unwrap();
        let refused = actor.post(&cluster, 0, &path, body.clone()).await;
        assert_eq!(refused.status, 500, "{}", refused.body);
        directory.batch_execute("alter table away rename to notification").await.unwrap();
        if path.ends_with("/accept") {
            // Who tries again changes nothing, and tells what the first try could not.
            actor.post(&cluster, 1, &path, body).await.expect(200);
            assert_eq!(told(user).await.len(), count);
        }
        assert_eq!(sweep_pairs(cluster.app(0), Duration::ZERO).await.unwrap(), 1, "{event}");
        assert_eq!(sweep_pairs(cluster.app(0), Duration::ZERO).await.unwrap(), 0);
        let all = told(user).await;
        assert_eq!((all.len(), &all[0]), (count, &json!(event)));
        let frame = phones[receiver].expect("notification").await;
        assert_eq!(
            (&frame["data"]["data"]["event"], &frame["data"]["data"]["user_id"]),
            (&json!(event), &json!(actor.id))
        );
        if event == "request" {
            assert_eq!(frame["data"]["content"], "remember me?");
        }
        standing_in(&directory, &shards, actor, user).await;
    }
    // A change of which nobody is told, and one that came to nothing, tell nothing when they are finished late.
    for (low, high) in [(alice.id, bob.id), (alice.id, carol.id)] {
        let sql = "insert into pair_pending (low_user, high_user, token) values (least($1::uuid, $2::uuid), greatest($1, $2), gen_random_uuid())";
        directory.execute(sql, &[&low, &high]).await.unwrap();
    }
    assert_eq!(sweep_pairs(cluster.app(0), Duration::ZERO).await.unwrap(), 2);
    assert_eq!((told(&alice).await.len(), told(&bob).await.len(), told(&carol).await.len()), (2, 2, 2));
}
