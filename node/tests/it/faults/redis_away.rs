//! Redis away, empty again, and emptied under load.

use std::time::{Duration, Instant};

use serde_json::json;

use super::chatter::now_ms;
use super::load::{LOAD_ARGUMENTS, Load, assert_within, slowest};
use crate::support::dev::DevCluster;
use crate::support::redis_wire::redis;
use crate::support::{Device, eventually_within};

/// As DESIGN 9 has it.
const AWAY: Duration = Duration::from_secs(20);
/// What went between nodes meanwhile is there so soon after its return.
const CATCH_UP_LIMIT: i64 = 5_000;
/// Another node's answer, in a debug build beside others.
const ANSWER_LIMIT_MS: i64 = 2_500;

/// Full is as good as away: what is written fails loudly, what needs no Redis goes on, and all is well when there is room again.
#[tokio::test]
async fn redis_may_run_out_of_memory() {
    let cluster = DevCluster::start(&["--set", "drain_s=1", "--set", "enable_first_message_limit=false"]).await;
    let (alice, bob, carol) =
        (cluster.login(0, "alice").await, cluster.login(1, "bob").await, cluster.login(0, "carol").await);
    let mut alice_device = alice.connect(&cluster, 0).await;
    let mut bob_device = bob.connect(&cluster, 1).await;
    let mut carol_device = carol.connect(&cluster, 0).await;
    alice_device.say(bob.id, "before").await;
    assert_eq!(bob_device.next_message().await["content"], "before");
    let url = cluster.process("redis")["url"].as_str().unwrap().to_owned();
    redis(&url, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let full = Instant::now();
    // For longer than a lease.
    let mut number = 0;
    while full.elapsed() < Duration::from_secs(9) {
        let content = format!("full {number}");
        alice_device.say(carol.id, &content).await;
        assert_eq!(carol_device.next_message().await["content"], content);
        alice_device.say(bob.id, &content).await;
        number += 1;
        // At the rate of a person.
        wait_for(Duration::from_millis(700)).await;
    }
    // A token of one use, and a new socket.
    let answer = bob.post(&cluster, 0, "/auth/ws-token", json!({})).await.expect(201);
    let ws_url = format!("{}?token={}", cluster.ws_url(0), answer["ws_token"].as_str().unwrap());
    let mut second = Device::connect(&ws_url, None).await.authenticated().await;
    assert_eq!(Device::connect(&ws_url, None).await.closed().await, 1008, "it is good once");
    bob.get(&cluster, 1, "/conversations").await.expect(200);
    redis(&url, &["CONFIG", "SET", "maxmemory", "0"]).await;
    for expected in 0..number {
        let content = json!(format!("full {expected}"));
        let found = bob_device.find(Duration::from_secs(8), |frame| frame["data"]["content"] == content).await;
        assert!(found.is_some(), "{content} did not come when there was room again");
    }
    let of_all = |frame: &serde_json::Value| {
        frame["type"] == "unread_count_update" && frame["data"]["unread_count"] == json!(number + 1)
    };
    assert!(bob_device.find(Duration::from_secs(8), of_all).await.is_some(), "the count is told, too");
    alice_device.say(bob.id, "after").await;
    for (device, which) in [(&mut bob_device, "first"), (&mut second, "second")] {
        let found = device.find(Duration::from_secs(8), |frame| frame["data"]["content"] == "after").await;
        assert!(found.is_some(), "what is sent after does not come to the {which}; {:?}", device.take_waiting());
    }
}

async fn wait_for(time: Duration) {
    let over = Instant::now() + time;
    eventually_within(time + Duration::from_secs(1), "time passes", async || Instant::now() > over).await;
}

#[tokio::test]
async fn redis_may_go_away_and_lose_everything() {
    let cluster = DevCluster::start(LOAD_ARGUMENTS).await;
    let (alice, bob, carol) =
        (cluster.login(0, "alice").await, cluster.login(1, "bob").await, cluster.login(1, "carol").await);
    let mut bob = bob.connect(&cluster, 1).await;
    let mut alice_device = alice.connect(&cluster, 0).await;
    // Pairs: across, both at the first, both at the second, across.
    let load = Load::start(&cluster, &[0, 1, 0, 0, 1, 1, 1, 0], Duration::from_millis(80)).await;
    let all: Vec<usize> = (0..8).collect();

    cluster.kill("redis").await;
    let (gone, gone_at) = (now_ms(), Instant::now());
    load.chats(Duration::from_secs(6)).await;
    // New sockets, three of one user, on both nodes.
    let mut oldest = carol.connect(&cluster, 1).await;
    let mut devices = vec![carol.connect(&cluster, 0).await, carol.connect(&cluster, 1).await];
    let sent = devices[0].say(alice.id, "redis is away").await;
    assert!(sent["seq"].as_i64().unwrap() >= 1);
    let ready = reqwest::get(format!("{}/readyz", cluster.url(0))).await.unwrap();
    assert_eq!(ready.status(), 200);
    eventually_within(Duration::from_secs(5), "health says that Redis is down", async || {
        let health: serde_json::Value =
            reqwest::get(format!("{}/health", cluster.url(0))).await.unwrap().json().await.unwrap();
        health["dependencies"]["redis"]["status"] == "down"
    })
    .await;
    eventually_within(AWAY + Duration::from_secs(1), "redis was away for long", async || gone_at.elapsed() > AWAY)
        .await;
    assert!(cluster.restart("redis").await.status.success());
    // Heartbeats: they are to be there for longer than 45 s.
    for device in devices.iter_mut().chain([&mut bob, &mut oldest, &mut alice_device]) {
        assert_eq!(device.ask(json!({"type": "ping"})).await["type"], "pong");
    }
    let (back, back_at) = (now_ms(), Instant::now());
    load.check();
    let slowest_answer = load.slowest_answer_ms(&all, gone..back - 3_000);
    eprintln!("without redis the slowest answer took {slowest_answer} ms");
    assert!(slowest_answer < ANSWER_LIMIT_MS, "sends stall without redis: {slowest_answer} ms");
    let answers = load.answers(&all, gone + 2_000..back, |_| true);
    assert!(answers > 200, "only {answers} answers while redis was away");
    load.chats(Duration::from_secs(5)).await;
    // As long as catching up may take, and some seconds in which all is as ever.
    let normal_again = Duration::from_secs(8);
    eventually_within(Duration::from_secs(9), "all is as ever", async || back_at.elapsed() > normal_again).await;

    // The limit of connections holds again: a fourth closes the oldest, on another node.
    let fourth = carol.connect(&cluster, 0).await;
    assert_eq!(oldest.closed().await, 4500);
    devices.push(fourth);

    // Emptied while it runs.
    let url = cluster.process("redis")["url"].as_str().unwrap().to_owned();
    let flushed = now_ms();
    redis(&url, &["FLUSHALL"]).await;
    let flushed_at = Instant::now();
    eventually_within(Duration::from_secs(8), "time to recover", async || {
        flushed_at.elapsed() > Duration::from_secs(6)
    })
    .await;
    load.chats(Duration::from_secs(5)).await;
    let closed = load.closed();
    assert!(closed.is_empty(), "nobody had to go: {closed:?}");

    // Nobody was shown as gone.
    assert_eq!(bob.ask(json!({"type": "ping"})).await["type"], "pong");
    let frames = bob.take_waiting();
    let offline: Vec<_> = frames.iter().filter(|frame| frame["data"]["status"] == "offline").collect();
    assert!(offline.is_empty(), "{offline:?}");
    drop((alice_device, devices));

    let group = load.group;
    let (arrivals, _resyncs) = load.finish().await;
    // The pairs at one node; in the group an entry waits for those before it, which may come from the other node.
    let near =
        slowest(&arrivals, gone..back, |arrival| matches!(arrival.receiver, 2..=5) && arrival.conversation != group);
    eprintln!("without redis, at one node: the slowest of {} took {} ms", near.len(), near[0].delay_ms);
    assert!(near[0].delay_ms < ANSWER_LIMIT_MS, "{:#?}", &near[..2]);
    let late: Vec<_> = arrivals
        .iter()
        .filter(|arrival| arrival.was_there && (gone..back).contains(&arrival.created_ms))
        .filter(|arrival| arrival.created_ms + arrival.delay_ms > back + CATCH_UP_LIMIT)
        .collect();
    assert!(late.is_empty(), "{} came too late after redis was back: {:#?}", late.len(), &late[..late.len().min(3)]);
    assert_within(&arrivals, flushed - 2_000..flushed + 5_000, Duration::from_secs(5), "emptied");
    assert_within(&arrivals, back + 5_000..flushed - 500, Duration::from_secs(3), "back to normal");
}
