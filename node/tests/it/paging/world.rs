//! The reader of all lists, and how items come into them and go.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_postgres::Client;
use uuid::Uuid;

use super::table::{List, Order};
use crate::support::Cluster;
use crate::support::client::{Answer, User};

/// What a list has.
#[derive(Clone, Copy, Debug)]
pub enum Items {
    /// Rows of the directory, or of the shard of the group.
    Rows {
        insert: &'static str,
        delete: &'static str,
        of_group: bool,
    },
    /// Groups and direct ones.
    Conversation,
    Group,
    Message {
        to: &'static str,
        content: &'static str,
    },
    Pin,
    Nothing,
}

/// An item that a test has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub id: String,
    /// It stands before all with a greater one.
    pub rank: i64,
}

pub struct World<'a> {
    pub cluster: &'a Cluster,
    pub reader: User,
    /// May see all that the reader may.
    pub other: User,
    group: Uuid,
    peer: Uuid,
    /// The reader's, in the group.
    message: String,
    directory: Client,
    shards: Vec<Client>,
    began_at: OffsetDateTime,
    count: i64,
    fills: AtomicU32,
}

impl<'a> World<'a> {
    pub async fn new(cluster: &'a Cluster) -> Self {
        let reader = cluster.user_with_roles("reader", &["admin"]).await;
        let other = cluster.user_with_roles("other", &["admin"]).await;
        let peer = cluster.user("peer").await.id;
        let made = reader.post(cluster, 0, "/groups", json!({"name": "G", "members": [other.id]})).await.expect(201);
        let group: Uuid = made["id"].as_str().unwrap().parse().unwrap();
        let role = format!("/groups/{group}/members/{}/role", other.id);
        reader.post(cluster, 0, &role, json!({"role": "admin"})).await.expect(200);
        let mut shards = Vec::new();
        for shard in 0..cluster.databases.shards.len() {
            shards.push(cluster.databases.shard(shard).await);
        }
        let directory = cluster.databases.directory().await;
        let began_at = OffsetDateTime::now_utc();
        let (message, count, fills) = (String::new(), 0, AtomicU32::new(0));
        let mut world =
            Self { cluster, reader, other, group, peer, message, directory, shards, began_at, count, fills };
        world.message = world.say("/groups/{group}/messages", "seen by all").await;
        world
    }

    /// The path with the world's things; whichever prefix of groups is asked for, the list is the same.
    pub fn fill(&self, path: &str) -> String {
        let is_even = self.fills.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        let prefix = if is_even { "/groups" } else { "/conversations" };
        path.replace('…', prefix)
            .replace("{group}", &self.group.to_string())
            .replace("{peer}", &self.peer.to_string())
            .replace("{message}", &self.message)
    }

    pub async fn get(&self, path: &str) -> Answer {
        let path = self.fill(path);
        self.reader.get(self.cluster, 0, &path).await
    }

    /// A new item. Where its place is not its rank's, it is before or after all others.
    pub async fn add(&mut self, list: &List, rank: u8) -> Made {
        self.count += 1;
        let at = self.began_at - time::Duration::seconds(i64::from(rank));
        let mut bytes = Uuid::new_v4().into_bytes();
        bytes[0] = if list.order == Order::ByFallingId { 255 - rank } else { rank };
        let id = Uuid::from_bytes(bytes);
        let made = match list.items {
            Items::Rows { insert, of_group, .. } => {
                self.add_row(insert, of_group, id, at).await;
                id.to_string()
            }
            // The first are groups, since groups can be dissolved.
            Items::Group => self.add_group(at).await,
            Items::Conversation if rank <= 64 => self.add_group(at).await,
            Items::Conversation => {
                self.add_account(id).await;
                let sent = self.send(&format!("/messages/{id}"), "hello").await;
                self.move_conversation(&sent["conversation_id"], at).await
            }
            Items::Message { to, content } => self.say(to, content).await,
            Items::Pin => {
                let message = self.say("/groups/{group}/messages", "pinned").await;
                self.call(Method::PUT, &format!("/messages/{message}/pin")).await.expect(200);
                message
            }
            Items::Nothing => panic!("nothing can be added to {}", list.path),
        };
        let rank = match list.order {
            Order::Front => -self.count,
            Order::Back => self.count,
            _ => i64::from(rank),
        };
        Made { id: made, rank }
    }

    pub async fn remove(&self, list: &List, id: &str) {
        match list.items {
            Items::Rows { delete, of_group, .. } if !delete.is_empty() => {
                let of = if of_group { self.group } else { self.reader.id };
                let id: Uuid = id.parse().unwrap();
                let removed = self.database(of_group).execute(delete, &[&id, &of]).await.unwrap();
                assert_eq!(removed, 1, "{id} of {}", list.path);
            }
            Items::Group => drop(self.call(Method::DELETE, &format!("/groups/{id}")).await.expect(204)),
            Items::Conversation => drop(self.call(Method::DELETE, &format!("/conversations/{id}")).await.expect(204)),
            Items::Message { .. } => drop(self.call(Method::DELETE, &format!("/messages/{id}")).await.expect(204)),
            Items::Pin => drop(self.call(Method::DELETE, &format!("/messages/{id}/pin")).await.expect(204)),
            Items::Rows { .. } | Items::Nothing => {}
        }
    }

    /// Many at once, wherever they stand.
    pub async fn add_many(&self, list: &List, count: u8) {
        match list.items {
            Items::Rows { insert, of_group, .. } => {
                let at = |rank| self.began_at - time::Duration::seconds(i64::from(rank));
                let add = |rank| self.add_row(insert, of_group, Uuid::new_v4(), at(rank));
                join_all((0..count).map(add)).await;
            }
            Items::Message { to, content } => {
                let to = self.fill(to);
                let send = |_| self.send(&to, content);
                join_all((0..count).map(send)).await;
            }
            _ => {}
        }
    }

    fn database(&self, of_group: bool) -> &Client {
        if !of_group {
            return &self.directory;
        }
        let group = herald_node::domain::ConversationId(self.group);
        let shard = self.cluster.app(0).shards.of(group).unwrap().id.0;
        &self.shards[usize::from(shard)]
    }

    async fn add_row(&self, insert: &str, of_group: bool, id: Uuid, at: OffsetDateTime) {
        self.add_account(id).await;
        let of = if of_group { self.group } else { self.reader.id };
        self.database(of_group).execute(insert, &[&id, &at, &of]).await.unwrap();
    }

    /// Who has this id; named so that names are in the order of ids.
    async fn add_account(&self, id: Uuid) {
        let sql = "insert into account (id, username, username_key, display_name)
                   values ($1::uuid, 'paged-' || $1::uuid::text, 'paged-' || $1::uuid::text, 'x')";
        self.directory.execute(sql, &[&id]).await.unwrap();
    }

    async fn add_group(&self, at: OffsetDateTime) -> String {
        let made = self.reader.post(self.cluster, 0, "/groups", json!({"name": "G"})).await.expect(201);
        self.move_conversation(&made["id"], at).await
    }

    /// Lets a conversation's last entry be of another time.
    async fn move_conversation(&self, id: &Value, at: OffsetDateTime) -> String {
        let id: Uuid = id.as_str().unwrap().parse().unwrap();
        let sql = "update conversation set last_created_at = $2 where id = $1";
        let mut moved = 0;
        for shard in &self.shards {
            moved += shard.execute(sql, &[&id, &at]).await.unwrap();
        }
        assert_eq!(moved, 1);
        id.to_string()
    }

    async fn say(&self, to: &str, content: &str) -> String {
        let to = self.fill(to);
        self.send(&to, content).await["id"].as_str().unwrap().to_owned()
    }

    async fn send(&self, path: &str, content: &str) -> Value {
        let body = json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": content});
        self.reader.post(self.cluster, 0, path, body).await.expect(201)
    }

    async fn call(&self, method: Method, path: &str) -> Answer {
        self.reader.call(method, &format!("{}/api/v1{path}", self.cluster.url(0)), None).await
    }
}
