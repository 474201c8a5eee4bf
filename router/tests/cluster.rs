//! The same over a Redis Cluster of three primaries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Node, RedisServer, free_port, until};
use herald_router::{BootId, Event, NodeId, RouterConfig, RoutesGoneReason, SessionId};
use tokio::time::sleep;
use uuid::Uuid;

struct Cluster {
    servers: Vec<RedisServer>,
}

impl Cluster {
    async fn start() -> Self {
        let mut servers = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            let args = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
            servers.push((RedisServer::start_with(&args).await, bus));
        }
        let ranges = ["0 5460", "5461 10922", "10923 16383"];
        for ((server, _), range) in servers.iter().zip(ranges) {
            server.run(&format!("CLUSTER ADDSLOTSRANGE {range}")).await;
            let (first, bus) = &servers[0];
            server.run(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", first.port())).await;
        }
        for (server, _) in &servers {
            until("the cluster is whole", async || {
                let info: String =
                    redis::cmd("CLUSTER").arg("INFO").query_async(&mut server.client().await).await.unwrap();
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
            .await;
        }
        // Every node must know every slot before clients ask one of them.
        sleep(Duration::from_millis(500)).await;
        Self { servers: servers.into_iter().map(|(server, _)| server).collect() }
    }

    async fn node(&self, name: &str) -> Node {
        let mut config = RouterConfig::new("", NodeId::parse(name).unwrap());
        config.urls = self.servers.iter().map(RedisServer::url).collect();
        Node::start(config).await
    }
}

#[tokio::test]
async fn all_of_it_works_on_a_cluster() {
    let cluster = Cluster::start().await;
    let one = cluster.node("node-1").await;
    let mut two = cluster.node("node-2").await;
    until("seen", async || one.router.live_boots().len() == 2 && two.router.live_boots().len() == 2).await;

    // Routes of users on all servers, in one call.
    let held: Vec<(Uuid, SessionId, i64)> = (0..200).map(|_| (Uuid::new_v4(), SessionId::random(), 1)).collect();
    let users: Vec<Uuid> = held.iter().map(|(user, ..)| *user).collect();
    assert_eq!(one.router.restore(&held, 3).await.unwrap().put_back.len(), 200);
    let found = two.router.routes(&users).await.unwrap();
    for (routes, (_, session, _)) in found.iter().zip(&held) {
        assert_eq!(routes.iter().map(|route| route.session).collect::<Vec<_>>(), [*session]);
    }
    for number in 0..3 {
        two.router.register(users[0], SessionId::random(), 10 + number, 3).await.unwrap();
    }
    assert_eq!(one.router.routes(&users[..1]).await.unwrap()[0].len(), 3);
    assert_eq!(one.router.unregister(users[1], held[1].1).await.unwrap(), []);
    assert_eq!(two.router.users_of(one.router.boot()).await.unwrap().len(), 199);

    // The bus, in order, with a stale destination between.
    let (to, ghost) = (two.router.boot(), BootId::random());
    let sending = (0..300).map(|number| {
        let sender = one.router.clone();
        async move { sender.publish(vec![(to, format!("{number}").into()), (ghost, "x".into())]).await }
    });
    for published in futures_util::future::join_all(sending).await {
        assert_eq!((published.taken, published.stale), (1, vec![ghost]));
    }
    for number in 0..300 {
        assert_eq!(two.next_delivery().await.1, format!("{number}"));
    }
    one.router.hint("change");
    two.next_is("the hint", |event| matches!(event, Event::Hint { .. })).await;

    // The small things.
    assert!(one.router.use_once(Uuid::new_v4(), Duration::from_secs(5)).await.unwrap());
    assert_eq!(one.router.take("send:a", 10.0, 10.0, 3).await.unwrap().granted, 3);
    let lock = one.router.try_lock("a", Duration::from_secs(5)).await.unwrap().unwrap();
    assert!(one.router.renew_lock(&lock, Duration::from_secs(5), "1").await.unwrap());
    one.router.set_status(users[5], "away").await.unwrap();
    let statuses = two.router.get_status(&users).await.unwrap();
    assert_eq!(statuses.iter().flatten().collect::<Vec<_>>(), ["away"]);

    for _ in 0..4 {
        assert!(one.router.is_up() && two.router.is_up());
        sleep(Duration::from_millis(500)).await;
    }
    // One server is emptied: whatever was on it is noticed at the latest by what it held of a node.
    let inbox = format!("herald:inbox:{{{}}}", two.router.boot());
    for server in &cluster.servers {
        let mut client = server.client().await;
        let _ = redis::cmd("DEL").arg(&inbox).exec_async(&mut client).await;
    }
    let event = two.next_is("the loss", |event| matches!(event, Event::RoutesGone { .. })).await;
    assert!(matches!(event, Event::RoutesGone { reason: RoutesGoneReason::RedisLostData, .. }));
    one.router.shutdown().await;
    two.next_is("it leaves", |event| matches!(event, Event::BootLeft { .. })).await;
}

#[tokio::test]
async fn a_server_of_a_cluster_that_restarts_empty_is_a_loss_wherever_the_lease_is() {
    let mut cluster = Cluster::start().await;
    let mut one = cluster.node("node-1").await;
    one.next_is("up", |event| matches!(event, Event::Up)).await;
    for index in 0..cluster.servers.len() {
        cluster.servers[index].kill().await;
        cluster.servers[index].launch().await;
        let event = one.next_is("the loss", |event| matches!(event, Event::RoutesGone { .. })).await;
        assert!(matches!(event, Event::RoutesGone { reason: RoutesGoneReason::RedisLostData, .. }));
        until("it goes on", async || {
            one.router.is_up() && one.router.restore(&[(Uuid::new_v4(), SessionId::random(), 1)], 3).await.is_ok()
        })
        .await;
    }
}
