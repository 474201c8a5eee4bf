//! Nodes that die, at every point of a send and in between.

use std::time::{Duration, Instant};

use serde_json::json;

use super::chatter::now_ms;
use super::load::{LOAD_ARGUMENTS, Load, assert_there_by, assert_within};
use crate::support::dev::DevCluster;
use crate::support::eventually_within;

/// What a node committed in its last moments comes within this time of its death.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(15);
/// Of six deaths together; before sessions knew what their syncs had read there were up to 22.
const RESYNCS_MAX: usize = 8;
/// And within this time of the death's being seen.
const SEEN_LIMIT_MS: i64 = 5_000;
/// From a death to the end of what it may disturb: the lease (6 s), its being seen, and the first round of its burial.
const DEATH_LIMIT: Duration = Duration::from_secs(9);

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
    // Not to the next that has yet to die: it would die of them at once.
    load.flee_to_first(2);
    let mut deaths = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let node = index + 3;
        // Both of a pair, one of another, and one of a third that writes alone from there.
        load.send_to(node, &[0, 1, 2]);
        let name = format!("node-{}", node + 1);
        assert_eq!(cluster.ended(&name).await, 137, "{point}");
        deaths.push((now_ms(), *point, name));
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
    deaths.push((now_ms(), "kill", "node-3".to_owned()));
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
    load.send_to(0, &[0, 3]);
    assert!(cluster.restart("node-3").await.status.success());
    load.move_to(2, &[0, 3]).await;
    load.chats(Duration::from_secs(5)).await;
    let deaths: Vec<_> =
        deaths.into_iter().map(|(died, point, name)| (died, point, load.seen_dead_ms(&name, died))).collect();
    let (arrivals, resyncs) = load.finish().await;
    for (died, point, seen) in deaths {
        assert_within(&arrivals, died - 2_000..died + 8_000, LAST_WORDS_LIMIT, point);
        assert_there_by(&arrivals, died - 2_000..seen, seen + SEEN_LIMIT_MS, point);
    }
    // Whoever came to another node has synced since: next to nobody is told again, and of one log only (DESIGN 5.5).
    assert!(
        resyncs.iter().all(|resync| resync.reason == "bus_lost" && resync.conversations == Some(1)),
        "{resyncs:#?}"
    );
    assert!(resyncs.len() <= RESYNCS_MAX, "{} resyncs: {resyncs:#?}", resyncs.len());
}

#[tokio::test]
async fn what_a_dead_node_kept_comes_before_what_was_written_after_it() {
    let arguments = ["--nodes", "3", "--shards", "1", "--set", "node-1/crash_point=after_commit:1"];
    let cluster = DevCluster::start(&arguments).await;
    let (alice, bob) = (cluster.login(1, "alice").await, cluster.login(2, "bob").await);
    let mut receiver = bob.connect(&cluster, 2).await;
    let (first, mut second) = (alice.connect(&cluster, 0).await, alice.connect(&cluster, 1).await);

    // Committed, and handed to nobody.
    let data = json!({"receiver_id": bob.id, "content": "kept", "temp_id": "kept", "message_type": "text"});
    first.send(json!({"type": "chat", "action": "send", "data": data.clone()})).await;
    assert_eq!(cluster.ended("node-1").await, 137);
    let died = Instant::now();
    // The next of the same log comes from elsewhere, to a node that knows nothing of this conversation.
    let sent = second.say(bob.id, "later").await;
    assert_eq!(sent["seq"], 2);
    for (seq, content) in [(1, "kept"), (2, "later")] {
        let message = receiver.next_message().await;
        assert_eq!((&message["seq"], &message["content"]), (&json!(seq), &json!(content)), "{:?}", died.elapsed());
    }
    eprintln!("both there after {:?}", died.elapsed());
    // Asked again, it has its answer; and nothing comes twice, nor as a surprise, when the dead are buried.
    assert_eq!(second.chat(data).await["seq"], 1);
    let kinds = ["chat", "resync"];
    let surprise =
        receiver.find(Duration::from_secs(10), |frame| kinds.contains(&frame["type"].as_str().unwrap())).await;
    assert!(surprise.is_none(), "{surprise:?}");
}
