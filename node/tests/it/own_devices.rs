//! What a user changes of its own lists is told to all of its devices: friends, requests, blocks, notifications, the profile. And to
//! the other side, where its lists change too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Cluster, Device, User};

/// What a device of a user shows of it, beside conversations.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    friends: BTreeMap<String, Value>,
    /// With their directions.
    requests: BTreeMap<String, Value>,
    blocked: BTreeMap<String, Value>,
    /// Read or not.
    notifications: BTreeMap<String, bool>,
    own: Value,
}

impl Shown {
    fn take(&mut self, frame: &Value) {
        let data = &frame["data"];
        let kind = format!("{}/{}", frame["type"].as_str().unwrap(), frame["action"].as_str().unwrap_or_default());
        match kind.as_str() {
            "notification/" => {
                self.notifications.insert(data["notification_id"].as_str().unwrap().to_owned(), false);
            }
            "notifications/read" if data["all"] == true => {
                self.notifications.values_mut().for_each(|read| *read = true)
            }
            "notifications/read" => {
                for id in data["notification_ids"].as_array().unwrap() {
                    self.notifications.insert(id.as_str().unwrap().to_owned(), true);
                }
            }
            "notifications/deleted" => {
                for id in data["notification_ids"].as_array().unwrap() {
                    self.notifications.remove(id.as_str().unwrap());
                }
            }
            "relationship/updated" => {
                let user = data["user"].clone();
                let id = user["id"].as_str().unwrap().to_owned();
                let put = |list: &mut BTreeMap<String, Value>, value: Option<Value>| match value {
                    Some(value) => drop(list.insert(id.clone(), value)),
                    None => drop(list.remove(&id)),
                };
                put(&mut self.friends, (data["friend"] == true).then(|| user.clone()));
                put(&mut self.requests, Some(data["request"].clone()).filter(|request| !request.is_null()));
                put(&mut self.blocked, (data["blocked"] == true).then_some(user));
            }
            "user/updated" if data["user"]["id"] == self.own["id"] => {
                let mut own = data["user"].clone();
                own["read_receipts"] = data["read_receipts"].clone();
                self.own = own;
            }
            "user/updated" => {
                assert_eq!(data.as_object().unwrap().len(), 1, "others see no settings: {frame}");
                if let Some(friend) = self.friends.get_mut(data["user"]["id"].as_str().unwrap()) {
                    *friend = data["user"].clone();
                }
            }
            "sync/complete" | "status/" | "unread_count_update/" => {}
            other => panic!("{other}: {frame}"),
        }
    }

    async fn of(cluster: &Cluster, user: &User) -> Self {
        let list = async |path: &str| user.get(cluster, 0, path).await.expect(200)["items"].as_array().unwrap().clone();
        let by_user = |items: &[Value], what: &str| {
            let one = |item: &Value| (item["user"]["id"].as_str().unwrap().to_owned(), item[what].clone());
            items.iter().map(one).collect::<BTreeMap<_, _>>()
        };
        let told = |item: &Value| (item["id"].as_str().unwrap().to_owned(), item["read"] == true);
        let mut own = user.get(cluster, 0, "/users/me").await.expect(200);
        for private in ["email", "roles"] {
            own.as_object_mut().unwrap().remove(private);
        }
        Self {
            friends: by_user(&list("/friends").await, "user"),
            requests: by_user(&list("/friends/pending").await, "direction"),
            blocked: by_user(&list("/relationships/blocked").await, "user"),
            notifications: list("/notifications").await.iter().map(told).collect(),
            own,
        }
    }
}

/// A user with a device at the node where nothing is called.
struct There {
    user: User,
    device: Device,
    shown: Shown,
}

impl There {
    async fn new(cluster: &Cluster, name: &str) -> Self {
        let user = cluster.user(name).await;
        let device = user.connect(cluster, 1).await;
        Self { shown: Shown::of(cluster, &user).await, user, device }
    }

    async fn follow(&mut self, cluster: &Cluster, what: &str) {
        let truth = Shown::of(cluster, &self.user).await;
        let begun = Instant::now();
        while self.shown != truth {
            let left = Duration::from_secs(5).saturating_sub(begun.elapsed());
            let frame = self.device.find(left, |_| true).await;
            let Some(frame) = frame else {
                panic!("after {what} a device of {} shows\n{:?}\nand there is\n{truth:?}", self.user.name, self.shown)
            };
            self.shown.take(&frame);
        }
    }

    async fn call(&self, cluster: &Cluster, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}/api/v1{path}", cluster.url(0));
        let answer = self.user.call(method.clone(), &url, Some(body)).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.body);
        answer.body
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_changes_of_its_lists_is_shown_on_all_of_its_devices() {
    let cluster = Cluster::start(2).await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    let mut alice = There::new(&cluster, "alice").await;
    let mut bob = There::new(&cluster, "bob").await;
    let with = |user: &There| json!({"user_id": user.user.id});
    let friend = |user: &There, verb: &str| format!("/friends/{}/{verb}", user.user.id);
    let tell = async |title: &str| {
        let body = json!({"all": true, "type": "custom", "title": title, "content": "you"});
        admin.post(&cluster, 0, "/admin/notifications", body).await.expect(201);
    };
    let steps = [
        "alice asks",
        "bob rejects",
        "alice asks again",
        "alice takes it back",
        "bob asks",
        "alice accepts",
        "alice changes her name",
        "alice hides positions",
        "bob ends it",
        "alice asks a third time",
        "bob asks back",
        "alice blocks",
        "alice unblocks",
        "alice is told",
        "alice reads one",
        "alice reads it again",
        "alice is told more",
        "alice reads all",
        "alice deletes one",
    ];
    for step in steps {
        let first = alice.shown.notifications.keys().next().cloned().unwrap_or_default();
        match step {
            "alice asks" | "alice asks again" | "alice asks a third time" => {
                alice.call(&cluster, Method::POST, "/friends/request", with(&bob)).await
            }
            "bob asks" | "bob asks back" => bob.call(&cluster, Method::POST, "/friends/request", with(&alice)).await,
            "bob rejects" => bob.call(&cluster, Method::POST, &friend(&alice, "reject"), json!({})).await,
            "alice takes it back" => {
                let path = format!("/friends/{}", bob.user.id);
                alice.call(&cluster, Method::DELETE, &path, json!({})).await
            }
            "alice accepts" => alice.call(&cluster, Method::POST, &friend(&bob, "accept"), json!({})).await,
            "alice changes her name" => {
                let body = json!({"display_name": "Alice A.", "status_text": "here"});
                alice.call(&cluster, Method::PATCH, "/users/me", body).await
            }
            "alice hides positions" => {
                alice.call(&cluster, Method::PATCH, "/users/me", json!({"read_receipts": false})).await
            }
            "bob ends it" => {
                let path = format!("/friends/{}", alice.user.id);
                bob.call(&cluster, Method::DELETE, &path, json!({})).await
            }
            "alice blocks" => alice.call(&cluster, Method::POST, "/relationships/block", with(&bob)).await,
            "alice unblocks" => alice.call(&cluster, Method::POST, "/relationships/unblock", with(&bob)).await,
            "alice is told" | "alice is told more" => {
                tell(step).await;
                json!({})
            }
            "alice reads one" | "alice reads it again" => {
                alice.call(&cluster, Method::POST, &format!("/notifications/{first}/read"), json!({})).await
            }
            "alice reads all" => alice.call(&cluster, Method::POST, "/notifications/read-all", json!({})).await,
            "alice deletes one" => {
                alice.call(&cluster, Method::DELETE, &format!("/notifications/{first}"), json!({})).await
            }
            other => panic!("{other}"),
        };
        alice.follow(&cluster, step).await;
        bob.follow(&cluster, step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_is_not_told_and_who_was_a_friend_sees_only_that_this_has_ended() {
    let cluster = Cluster::start(2).await;
    let mut alice = There::new(&cluster, "alice").await;
    let mut bob = There::new(&cluster, "bob").await;
    let with_bob = json!({"user_id": bob.user.id});
    alice.call(&cluster, Method::POST, "/relationships/block", with_bob.clone()).await;
    alice.call(&cluster, Method::POST, "/relationships/unblock", with_bob.clone()).await;
    for _ in 0..2 {
        let told = alice.device.expect("relationship/updated").await;
        assert_eq!(told["data"]["user"]["id"], json!(bob.user.id));
    }
    alice.call(&cluster, Method::POST, "/friends/request", with_bob.clone()).await;
    bob.call(&cluster, Method::POST, &format!("/friends/{}/accept", alice.user.id), json!({})).await;
    alice.call(&cluster, Method::POST, "/relationships/block", with_bob).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(bob.device.expect("relationship/updated").await["data"].clone());
    }
    let shown = |data: &Value| json!([data["friend"], data["request"], data["blocked"]]);
    let told: Vec<Value> = told.iter().map(shown).collect();
    assert_eq!(told, [json!([false, "incoming", false]), json!([true, null, false]), json!([false, null, false])]);
    assert!(bob.device.has_none("relationship/updated", Duration::from_millis(300)).await);
    let nobody = json!({"user_id": Uuid::new_v4()});
    alice.user.post(&cluster, 0, "/relationships/block", nobody).await.refused(404, "not_found");
}
