//! Sending: one path for sockets and REST, each refusal by its own code, once for ever.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Cluster, DEADLINE, Setup, User};

fn text(temp_id: &str, content: &str) -> Value {
    json!({"temp_id": temp_id, "message_type": "text", "content": content})
}

async fn disable(cluster: &Cluster, user: &User) {
    let directory = cluster.databases.directory().await;
    directory.execute("update account set disabled_at = now() where id = $1", &[&user.id]).await.unwrap();
}

#[tokio::test]
async fn rest_and_sockets_send_the_same_way() {
    let cluster = Setup::nodes(2).set("enable_first_message_limit", false).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut alice_phone = alice.connect(&cluster, 0).await;
    let mut bob_phone = bob.connect(&cluster, 1).await;
    let path = format!("/messages/{}", bob.id);

    let body = json!({"temp_id": "r1", "message_type": "text", "content": "by REST", "metadata": {"k": [1, 2]},
                      "sender_id": bob.id, "receiver_id": alice.id});
    let made = alice.post(&cluster, 0, &path, body.clone()).await.expect(201);
    assert_eq!((&made["seq"], &made["content"], &made["sender_id"]), (&json!(1), &json!("by REST"), &json!(alice.id)));
    assert_eq!(
        (&made["receiver_id"], &made["recalled"], &made["reactions"]),
        (&json!(bob.id), &json!(false), &json!({}))
    );
    assert_eq!((&made["id"], &made["metadata"]), (&made["message_id"], &json!({"k": [1, 2]})));
    assert_eq!((&made["conversation_kind"], &made["edited_at"]), (&json!("direct"), &json!(null)));

    let seen = bob_phone.next_message().await;
    assert_eq!((&seen["message_id"], &seen["sender_name"]), (&made["id"], &json!("alice")));
    assert_eq!(seen.get("temp_id"), None);
    let own = alice_phone.next_message().await;
    assert_eq!(
        (&own["temp_id"], &own["message_id"]),
        (&json!("r1"), &made["id"]),
        "the sender's devices get it with temp_id"
    );

    let again = alice.post(&cluster, 1, &path, body).await.expect(200);
    assert_eq!((&again["id"], &again["created_at"]), (&made["id"], &made["created_at"]));

    let conversation = made["conversation_id"].as_str().unwrap().to_owned();
    let sent = alice_phone.say_in(&conversation, "by socket").await;
    assert_eq!((&sent["seq"], &sent["conversation_id"]), (&json!(2), &json!(conversation)));
    assert_eq!(bob_phone.next_message().await["content"], "by socket");
    let answer =
        bob.post(&cluster, 1, &format!("/conversations/{conversation}/messages"), text("b", "back")).await.expect(201);
    assert_eq!((&answer["seq"], &answer["receiver_id"]), (&json!(3), &json!(alice.id)));
    assert_eq!(alice_phone.next_message().await["content"], "back");
}

#[tokio::test]
async fn a_temp_id_is_answered_alike_for_ever_on_every_node() {
    let cluster = Setup::nodes(2).set("enable_first_message_limit", false).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut phones = [alice.connect(&cluster, 0).await, alice.connect(&cluster, 1).await];
    let mut bob_phone = bob.connect(&cluster, 0).await;
    let data = json!({"receiver_id": bob.id, "temp_id": "once", "content": "hi"});
    let first = phones[0].chat(data.clone()).await;
    assert_eq!(phones[1].chat(data.clone()).await, first);
    assert_eq!(phones[0].chat(data.clone()).await, first);
    let other = json!({"receiver_id": bob.id, "temp_id": "once", "content": "ho"});
    let refused = phones[1].chat_refused(other.clone()).await;
    assert_eq!((&refused["code"], &refused["temp_id"]), (&json!("temp_id_reused"), &json!("once")));
    let path = format!("/messages/{}", bob.id);
    alice.post(&cluster, 1, &path, text("once", "ho")).await.refused(409, "temp_id_reused");
    // Also when it could no longer be sent: the receiver is gone, or blocks.
    bob.post(&cluster, 0, "/relationships/block", json!({"user_id": alice.id})).await.expect(204);
    assert_eq!(phones[0].chat(data.clone()).await, first);
    disable(&cluster, &bob).await;
    assert_eq!(phones[1].chat(data).await, first);
    assert_eq!(bob_phone.next_message().await["message_id"], first["message_id"]);
    assert!(bob_phone.has_none("chat/new_message", Duration::from_millis(300)).await);
}

#[tokio::test]
async fn twenty_parallel_sends_to_a_stranger_give_one_message() {
    let cluster = Setup::nodes(2).set("max_messages_per_second", 1_000).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut bob_phone = bob.connect(&cluster, 1).await;
    let path = format!("/messages/{}", bob.id);
    let sends = (0..20).map(|index| {
        let (alice, cluster, path) = (&alice, &cluster, &path);
        async move { alice.post(cluster, index % 2, path, text(&format!("t{index}"), "hello?")).await }
    });
    let answers = join_all(sends).await;
    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.body["code"], "first_message_limit", "{}", answer.body);
    }
    assert_eq!(bob_phone.next_message().await["seq"], 1);
    assert!(bob_phone.has_none("chat/new_message", Duration::from_millis(300)).await);
    // Once answered both write as they like.
    bob_phone.say(alice.id, "yes?").await;
    alice.post(&cluster, 0, &path, text("more", "more")).await.expect(201);
    alice.post(&cluster, 1, &path, text("even", "more")).await.expect(201);
}

#[tokio::test]
async fn both_users_first_at_once_make_one_conversation() {
    let cluster = Setup::nodes(2).set("max_messages_per_second", 1_000).start().await;
    for round in 0..5 {
        let one = cluster.user(&format!("one{round}")).await;
        let other = cluster.user(&format!("other{round}")).await;
        let (to_other, to_one) = (format!("/messages/{}", other.id), format!("/messages/{}", one.id));
        let (left, right) = futures_util::join!(
            one.post(&cluster, 0, &to_other, text("t", "from one")),
            other.post(&cluster, 1, &to_one, text("t", "from other")),
        );
        let (left, right) = (left.expect(201), right.expect(201));
        assert_eq!(left["conversation_id"], right["conversation_id"]);
        let seqs: HashSet<i64> = [&left, &right].map(|made| made["seq"].as_i64().unwrap()).into();
        assert_eq!(seqs, HashSet::from([1, 2]));
        let directory = cluster.databases.directory().await;
        let listed: i64 = directory
            .query_one(
                "select count(*) from listing where conversation_id = $1",
                &[&left["conversation_id"].as_str().unwrap().parse::<Uuid>().unwrap()],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(listed, 2, "listed once for each");
    }
}

/// Frames, each with the code and field that refuses it.
#[tokio::test]
async fn every_shape_that_is_refused() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut phone = alice.connect(&cluster, 0).await;
    let to = bob.id;
    let cases = [
        (json!({"content": "x"}), "invalid_request", Some("receiver_id")),
        (json!({"receiver_id": to, "group_id": to, "content": "x"}), "invalid_request", Some("receiver_id")),
        (json!({"receiver_id": "bob", "content": "x"}), "invalid_request", Some("receiver_id")),
        (json!({"receiver_id": alice.id, "content": "x"}), "invalid_request", Some("receiver_id")),
        (json!({"receiver_id": to, "content": ""}), "invalid_request", Some("content")),
        (json!({"receiver_id": to, "content": "語".repeat(10_001)}), "invalid_request", Some("content")),
        (json!({"receiver_id": to, "content": 5}), "invalid_request", Some("content")),
        (json!({"receiver_id": to, "content": "a\u{0}b"}), "invalid_text", None),
        (json!({"receiver_id": to, "content": "x", "temp_id": ""}), "invalid_request", Some("temp_id")),
        (json!({"receiver_id": to, "content": "x", "temp_id": "t".repeat(65)}), "invalid_request", Some("temp_id")),
        (json!({"receiver_id": to, "content": "x", "message_type": "gif"}), "invalid_request", Some("message_type")),
        (json!({"receiver_id": to, "content": "x", "mentions": "me"}), "invalid_request", Some("mentions")),
        (json!({"receiver_id": to, "content": "x", "metadata": [1]}), "invalid_request", Some("metadata")),
        (
            json!({"receiver_id": to, "content": "x", "metadata": {"k": "v".repeat(5_000)}}),
            "invalid_request",
            Some("metadata"),
        ),
        (json!({"receiver_id": to, "content": "x", "reply_to": "first"}), "invalid_request", Some("reply_to")),
        (json!({"receiver_id": Uuid::new_v4(), "content": "x"}), "not_found", None),
        (json!({"conversation_id": Uuid::new_v4(), "content": "x"}), "not_found", None),
        (json!({"group_id": Uuid::new_v4(), "content": "x"}), "not_found", None),
    ];
    for (data, code, field) in cases {
        let refused = phone.chat_refused(data.clone()).await;
        assert_eq!(refused["code"], code, "{data} gave {refused}");
        if let Some(field) = field {
            assert_eq!(refused["errors"][0]["field"], field, "{data} gave {refused}");
        }
    }
    let sent = phone.say(to, &"語".repeat(10_000)).await;
    assert_eq!(sent["seq"], 1, "nothing refused took a seq");
}

#[tokio::test]
async fn reasons_of_the_receiver_and_of_what_is_quoted() {
    let cluster = Setup::nodes(1).set("enable_first_message_limit", false).start().await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let mut phone = alice.connect(&cluster, 0).await;
    let first = phone.say(bob.id, "first").await;
    let elsewhere = phone.say(carol.id, "elsewhere").await;
    let reply = |to: &Value| json!({"receiver_id": bob.id, "content": "re", "reply_to": to});
    let answered = phone.chat(reply(&first["message_id"])).await;
    assert_eq!(answered["seq"], 2);
    for unknown in [&elsewhere["message_id"], &json!(Uuid::new_v4())] {
        assert_eq!(phone.chat_refused(reply(unknown)).await["code"], "not_found");
    }
    let with_file = json!({"receiver_id": bob.id, "content": "", "message_type": "image", "file_id": Uuid::new_v4()});
    assert_eq!(phone.chat_refused(with_file).await["code"], "not_found", "there is no such file");

    let gone = cluster.user("gone").await;
    disable(&cluster, &gone).await;
    let to_gone = json!({"receiver_id": gone.id, "content": "hello?"});
    assert_eq!(phone.chat_refused(to_gone).await["code"], "not_found");
    alice.post(&cluster, 0, &format!("/messages/{}", gone.id), text("g", "x")).await.refused(404, "not_found");
    alice.post(&cluster, 0, "/messages/not-an-id", text("g", "x")).await.refused(404, "not_found");
}

#[tokio::test]
async fn friends_only_when_the_setting_says_so() {
    let cluster = Setup::nodes(1).set("require_friendship", true).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut phone = alice.connect(&cluster, 0).await;
    let hello = json!({"receiver_id": bob.id, "content": "hello"});
    assert_eq!(phone.chat_refused(hello).await["code"], "not_friends");
    let actor = herald_node::domain::command::Actor { id: herald_node::domain::UserId(alice.id), name: "alice".into() };
    herald_node::service::people::make_friends::make_friends(
        cluster.app(0),
        actor,
        herald_node::domain::UserId(bob.id),
        true,
    )
    .await
    .unwrap();
    assert_eq!(phone.say(bob.id, "hello").await["seq"], 1);
    assert_eq!(phone.say(bob.id, "again").await["seq"], 2, "friends have no first message limit");
}

#[tokio::test]
async fn over_the_rate_only_repeats_are_answered() {
    let cluster =
        Setup::nodes(1).set("enable_first_message_limit", false).set("max_messages_per_second", 5).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = format!("/messages/{}", bob.id);
    let first = alice.post(&cluster, 0, &path, text("t0", "x")).await.expect(201);
    let mut limited = 0;
    for index in 1..30 {
        let answer = alice.post(&cluster, 0, &path, text(&format!("t{index}"), "x")).await;
        if answer.status == 429 {
            limited += 1;
            assert_eq!(answer.body["code"], "rate_limited");
            assert_eq!(answer.body["retryable"], true);
            assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
            if limited == 1 {
                let again = alice.post(&cluster, 0, &path, text("t0", "x")).await.expect(200);
                assert_eq!(again["id"], first["id"]);
            }
        } else {
            answer.expect(201);
        }
    }
    assert!(limited > 0, "thirty sends at five a second");
}

#[tokio::test]
async fn refused_new_sends_use_up_no_repeats() {
    let cluster =
        Setup::nodes(1).set("enable_first_message_limit", false).set("max_messages_per_second", 1).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut phone = alice.connect(&cluster, 0).await;
    let mut first = json!({"receiver_id": bob.id, "temp_id": "first", "message_type": "text", "content": "x"});
    let sent = phone.chat(first.clone()).await;
    let frame = |data: &Value, id: &str| json!({"type": "chat", "action": "send", "id": id, "data": data});
    for index in 0..60 {
        first["temp_id"] = json!(format!("new {index}"));
        phone.send(frame(&first, "new")).await;
    }
    first["temp_id"] = json!("first");
    for _ in 0..20 {
        phone.send(frame(&first, "repeat")).await;
    }
    let mut refused = 0;
    for index in 0..60 {
        let answer = phone.find(DEADLINE, |frame| frame["id"] == "new").await.unwrap_or_else(|| panic!("{index}"));
        refused += usize::from(answer["data"]["code"] == "rate_limited");
    }
    assert!(refused > 50, "sixty sends at one a second: {refused}");
    for index in 0..20 {
        let answer = phone.find(DEADLINE, |frame| frame["id"] == "repeat").await.unwrap();
        assert_eq!(answer["data"], sent, "repeat {index} of twenty");
    }
}

#[tokio::test]
async fn repeats_on_their_way_hold_no_tokens_of_new_sends() {
    let cluster =
        Setup::nodes(1).set("enable_first_message_limit", false).set("max_messages_per_second", 2).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut phone = alice.connect(&cluster, 0).await;
    let send = |id: &str| {
        let data = json!({"receiver_id": bob.id, "temp_id": id, "message_type": "text", "content": "x"});
        json!({"type": "chat", "action": "send", "id": id, "data": data})
    };
    assert_eq!(phone.ask(send("first")).await["action"], "message_sent");
    // One token is left, and what a client sends again after a lost connection costs none.
    for _ in 0..4 {
        phone.send(send("first")).await;
    }
    phone.send(send("second")).await;
    let answer = phone.find(DEADLINE, |frame| frame["id"] == "second").await.unwrap();
    assert_eq!((&answer["action"], &answer["data"]["seq"]), (&json!("message_sent"), &json!(2)), "{answer}");
}

#[tokio::test]
async fn recall_edit_and_react_by_socket_and_rest() {
    let cluster = Setup::nodes(2).set("enable_first_message_limit", false).start().await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let mut alice_phone = alice.connect(&cluster, 0).await;
    let mut bob_phone = bob.connect(&cluster, 1).await;
    let sent = alice_phone.say(bob.id, "helo").await;
    let id = sent["message_id"].as_str().unwrap().to_owned();
    bob_phone.next_message().await;

    let edit = json!({"type": "chat", "action": "edit", "data": {"message_id": id, "content": "hello"}});
    let edited = alice_phone.ask(edit.clone()).await;
    assert_eq!((&edited["action"], &edited["data"]["seq"]), (&json!("message_edited"), &json!(2)), "{edited}");
    let seen = bob_phone.expect("chat/message_edited").await;
    assert_eq!((&seen["data"]["content"], &seen["data"]["message_seq"]), (&json!("hello"), &json!(1)));
    let unchanged = alice_phone.ask(edit).await;
    assert_eq!(unchanged["data"], edited["data"], "what changes nothing is answered with what made it so");
    let shown = alice.patch(&cluster, 1, &format!("/messages/{id}"), json!({"content": "hello!"})).await.expect(200);
    assert_eq!((&shown["content"], &shown["id"]), (&json!("hello!"), &json!(id)));
    assert!(shown["edited_at"].is_string());
    let path = format!("/messages/{id}");
    bob.patch(&cluster, 0, &path, json!({"content": "x"})).await.refused(403, "forbidden");
    alice.patch(&cluster, 0, &path, json!({"content": ""})).await.refused(422, "invalid_request");
    carol.patch(&cluster, 0, &path, json!({"content": "x"})).await.refused(404, "not_found");

    let reaction = format!("/messages/{id}/reactions/%F0%9F%91%8D");
    let shown = bob.put(&cluster, 1, &reaction, json!({})).await.expect(200);
    assert_eq!(shown["reactions"], json!({"👍": {"count": 1, "me": true}}));
    let frame = alice_phone.expect("chat/message_reacted").await;
    assert_eq!((&frame["data"]["emoji"], &frame["data"]["add"]), (&json!("👍"), &json!(true)));
    let shown = alice.put(&cluster, 0, &reaction, json!({})).await.expect(200);
    assert_eq!(shown["reactions"], json!({"👍": {"count": 2, "me": true}}));
    bob.delete(&cluster, 0, &reaction).await.expect(204);
    bob.delete(&cluster, 0, &reaction).await.expect(204);
    carol.put(&cluster, 0, &reaction, json!({})).await.refused(404, "not_found");
    let too_long =
        json!({"type": "chat", "action": "react", "data": {"message_id": id, "emoji": "x".repeat(33), "add": true}});
    assert_eq!(bob_phone.ask(too_long).await["data"]["code"], "invalid_request");

    bob.post(&cluster, 0, &format!("/messages/{id}/recall"), json!({})).await.refused(403, "forbidden");
    let shown = alice.post(&cluster, 1, &format!("/messages/{id}/recall"), json!({})).await.expect(200);
    assert_eq!((&shown["recalled"], shown.get("content"), &shown["reactions"]), (&json!(true), None, &json!({})));
    let recalled = bob_phone.expect("chat/message_recalled").await;
    assert_eq!((&recalled["data"]["message_id"], &recalled["data"]["recalled_by"]), (&json!(id), &json!(alice.id)));
    let recall = json!({"type": "chat", "action": "recall", "data": {"message_id": id}});
    let again = alice_phone.ask(recall).await;
    assert_eq!((&again["action"], &again["data"]["seq"]), (&json!("message_recalled"), &recalled["data"]["seq"]));
    alice.patch(&cluster, 0, &path, json!({"content": "x"})).await.refused(409, "not_editable");
    bob.put(&cluster, 1, &reaction, json!({})).await.refused(409, "not_editable");
}

#[tokio::test]
async fn windows_close() {
    let cluster = Setup::nodes(1)
        .set("enable_first_message_limit", false)
        .set("recall_window_s", 1)
        .set("edit_window_s", 1)
        .start()
        .await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut phone = alice.connect(&cluster, 0).await;
    let id = phone.say(bob.id, "x").await["message_id"].as_str().unwrap().to_owned();
    for index in 0..2 {
        let shard = cluster.databases.shard(index).await;
        shard.execute("update entry set created_at = created_at - interval '2 seconds'", &[]).await.unwrap();
    }
    alice.post(&cluster, 0, &format!("/messages/{id}/recall"), json!({})).await.refused(409, "recall_window_passed");
    alice
        .patch(&cluster, 0, &format!("/messages/{id}"), json!({"content": "y"}))
        .await
        .refused(409, "edit_window_passed");
    alice.patch(&cluster, 0, &format!("/messages/{id}"), json!({"content": "x"})).await.expect(200);
}

#[tokio::test]
async fn twenty_tasks_on_three_nodes_with_one_temp_id_make_one_message() {
    let cluster = Setup::nodes(3).set("max_messages_per_second", 1_000).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut bob_phone = bob.connect(&cluster, 2).await;
    let path = format!("/messages/{}", bob.id);
    let sends = (0..20).map(|index| {
        let (alice, cluster, path) = (&alice, &cluster, &path);
        async move { alice.post(cluster, index % 3, path, text("same", "once")).await }
    });
    let answers = join_all(sends).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "{answers:?}");
    for answer in &answers {
        assert!(answer.status == 201 || answer.status == 200, "{answer:?}");
        assert_eq!(answer.body, answers[0].body);
    }
    assert_eq!(bob_phone.next_message().await["message_id"], answers[0].body["id"]);
    assert!(bob_phone.has_none("chat/new_message", Duration::from_millis(300)).await);
}
