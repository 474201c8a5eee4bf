//! `herald dev` as a real process with real children.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::dev::{DevCluster, herald, is_alive, signal_process};
use crate::support::{DEADLINE, eventually_within, services};

#[tokio::test]
async fn a_cluster_starts_shows_what_ends_starts_it_again_and_stops() {
    let cluster = DevCluster::start(&["--set", "drain_s=1"]).await;
    let file = cluster.file();
    assert_eq!(file["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(file["postgres"]["shards"].as_array().unwrap().len(), 2);
    assert!(file["jwt_secret"].as_str().unwrap().len() >= 32);
    for name in ["node-1", "node-2", "redis", "postgres"] {
        assert!(cluster.process(name)["exit_code"].is_null());
        assert!(is_alive(cluster.process_id(name)), "{name}");
    }

    // What is killed stays dead, and that shows at once.
    let first = cluster.process_id("node-2");
    cluster.signal("node-2", Signal::KILL);
    let killed = Instant::now();
    assert_eq!(cluster.ended("node-2").await, 137);
    assert!(killed.elapsed() < Duration::from_millis(500), "{:?}", killed.elapsed());
    assert!(!is_alive(first));
    assert!(cluster.process("node-1")["exit_code"].is_null());

    let restarted = cluster.restart("node-2").await;
    assert!(restarted.status.success(), "{restarted:?}");
    assert_ne!(cluster.process_id("node-2"), first);
    assert!(cluster.process("node-2")["exit_code"].is_null());
    let ready = reqwest::get(format!("{}/readyz", cluster.process("node-2")["internal_url"].as_str().unwrap())).await;
    assert_eq!(ready.unwrap().status(), 200);

    // Servers too, killed or not.
    cluster.kill("redis").await;
    assert!(cluster.restart("redis").await.status.success());
    cluster.kill("postgres").await;
    assert!(cluster.restart("postgres").await.status.success());
    let before = cluster.process_id("postgres");
    assert!(cluster.restart("postgres").await.status.success());
    assert_ne!(cluster.process_id("postgres"), before);

    let unknown = cluster.restart("node-7").await;
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("node-1"), "it says what there is");

    let (data_dir, port) = (cluster.data_dir.clone(), cluster.port);
    let pids: Vec<u32> =
        ["node-1", "node-2", "redis", "postgres"].iter().map(|name| cluster.process_id(name)).collect();
    assert_eq!(cluster.stop().await, 0);
    assert!(!data_dir.join("cluster.json").exists());
    assert!(pids.into_iter().all(|pid| !is_alive(pid)));

    // The second start finds all it needs.
    let begun = Instant::now();
    let cluster = DevCluster::start_in(&data_dir, port, &[]).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(cluster.file()["jwt_secret"], file["jwt_secret"], "tokens outlive a restart");
}

#[tokio::test]
async fn two_clients_on_different_nodes_talk_also_after_one_node_was_killed() {
    let cluster = DevCluster::start(&["--set", "drain_s=1"]).await;
    let (alice, bob) = (cluster.login(0, "alice").await, cluster.login(1, "bob").await);
    let mut at_first = alice.connect(&cluster, 0).await;
    let mut at_second = bob.connect(&cluster, 1).await;
    let sent = at_first.say(bob.id, "hi").await;
    let got = at_second.next_message().await;
    assert_eq!((&got["content"], &got["message_id"], &got["seq"]), (&json!("hi"), &sent["message_id"], &json!(1)));
    at_second.say(alice.id, "hello").await;
    assert_eq!(at_first.next_message().await["seq"], 2);

    // Bob's node dies; what alice writes meanwhile is there for him on the other node.
    cluster.kill("node-2").await;
    at_first.say(bob.id, "are you there?").await;
    let mut again = bob.connect(&cluster, 0).await;
    // That he has "hi" was known to his node alone: it may come again.
    let missed = again.find(DEADLINE, |frame| frame["data"]["content"] == "are you there?").await.unwrap();
    assert_eq!((&missed["data"]["offline"], &missed["data"]["seq"]), (&json!(true), &json!(3)));

    // They are friends from the start: the limit on first messages does not hold between them, and lists agree.
    let restarted = cluster.restart("node-2").await;
    assert!(restarted.status.success(), "{restarted:?}");
    let list = bob.get(&cluster, 1, "/conversations").await.expect(200);
    assert_eq!((list["items"].as_array().unwrap().len(), &list["items"][0]["last_seq"]), (1, &json!(3)));
    assert_eq!(cluster.stop().await, 0);
}

#[tokio::test]
async fn with_respawn_what_ends_is_started_again() {
    let cluster = DevCluster::start(&["--nodes", "1", "--shards", "1", "--respawn"]).await;
    let first = cluster.process_id("node-1");
    cluster.signal("node-1", Signal::KILL);
    eventually_within(Duration::from_secs(20), "node-1 is there again", async || {
        cluster.process_id("node-1") != first && cluster.process("node-1")["exit_code"].is_null()
    })
    .await;
}

#[tokio::test]
async fn children_end_with_their_parent_however_it_ends() {
    let cluster = DevCluster::start(&["--nodes", "1", "--shards", "1"]).await;
    let pids: Vec<u32> = ["node-1", "redis", "postgres"].iter().map(|name| cluster.process_id(name)).collect();
    signal_process(cluster.pid(), Signal::KILL);
    eventually_within(Duration::from_secs(10), "all children have ended", async || {
        pids.iter().all(|pid| !is_alive(*pid))
    })
    .await;
}

#[tokio::test]
async fn separate_shards_have_servers_of_their_own() {
    let cluster = DevCluster::start(&["--nodes", "1", "--separate-shards"]).await;
    let mut pids: Vec<u32> = ["directory", "shard-1", "shard-2"].iter().map(|name| cluster.process_id(name)).collect();
    pids.dedup();
    assert_eq!(pids.len(), 3);
    cluster.kill("shard-2").await;
    assert!(cluster.process("shard-1")["exit_code"].is_null());
    assert!(cluster.restart("shard-2").await.status.success());
}

#[tokio::test]
async fn an_unknown_key_ends_it_before_anything_starts() {
    let data_dir = services::folder().join(format!("dev-{}", services::unique()));
    let data_dir = data_dir.to_str().unwrap();
    for flag in ["nonsense=1", "limits.nonsense=1", "recall_window_s=soon", "node-2/nonsense=1", "nonsense"] {
        let output = herald(&["dev", "--data-dir", data_dir, "--set", flag]);
        assert!(!output.status.success());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(flag.trim_start_matches("node-2/")), "{message}");
        assert!(!std::path::Path::new(data_dir).exists(), "nothing was begun for {flag}");
    }
}

#[test]
fn the_configuration_can_be_checked_and_shown_without_its_secrets() {
    let file = services::folder().join(format!("config-{}.toml", services::unique()));
    let text = "directory.url = 'postgres://herald:hidden@h/d'\n[[auth.keys]]\nkid = 'a'\nalgorithm = 'HS256'\n\
                secret = 'hidden and at least as long as a key must be'\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let output = herald(&["check-config", "--config", file, "--print"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(shown.contains("shard-1") && !shown.contains("hidden"), "{shown}");

    let output = herald(&["check-config", "--config", file, "--set", "crash_point=after_commit"]);
    assert!(!output.status.success(), "crash points are for development");
    let output = herald(&["check-config", "--config", file, "--set", "limits.nonsense=1"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("nonsense"), "{output:?}");
}
