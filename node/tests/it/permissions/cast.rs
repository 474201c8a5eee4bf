//! The people of the matrix, and the things that their requests are about: each is made when a request first names it.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use herald_node::auth::password::{Password, hash_now};
use herald_node::auth::refresh::RefreshToken;
use herald_node::domain::LoginId;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{Answer, User, call};
use crate::support::{Cluster, DEADLINE, eventually};

/// The columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Of the group, of the message, of whatever can be somebody's.
    Owner,
    /// Of the group.
    Admin,
    Member,
    /// Removed from the group.
    Former,
    /// By `owner` and by `peer`.
    Blocked,
    /// Has nothing in common with anybody.
    Stranger,
    /// Is no member, but `peer`'s friend, and has written with `owner`.
    Other,
    /// Is an admin of the group and a system administrator, but disabled, with a token from before.
    Disabled,
    /// Without a token.
    Nobody,
    /// Asks for what was deleted.
    Deleted,
    /// A system administrator, in no group.
    System,
    Moderator,
}

impl Who {
    pub const EACH: [Self; 12] = [
        Self::Owner,
        Self::Admin,
        Self::Member,
        Self::Former,
        Self::Blocked,
        Self::Stranger,
        Self::Other,
        Self::Disabled,
        Self::Nobody,
        Self::Deleted,
        Self::System,
        Self::Moderator,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Former => "former",
            Self::Blocked => "blocked",
            Self::Stranger => "stranger",
            Self::Other => "other",
            Self::Disabled => "disabled",
            Self::Nobody => "nobody",
            Self::Deleted => "deleted",
            Self::System => "system",
            Self::Moderator => "moderator",
        }
    }
}

/// `peer` is a member of the group whom all that is done to somebody is done to; `gone` deletes its account.
const PEOPLE: &[(&str, &[&str])] = &[
    ("owner", &[]),
    ("admin", &[]),
    ("member", &[]),
    ("former", &[]),
    ("blocked", &[]),
    ("stranger", &[]),
    ("other", &[]),
    ("disabled", &["admin"]),
    ("system", &["admin"]),
    ("moderator", &["moderator"]),
    ("peer", &[]),
    ("gone", &["admin"]),
];

/// Everyone has the same password, which is hashed once.
static PASSWORD_HASH: LazyLock<String> =
    LazyLock::new(|| hash_now(&Password::given("a password of the cast")).unwrap());

/// One cast with its things.
pub struct World<'a> {
    pub cluster: &'a Cluster,
    people: HashMap<&'static str, User>,
    refresh_tokens: HashMap<&'static str, String>,
    /// Of the living and of the dead, by name.
    things: HashMap<(String, bool), String>,
}

impl<'a> World<'a> {
    pub async fn new(cluster: &'a Cluster) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = cluster.databases.directory().await;
        let (mut people, mut refresh_tokens) = (HashMap::new(), HashMap::new());
        let sql = "\
            with made as (insert into login (id, user_id, refresh_hash) values ($1, $2, $3))
            insert into account (id, username, username_key, display_name, roles, password_hash)
            values ($2, $4, $4, $4, $5, $6)";
        let statement = directory.prepare(sql).await.unwrap();
        for (name, roles) in PEOPLE {
            let user = User {
                id: Uuid::new_v4(),
                login: Uuid::new_v4(),
                name: format!("{name}-{number}"),
                roles: roles.iter().map(|role| (*role).to_owned()).collect(),
                http: cluster.http.clone(),
            };
            let token = RefreshToken::first(&cluster.app(0).keys, LoginId(user.login)).unwrap();
            let (hash, password) = (token.hash(), PASSWORD_HASH.as_str());
            directory
                .execute(&statement, &[&user.login, &user.id, &hash.as_slice(), &user.name, &user.roles, &password])
                .await
                .unwrap();
            refresh_tokens.insert(*name, token.text());
            people.insert(*name, user);
        }
        Self { cluster, people, refresh_tokens, things: HashMap::new() }
    }

    /// The caller of a column; none is without a token.
    pub fn caller(&self, who: Who) -> Option<&User> {
        match who {
            Who::Nobody => None,
            Who::Deleted => Some(&self.people["gone"]),
            who => Some(&self.people[who.name()]),
        }
    }

    /// Brings about what is said of the caller. After the things are made: who is disabled can be brought into no group.
    pub async fn prepare(&mut self, who: Who) {
        let thing = match who {
            Who::Blocked => "blocked",
            Who::Other => "friendship",
            Who::Disabled => "disabling",
            Who::Deleted => "gone",
            _ => return,
        };
        self.thing(thing, false).await;
    }

    /// The text with its `{words}` replaced by what they stand for, as `who` means them; `dead`: by what was deleted.
    pub async fn fill(&mut self, text: &str, who: Who, dead: bool) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let length = after.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(after.len());
            if length > 0 && after[length..].starts_with('}') {
                filled.push_str(&self.meant(&after[..length], who, dead).await);
                rest = &after[length + 1..];
            } else {
                filled.push('{');
                rest = after;
            }
        }
        filled + rest
    }

    async fn meant(&mut self, word: &str, who: Who, dead: bool) -> String {
        // Without a token anyone's own things are the owner's.
        let own = if dead || who == Who::Deleted { "gone" } else { self.caller(who).map_or("owner", |_| who.name()) };
        if own == "gone" {
            self.thing("gone", false).await;
        }
        match word {
            "free_name" if !dead => format!("free-{}", Uuid::new_v4()),
            "free_name" | "own_name" => self.people[own].name.clone(),
            "refresh_token" => self.refresh_tokens[own].clone(),
            "emoji" => "%F0%9F%91%8D".to_owned(),
            word => self.thing(word, dead).await,
        }
    }

    fn thing<'b>(&'b mut self, name: &'b str, dead: bool) -> LocalBoxFuture<'b, String> {
        Box::pin(async move {
            let dead = dead && !name.starts_with("live_");
            let key = (name.to_owned(), dead);
            if let Some(known) = self.things.get(&key) {
                return known.clone();
            }
            let made = self.make(name, dead).await;
            self.things.insert(key, made.clone());
            made
        })
    }

    async fn make(&mut self, name: &str, dead: bool) -> String {
        match name {
            "gone" => {
                // What was written with it stays.
                self.thing("direct_with_gone", false).await;
                self.person("gone", Method::DELETE, "/users/me", json!(null)).await.expect(204);
                self.await_refusal("gone").await;
                self.people["gone"].id.to_string()
            }
            "peer" | "asker" | "moderator" | "system" if dead => self.thing("gone", false).await,
            "asker" => {
                self.person("peer", Method::POST, "/friends/request", json!({"user_id": self.id("owner")}))
                    .await
                    .expect(201);
                self.id("peer")
            }
            "blocked" => {
                // Before the block they could write.
                self.thing("quarrel_message", false).await;
                self.thing("quarrel_message", true).await;
                for blocker in ["owner", "peer"] {
                    let body = json!({"user_id": self.id("blocked")});
                    self.person(blocker, Method::POST, "/relationships/block", body).await.expect(204);
                }
                self.id("blocked")
            }
            "friendship" => {
                let asked = json!({"user_id": self.id("peer")});
                self.person("other", Method::POST, "/friends/request", asked).await.expect(201);
                let path = format!("/friends/{}/accept", self.id("other"));
                self.person("peer", Method::POST, &path, json!(null)).await.expect(200);
                String::new()
            }
            "disabling" => {
                let path = format!("/admin/users/{}", self.id("disabled"));
                self.person("system", Method::PATCH, &path, json!({"disabled": true})).await.expect(200);
                self.await_refusal("disabled").await;
                String::new()
            }
            "group" | "live_group" | "muted_group" => self.make_group(name, dead).await,
            "message" | "admin_message" | "member_message" => {
                let group = self.thing("live_group", false).await;
                let sender = name.strip_suffix("_message").unwrap_or("owner").to_owned();
                self.make_message(&sender, &group, dead).await
            }
            "direct_message" => {
                let direct = self.thing("live_direct", false).await;
                self.make_message("owner", &direct, dead).await
            }
            "quarrel_message" => {
                let quarrel = self.make_direct("owner", "blocked").await;
                self.things.insert(("quarrel".to_owned(), false), quarrel.clone());
                self.make_message("blocked", &quarrel, dead).await
            }
            "quarrel" if !dead => {
                self.thing("blocked", false).await;
                self.things[&("quarrel".to_owned(), false)].clone()
            }
            "direct" | "live_direct" if !dead => self.make_direct("owner", "other").await,
            "direct_with_gone" => self.make_direct("owner", "gone").await,
            "direct" | "quarrel" => {
                self.thing("gone", false).await;
                self.thing("direct_with_gone", false).await
            }
            "invite" | "invite_token" => self.make_invite(name, dead).await,
            "session" => self.make_login(dead).await,
            "notification" => {
                let body = json!({"user_ids": [self.id("owner")], "title": "T", "content": "C"});
                let path = "/admin/notifications";
                let made = self.person("system", Method::POST, path, body).await.expect(201)["id"].clone();
                self.then_deleted("owner", "/notifications", &made, dead).await
            }
            "template" => {
                let body = json!({"name": Uuid::new_v4(), "title": "T", "content": "C"});
                let path = "/admin/notification-templates";
                let made = self.person("system", Method::POST, path, body).await.expect(201)["id"].clone();
                self.then_deleted("system", path, &made, dead).await
            }
            "subscription" => {
                let body = json!({"consumer": "alert", "pattern": format!("user.status.online.{}", Uuid::new_v4())});
                let path = "/admin/subscriptions";
                let made = self.person("system", Method::POST, path, body).await.expect(201)["id"].clone();
                self.then_deleted("system", path, &made, dead).await
            }
            "setting" => if dead { "no_such_setting" } else { "edit_window_s" }.to_owned(),
            person => self.id(person),
        }
    }

    async fn make_group(&mut self, name: &str, dead: bool) -> String {
        let members = ["admin", "member", "former", "disabled", "peer"].map(|member| self.id(member));
        let body = json!({"name": "Group", "members": members});
        let group = text(&self.person("owner", Method::POST, "/groups", body).await.expect(201)["id"]);
        for admin in ["admin", "disabled"] {
            let path = format!("/groups/{group}/members/{}/role", self.id(admin));
            self.person("owner", Method::POST, &path, json!({"role": "admin"})).await.expect(200);
        }
        let path = format!("/groups/{group}/members/{}", self.id("former"));
        self.person("owner", Method::DELETE, &path, json!(null)).await.expect(204);
        let path = format!("/groups/{group}");
        if name == "muted_group" {
            self.person("owner", Method::PUT, &path, json!({"muted": true})).await.expect(200);
        }
        if dead {
            self.person("owner", Method::DELETE, &path, json!(null)).await.expect(204);
        }
        group
    }

    /// In which both have written.
    async fn make_direct(&self, one: &str, other: &str) -> String {
        let path = format!("/messages/{}", self.id(other));
        let sent = self.person(one, Method::POST, &path, message()).await.expect(201);
        let path = format!("/messages/{}", self.id(one));
        self.person(other, Method::POST, &path, message()).await.expect(201);
        text(&sent["conversation_id"])
    }

    /// A dead one is recalled.
    async fn make_message(&self, sender: &str, conversation: &str, dead: bool) -> String {
        let path = format!("/conversations/{conversation}/messages");
        let id = text(&self.person(sender, Method::POST, &path, message()).await.expect(201)["id"]);
        if dead {
            self.person(sender, Method::POST, &format!("/messages/{id}/recall"), json!(null)).await.expect(200);
        }
        id
    }

    async fn make_invite(&mut self, name: &str, dead: bool) -> String {
        // Of a group that stands: only the link is withdrawn.
        let group = self.thing(if name == "invite" { "group" } else { "live_group" }, dead && name == "invite").await;
        if dead && name == "invite" {
            return Uuid::now_v7().to_string();
        }
        let path = format!("/groups/{group}/invites");
        let made = self.person("owner", Method::POST, &path, json!(null)).await.expect(201);
        if dead {
            let path = format!("{path}/{}", text(&made["id"]));
            self.person("owner", Method::DELETE, &path, json!(null)).await.expect(204);
        }
        text(&made[if name == "invite" { "id" } else { "token" }])
    }

    /// Another login of the owner's; a dead one has ended.
    async fn make_login(&self, dead: bool) -> String {
        let id = Uuid::new_v4();
        let sql = "insert into login (id, user_id, refresh_hash) values ($1, $2, $3)";
        let owner = self.people["owner"].id;
        let directory = self.cluster.databases.directory().await;
        directory.execute(sql, &[&id, &owner, &id.as_bytes().as_slice()]).await.unwrap();
        self.then_deleted("owner", "/auth/sessions", &json!(id), dead).await
    }

    async fn then_deleted(&self, by: &str, path: &str, id: &Value, dead: bool) -> String {
        let id = text(id);
        if dead {
            self.person(by, Method::DELETE, &format!("{path}/{id}"), json!(null)).await.expect(204);
        }
        id
    }

    fn id(&self, name: &str) -> String {
        self.people.get(name).unwrap_or_else(|| panic!("{name} is no word of the matrix")).id.to_string()
    }

    async fn person(&self, name: &str, method: Method, path: &str, body: Value) -> Answer {
        let url = format!("{}/api/v1{path}", self.cluster.url(0));
        self.people[name].call(method, &url, Some(body).filter(|body| !body.is_null())).await
    }

    async fn await_refusal(&self, name: &'static str) {
        eventually("the token is refused", async || {
            self.person(name, Method::GET, "/users/me", json!(null)).await.status == 401
        })
        .await;
    }
}

fn message() -> Value {
    json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": "hello"})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// One request of the matrix; `None` is no token. A WebSocket is asked for as one.
pub async fn ask(cluster: &Cluster, user: Option<&User>, method: &str, path: &str, body: &str) -> Answer {
    let url = format!("{}{path}", cluster.url(0));
    let token = user.map(User::token);
    let is_socket = path.ends_with("/ws") || path.contains("/ws/") || path.ends_with("/realtime");
    if !is_socket {
        let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_str(body).unwrap());
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = call(&cluster.http, method.parse().unwrap(), &url, token.as_deref(), body.clone()).await;
            // Exports of one process are few at once, those of other tests too.
            if answer.status != 503 || !path.ends_with("export") || Instant::now() > deadline {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let mut request = cluster.http.get(&url);
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        request = request.header(name, value);
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.unwrap();
    Answer { status: response.status().as_u16(), headers: response.headers().clone(), body: Value::Null }
}
