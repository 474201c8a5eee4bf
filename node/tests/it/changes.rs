//! What changes without being an entry, and what does in a pair: for each call, the state before and the frames make the state after,
//! on a device that is there, at another node, and on one that was away and syncs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::log::burn_transactions;
use crate::support::{Cluster, DEADLINE, Device, Setup, User};

/// What a device of one user shows of one conversation.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    pinned: Value,
    muted_until: Value,
    unread_count: Value,
    /// Mine are shown, and so are the other's.
    shows_positions: bool,
    /// Of the other's reading.
    peer_read_seq: Value,
    /// By seq: content, or null once recalled or hidden.
    messages: BTreeMap<i64, Value>,
    hidden: BTreeSet<i64>,
    /// Message, emoji, and how many.
    reactions: BTreeSet<(i64, String, String)>,
    pins: BTreeSet<i64>,
    last_seq: i64,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            pinned: json!(false),
            muted_until: Value::Null,
            unread_count: json!(0),
            shows_positions: true,
            peer_read_seq: json!(0),
            messages: BTreeMap::new(),
            hidden: BTreeSet::new(),
            reactions: BTreeSet::new(),
            pins: BTreeSet::new(),
            last_seq: 0,
        }
    }
}

impl Shown {
    /// A frame that came live, or in a page.
    fn take(&mut self, frame: &Value, own: &User) {
        let data = &frame["data"];
        let message = data["message_seq"].as_i64().unwrap_or_default();
        let seq = data["seq"].as_i64().unwrap_or_default();
        let kind = format!("{}/{}", frame["type"].as_str().unwrap(), frame["action"].as_str().unwrap_or_default());
        match kind.as_str() {
            "chat/new_message" => {
                self.messages.insert(seq, data["content"].clone());
                if data["hidden"] == true {
                    self.hidden.insert(seq);
                }
                if data["sender_id"] == json!(own.id) {
                    // Sending reads up to one's own message.
                    self.unread_count = json!(0);
                } else {
                    self.peer_reads(seq);
                }
            }
            "chat/message_sent" => {
                panic!("this device sends nothing: {frame}");
            }
            "chat/message_recalled" => {
                self.messages.insert(message, Value::Null);
            }
            "chat/message_edited" => {
                self.messages.insert(message, data["content"].clone());
            }
            "chat/message_reacted" => {
                let reaction =
                    (message, data["emoji"].as_str().unwrap().to_owned(), data["user_id"].as_str().unwrap().to_owned());
                if data["add"] == true {
                    self.reactions.insert(reaction);
                } else {
                    self.reactions.remove(&reaction);
                }
            }
            "chat/message_pinned" if data["add"] == true => {
                self.pins.insert(message);
            }
            "chat/message_pinned" => {
                self.pins.remove(&message);
            }
            "chat/message_hidden" => self.hide(message),
            "conversation/settings" => {
                self.pinned = data["pinned"].clone();
                self.muted_until = data["muted_until"].clone();
                self.shows_positions = data["read_receipts"] != false;
                if !self.shows_positions {
                    self.peer_read_seq = Value::Null;
                }
            }
            "read/" => self.peer_reads(seq),
            "unread_count_update/" => self.unread_count = data["unread_count"].clone(),
            other => panic!("{other}: {frame}"),
        }
        if !matches!(kind.as_str(), "read/") {
            self.last_seq = self.last_seq.max(seq);
        }
        // What is recalled has no reactions and no pin; what is hidden is not shown as pinned.
        let gone: BTreeSet<i64> =
            self.messages.iter().filter(|(_, content)| content.is_null()).map(|(seq, _)| *seq).collect();
        self.reactions.retain(|(seq, ..)| !gone.contains(seq) || self.hidden.contains(seq));
        self.pins.retain(|seq| !gone.contains(seq));
    }

    fn hide(&mut self, message: i64) {
        self.hidden.insert(message);
        self.messages.insert(message, Value::Null);
        self.pins.remove(&message);
    }

    fn peer_reads(&mut self, seq: i64) {
        if self.shows_positions && self.peer_read_seq.as_i64().is_none_or(|before| before < seq) {
            self.peer_read_seq = json!(seq);
        }
    }

    /// A page of a sync: frames, and how it stands.
    fn take_page(&mut self, page: &Value, own: &User) {
        for frame in page["frames"].as_array().unwrap() {
            self.take(frame, own);
        }
        for seq in page["hidden"].as_array().unwrap() {
            self.hide(seq.as_i64().unwrap());
        }
        self.unread_count = page["unread_count"].clone();
        self.peer_read_seq = page["peer_read_seq"].clone();
        self.pinned = page["settings"]["pinned"].clone();
        self.muted_until = page["settings"]["muted_until"].clone();
        self.shows_positions = page["settings"]["read_receipts"] != false;
        assert_eq!(self.last_seq, page["last_seq"].as_i64().unwrap(), "{page}");
    }
}

/// The conversation as REST shows it; of reactions only how many there are.
async fn as_it_is(cluster: &Cluster, node: usize, reader: &User, chat: &str) -> (Shown, BTreeMap<(i64, String), u64>) {
    let one = reader.get(cluster, node, &format!("/conversations/{chat}")).await.expect(200);
    let messages = reader.get(cluster, node, &format!("/conversations/{chat}/messages?limit=200")).await.expect(200);
    let pins = reader.get(cluster, node, &format!("/conversations/{chat}/pins")).await.expect(200);
    let mut shown = Shown {
        pinned: one["pinned"].clone(),
        muted_until: one["muted_until"].clone(),
        unread_count: one["unread_count"].clone(),
        shows_positions: one["read_receipts"] != false,
        peer_read_seq: one["peer_read_seq"].clone(),
        pins: pins["items"].as_array().unwrap().iter().map(|pin| pin["message"]["seq"].as_i64().unwrap()).collect(),
        last_seq: one["last_seq"].as_i64().unwrap(),
        ..Shown::default()
    };
    let mut reactions = BTreeMap::new();
    for message in messages["items"].as_array().unwrap() {
        let seq = message["seq"].as_i64().unwrap();
        shown.messages.insert(seq, message.get("content").cloned().unwrap_or(Value::Null));
        if message["hidden"] == true {
            shown.hidden.insert(seq);
        }
        for (emoji, reaction) in message["reactions"].as_object().unwrap() {
            reactions.insert((seq, emoji.clone()), reaction["count"].as_u64().unwrap());
        }
    }
    (shown, reactions)
}

fn is_same(seen: &Shown, as_it_is: &(Shown, BTreeMap<(i64, String), u64>)) -> bool {
    let mut counts = BTreeMap::new();
    for (seq, emoji, _) in &seen.reactions {
        *counts.entry((*seq, emoji.clone())).or_default() += 1;
    }
    let without_users = Shown { reactions: BTreeSet::new(), ..seen.clone() };
    counts == as_it_is.1 && without_users == as_it_is.0
}

/// A device that is there all the time.
struct There {
    device: Device,
    shown: Shown,
}

impl There {
    /// Takes what comes until it shows what there is; counts come at most once a second.
    async fn follow(&mut self, own: &User, chat: &str, truth: &(Shown, BTreeMap<(i64, String), u64>), what: &str) {
        let begun = Instant::now();
        while !is_same(&self.shown, truth) {
            let left = Duration::from_secs(5).saturating_sub(begun.elapsed());
            let frame = self.device.find(left, |frame| frame["data"]["conversation_id"] == *chat).await;
            let Some(frame) = frame else {
                panic!("after {what} the device shows\n{:?}\nand there is\n{truth:?}", self.shown)
            };
            self.shown.take(&frame, own);
        }
    }
}

/// A device that comes back after each change.
#[derive(Default)]
struct Away {
    shown: Shown,
    cursor: Option<Value>,
}

impl Away {
    async fn sync(&mut self, cluster: &Cluster, node: usize, own: &User, chat: &str) {
        let request = self.cursor.take().map_or(json!({}), |cursor| json!({"cursor": cursor}));
        let mut device = own.connect_with_sync(cluster, node, request).await;
        loop {
            let frame = device.find(DEADLINE, |frame| frame["type"] == "sync").await.expect("a sync goes on");
            if frame["action"] == "complete" {
                self.cursor = Some(frame["data"]["cursor"].clone());
                break;
            }
            if frame["data"]["conversation_id"] == *chat {
                self.shown.take_page(&frame["data"], own);
            }
        }
        device.close().await;
        device.closed().await;
    }
}

/// Calls of two users about one conversation.
struct Pair<'a> {
    cluster: &'a Cluster,
    alice: &'a User,
    bob: &'a User,
    chat: String,
}

impl Pair<'_> {
    /// At node 0: the device that is there is at node 1.
    async fn call(&self, user: &User, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}/api/v1{path}", self.cluster.url(0));
        let answer = user.call(method.clone(), &url, Some(body)).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.body);
        answer.body
    }

    async fn say(&self, user: &User, content: &str) -> String {
        let body = json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": content});
        let path = format!("/conversations/{}/messages", self.chat);
        self.call(user, Method::POST, &path, body).await["id"].as_str().unwrap().to_owned()
    }

    async fn settings(&self, body: Value) {
        self.call(self.alice, Method::PATCH, &format!("/conversations/{}/settings", self.chat), body).await;
    }

    async fn read(&self, user: &User, body: Value) {
        self.call(user, Method::POST, &format!("/conversations/{}/read", self.chat), body).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_before_and_frames_make_the_state_after_for_what_is_no_entry() {
    let setup = Setup::nodes(2).set("max_messages_per_second", 1_000).set("enable_first_message_limit", false);
    let cluster = setup.start().await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let shards = [cluster.databases.shard(0).await, cluster.databases.shard(1).await];
    let made = alice.post(&cluster, 0, "/conversations", json!({"user_id": bob.id})).await.expect(200);
    let other = alice.post(&cluster, 0, "/conversations", json!({"user_id": carol.id})).await.expect(200);
    let pair = Pair { cluster: &cluster, alice: &alice, bob: &bob, chat: made["id"].as_str().unwrap().to_owned() };
    let mut there = There { device: alice.connect(&cluster, 1).await, shown: Shown::default() };
    let mut away = Away::default();
    let elsewhere = {
        let body = json!({"temp_id": "elsewhere", "message_type": "text", "content": "from elsewhere"});
        let path = format!("/conversations/{}/messages", other["id"].as_str().unwrap());
        pair.call(&carol, Method::POST, &path, body).await["id"].as_str().unwrap().to_owned()
    };
    let mut messages: Vec<String> = Vec::new();
    let steps = [
        "bob writes",
        "bob writes again",
        "bob writes once more",
        "alice reads one",
        "alice reads another by its id",
        "alice reads all",
        "alice hides one",
        "alice pins the conversation",
        "alice mutes it",
        "alice unmutes and unpins it",
        "alice writes",
        "bob reads",
        "alice hides positions",
        "bob reads unseen",
        "alice shows positions",
        "bob reacts",
        "alice reacts",
        "alice takes it back",
        "bob edits",
        "alice pins a message",
        "bob pins another",
        "alice unpins",
        "bob recalls what he has pinned",
        "bob pins what alice has hidden",
        "alice hides what is pinned",
        "alice forwards here",
        "bob reads all",
        "alice recalls",
        "bob blocks and unblocks",
        "alice writes once more",
        "bob reads behind a block",
        "alice writes yet again",
        "bob reads while he hides all positions",
        "bob writes last",
        "alice reads on a socket",
    ];
    for (number, step) in steps.into_iter().enumerate() {
        let message = |at: usize| format!("/messages/{}", messages[at]);
        match step {
            "bob writes" | "bob writes again" | "bob writes once more" | "bob writes last" => {
                messages.push(pair.say(&bob, step).await);
            }
            "alice reads one" => pair.read(&alice, json!({"seq": 1})).await,
            "alice reads another by its id" => {
                drop(pair.call(&alice, Method::POST, &format!("{}/read", message(1)), json!({})).await);
            }
            "alice reads all" => pair.read(&alice, json!({})).await,
            "alice hides one" => drop(pair.call(&alice, Method::DELETE, &message(0), json!({})).await),
            "alice pins the conversation" => pair.settings(json!({"pinned": true})).await,
            "alice mutes it" => pair.settings(json!({"muted_until": "2099-01-01T00:00:00.000Z"})).await,
            "alice unmutes and unpins it" => pair.settings(json!({"muted_until": null, "pinned": false})).await,
            "alice writes" | "alice writes once more" | "alice writes yet again" => {
                messages.push(pair.say(&alice, step).await)
            }
            "bob reads" => pair.read(&bob, json!({"seq": 4})).await,
            "alice hides positions" => pair.settings(json!({"read_receipts": false})).await,
            "bob reads unseen" => {
                messages.push(pair.say(&alice, step).await);
                pair.read(&bob, json!({})).await;
            }
            "alice shows positions" => pair.settings(json!({"read_receipts": null})).await,
            "bob reacts" => {
                drop(pair.call(&bob, Method::PUT, &format!("{}/reactions/👍", message(3)), json!({})).await);
            }
            "alice reacts" => {
                drop(pair.call(&alice, Method::PUT, &format!("{}/reactions/👍", message(3)), json!({})).await);
            }
            "alice takes it back" => {
                drop(pair.call(&alice, Method::DELETE, &format!("{}/reactions/👍", message(3)), json!({})).await);
            }
            "bob edits" => drop(pair.call(&bob, Method::PATCH, &message(1), json!({"content": "edited"})).await),
            "alice pins a message" => {
                drop(pair.call(&alice, Method::PUT, &format!("{}/pin", message(1)), json!({})).await)
            }
            "bob pins another" => drop(pair.call(&bob, Method::PUT, &format!("{}/pin", message(2)), json!({})).await),
            "alice unpins" => drop(pair.call(&alice, Method::DELETE, &format!("{}/pin", message(1)), json!({})).await),
            "bob recalls what he has pinned" => {
                drop(pair.call(&bob, Method::POST, &format!("{}/recall", message(2)), json!({})).await);
            }
            "bob pins what alice has hidden" => {
                drop(pair.call(&bob, Method::PUT, &format!("{}/pin", message(0)), json!({})).await);
                drop(pair.call(&bob, Method::PUT, &format!("{}/pin", message(1)), json!({})).await);
            }
            "alice hides what is pinned" => drop(pair.call(&alice, Method::DELETE, &message(1), json!({})).await),
            "alice forwards here" => {
                let body = json!({"conversation_ids": [pair.chat], "temp_id": "forwarded"});
                let made = pair.call(&alice, Method::POST, &format!("/messages/{elsewhere}/forward"), body).await;
                messages.push(made["items"][0]["id"].as_str().unwrap().to_owned());
            }
            "bob reads all" => pair.read(&bob, json!({})).await,
            "alice recalls" => {
                drop(pair.call(&alice, Method::POST, &format!("{}/recall", message(3)), json!({})).await)
            }
            "bob blocks and unblocks" => {
                let body = json!({"user_id": alice.id});
                drop(pair.call(pair.bob, Method::POST, "/relationships/block", body.clone()).await);
                drop(pair.call(pair.bob, Method::POST, "/relationships/unblock", body).await);
            }
            "bob reads behind a block" => {
                let body = json!({"user_id": alice.id});
                drop(pair.call(pair.bob, Method::POST, "/relationships/block", body.clone()).await);
                pair.read(&bob, json!({})).await;
                drop(pair.call(pair.bob, Method::POST, "/relationships/unblock", body).await);
            }
            "bob reads while he hides all positions" => {
                drop(pair.call(&bob, Method::PATCH, "/users/me", json!({"read_receipts": false})).await);
                pair.read(&bob, json!({})).await;
                drop(pair.call(&bob, Method::PATCH, "/users/me", json!({"read_receipts": true})).await);
            }
            "alice reads on a socket" => {
                let mut laptop = alice.connect(&cluster, 0).await;
                let read = json!({"type": "read", "data": {"conversation_id": pair.chat}});
                assert_eq!(laptop.ask(read).await["type"], "unread_count_update");
                laptop.close().await;
                laptop.closed().await;
            }
            other => panic!("{other}"),
        }
        // What a cursor reaches back is not to hide what it misses.
        for shard in &shards {
            burn_transactions(shard, 1_200).await;
        }
        let truth = as_it_is(&cluster, number % 2, &alice, &pair.chat).await;
        there.follow(&alice, &pair.chat, &truth, step).await;
        away.sync(&cluster, number % 2, &alice, &pair.chat).await;
        assert!(is_same(&away.shown, &truth), "after {step} a sync shows\n{:?}\nand there is\n{truth:?}", away.shown);
    }
    assert_eq!(messages.len(), 9);
    // Nothing changed the state that no frame told of: what still waits changes nothing.
    let before = there.shown.clone();
    for frame in there.device.take_waiting().iter().filter(|frame| frame["data"]["conversation_id"] == *pair.chat) {
        there.shown.take(frame, &alice);
    }
    assert_eq!(there.shown, before);
}

/// What a user is told beside messages: as a device that is there has collected it, and as the list has it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_live_is_what_is_kept() {
    let cluster = Setup::nodes(2).start().await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut device = alice.connect(&cluster, 1).await;
    let friends = |id: Uuid, verb: &str| format!("/friends/{id}/{verb}");
    let mut told: Vec<Value> = Vec::new();
    for step in 0..6 {
        match step {
            0 => drop(bob.post(&cluster, 0, "/friends/request", json!({"user_id": alice.id, "message": "hi"})).await),
            1 => {
                alice.post(&cluster, 0, &friends(bob.id, "reject"), json!({})).await.expect(204);
                alice.post(&cluster, 0, "/friends/request", json!({"user_id": bob.id})).await.expect(201);
                bob.post(&cluster, 0, &friends(alice.id, "reject"), json!({})).await.expect(204);
            }
            2 => {
                alice.post(&cluster, 0, "/friends/request", json!({"user_id": bob.id})).await.expect(201);
                bob.post(&cluster, 0, &friends(alice.id, "accept"), json!({})).await.expect(200);
            }
            3 => {
                let body = json!({"user_ids": [alice.id], "type": "card_completed", "title": "done", "content": "a card",
                                  "data": {"card": 7}});
                admin.post(&cluster, 0, "/admin/notifications", body).await.expect(201);
            }
            4 => {
                let body = json!({"all": true, "type": "custom", "title": "all", "content": "of you"});
                admin.post(&cluster, 0, "/admin/notifications", body).await.expect(201);
            }
            _ => drop(
                admin.post(&cluster, 0, "/broadcasts", json!({"title": "hear", "content": "ye"})).await.expect(201),
            ),
        }
        let frame = device.expect("notification").await;
        let mut one = frame["data"].clone();
        let id = one.as_object_mut().unwrap().remove("notification_id").unwrap();
        one["id"] = id;
        one["read"] = json!(false);
        told.insert(0, one);
        for node in 0..2 {
            let kept = alice.get(&cluster, node, "/notifications").await.expect(200);
            assert_eq!(kept["items"], json!(told), "step {step}");
        }
    }
    assert!(device.has_none("notification", Duration::from_millis(300)).await);
}
