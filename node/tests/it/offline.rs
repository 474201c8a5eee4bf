//! What a session gets that begins without a sync.

use std::sync::Arc;

use herald_node::app::App;
use herald_node::domain::entry::{Recall, Updated};
use herald_node::domain::{Body, ConversationRef, LoginId, Seq, Timestamp, UserId};
use herald_node::hub::SessionHandle;
use herald_node::hub::handle::Identity;
use herald_node::service::sessions::mark_received::{Moment, mark_received};
use herald_node::service::sync::deliver_offline::deliver_offline;
use serde_json::Value;

use crate::support::cluster::{Cluster, Setup};
use crate::support::log::Log;
use crate::support::{eventually, frames_while, lock_waiters};

/// Delivers to a session without a socket; answers its frames and what of them counts as given.
async fn offline(app: &Arc<App>, user: UserId) -> Vec<Value> {
    offline_of(app, user, Timestamp(i64::MAX)).await
}

async fn offline_of(app: &Arc<App>, user: UserId, connected_at: Timestamp) -> Vec<Value> {
    let identity = Identity { user, login: LoginId::random(), expires_at: Timestamp(i64::MAX) };
    let session = Arc::new(SessionHandle::new(identity, connected_at, 1 << 20));
    let work = {
        let (app, session) = (Arc::clone(app), Arc::clone(&session));
        async move { deliver_offline(&app, &session).await }
    };
    frames_while(session, work).await.1
}

/// `resync`, contents of messages, `complete`: in their order.
fn said(frames: &[Value]) -> Vec<String> {
    let one = |frame: &Value| match frame["type"].as_str().unwrap() {
        "resync" => format!("resync {}", frame["data"]["reason"].as_str().unwrap()),
        "chat" => {
            assert_eq!((&frame["action"], &frame["data"]["offline"]), (&"new_message".into(), &true.into()), "{frame}");
            frame["data"]["content"].as_str().unwrap().to_owned()
        }
        "sync" => {
            assert!(frame["action"] == "complete" && frame["data"].get("cursor").is_none(), "{frame}");
            "complete".to_owned()
        }
        other => panic!("{other}"),
    };
    frames.iter().map(one).collect()
}

async fn users<const N: usize>(cluster: &Cluster, names: [&str; N]) -> [UserId; N] {
    let mut users = [UserId::ALL; N];
    for (user, name) in users.iter_mut().zip(names) {
        *user = UserId(cluster.user(name).await.id);
    }
    users
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_others_come_oldest_first_until_they_are_received() {
    let cluster = Cluster::start(2).await;
    let mut log = Log::open(&cluster).await;
    let [alice, bob, carol] = users(&cluster, ["alice", "bob", "carol"]).await;
    let with_bob = log.direct(&cluster, alice, bob).await;
    let with_carol = log.direct(&cluster, alice, carol).await;
    let group = log.group(&cluster, &[bob, alice, carol]).await;
    log.say(&with_bob, bob, "1").await;
    log.say(&group, carol, "2").await;
    log.say(&with_bob, alice, "my own").await;
    log.say(&with_carol, carol, "3").await;
    log.write(&group, bob, Body::Updated(Updated { title: Some("t".to_owned()), ..Updated::default() })).await;
    let recalled = log.say(&group, bob, "recalled").await;
    log.write(&group, bob, Body::Recall(Recall { message_seq: recalled })).await;
    log.say(&with_bob, bob, "4").await;
    assert_eq!(said(&offline(cluster.app(0), alice).await), ["1", "2", "3", "4", "complete"]);
    // Not received yet: again, on any node.
    assert_eq!(said(&offline(cluster.app(1), alice).await), ["1", "2", "3", "4", "complete"]);
    let positions = [(with_bob.id(), Seq(2)), (group.id(), Seq(100))];
    assert!(mark_received(cluster.app(1), alice, &positions, Moment::Closing).await.is_empty());
    assert_eq!(said(&offline(cluster.app(0), alice).await), ["3", "4", "complete"]);
    // Positions only move forward.
    mark_received(cluster.app(0), alice, &[(with_bob.id(), Seq(1)), (with_carol.id(), Seq(1))], Moment::Periodic).await;
    assert_eq!(said(&offline(cluster.app(0), alice).await), ["4", "complete"]);
    log.say(&group, bob, "5").await;
    assert_eq!(said(&offline(cluster.app(0), alice).await), ["4", "5", "complete"]);
    assert_eq!(said(&offline(cluster.app(0), bob).await), ["2", "my own", "complete"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_or_too_much_is_said_to_be_left_out() {
    let cluster = Setup::nodes(1).set("offline_messages_max", 150).start().await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let [alice, bob, carol, dave] = users(&cluster, ["alice", "bob", "carol", "dave"]).await;
    let chats = [log.direct(&cluster, alice, bob).await, log.direct(&cluster, alice, carol).await];
    for number in 0..300 {
        let (chat, other) = if number % 3 == 0 { (&chats[0], bob) } else { (&chats[1], carol) };
        log.say(chat, other, &format!("{number}")).await;
    }
    let expected: Vec<String> = std::iter::once("resync offline_limit".to_owned())
        .chain((150..300).map(|number| number.to_string()))
        .chain(["complete".to_owned()])
        .collect();
    assert_eq!(said(&offline(app, alice).await), expected);
    // Age counts by the message's own time.
    let old = log.direct(&cluster, dave, bob).await;
    log.say(&old, bob, "old").await;
    log.say(&old, bob, "new").await;
    log.shard(old.id())
        .execute(
            "update entry set created_at = created_at - interval '8 days' where id = $1",
            &[&old.id().message(Seq(1))],
        )
        .await
        .unwrap();
    assert_eq!(said(&offline(app, dave).await), ["resync offline_limit", "new", "complete"]);
}

/// Positions of a group that is not small are written when the socket closes.
#[tokio::test(flavor = "multi_thread")]
async fn a_great_groups_position_waits_for_the_end() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let [alice, bob] = users(&cluster, ["alice", "bob"]).await;
    let group: ConversationRef = log.group(&cluster, &[alice, bob]).await;
    log.say(&group, bob, "one").await;
    log.shard(group.id())
        .execute("update conversation set member_count = 101 where id = $1", &[&group.id()])
        .await
        .unwrap();
    let position = [(group.id(), Seq(1))];
    assert_eq!(mark_received(app, alice, &position, Moment::Periodic).await, position);
    assert_eq!(said(&offline(app, alice).await), ["one", "complete"]);
    assert!(mark_received(app, alice, &position, Moment::Closing).await.is_empty());
    assert_eq!(said(&offline(app, alice).await), ["complete"]);
}

/// A row that somebody holds is waited for when the socket closes, and left for later before.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_row_is_not_waited_for_before_the_end() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let [alice, bob] = users(&cluster, ["alice", "bob"]).await;
    let chat = log.direct(&cluster, alice, bob).await;
    log.say(&chat, bob, "one").await;
    let shard = usize::from(app.shards.of(chat.id()).unwrap().id.0);
    let mut other = cluster.databases.shard(shard).await;
    let transaction = other.transaction().await.unwrap();
    transaction.execute("select 1 from conversation where id = $1 for update", &[&chat.id()]).await.unwrap();
    let position = [(chat.id(), Seq(1))];
    assert_eq!(mark_received(app, alice, &position, Moment::Periodic).await, position);
    let closing = tokio::spawn({
        let app = Arc::clone(app);
        async move { mark_received(&app, alice, &position, Moment::Closing).await }
    });
    let watch = cluster.databases.shard(shard).await;
    eventually("the closing waits for the row", || async { lock_waiters(&watch).await > 0 }).await;
    assert!(!closing.is_finished());
    transaction.commit().await.unwrap();
    assert!(closing.await.unwrap().is_empty());
    assert_eq!(said(&offline(app, alice).await), ["complete"]);
}

/// What is written while the session is being taken in is held back behind the offline frames, and dropped where they have it: so
/// they have all of it, of every kind.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_meanwhile_is_whole() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let [alice, bob] = users(&cluster, ["alice", "bob"]).await;
    let chat = log.direct(&cluster, alice, bob).await;
    log.say(&chat, bob, "before").await;
    log.say(&chat, alice, "my own before").await;
    let connected_at = app.clock.now();
    log.write(&chat, bob, Body::Recall(Recall { message_seq: Seq(1) })).await;
    log.say(&chat, alice, "from my other device").await;
    log.say(&chat, bob, "after").await;
    let frames = offline_of(app, alice, connected_at).await;
    let shown: Vec<_> =
        frames.iter().map(|frame| (frame["action"].as_str().unwrap(), frame["data"]["seq"].as_i64())).collect();
    let expected =
        [("message_recalled", Some(3)), ("new_message", Some(4)), ("new_message", Some(5)), ("complete", None)];
    assert_eq!(shown, expected);
    assert!(frames[1]["data"].get("offline").is_none() && frames[2]["data"]["offline"] == true);
}

/// A session may write while it is still being taken in: its own message is answered, and not shown to it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_session_itself_has_written_meanwhile_is_not_shown_to_it() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let [alice, bob] = users(&cluster, ["alice", "bob"]).await;
    let chat = log.direct(&cluster, alice, bob).await;
    for (committed, content) in [(true, "committed"), (false, "on its way")] {
        let seq = log.say(&chat, alice, content).await;
        let found = herald_node::storage::shard::read_delivery::read_hole(
            app.shards.of(chat.id()).unwrap(),
            chat,
            seq.previous(),
            seq.next(),
            1,
        );
        let temp_id = found.await.unwrap().entries[0].entry.temp_id.clone().unwrap();
        let session = Arc::new(SessionHandle::for_test(alice));
        session.hold();
        let mut place = session.begin_send(8).await.unwrap();
        if committed {
            let log = herald_node::hub::received::Log { conversation: chat.id(), epoch: 0 };
            session.given_own(log, seq);
        } else {
            place.note(&temp_id);
        }
        deliver_offline(app, &session).await;
        let frames: Vec<Value> =
            session.drain_for_test().iter().map(|frame| serde_json::from_slice(frame.json()).unwrap()).collect();
        assert!(!frames.iter().any(|frame| frame["data"]["content"] == content), "{frames:?}");
        // Another device of the same user sees it.
        let others = offline_of(app, alice, Timestamp(0)).await;
        assert!(others.iter().any(|frame| frame["data"]["content"] == content), "{others:?}");
        drop(place);
    }
}
