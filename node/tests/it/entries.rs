//! Every kind of entry through the API: the state before and the frames make the state after, for one who is there, and for those who
//! come back with a cursor or with what they hold of each conversation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::log::burn_transactions;
use crate::support::{Cluster, DEADLINE, Device, Setup, User, eventually};

/// What a client shows of one group.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    title: Value,
    avatar_url: Value,
    announcement: Value,
    muted: bool,
    /// Role, and until when muted.
    members: BTreeMap<String, (String, Value)>,
    /// By seq: content, or null once recalled.
    messages: BTreeMap<i64, Value>,
    reactions: BTreeSet<(i64, String, String)>,
    /// By seq of the message.
    pins: BTreeSet<i64>,
    last_seq: i64,
    is_over: bool,
}

impl Shown {
    /// What a frame of the log changes. One that was seen before is taken again, as it shows the present state.
    fn take(&mut self, frame: &Value) {
        let data = &frame["data"];
        let text = |name: &str| data[name].as_str().unwrap_or_else(|| panic!("{name} in {frame}")).to_owned();
        let ids = |name: &str| -> Vec<String> {
            data[name].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
        };
        let message = data["message_seq"].as_i64().unwrap_or_default();
        self.last_seq = data["seq"].as_i64().unwrap().max(self.last_seq);
        match frame["action"].as_str().unwrap() {
            "created" => {
                self.title = data["title"].clone();
                (self.avatar_url, self.announcement, self.muted) = (Value::Null, Value::Null, false);
                self.members = ids("members").into_iter().map(|id| (id, ("member".to_owned(), Value::Null))).collect();
                self.members.insert(text("by"), ("owner".to_owned(), Value::Null));
            }
            "updated" => {
                let fields = data.as_object().unwrap();
                for (field, place) in [
                    ("title", &mut self.title),
                    ("avatar_url", &mut self.avatar_url),
                    ("announcement", &mut self.announcement),
                ] {
                    if let Some(value) = fields.get(field) {
                        place.clone_from(value);
                    }
                }
                self.muted = fields.get("muted").map_or(self.muted, |muted| muted.as_bool().unwrap());
            }
            "member_added" => {
                for id in ids("user_ids") {
                    self.members.insert(id, ("member".to_owned(), Value::Null));
                }
            }
            "member_removed" | "member_left" => {
                for id in ids("user_ids") {
                    self.members.remove(&id);
                }
            }
            "role_changed" => {
                if data["role"] == "owner" {
                    // The old owner is an admin then.
                    for (role, _) in self.members.values_mut().filter(|(role, _)| role == "owner") {
                        "admin".clone_into(role);
                    }
                }
                if let Some((role, _)) = self.members.get_mut(&text("user_id")) {
                    *role = text("role");
                }
            }
            "member_muted" => {
                if let Some((_, until)) = self.members.get_mut(&text("user_id")) {
                    until.clone_from(&data["muted_until"]);
                }
            }
            "dissolved" => self.is_over = true,
            "new_message" => {
                self.messages.insert(data["seq"].as_i64().unwrap(), data["content"].clone());
            }
            "message_recalled" => {
                self.messages.insert(message, Value::Null);
            }
            "message_edited" => {
                self.messages.insert(message, data["content"].clone());
            }
            "message_reacted" => {
                let reaction = (message, text("emoji"), text("user_id"));
                if data["add"] == true {
                    self.reactions.insert(reaction);
                } else {
                    self.reactions.remove(&reaction);
                }
            }
            "message_pinned" if data["add"] == true => {
                self.pins.insert(message);
            }
            "message_pinned" => {
                self.pins.remove(&message);
            }
            other => panic!("{other}: {frame}"),
        }
        // A recalled message shows no reactions, and is pinned no more.
        let recalled: Vec<i64> =
            self.messages.iter().filter(|(_, content)| content.is_null()).map(|(seq, _)| *seq).collect();
        self.reactions.retain(|(seq, ..)| !recalled.contains(seq));
        self.pins.retain(|seq| !recalled.contains(seq));
    }
}

/// The group as REST shows it to a member; reactions by user are not shown there, so their number is compared.
async fn as_it_is(cluster: &Cluster, reader: &User, group: &str) -> (Shown, BTreeMap<(i64, String), u64>) {
    let one = reader.get(cluster, 0, &format!("/groups/{group}")).await.expect(200);
    let members = reader.get(cluster, 0, &format!("/groups/{group}/members?limit=200")).await.expect(200);
    let messages = reader.get(cluster, 0, &format!("/groups/{group}/messages?limit=200")).await.expect(200);
    let pins = reader.get(cluster, 0, &format!("/groups/{group}/pins")).await.expect(200);
    let mut shown = Shown {
        pins: pins["items"].as_array().unwrap().iter().map(|pin| pin["message"]["seq"].as_i64().unwrap()).collect(),
        title: one["title"].clone(),
        avatar_url: one["avatar_url"].clone(),
        announcement: one["announcement"].clone(),
        muted: one["muted"].as_bool().unwrap(),
        last_seq: one["last_seq"].as_i64().unwrap(),
        ..Shown::default()
    };
    for member in members["items"].as_array().unwrap() {
        let (id, role) = (member["user"]["id"].as_str().unwrap(), member["role"].as_str().unwrap());
        shown.members.insert(id.to_owned(), (role.to_owned(), member["muted_until"].clone()));
    }
    assert_eq!(one["member_count"].as_u64().unwrap(), u64::try_from(shown.members.len()).unwrap());
    let mut reactions = BTreeMap::new();
    for message in messages["items"].as_array().unwrap() {
        let seq = message["seq"].as_i64().unwrap();
        let content = message.get("content").cloned().unwrap_or(Value::Null);
        assert_eq!(message["recalled"] == true, content.is_null(), "{message}");
        shown.messages.insert(seq, content);
        for (emoji, reaction) in message["reactions"].as_object().unwrap() {
            reactions.insert((seq, emoji.clone()), reaction["count"].as_u64().unwrap());
        }
    }
    (shown, reactions)
}

#[track_caller]
fn assert_same(seen: &Shown, as_it_is: &(Shown, BTreeMap<(i64, String), u64>), what: &str) {
    let mut counts = BTreeMap::new();
    for (seq, emoji, _) in &seen.reactions {
        *counts.entry((*seq, emoji.clone())).or_default() += 1;
    }
    assert_eq!(counts, as_it_is.1, "{what}");
    let without_users = Shown { reactions: BTreeSet::new(), ..seen.clone() };
    assert_eq!(without_users, as_it_is.0, "{what}");
}

fn is_of_log(frame: &Value, group: &str) -> bool {
    matches!(frame["type"].as_str(), Some("chat" | "conversation"))
        && frame["data"]["conversation_id"] == group
        && frame["data"]["seq"].is_i64()
        && frame["action"] != "message_sent"
}

/// One who is there: what comes live, in order, is the state.
struct There {
    device: Device,
    shown: Shown,
}

impl There {
    async fn follow(&mut self, group: &str, last: i64) {
        while self.shown.last_seq < last {
            let frame = self.device.find(DEADLINE, |frame| is_of_log(frame, group)).await;
            let frame = frame.unwrap_or_else(|| panic!("nothing after {}, wanted {last}", self.shown.last_seq));
            assert_eq!(frame["data"]["seq"].as_i64().unwrap(), self.shown.last_seq + 1, "{frame}");
            self.shown.take(&frame);
        }
    }
}

/// One who comes back again and again, by a cursor or by what it holds.
#[derive(Default)]
struct Away {
    shown: Shown,
    cursor: Option<Value>,
    is_by_cursor: bool,
    first_seq: i64,
    is_gone: bool,
}

impl Away {
    async fn sync(&mut self, cluster: &Cluster, user: &User, node: usize, group: &str) {
        let request = match &self.cursor {
            _ if !self.is_by_cursor => {
                json!({"conversations": [{"conversation_id": group, "after_seq": self.shown.last_seq}]})
            }
            Some(cursor) => json!({"cursor": cursor}),
            None => json!({}),
        };
        let mut device = user.connect_with_sync(cluster, node, request).await;
        loop {
            let frame = device.find(DEADLINE, |frame| frame["type"] == "sync").await.expect("a sync goes on");
            let data = &frame["data"];
            if frame["action"] == "complete" {
                assert_eq!(data.get("partial"), None);
                self.cursor = data.get("cursor").cloned();
                break;
            }
            if data["conversation_id"] != *group {
                continue;
            }
            if data.get("gone").is_some() {
                self.is_gone = true;
                continue;
            }
            assert_eq!(data["has_gap"], false, "{data}");
            self.first_seq = data["first_seq"].as_i64().unwrap();
            if self.shown.last_seq < self.first_seq - 1 {
                // Left and joined again: what is older is dropped.
                self.shown = Shown { last_seq: self.first_seq - 1, ..Shown::default() };
            }
            for frame in data["frames"].as_array().unwrap() {
                let seq = frame["data"]["seq"].as_i64().unwrap();
                assert!(seq <= self.shown.last_seq + 1, "a hole before {seq}: {data}");
                self.shown.take(frame);
            }
            if data["has_more"] == false {
                assert_eq!(self.shown.last_seq, data["last_seq"].as_i64().unwrap(), "{data}");
            }
        }
        device.close().await;
        device.closed().await;
    }
}

/// Everything that can be done to a group, by one call each.
struct Group<'a> {
    cluster: &'a Cluster,
    id: String,
    calls: usize,
}

impl Group<'_> {
    /// Each call goes to another node than the last.
    async fn call(&mut self, user: &User, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        self.calls += 1;
        let url = format!("{}/api/v1{path}", self.cluster.url(self.calls % 2));
        let answer = user.call(method.clone(), &url, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.body);
        answer.body
    }

    async fn post(&mut self, user: &User, path: &str, body: Value) -> Value {
        let path = format!("/groups/{}{path}", self.id);
        self.call(user, reqwest::Method::POST, &path, Some(body)).await
    }

    async fn say(&mut self, user: &User, content: &str) -> String {
        let body = json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": content});
        self.post(user, "/messages", body).await["message_id"].as_str().unwrap().to_owned()
    }

    async fn react(&mut self, user: &User, message: &str, emoji: &str, add: bool) {
        let method = if add { reqwest::Method::PUT } else { reqwest::Method::DELETE };
        self.call(user, method, &format!("/messages/{message}/reactions/{emoji}"), None).await;
    }

    async fn edit(&mut self, user: &User, message: &str, content: &str) {
        let body = json!({"content": content});
        self.call(user, reqwest::Method::PATCH, &format!("/messages/{message}"), Some(body)).await;
    }

    async fn recall(&mut self, user: &User, message: &str) {
        self.call(user, reqwest::Method::POST, &format!("/messages/{message}/recall"), None).await;
    }

    async fn pin(&mut self, user: &User, message: &str, add: bool) {
        let method = if add { reqwest::Method::PUT } else { reqwest::Method::DELETE };
        self.call(user, method, &format!("/messages/{message}/pin"), None).await;
    }

    async fn update(&mut self, user: &User, body: Value) {
        let path = format!("/groups/{}", self.id);
        self.call(user, reqwest::Method::PUT, &path, Some(body)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_before_and_frames_make_the_state_after_for_each_kind_of_entry() {
    const STEPS: usize = 24;
    let cluster = Setup::nodes(2).set("max_messages_per_second", 1_000).start().await;
    let mut people = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        people.push(cluster.user(name).await);
    }
    let [alice, bob, carol, dave] = &people[..] else { unreachable!() };
    let shards = [cluster.databases.shard(0).await, cluster.databases.shard(1).await];
    // Bob is there from before the beginning, on both nodes; alice comes back, and dave comes and goes.
    let mut there = Vec::new();
    for node in 0..2 {
        there.push(There { device: bob.connect(&cluster, node).await, shown: Shown::default() });
    }
    let mut away = [Away { is_by_cursor: true, ..Away::default() }, Away::default()];
    let mut comes_and_goes = [Away { is_by_cursor: true, ..Away::default() }, Away::default()];

    let ids = [bob.id, carol.id, dave.id];
    let made = alice.post(&cluster, 1, "/groups", json!({"name": "first", "members": ids})).await.expect(201);
    let mut group = Group { cluster: &cluster, id: made["id"].as_str().unwrap().to_owned(), calls: 0 };
    let id = group.id.clone();
    let (mut messages, mut last_of_dave) = (Vec::new(), 0);
    for step in 0..=STEPS {
        let until = "2099-01-01T00:00:00.000Z";
        match step {
            // `created` alone.
            0 => {}
            1 => messages.push(group.say(bob, "one").await),
            2 => messages.push(group.say(carol, "two").await),
            3 => group.edit(bob, &messages[0], "one, edited").await,
            4 => {
                group.react(carol, &messages[0], "👍", true).await;
                group.pin(alice, &messages[0], true).await;
            }
            5 => {
                group.react(dave, &messages[0], "👍", true).await;
                group.react(dave, &messages[1], "🎉", true).await;
            }
            6 => {
                group.react(carol, &messages[0], "👍", false).await;
                group.pin(alice, &messages[1], true).await;
            }
            7 => group.recall(bob, &messages[0]).await,
            8 => {
                group.update(alice, json!({"name": "second"})).await;
                group.pin(alice, &messages[1], false).await;
            }
            9 => group.update(alice, json!({"announcement": "read me", "avatar_url": "https://a.example/1.png"})).await,
            10 => {
                group.update(alice, json!({"muted": true})).await;
                group.pin(alice, &messages[1], true).await;
            }
            11 => group.update(alice, json!({"muted": false, "name": "third"})).await,
            12 => drop(group.post(alice, &format!("/members/{}/role", carol.id), json!({"role": "admin"})).await),
            13 => drop(group.post(carol, &format!("/members/{}/mute", bob.id), json!({"muted_until": until})).await),
            14 => drop(group.post(carol, &format!("/members/{}/mute", bob.id), json!({"muted_until": null})).await),
            15 => drop(group.post(carol, "/members/remove", json!({"user_ids": [dave.id]})).await),
            16 => messages.push(group.say(carol, "without dave").await),
            17 => drop(group.post(alice, "/members", json!({"user_ids": [dave.id]})).await),
            18 => {
                group.edit(carol, &messages[2], "edited when dave was back").await;
                group.pin(carol, &messages[2], true).await;
            }
            19 => messages.push(group.say(dave, "back").await),
            20 => drop(group.post(dave, "/leave", json!({})).await),
            21 => drop(group.post(alice, &format!("/members/{}/role", bob.id), json!({"role": "owner"})).await),
            22 => group.recall(bob, &messages[1]).await,
            23 => {
                let link = group.post(bob, "/invites", json!({})).await;
                let body = json!({"token": link["token"]});
                drop(group.call(dave, reqwest::Method::POST, "/groups/join", Some(body)).await);
                drop(group.post(bob, &format!("/members/{}/role", alice.id), json!({"role": "member"})).await);
            }
            _ => drop(group.call(bob, reqwest::Method::DELETE, &format!("/groups/{id}"), None).await),
        }
        // What a cursor reaches back is not to hide what it misses.
        for shard in &shards {
            burn_transactions(shard, 1_200).await;
        }
        let node = step % 2;
        for away in &mut away {
            away.sync(&cluster, alice, node, &id).await;
        }
        for away in &mut comes_and_goes {
            away.sync(&cluster, dave, node, &id).await;
        }
        let last = away[0].shown.last_seq;
        for there in &mut there {
            there.follow(&id, last).await;
            assert_eq!(there.shown, away[0].shown, "step {step}");
        }
        assert_eq!(away[0].shown, away[1].shown, "step {step}");
        if step == STEPS {
            break;
        }
        let truth = as_it_is(&cluster, bob, &id).await;
        assert_eq!(last, truth.0.last_seq, "step {step}");
        assert_same(&there[0].shown, &truth, &format!("step {step}"));

        // Dave sees up to what took him out, and from what took him in.
        let is_member = truth.0.members.contains_key(&dave.id.to_string());
        if is_member || step == 15 || step == 20 {
            last_of_dave = last;
        }
        for dave_away in &comes_and_goes {
            assert_eq!(dave_away.shown.last_seq, last_of_dave, "step {step}");
            let seen: BTreeMap<i64, Value> = truth
                .0
                .messages
                .range(dave_away.first_seq..=last_of_dave)
                .map(|(seq, content)| (*seq, content.clone()))
                .collect();
            // What was recalled since he left he does not learn.
            if is_member {
                let shown: BTreeMap<_, _> =
                    dave_away.shown.messages.range(dave_away.first_seq..).map(|(a, b)| (*a, b.clone())).collect();
                assert_eq!(shown, seen, "step {step}");
            }
        }
        // Named once more, what was left and is held whole is gone; nobody is told of it by a cursor.
        assert_eq!(comes_and_goes[1].is_gone, matches!(step, 16 | 21 | 22), "step {step}");
        comes_and_goes[1].is_gone = false;
    }
    assert!(there[0].shown.is_over);
    alice.get(&cluster, 0, &format!("/groups/{id}")).await.refused(404, "not_found");
    away[1].sync(&cluster, alice, 0, &id).await;
    assert!(away[1].is_gone);
    eventually("it is in nobody's list", || async {
        alice.get(&cluster, 1, "/groups").await.expect(200)["items"].as_array().unwrap().is_empty()
    })
    .await;
    assert!(there[0].device.has_none("resync", Duration::from_millis(1)).await);
}
