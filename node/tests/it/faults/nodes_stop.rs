//! Nodes that stop for a while, and do not know it.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::chatter::now_ms;
use super::load::{LOAD_ARGUMENTS, Load, assert_within};
use crate::support::dev::DevCluster;
use crate::support::eventually_within;
use crate::support::redis_wire::redis;

/// A little longer than a node's read of its inbox waits for entries.
const READ_WAITS: Duration = Duration::from_millis(1_300);

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('T'))
}

async fn wait(time: Duration, what: &str) {
    let over = Instant::now() + time;
    eventually_within(time + Duration::from_secs(1), what, async || Instant::now() > over).await;
}

async fn boots(cluster: &DevCluster) -> Vec<String> {
    let url = cluster.process("redis")["url"].as_str().unwrap().to_owned();
    let mut keys = redis(&url, &["HKEYS", "herald:nodes"]).await;
    keys.retain(|key| key.len() == 36);
    keys
}

#[tokio::test]
async fn a_node_may_stop_anywhere_and_go_on() {
    let mut arguments = LOAD_ARGUMENTS.to_vec();
    arguments.extend(["--nodes", "5"]);
    arguments.extend(["--set", "node-3/crash_point=stop:after_lock:120"]);
    arguments.extend(["--set", "node-4/crash_point=stop:before_commit:120"]);
    arguments.extend(["--set", "node-5/crash_point=stop:after_commit:120"]);
    let cluster = DevCluster::start(&arguments).await;
    let load = Load::start(&cluster, &[0, 1, 0, 1, 0, 1, 0, 1], Duration::from_millis(60)).await;

    // While it holds row locks, for less than its lease: half of its users wait for it, the others go elsewhere.
    for (node, name) in [(2, "node-3"), (3, "node-4")] {
        let pid = cluster.process_id(name);
        load.set_patient(&[0, 2], true);
        load.send_to(node, &[0, 1, 2, 3]);
        eventually_within(Duration::from_secs(10), &format!("{name} stops"), async || is_stopped(pid)).await;
        let stopped = now_ms();
        wait(Duration::from_secs(4), "it stays stopped").await;
        let slowest = load.slowest_answer_ms(&[4, 5, 6, 7], stopped - 200..now_ms() - 2_500);
        eprintln!("{name}: the slowest answer elsewhere took {slowest} ms");
        assert!(slowest < 2_500, "{name} holds others up: {slowest} ms");
        cluster.signal(name, Signal::CONT);
        load.chat(&[0, 1, 2, 3], Duration::from_secs(10)).await;
        load.check();
        load.set_patient(&[0, 2], false);
        load.move_to(0, &[0, 2]).await;
        load.move_to(1, &[1, 3]).await;
    }

    // Between COMMIT and the bus, beyond its lease: the survivors deliver what it has written.
    let pid = cluster.process_id("node-5");
    let before = boots(&cluster).await;
    load.set_patient(&[0, 2], true);
    load.send_to(4, &[0, 1, 2, 3]);
    eventually_within(Duration::from_secs(10), "node-5 stops", async || is_stopped(pid)).await;
    let stopped = now_ms();
    wait(Duration::from_secs(10), "it stays stopped").await;
    let slowest = load.slowest_answer_ms(&[4, 5, 6, 7], stopped - 200..now_ms() - 2_500);
    assert!(slowest < 2_500, "node-5 holds others up: {slowest} ms");
    cluster.signal("node-5", Signal::CONT);
    load.chat(&[0, 1, 2, 3], Duration::from_secs(10)).await;
    load.check();
    eventually_within(Duration::from_secs(5), "it goes on as a new boot", async || {
        let now = boots(&cluster).await;
        now.len() == before.len() && now != before
    })
    .await;
    assert_eq!([load.node_of(0), load.node_of(2)], [Some(4), Some(4)], "their sockets have outlived it");
    load.set_patient(&[0, 2], false);
    // Users 1 and 3, who were cut off, and 4 to 7, who were not, had everything in time.
    let (arrivals, _resyncs) = load.finish().await;
    let others: Vec<_> = arrivals.into_iter().filter(|arrival| !matches!(arrival.receiver, 0 | 2)).collect();
    assert_within(&others, stopped - 2_000..stopped + 10_000, Duration::from_secs(15), "stopped after commit");
}

#[tokio::test]
async fn who_was_said_to_be_gone_with_a_stopped_node_is_said_to_be_back() {
    let cluster = DevCluster::start(&["--set", "drain_s=1"]).await;
    let (alice, bob) = (cluster.login(0, "alice").await, cluster.login(1, "bob").await);
    let (alice_id, mut bob) = (json!(alice.id), bob.connect(&cluster, 1).await);
    let mut alice = alice.connect(&cluster, 0).await;
    let is = |status: &'static str| {
        let alice_id = alice_id.clone();
        move |frame: &serde_json::Value| {
            frame["type"] == "status" && frame["data"]["user_id"] == alice_id && frame["data"]["status"] == status
        }
    };
    assert!(bob.find(Duration::from_secs(5), is("online")).await.is_some());
    let pid = cluster.process_id("node-1");
    cluster.signal("node-1", Signal::STOP);
    eventually_within(Duration::from_secs(5), "it is stopped", async || is_stopped(pid)).await;
    let gone = bob.find(Duration::from_secs(30), is("offline")).await;
    cluster.signal("node-1", Signal::CONT);
    assert!(gone.is_some(), "nobody said that she was gone");
    assert!(bob.find(Duration::from_secs(8), is("online")).await.is_some(), "nobody said that she was back");
    assert_eq!(alice.ask(json!({"type": "ping"})).await["type"], "pong", "her socket has outlived it");
}

#[tokio::test]
async fn one_message_then_silence_is_missed_within_seconds() {
    let cluster = DevCluster::start(&["--set", "drain_s=1"]).await;
    let (alice, bob) = (cluster.login(0, "alice").await, cluster.login(1, "bob").await);
    let (bob_id, mut alice, mut bob) = (bob.id, alice.connect(&cluster, 0).await, bob.connect(&cluster, 1).await);
    alice.say(bob_id, "first").await;
    assert_eq!(bob.next_message().await["content"], "first");

    let url = cluster.process("redis")["url"].as_str().unwrap().to_owned();
    for round in 0..2 {
        // The receiving node is stopped for a moment only, so that what was sent to it can be taken away unread.
        cluster.signal("node-2", Signal::STOP);
        eventually_within(Duration::from_secs(5), "it is stopped", async || is_stopped(cluster.process_id("node-2")))
            .await;
        // What comes while its last read still waits in Redis goes straight to its socket, and cannot be taken away.
        wait(READ_WAITS, "its last read has ended").await;
        let begun = Instant::now();
        let content = format!("lost {round}");
        alice.say(bob_id, &content).await;
        let mut lost = 0;
        for inbox in redis(&url, &["KEYS", "herald:inbox:*"]).await {
            for entry in redis(&url, &["XRANGE", &inbox, "-", "+"]).await {
                let is_id = entry.split_once('-').is_some_and(|(ms, number)| {
                    ms.len() == 13 && ms.bytes().chain(number.bytes()).all(|byte| byte.is_ascii_digit())
                });
                if is_id {
                    redis(&url, &["XDEL", &inbox, &entry]).await;
                    lost += 1;
                }
            }
        }
        assert!(lost > 0);
        cluster.signal("node-2", Signal::CONT);
        assert!(begun.elapsed() < Duration::from_secs(3), "it was stopped beyond its lease");
        let continued = Instant::now();
        let message = bob.find(Duration::from_secs(5), |frame| frame["data"]["content"] == json!(content)).await;
        assert!(message.is_some(), "round {round}: the loss was not noticed within 5 s");
        eprintln!("round {round}: {lost} entries lost, there after {:?}", continued.elapsed());
    }
    assert!(bob.has_none("resync", Duration::from_millis(1)).await, "it was filled in");
}
