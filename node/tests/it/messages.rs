//! Around messages: hidden for oneself, forwarded, quoted, read by whom, exported; and recalled, read nowhere any more.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Cluster, DEADLINE, Device, Setup, User};

/// Nodes on which strangers may write to each other as much as they like.
async fn cluster(nodes: usize) -> Cluster {
    Setup::nodes(nodes).set("enable_first_message_limit", false).set("max_messages_per_second", 1_000_000).start().await
}

fn text(content: &str) -> Value {
    json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": content})
}

async fn say(cluster: &Cluster, user: &User, conversation: &str, content: &str) -> Value {
    user.post(cluster, 0, &format!("/conversations/{conversation}/messages"), text(content)).await.expect(201)
}

async fn direct(cluster: &Cluster, one: &User, other: &User) -> String {
    id(&one.post(cluster, 0, "/conversations", json!({"user_id": other.id})).await.expect(200))
}

async fn group(cluster: &Cluster, owner: &User, members: &[&User]) -> String {
    let members: Vec<Uuid> = members.iter().map(|user| user.id).collect();
    id(&owner.post(cluster, 0, "/groups", json!({"name": "a group", "members": members})).await.expect(201))
}

fn id(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

async fn history(cluster: &Cluster, node: usize, user: &User, conversation: &str) -> Vec<Value> {
    let page = user.get(cluster, node, &format!("/conversations/{conversation}/messages?limit=200")).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

fn frames(pages: &[Value], conversation: &str) -> Vec<Value> {
    let of_it = pages.iter().filter(|page| page["conversation_id"] == conversation);
    of_it.flat_map(|page| page["frames"].as_array().unwrap().clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_hidden_for_me_is_hidden_on_all_my_devices_and_for_nobody_else() {
    let cluster = cluster(2).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let chat = direct(&cluster, &bob, &alice).await;
    let first = say(&cluster, &bob, &chat, "first").await;
    let second = say(&cluster, &bob, &chat, "second").await;
    let (mut phone, mut tablet) = (alice.connect(&cluster, 0).await, alice.connect(&cluster, 1).await);
    let mut bobs = bob.connect(&cluster, 1).await;
    let (_, cursor) = phone.sync(json!({})).await;
    let path = format!("/messages/{}", id(&second));

    alice.delete(&cluster, 1, &path).await.expect(204);
    for device in [&mut phone, &mut tablet] {
        let frame = device.expect("chat/message_hidden").await;
        assert_eq!(
            frame["data"],
            json!({"message_id": second["id"], "conversation_id": chat, "message_seq": second["seq"]})
        );
    }
    let shown = history(&cluster, 0, &alice, &chat).await;
    assert_eq!((&shown[0]["hidden"], shown[0].get("content")), (&json!(true), None));
    assert_eq!((shown[1].get("hidden"), &shown[1]["content"]), (None, &json!("first")));
    assert_eq!(history(&cluster, 0, &bob, &chat).await[0]["content"], "second");
    let list = alice.get(&cluster, 0, "/conversations").await.expect(200);
    assert_eq!((&list["items"][0]["last_message"]["id"], &list["items"][0]["unread_count"]), (&first["id"], &json!(2)));
    assert_eq!(
        bob.get(&cluster, 0, "/conversations").await.expect(200)["items"][0]["last_message"]["id"],
        second["id"]
    );
    // Away or not: a sync says it, by cursor, from the beginning, and by conversation.
    for data in
        [json!({"cursor": cursor}), json!({}), json!({"conversations": [{"conversation_id": chat, "after_seq": 0}]})]
    {
        let (pages, _) = tablet.sync(data).await;
        let hidden: Vec<&Value> = pages.iter().flat_map(|page| page["hidden"].as_array().unwrap()).collect();
        assert_eq!(hidden, [&second["seq"]], "{pages:?}");
        for frame in frames(&pages, &chat).iter().filter(|frame| frame["data"]["message_id"] == second["id"]) {
            assert_eq!((&frame["data"]["hidden"], frame["data"].get("content")), (&json!(true), None));
        }
    }
    // All else goes on, without content for me.
    let reacted = alice.put(&cluster, 0, &format!("{path}/reactions/👍"), json!({})).await.expect(200);
    assert_eq!((&reacted["hidden"], reacted.get("content")), (&json!(true), None));
    assert_eq!(reacted["reactions"], json!({"👍": {"count": 1, "me": true}}));
    bob.patch(&cluster, 0, &path, json!({"content": "another second"})).await.expect(200);
    assert_eq!(bobs.expect("chat/message_edited").await["data"]["content"], "another second");
    for device in [&mut phone, &mut tablet] {
        let edited = device.expect("chat/message_edited").await;
        assert_eq!((edited["data"].get("content"), &edited["data"]["message_id"]), (None, &second["id"]));
    }
    let (pages, _) = phone.sync(json!({})).await;
    let edit = frames(&pages, &chat).into_iter().find(|frame| frame["action"] == "message_edited").unwrap();
    assert_eq!(edit["data"].get("content"), None);
    let other = direct(&cluster, &alice, &carol).await;
    let body = json!({"conversation_ids": [other], "temp_id": "f"});
    let made = alice.post(&cluster, 0, &format!("{path}/forward"), body).await.expect(201);
    assert_eq!(made["items"][0]["content"], "another second");
    // Twice is once; and what is nobody's to hide is not there.
    alice.delete(&cluster, 0, &path).await.expect(204);
    carol.delete(&cluster, 0, &path).await.refused(404, "not_found");
    alice.delete(&cluster, 0, "/messages/nonsense").await.refused(404, "not_found");
    alice.delete(&cluster, 0, &format!("/messages/{}", Uuid::new_v4())).await.refused(404, "not_found");
    let reaction = format!("{:x}", u128::from_str_radix(&id(&second).replace('-', ""), 16).unwrap() + 1);
    alice.delete(&cluster, 0, &format!("/messages/{reaction}")).await.refused(404, "not_found");
    assert!(bobs.has_none("chat/message_hidden", Duration::from_millis(200)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_shows_no_content_to_who_came_after_the_message() {
    let cluster = cluster(2).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let team = group(&cluster, &alice, &[&bob]).await;
    let said = say(&cluster, &alice, &team, "before carol").await;
    alice.post(&cluster, 0, &format!("/groups/{team}/members"), json!({"user_ids": [carol.id]})).await.expect(200);
    let mut devices = [
        bob.connect(&cluster, 0).await,
        bob.connect(&cluster, 1).await,
        carol.connect(&cluster, 0).await,
        carol.connect(&cluster, 1).await,
    ];
    alice.patch(&cluster, 0, &format!("/messages/{}", id(&said)), json!({"content": "still"})).await.expect(200);
    for (number, device) in devices.iter_mut().enumerate() {
        let edited = device.expect("chat/message_edited").await;
        let content = edited["data"].get("content");
        assert_eq!(content, (number < 2).then(|| json!("still")).as_ref(), "device {number}");
    }
    // Nor may she hide, forward, read up to it, or ask who has read it.
    let path = format!("/messages/{}", id(&said));
    carol.post(&cluster, 0, &format!("{path}/read"), json!({})).await.refused(404, "not_found");
    let body = json!({"message_id": id(&said)});
    carol.post(&cluster, 0, &format!("/conversations/{team}/read"), body).await.refused(404, "not_found");
    let number = u128::from_str_radix(&id(&said).replace('-', ""), 16).unwrap();
    // By a socket neither; nor to an entry that is no message, or is not there.
    for (which, reader) in [(number, 2), (number - 1, 0), (number + 1, 0), (number + 7, 0)] {
        let data = json!({"conversation_id": team, "message_id": Uuid::from_u128(which)});
        let answer = devices[reader].ask(json!({"type": "read", "data": data})).await;
        assert_eq!(answer["data"]["code"], "not_found", "{answer}");
        let reader = [&bob, &bob, &carol][reader];
        let at = reader.post(&cluster, 1, &format!("/messages/{}/read", Uuid::from_u128(which)), json!({})).await;
        at.refused(404, "not_found");
    }
    let data = json!({"conversation_id": team, "message_id": id(&said)});
    assert_eq!(devices[0].ask(json!({"type": "read", "data": data})).await["type"], "unread_count_update");
    carol.delete(&cluster, 0, &path).await.refused(404, "not_found");
    carol.get(&cluster, 0, &format!("{path}/receipts")).await.refused(404, "not_found");
    let body = json!({"conversation_ids": [team], "temp_id": "f"});
    carol.post(&cluster, 0, &format!("{path}/forward"), body).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_changes_nothing_has_no_time_unless_another_changed_something() {
    let cluster = cluster(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let chat = direct(&cluster, &alice, &bob).await;
    let said = say(&cluster, &alice, &chat, "as it is").await;
    let mut device = alice.connect(&cluster, 0).await;
    let mut edit = async |content: &str| {
        let data = json!({"message_id": id(&said), "content": content});
        device.ask(json!({"type": "chat", "action": "edit", "data": data})).await["data"].clone()
    };
    let unchanged = edit("as it is").await;
    assert_eq!((&unchanged["edited_at"], &unchanged["seq"]), (&json!(null), &unchanged["message_seq"]));
    let changed = edit("as it is now").await;
    let again = edit("as it is now").await;
    assert!(changed["edited_at"].is_string() && changed["edited_at"] == again["edited_at"], "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_what_is_no_message_count_like_others() {
    let cluster = Setup::nodes(1).start().await;
    let alice = cluster.user("alice").await;
    let mut device = alice.connect(&cluster, 0).await;
    let mut codes = Vec::new();
    for _ in 0..30 {
        let frame = json!({"type": "chat", "action": "recall", "id": "r", "data": {"message_id": Uuid::new_v4()}});
        device.send(frame).await;
    }
    for _ in 0..30 {
        codes.push(device.expect("error").await["data"]["code"].clone());
    }
    assert!(codes[..10].iter().all(|code| code == "not_found"), "{codes:?}");
    assert!(codes.iter().any(|code| code == "rate_limited"), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_asked_for_twice_is_answered_once() {
    let cluster = cluster(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let chat = direct(&cluster, &alice, &bob).await;
    for number in 0..6 {
        say(&cluster, &alice, &chat, &format!("{number}")).await;
    }
    let mut device = bob.connect(&cluster, 0).await;
    let asked = json!([{"conversation_id": chat, "after_seq": 4}, {"conversation_id": chat, "after_seq": 2}]);
    let (pages, _) = device.sync(json!({"conversations": asked})).await;
    let seqs: Vec<_> =
        pages.iter().flat_map(|page| page["frames"].as_array().unwrap()).map(|f| f["data"]["seq"].clone()).collect();
    assert_eq!((pages.len(), seqs), (1, vec![json!(3), json!(4), json!(5), json!(6)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_forwarded_to_all_or_to_none() {
    let cluster = cluster(2).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let dave = cluster.user("dave").await;
    let source = direct(&cluster, &bob, &alice).await;
    let body = json!({"temp_id": "s", "message_type": "custom", "content": "look", "metadata": {"k": 1},
                      "mentions": [alice.id]});
    let said = bob.post(&cluster, 0, &format!("/conversations/{source}/messages"), body).await.expect(201);
    let path = format!("/messages/{}/forward", id(&said));
    let to_carol = direct(&cluster, &alice, &carol).await;
    let team = group(&cluster, &alice, &[&carol, &dave]).await;
    let mut carols = carol.connect(&cluster, 1).await;

    let body = json!({"conversation_ids": [to_carol, team, to_carol], "temp_id": "f1"});
    let made = alice.post(&cluster, 0, &path, body.clone()).await.expect(201);
    let items = made["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    for (item, target) in items.iter().zip([&to_carol, &team]) {
        assert_eq!((&item["conversation_id"], &item["content"]), (&json!(target), &json!("look")));
        assert_eq!((&item["message_type"], &item["metadata"]), (&json!("custom"), &json!({"k": 1})));
        assert_eq!(
            item["forwarded_from"],
            json!({"message_id": said["id"], "sender_id": bob.id, "sender_name": "bob"})
        );
        assert_eq!(
            (&item["sender_id"], item.get("mentions"), &item["temp_id"]),
            (&json!(alice.id), None, &json!("f1"))
        );
    }
    let mut seen = [carols.next_message().await, carols.next_message().await];
    seen.sort_by_key(|message| message["conversation_id"] != json!(to_carol));
    for (message, item) in seen.iter().zip(items) {
        assert_eq!((&message["message_id"], &message["forwarded_from"]), (&item["id"], &item["forwarded_from"]));
    }
    let ids: Vec<&Value> = items.iter().map(|item| &item["id"]).collect();
    // Again, on another node, also when the message is recalled: the same.
    bob.post(&cluster, 0, &format!("/messages/{}/recall", id(&said)), json!({})).await.expect(200);
    let again = alice.post(&cluster, 1, &path, body).await.expect(201);
    assert_eq!(again["items"].as_array().unwrap().iter().map(|item| &item["id"]).collect::<Vec<_>>(), ids);
    let other = json!({"conversation_ids": [to_carol], "temp_id": "f2"});
    alice.post(&cluster, 0, &path, other).await.refused(409, "not_editable");

    // One target that refuses stops all.
    let said = say(&cluster, &bob, &source, "one more").await;
    let path = format!("/messages/{}/forward", id(&said));
    let before = history(&cluster, 0, &alice, &team).await.len();
    carol.post(&cluster, 0, "/relationships/block", json!({"user_id": alice.id})).await.expect(204);
    let body = |temp_id: &str, targets: &[&str]| json!({"conversation_ids": targets, "temp_id": temp_id});
    alice.post(&cluster, 0, &path, body("f3", &[&team, &to_carol])).await.refused(403, "blocked");
    let strangers = direct(&cluster, &bob, &dave).await;
    say(&cluster, &bob, &strangers, "between us").await;
    alice.post(&cluster, 0, &path, body("f3", &[&team, &strangers])).await.refused(404, "not_found");
    let unknown = Uuid::new_v4().to_string();
    alice.post(&cluster, 0, &path, body("f3", &[&team, &unknown])).await.refused(404, "not_found");
    alice.post(&cluster, 0, &path, body("f1", &[&team])).await.refused(409, "temp_id_reused");
    assert_eq!(history(&cluster, 0, &alice, &team).await.len(), before);
    alice.post(&cluster, 0, &path, body("f3", &[&team])).await.expect(201);
    // Shapes.
    alice.post(&cluster, 0, &path, body("", &[&team])).await.refused(422, "invalid_request");
    alice.post(&cluster, 0, &path, body("f4", &[])).await.refused(422, "invalid_request");
    alice.post(&cluster, 0, &path, body("f4", &["x"])).await.refused(422, "invalid_request");
    alice.post(&cluster, 0, &path, json!({"temp_id": "f4"})).await.refused(422, "invalid_request");
    dave.post(&cluster, 0, &path, body("f4", &[&team])).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_target_of_a_forward_counts_as_a_send() {
    let cluster =
        Setup::nodes(1).set("enable_first_message_limit", false).set("max_messages_per_second", 4).start().await;
    let alice = cluster.user("alice").await;
    let mut chats = Vec::new();
    for number in 0..6 {
        chats.push(direct(&cluster, &alice, &cluster.user(&format!("u{number}")).await).await);
    }
    let said = say(&cluster, &alice, &chats[0], "hi").await;
    let path = format!("/messages/{}/forward", id(&said));
    let body = json!({"conversation_ids": chats, "temp_id": "f"});
    alice.post(&cluster, 0, &path, body).await.refused(429, "rate_limited");
    for chat in &chats[1..] {
        assert!(history(&cluster, 0, &alice, chat).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_say_who_has_read_a_message_and_when() {
    let cluster = cluster(2).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let dave = cluster.user("dave").await;
    let chat = direct(&cluster, &alice, &bob).await;
    let first = say(&cluster, &alice, &chat, "one").await;
    let receipts = async |user: &User, message: &Value| {
        user.get(&cluster, 1, &format!("/messages/{}/receipts", id(message))).await.expect(200)["items"].clone()
    };
    assert_eq!(receipts(&alice, &first).await, json!([]));
    bob.post(&cluster, 0, &format!("/messages/{}/read", id(&first)), json!({})).await.expect(204);
    let of_first = receipts(&alice, &first).await;
    assert_eq!((&of_first[0]["user"]["id"], of_first.as_array().unwrap().len()), (&json!(bob.id), 1));
    assert!(of_first[0]["read_at"].as_str() >= first["created_at"].as_str());
    // Reading on does not change when the first was read, nor does answering.
    let second = say(&cluster, &alice, &chat, "two").await;
    let answer = say(&cluster, &bob, &chat, "answer").await;
    assert_eq!(receipts(&alice, &first).await, of_first);
    assert_eq!(receipts(&alice, &second).await[0]["read_at"], answer["created_at"]);
    carol.get(&cluster, 0, &format!("/messages/{}/receipts", id(&first))).await.refused(404, "not_found");
    // Whoever shows nothing sees nothing; a block hides.
    bob.patch(&cluster, 0, &format!("/conversations/{chat}/settings"), json!({"read_receipts": false}))
        .await
        .expect(200);
    assert_eq!(receipts(&alice, &first).await, json!([]));
    assert_eq!(receipts(&bob, &answer).await, json!([]));

    let team = group(&cluster, &alice, &[&bob, &carol, &dave]).await;
    let said = say(&cluster, &alice, &team, "all").await;
    for user in [&bob, &carol, &dave] {
        user.post(&cluster, 0, &format!("/conversations/{team}/read"), json!({})).await.expect(204);
    }
    let ids = |items: &Value| -> Vec<Uuid> {
        let mut ids: Vec<Uuid> = items
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["user"]["id"].as_str().unwrap().parse().unwrap())
            .collect();
        ids.sort_unstable();
        ids
    };
    let sorted = |mut ids: Vec<Uuid>| {
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids(&receipts(&alice, &said).await), sorted(vec![bob.id, carol.id, dave.id]));
    // In pages.
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/messages/{}/receipts?limit=1&cursor={cursor}", id(&said));
        let page = alice.get(&cluster, 0, &path).await.expect(200);
        paged.extend(ids(&page["items"]));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(sorted(paged), sorted(vec![bob.id, carol.id, dave.id]));
    carol.patch(&cluster, 0, "/users/me", json!({"read_receipts": false})).await.expect(200);
    dave.post(&cluster, 0, "/relationships/block", json!({"user_id": bob.id})).await.expect(204);
    assert_eq!(ids(&receipts(&alice, &said).await), sorted(vec![bob.id, dave.id]));
    assert_eq!(receipts(&carol, &said).await, json!([]));
    assert_eq!(ids(&receipts(&bob, &said).await), [bob.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_what_its_reader_may_see() {
    let cluster = cluster(1).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let team = group(&cluster, &alice, &[&bob]).await;
    say(&cluster, &alice, &team, "before carol").await;
    alice.post(&cluster, 0, &format!("/groups/{team}/members"), json!({"user_ids": [carol.id]})).await.expect(200);
    let evil = "<script>alert('x')</script> & \"語\"\n2";
    say(&cluster, &bob, &team, evil).await;
    let recalled = say(&cluster, &bob, &team, "secret").await;
    bob.post(&cluster, 0, &format!("/messages/{}/recall", id(&recalled)), json!({})).await.expect(200);
    let hidden = say(&cluster, &bob, &team, "not for carol's eyes").await;
    carol.delete(&cluster, 0, &format!("/messages/{}", id(&hidden))).await.expect(204);
    join_all((0..250).map(|_| say(&cluster, &bob, &team, "many"))).await;

    let path = format!("/conversations/{team}/export");
    let answer = carol.get(&cluster, 0, &format!("{path}?format=jsonl")).await;
    assert_eq!((answer.status, &answer.headers["content-type"]), (200, &"application/jsonl".parse().unwrap()));
    let lines: Vec<Value> =
        answer.body.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 253);
    assert!(lines.is_sorted_by_key(|line| line["seq"].as_i64().unwrap()));
    assert_eq!(lines[0]["content"], evil);
    assert_eq!((&lines[1]["recalled"], lines[1].get("content")), (&json!(true), None));
    assert_eq!((&lines[2]["hidden"], lines[2].get("content")), (&json!(true), None));
    // A line is the message as the history has it.
    assert_eq!(lines[252], history(&cluster, 0, &carol, &team).await[0]);
    let answer = carol.get(&cluster, 0, &format!("/groups/{team}/export?format=html")).await;
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    let html = answer.body.as_str().unwrap();
    assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;語&quot;\n2"));
    for never in ["<script>", "before carol", "secret", "not for carol"] {
        assert!(!html.contains(never) && !lines.iter().any(|line| line["content"] == *never), "{never}");
    }
    carol.get(&cluster, 0, &format!("{path}?format=pdf")).await.refused(422, "invalid_request");
    let stranger = cluster.user("stranger").await;
    stranger.get(&cluster, 0, &path).await.refused(404, "not_found");
    carol.post(&cluster, 0, &format!("/groups/{team}/leave"), json!({})).await.expect(204);
    carol.get(&cluster, 0, &path).await.refused(404, "not_found");
    let empty = direct(&cluster, &alice, &bob).await;
    let answer = alice.get(&cluster, 0, &format!("/conversations/{empty}/export")).await;
    assert_eq!((answer.status, answer.body), (200, Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn quotes_mentions_reactions_and_edits_over_rest() {
    let cluster = cluster(2).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let team = group(&cluster, &alice, &[&bob, &carol]).await;
    let mut bobs = bob.connect(&cluster, 1).await;
    let path = format!("/conversations/{team}/messages");
    let body = json!({"temp_id": "1", "message_type": "text", "content": "hi bob", "mentions": [bob.id]});
    let first = alice.post(&cluster, 0, &path, body).await.expect(201);
    let body =
        json!({"temp_id": "2", "message_type": "text", "content": "all", "mentions": "all", "reply_to": first["id"]});
    let second = alice.post(&cluster, 0, &path, body).await.expect(201);
    assert_eq!((&second["reply_to"], &second["mentions"]), (&first["id"], &json!("all")));
    for (user, mentions) in [(&bob, 2), (&carol, 1), (&alice, 0)] {
        let view = user.get(&cluster, 1, &format!("/conversations/{team}")).await.expect(200);
        assert_eq!(view["mention_count"], mentions);
    }
    for (message, field, value) in [(&first, "mentions", json!([bob.id])), (&second, "reply_to", first["id"].clone())] {
        let frame = bobs.find(DEADLINE, |frame| frame["data"]["message_id"] == message["id"]).await.unwrap();
        assert_eq!(frame["data"][field], value);
    }
    bob.post(&cluster, 0, &format!("/messages/{}/read", id(&first)), json!({})).await.expect(204);
    assert_eq!(bob.get(&cluster, 0, &format!("/conversations/{team}")).await.expect(200)["mention_count"], 1);
    // A quote of another conversation is not there.
    let other = direct(&cluster, &alice, &bob).await;
    let body = json!({"temp_id": "3", "message_type": "text", "content": "x", "reply_to": first["id"]});
    alice.post(&cluster, 0, &format!("/conversations/{other}/messages"), body).await.refused(404, "not_found");

    let message = format!("/messages/{}", id(&first));
    let reacted = bob.put(&cluster, 1, &format!("{message}/reactions/%F0%9F%91%8D"), json!({})).await.expect(200);
    assert_eq!(reacted["reactions"], json!({"👍": {"count": 1, "me": true}}));
    let reacted = carol.put(&cluster, 0, &format!("{message}/reactions/👍"), json!({})).await.expect(200);
    assert_eq!(reacted["reactions"]["👍"]["count"], 2);
    bob.delete(&cluster, 0, &format!("{message}/reactions/👍")).await.expect(204);
    bob.delete(&cluster, 0, &format!("{message}/reactions/👍")).await.expect(204);
    bob.put(&cluster, 0, &format!("{message}/reactions/{}", "a".repeat(33)), json!({}))
        .await
        .refused(422, "invalid_request");
    let edited = alice.patch(&cluster, 0, &message, json!({"content": "hi, Bob"})).await.expect(200);
    assert_eq!((&edited["content"], edited["edited_at"].is_string()), (&json!("hi, Bob"), true));
    assert_eq!(edited["reactions"], json!({"👍": {"count": 1, "me": false}}));
    bob.patch(&cluster, 0, &message, json!({"content": "mine"})).await.refused(403, "forbidden");
    alice.patch(&cluster, 0, &message, json!({"content": ""})).await.refused(422, "invalid_request");
    bob.post(&cluster, 0, &format!("{message}/recall"), json!({})).await.refused(403, "forbidden");
    let recalled = alice.post(&cluster, 1, &format!("{message}/recall"), json!({})).await.expect(200);
    assert_eq!(
        (&recalled["recalled"], recalled.get("content"), &recalled["reactions"]),
        (&json!(true), None, &json!({}))
    );
    alice.patch(&cluster, 0, &message, json!({"content": "again"})).await.refused(409, "not_editable");
    bob.put(&cluster, 0, &format!("{message}/reactions/👍"), json!({})).await.refused(409, "not_editable");
    // A quote shows only the id of what is recalled.
    let page = bob.get(&cluster, 0, &format!("{path}?limit=1")).await.expect(200);
    assert_eq!((&page["items"][0]["reply_to"], &page["items"][0]["content"]), (&first["id"], &json!("all")));
}

/// A thousand rounds take some minutes.
const ROUNDS: usize = 12;

/// Once the recall is acknowledged, no node shows the text any more, whatever is asked: history, list, sync, edits, search, export,
/// quotes, forwarding, offline delivery.
#[tokio::test(flavor = "multi_thread")]
async fn a_recalled_text_is_read_nowhere() {
    let cluster = cluster(3).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let chat = direct(&cluster, &alice, &bob).await;
    let other = direct(&cluster, &bob, &cluster.user("carol").await).await;
    let mut devices = Vec::new();
    for node in 0..3 {
        devices.push(bob.connect(&cluster, node).await);
    }
    let (_, mut cursor) = devices[0].sync(json!({})).await;
    for round in 0..ROUNDS {
        let word = format!("secret{round}x");
        let said = say(&cluster, &alice, &chat, &format!("the {word} first")).await;
        let message = format!("/messages/{}", id(&said));
        if round % 2 == 0 {
            alice
                .patch(&cluster, round % 3, &message, json!({"content": format!("the {word} edited")}))
                .await
                .expect(200);
        }
        let quote = json!({"temp_id": word, "message_type": "text", "content": "quoting", "reply_to": said["id"]});
        bob.post(&cluster, 1, &format!("/conversations/{chat}/messages"), quote).await.expect(201);
        alice.post(&cluster, (round + 1) % 3, &format!("{message}/recall"), json!({})).await.expect(200);

        for (node, device) in devices.iter_mut().enumerate() {
            device.take_waiting();
            let (by_cursor, next) = device.sync(json!({"cursor": cursor})).await;
            let after =
                json!({"conversations": [{"conversation_id": chat, "after_seq": said["seq"].as_i64().unwrap() - 1}]});
            let (by_conversation, _) = device.sync(after).await;
            let (first, _) = device.sync(json!({})).await;
            if node == 2 {
                cursor = next;
            }
            let get = async |path: String| bob.get(&cluster, node, &path).await;
            let (history, list, found, export) = tokio::join!(
                get(format!("/conversations/{chat}/messages?limit=20")),
                get("/conversations".to_owned()),
                get(format!("/messages/search?q={word}")),
                get(format!("/conversations/{chat}/export?format=html")),
            );
            assert_eq!(found.clone().expect(200)["items"], json!([]));
            let read = format!("{by_cursor:?}{by_conversation:?}{first:?}{history:?}{list:?}{found:?}{export:?}");
            assert!(!read.contains(&format!("the {word}")), "node {node}, round {round}: {read}");
            let body = json!({"conversation_ids": [other], "temp_id": format!("f{round}{node}")});
            bob.post(&cluster, node, &format!("{message}/forward"), body).await.refused(409, "not_editable");
        }
    }
}
