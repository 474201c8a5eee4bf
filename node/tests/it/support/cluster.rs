//! Nodes in this process: real applications with real sockets, over databases and a key prefix of their own.

use std::sync::Arc;
use std::time::Duration;

use herald_node::app::App;
use herald_node::config::{Config, Key};
use herald_node::run::Node;
use herald_node::storage::provision;
use uuid::Uuid;

use super::client::User;
use super::databases::Databases;
use super::services::{self, services};

pub const SECRET: &str = "a secret of tests, and of tests only";
pub const KID: &str = "test";

/// What a cluster is made with: `Setup::nodes(3).set("recall_window_s", 1).start().await`.
pub struct Setup {
    nodes: usize,
    shards: u16,
    redis_url: Option<String>,
    directory_url: Option<String>,
    shard_urls: Option<Vec<String>>,
    configure: Vec<Box<dyn Fn(&mut Config) + Send + Sync>>,
}

impl Setup {
    pub fn nodes(nodes: usize) -> Self {
        Self { nodes, shards: 2, redis_url: None, directory_url: None, shard_urls: None, configure: Vec::new() }
    }

    pub fn shards(mut self, shards: u16) -> Self {
        self.shards = shards;
        self
    }

    /// A Redis of the test's own, to be killed: see `OwnRedis`.
    pub fn redis(mut self, url: &str) -> Self {
        self.redis_url = Some(url.to_owned());
        self
    }

    /// A directory behind another address, such as a server of the test's own.
    pub fn directory_url(mut self, url: &str) -> Self {
        self.directory_url = Some(url.to_owned());
        self
    }

    /// Shards behind other addresses, in their order.
    pub fn shard_urls(mut self, urls: &[String]) -> Self {
        self.shard_urls = Some(urls.to_vec());
        self
    }

    /// A run-time setting's initial value.
    pub fn set(self, name: &'static str, value: impl Into<toml::Value>) -> Self {
        let value = value.into();
        self.configure(move |config| {
            config.settings.insert(name.to_owned(), value.clone());
        })
    }

    pub fn configure(mut self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.configure.push(Box::new(change));
        self
    }

    pub async fn start(self) -> Cluster {
        let databases = Databases::new(self.shards).await;
        let key_prefix = format!("t{}:", services::unique());
        // Nodes close connections on which no request comes for 5 s; one that is just being closed is not to be used again.
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(2)).build().unwrap();
        let mut cluster = Cluster { nodes: Vec::new(), databases, key_prefix, http, setup: self };
        for index in 0..cluster.setup.nodes {
            let node = cluster.start_node(index).await;
            cluster.nodes.push(Some(node));
        }
        cluster
    }
}

pub struct Cluster {
    nodes: Vec<Option<Node>>,
    pub databases: Databases,
    pub key_prefix: String,
    pub http: reqwest::Client,
    setup: Setup,
}

impl Cluster {
    /// Nodes over two shards.
    pub async fn start(nodes: usize) -> Self {
        Setup::nodes(nodes).start().await
    }

    /// The configuration of a node; the first is 0.
    pub fn config(&self, index: usize) -> Config {
        let mut config = Config {
            node_id: format!("node-{}", index + 1),
            listen: "127.0.0.1:0".to_owned(),
            internal_listen: "127.0.0.1:0".to_owned(),
            drain_s: 1,
            is_development: true,
            ..Config::default()
        };
        config.auth.keys.push(Key {
            kid: KID.to_owned(),
            algorithm: "HS256".to_owned(),
            secret: SECRET.to_owned(),
            ..Key::default()
        });
        config.directory.url = self.setup.directory_url.clone().unwrap_or_else(|| self.databases.directory_url.clone());
        config.directory.pool_size = 4;
        config.shards.clone_from(&self.databases.shards);
        if let Some(urls) = &self.setup.shard_urls {
            for (shard, url) in config.shards.iter_mut().zip(urls) {
                shard.url.clone_from(url);
            }
        }
        config.redis.urls = vec![self.setup.redis_url.clone().unwrap_or_else(|| services().redis.url())];
        config.redis.key_prefix.clone_from(&self.key_prefix);
        for change in &self.setup.configure {
            change(&mut config);
        }
        config.prepare().unwrap()
    }

    async fn start_node(&self, index: usize) -> Node {
        Node::start(self.config(index)).await.unwrap()
    }

    /// Starts a node that was stopped, under the same name.
    pub async fn start_again(&mut self, index: usize) {
        assert!(self.nodes[index].is_none(), "node {index} runs");
        let node = self.start_node(index).await;
        self.nodes[index] = Some(node);
    }

    /// Stops a node in good order.
    pub async fn stop(&mut self, index: usize) {
        self.nodes[index].take().expect("the node runs").shutdown().await;
    }

    pub fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().expect("the node runs")
    }

    pub fn app(&self, index: usize) -> &Arc<App> {
        &self.node(index).app
    }

    pub fn url(&self, index: usize) -> String {
        format!("http://{}", self.node(index).address)
    }

    pub fn internal_url(&self, index: usize) -> String {
        format!("http://{}", self.node(index).internal_address)
    }

    pub fn ws_url(&self, index: usize) -> String {
        format!("ws://{}/ws", self.node(index).address)
    }

    /// A new account, without a password, with a login and tokens made here.
    pub async fn user(&self, name: &str) -> User {
        self.user_with_roles(name, &[]).await
    }

    pub async fn user_with_roles(&self, name: &str, roles: &[&str]) -> User {
        let (id, login) = (Uuid::new_v4(), Uuid::new_v4());
        let directory = provision::connect(&self.config(0).directory.url).await.unwrap();
        directory
            .execute(
                "insert into account (id, username, username_key, display_name, roles) values ($1, $2, $2, $2, $3)",
                &[&id, &name, &roles],
            )
            .await
            .unwrap();
        directory
            .execute(
                "insert into login (id, user_id, refresh_hash) values ($1, $2, $3)",
                &[&login, &id, &login.as_bytes().as_slice()],
            )
            .await
            .unwrap();
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        User { id, login, name: name.to_owned(), roles, http: self.http.clone() }
    }
}
