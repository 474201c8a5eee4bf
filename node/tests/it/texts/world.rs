//! Whose texts they are, and what they are about.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Cluster, Setup, User};

pub struct World {
    pub cluster: Cluster,
    pub me: User,
    pub peer: User,
    group: String,
    other_group: String,
    message: String,
    template: String,
    fills: AtomicU32,
}

impl World {
    pub async fn new() -> Self {
        let cluster = Setup::nodes(1)
            .set("max_messages_per_second", 1_000_000)
            .set("max_connections_per_user", 1_000)
            .set("enable_first_message_limit", false)
            .set("friend_requests_per_hour", 10_000)
            .set("group_joins_per_minute_per_user", 0)
            .start()
            .await;
        let (me, peer) = (cluster.user_with_roles("me", &["admin"]).await, cluster.user("peer").await);
        let none = String::new;
        let mut world = Self {
            cluster,
            me,
            peer,
            group: none(),
            other_group: none(),
            message: none(),
            template: none(),
            fills: AtomicU32::new(0),
        };
        world.group = world.make("/groups", json!({"name": "G"})).await;
        world.other_group = world.make("/groups", json!({"name": "G"})).await;
        let body = json!({"temp_id": "1", "message_type": "text", "content": "x"});
        world.message = world.make(&format!("/messages/{}", world.peer.id), body).await;
        let path = "/admin/notification-templates";
        world.make(path, json!({"name": "filled", "title": "x", "content": "{{word}}"})).await;
        world.template = world.make(path, json!({"name": "other", "title": "x", "content": "x"})).await;
        world
    }

    async fn make(&self, path: &str, body: Value) -> String {
        self.me.post(&self.cluster, 0, path, body).await.expect(201)["id"].as_str().unwrap().to_owned()
    }

    /// With the world's things; `…` is the one prefix of groups and the other by turns.
    pub async fn fill(&self, text: &str) -> String {
        let is_even = self.fills.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        let mut text = text
            .replace('…', if is_even { "/groups" } else { "/conversations" })
            .replace("{me}", &self.me.id.to_string())
            .replace("{peer}", &self.peer.id.to_string())
            .replace("{group}", &self.group)
            .replace("{other_group}", &self.other_group)
            .replace("{message}", &self.message)
            .replace("{template}", &self.template)
            .replace("{token}", &self.me.token())
            .replace("{free}", &Uuid::new_v4().simple().to_string());
        if text.contains("{stranger}") {
            let stranger = self.cluster.user(&Uuid::new_v4().to_string()).await;
            text = text.replace("{stranger}", &stranger.id.to_string());
        }
        text
    }
}
