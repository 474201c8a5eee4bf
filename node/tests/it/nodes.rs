//! Nodes come, answer, and leave in good order.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Cluster;

#[tokio::test]
async fn nodes_answer_on_both_ports_and_leave() {
    let mut cluster = Cluster::start(2).await;
    let alice = cluster.user("alice").await;
    let me = alice.get(&cluster, 1, "/users/me").await.expect(200);
    assert_eq!((&me["id"], &me["username"]), (&json!(alice.id), &json!("alice")));

    for url in [cluster.url(0), cluster.internal_url(1)] {
        for path in ["livez", "readyz", "health"] {
            assert_eq!(reqwest::get(format!("{url}/{path}")).await.unwrap().status(), 200, "{url}/{path}");
        }
    }
    let health: serde_json::Value =
        reqwest::get(format!("{}/health", cluster.url(0))).await.unwrap().json().await.unwrap();
    for name in ["directory", "shard-1", "shard-2", "redis"] {
        assert_eq!(health["dependencies"][name]["status"], "up", "{health}");
    }
    let metrics = reqwest::get(format!("{}/metrics", cluster.internal_url(0))).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("herald_http_requests_total"), "{metrics}");
    assert_eq!(reqwest::get(format!("{}/metrics", cluster.url(0))).await.unwrap().status(), 404, "not for clients");

    let begun = Instant::now();
    cluster.stop(0).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    alice.get(&cluster, 1, "/users/me").await.expect(200);
    cluster.start_again(0).await;
    alice.get(&cluster, 0, "/users/me").await.expect(200);
}
