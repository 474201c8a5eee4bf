//! Streams of events and their groups of consumers: at least once, over deaths of consumers and of Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Node, RedisServer, until};
use herald_router::{GroupState, Router, RouterError, StreamState, TopicEntry};

const STREAM: &str = "own";
const KEPT: u64 = 100_000;

async fn append(router: &Router, payloads: impl IntoIterator<Item = impl ToString>) {
    let entries: Vec<_> = payloads.into_iter().map(|payload| ("a.b".to_owned(), payload.to_string())).collect();
    router.append_topics(STREAM, KEPT, &entries).await.unwrap();
}

async fn read(router: &Router, group: &str) -> Vec<TopicEntry> {
    router.read_topics(STREAM, group, 1_000).await.unwrap()
}

/// What has been with somebody for a millisecond, the least that can be asked for.
async fn claim(router: &Router, group: &str) -> Vec<TopicEntry> {
    tokio::time::sleep(Duration::from_millis(3)).await;
    router.claim_topics(STREAM, group, Duration::ZERO, 1_000).await.unwrap()
}

async fn acknowledge(router: &Router, group: &str, entries: &[TopicEntry]) {
    let places: Vec<String> = entries.iter().map(|entry| entry.place.clone()).collect();
    router.acknowledge_topics(STREAM, group, &places).await.unwrap();
}

fn payloads(entries: &[TopicEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.payload.as_str()).collect()
}

#[tokio::test]
async fn what_a_dead_consumer_was_given_comes_to_another_until_it_is_acknowledged() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    append(&one.router, ["1", "2", "3"]).await;
    let given = read(&one.router, "group").await;
    assert_eq!(payloads(&given), ["1", "2", "3"]);
    acknowledge(&one.router, "group", &given[..1]).await;
    drop(one);
    assert_eq!(read(&two.router, "group").await, [], "each entry goes to one consumer of a group");
    let late = two.router.claim_topics(STREAM, "group", Duration::from_hours(1), 10).await.unwrap();
    assert_eq!(late, [], "what was given a moment ago is still in good hands");
    let claimed = claim(&two.router, "group").await;
    assert_eq!(claimed, given[1..], "the same entries, at the same places");
    let tries = async |place: &str| two.router.tries_of(STREAM, "group", place).await.unwrap();
    assert_eq!((tries(&given[0].place).await, tries(&given[1].place).await), (0, 2));
    claim(&two.router, "group").await;
    assert_eq!(tries(&given[1].place).await, 3);
    acknowledge(&two.router, "group", &claimed).await;
    assert_eq!(claim(&two.router, "group").await, []);
    assert_eq!(payloads(&read(&two.router, "another group").await), ["1", "2", "3"], "each group has its own");
    acknowledge(&two.router, "group", &[]).await;
}

#[tokio::test]
async fn consumers_of_one_group_share_all_entries_and_none_comes_to_two() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    append(&one.router, 0..2_000).await;
    let take = async |router: &Router| {
        let mut taken: Vec<u32> = Vec::new();
        loop {
            let entries = router.read_topics(STREAM, "group", 7).await.unwrap();
            if entries.is_empty() {
                return taken;
            }
            taken.extend(entries.iter().map(|entry| entry.payload.parse::<u32>().unwrap()));
            acknowledge(router, "group", &entries).await;
        }
    };
    let (ours, theirs) = tokio::join!(take(&one.router), take(&two.router));
    assert!(ours.is_sorted() && theirs.is_sorted(), "each reads in order");
    assert!(!ours.is_empty() && !theirs.is_empty());
    let all: BTreeSet<u32> = ours.iter().chain(&theirs).copied().collect();
    assert_eq!((all.len(), ours.len() + theirs.len()), (2_000, 2_000));
}

#[tokio::test]
async fn a_full_stream_loses_its_oldest_entries_also_those_that_a_consumer_holds() {
    let redis = RedisServer::start().await;
    let Node { router, events: _events } = redis.node("node-1").await;
    append(&router, 0..10).await;
    assert_eq!(read(&router, "group").await.len(), 10);
    let many: Vec<_> = (10..3_000).map(|number| ("a.b".to_owned(), number.to_string())).collect();
    router.append_topics(STREAM, 1_000, &many).await.unwrap();
    let state = router.measure_topics(STREAM).await.unwrap();
    assert!((1_000..1_200).contains(&state.entries), "{state:?}");
    assert_eq!(claim(&router, "group").await, [], "held, and trimmed: nothing to be done with them");
    let next = read(&router, "group").await;
    assert_eq!(next[0].payload, (3_000 - state.entries).to_string());
    assert_eq!(next.len(), 1_000);
    let gone = router.trim_topics(STREAM, 100).await.unwrap();
    let left = router.measure_topics(STREAM).await.unwrap().entries;
    assert!(gone + left == state.entries && (100..300).contains(&left), "{gone} {left}");
}

#[tokio::test]
async fn how_far_the_readers_of_a_stream_are_is_known() {
    let redis = RedisServer::start().await;
    let Node { router, events: _events } = redis.node("node-1").await;
    assert_eq!(router.measure_topics("none").await.unwrap(), StreamState::default());
    append(&router, 0..10).await;
    let given = router.read_topics(STREAM, "fast", 4).await.unwrap();
    acknowledge(&router, "fast", &given[..3]).await;
    router.read_topics(STREAM, "slow", 1).await.unwrap();
    let state = router.measure_topics(STREAM).await.unwrap();
    assert_eq!(state.entries, 10);
    assert!(state.bytes > 100, "{state:?}");
    let seen = |group: &GroupState| (group.name.clone(), group.unread, group.pending);
    let seen: Vec<_> = state.groups.iter().map(seen).collect();
    assert_eq!(seen, [("fast".to_owned(), 6, 1), ("slow".to_owned(), 9, 1)]);
    assert_eq!(state.groups[0].read_to, given[3].place);
    assert_eq!(state.groups[0].waiting(), 7);
}

#[tokio::test]
async fn what_all_groups_have_done_is_removed_and_nothing_else() {
    let redis = RedisServer::start().await;
    let Node { router, events: _events } = redis.node("node-1").await;
    append(&router, 0..1_000).await;
    // One has done all but its first entry, the other all but the last hundred.
    let first = router.read_topics(STREAM, "holds one", 1_000).await.unwrap();
    acknowledge(&router, "holds one", &first[1..]).await;
    let most = router.read_topics(STREAM, "behind", 900).await.unwrap();
    acknowledge(&router, "behind", &most).await;
    let forget = async || {
        let state = router.measure_topics(STREAM).await.unwrap();
        router.forget_done_topics(STREAM, &state.groups.iter().collect::<Vec<_>>()).await.unwrap()
    };
    assert_eq!(forget().await, 0, "the oldest is held");
    acknowledge(&router, "holds one", &first[..1]).await;
    let gone = forget().await;
    assert!((700..=900).contains(&gone), "{gone}");
    let rest = read(&router, "behind").await;
    assert_eq!((rest.len(), rest[0].payload.as_str()), (100, "900"));
    assert_eq!(router.forget_done_topics(STREAM, &[]).await.unwrap(), 0);
}

#[tokio::test]
async fn texts_come_back_as_they_were() {
    let redis = RedisServer::start().await;
    let Node { router, events: _events } = redis.node("node-1").await;
    let texts = ["", "\u{0}\r\n\u{10ffff}李 {}[]\"\\", &"x".repeat(100_000)];
    append(&router, texts).await;
    let given = read(&router, "group").await;
    assert_eq!(payloads(&given), texts);
    assert!(given.iter().all(|entry| entry.topic == "a.b"));
    router.append_topics(STREAM, KEPT, &[]).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_was_emptied_with_its_groups_is_read_on() {
    let redis = RedisServer::start().await;
    let Node { router, events: _events } = redis.node("node-1").await;
    append(&router, ["before"]).await;
    let given = read(&router, "group").await;
    redis.run("FLUSHALL").await;
    // Acknowledging what is gone is no error, nor is asking for it.
    acknowledge(&router, "group", &given).await;
    assert_eq!(claim(&router, "group").await, []);
    redis.run("FLUSHALL").await;
    append(&router, ["after"]).await;
    assert_eq!(payloads(&read(&router, "group").await), ["after"], "the new group begins with all that is there");
}

#[tokio::test]
async fn while_redis_is_away_it_is_said_at_once_and_then_it_goes_on() {
    let mut redis = RedisServer::start().await;
    let Node { router, events: _events } = redis.node("node-1").await;
    append(&router, ["before"]).await;
    redis.kill().await;
    until("it is noticed", async || !router.is_up()).await;
    let entries = [("a.b".to_owned(), "lost".to_owned())];
    let begun = tokio::time::Instant::now();
    assert!(matches!(router.append_topics(STREAM, KEPT, &entries).await, Err(RouterError::Down)));
    assert!(matches!(router.read_topics(STREAM, "group", 1).await, Err(RouterError::Down)));
    assert!(matches!(router.claim_topics(STREAM, "group", Duration::ZERO, 1).await, Err(RouterError::Down)));
    assert!(matches!(router.measure_topics(STREAM).await, Err(RouterError::Down)));
    assert!(begun.elapsed() < Duration::from_millis(100));
    redis.launch().await;
    until("it is back", async || router.is_up()).await;
    append(&router, ["after"]).await;
    assert_eq!(payloads(&read(&router, "group").await), ["after"]);
}
