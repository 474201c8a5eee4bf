//! Nodes that die, at every point of a send and in between.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::chatter::now_ms;
use super::load::{LOAD_ARGUMENTS, Load, assert_within};
use crate::support::dev::DevCluster;
use crate::support::eventually_within;

/// What a node committed in its last moments comes within this time of its death.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(15);
/// From a death to the end of what it may disturb: the lease (6 s), its being seen, and a burial.
const DEATH_LIMIT: Duration = Duration::from_secs(12);

#[tokio::test]
async fn a_node_may_die_at_any_point_of_a_send() {
    let points = ["after_lock:80", "before_commit:80", "after_commit:80", "after_bus:80", "before_ack:80"];
    let mut arguments: Vec<String> = LOAD_ARGUMENTS.iter().map(|argument| (*argument).to_owned()).collect();
    arguments.extend(["--nodes".to_owned(), "8".to_owned()]);
    for (index, point) in points.iter().enumerate() {
        arguments.extend(["--set".to_owned(), format!("node-{}/crash_point={point}", index + 4)]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let cluster = DevCluster::start(&arguments).await;
    let load = Load::start(&cluster, &[0, 1, 0, 1, 0, 1, 0, 1], Duration::from_millis(60)).await;
    let mut deaths = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let node = index + 3;
        // Both of a pair, one of another, and one of a third that writes alone from there.
        load.send_to(node, &[0, 1, 2]);
        let name = format!("node-{}", node + 1);
        assert_eq!(cluster.ended(&name).await, 137, "{point}");
        deaths.push((now_ms(), *point));
        // Those who were there are elsewhere at once, and nobody else notices anything.
        load.chat(&[0, 1, 2], Duration::from_secs(8)).await;
        let died = deaths[index].0;
        let slowest = load.slowest_answer_ms(&[3, 4, 5, 6, 7], died - 500..now_ms() - 3_000);
        assert!(slowest < 3_000, "{point}: an answer took {slowest} ms");
        load.check();
        // One fault at a time.
        let over = Instant::now() + DEATH_LIMIT;
        eventually_within(DEATH_LIMIT + Duration::from_secs(1), "this death is over", async || Instant::now() > over)
            .await;
    }

    // Killed from outside, with users who do not come back.
    let (alice, bob) = (cluster.login(0, "alice").await, cluster.login(0, "bob").await);
    let mut bob = bob.connect(&cluster, 0).await;
    let alice = alice.connect(&cluster, 2).await;
    eventually_within(Duration::from_secs(5), "bob sees alice come", async || {
        let frame = bob.find(Duration::from_millis(100), |frame| frame["type"] == "status").await;
        frame.is_some_and(|frame| frame["data"]["status"] == "online")
    })
    .await;
    load.move_to(2, &[0, 3, 5, 7]).await;
    load.chat(&[0, 3, 5, 7], Duration::from_secs(5)).await;
    cluster.kill("node-3").await;
    deaths.push((now_ms(), "kill"));
    let killed = Instant::now();
    load.chat(&[0, 3, 5, 7], Duration::from_secs(8)).await;
    let offline = bob
        .find(Duration::from_secs(20), |frame| frame["type"] == "status" && frame["data"]["status"] == "offline")
        .await
        .expect("bob is told that alice is gone");
    assert!(offline["data"]["last_seen_at"].is_string(), "{offline}");
    eprintln!("offline after {:?}", killed.elapsed());
    drop(alice);

    // It comes again, under the same name, and serves.
    assert!(cluster.restart("node-3").await.status.success());
    load.move_to(2, &[0, 3]).await;
    load.chats(Duration::from_secs(5)).await;
    cluster.signal("node-3", Signal::KILL);
    deaths.push((now_ms(), "killed again"));
    let over = Instant::now() + DEATH_LIMIT;
    eventually_within(DEATH_LIMIT + Duration::from_secs(1), "this death is over", async || Instant::now() > over).await;
    let arrivals = load.finish().await;
    for (died, point) in deaths {
        assert_within(&arrivals, died - 2_000..died + 8_000, LAST_WORDS_LIMIT, point);
    }
}
