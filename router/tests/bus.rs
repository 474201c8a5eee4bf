//! How bytes get from node to node, and how it is noticed when they do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{RedisServer, until};
use herald_router::{BootId, Event};
use tokio::time::Instant;

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn payloads_come_in_the_order_of_the_calls_from_many_tasks() {
    let redis = RedisServer::start().await;
    let [one, mut two, mut three] = redis.nodes().await;
    let (to_two, to_three) = (two.router.boot(), three.router.boot());
    let sending = (0..500).map(|number: u32| {
        let router = one.router.clone();
        // The calls are made in this order, and all wait at once.
        async move {
            let payload = Bytes::from(number.to_string());
            router.publish(vec![(to_two, payload.clone()), (to_three, payload)]).await
        }
    });
    let published = futures_util::future::join_all(sending).await;
    assert!(published.iter().all(|published| published.taken == 2 && !published.is_down && published.stale.is_empty()));
    for node in [&mut two, &mut three] {
        for number in 0..500 {
            let (from, payload) = node.next_delivery().await;
            assert_eq!((from, text(&payload)), (one.router.boot(), number.to_string().as_str()));
        }
    }
    // What was read is trimmed.
    let key = format!("herald:inbox:{{{to_two}}}");
    until("the inbox is empty", async || redis.run(&format!("XLEN {key}")).await == redis::Value::Int(0)).await;
    let losses = two.all_within(Duration::from_millis(1_500)).await;
    assert!(losses.iter().all(|event| !matches!(event, Event::Lost { .. })), "{losses:?}");
}

#[tokio::test]
async fn a_slow_reader_loses_nothing() {
    let redis = RedisServer::start().await;
    let one = redis.node("node-1").await;
    let mut config = redis.config("node-2");
    config.events_max = 2;
    let mut two = common::Node::start(config).await;
    until("seen", async || one.router.live_boots().len() == 2).await;
    for number in 0..300 {
        assert_eq!(one.send(&two, number.to_string()).await.taken, 1);
    }
    for number in 0..300 {
        let (_, payload) = two.next_delivery().await;
        assert_eq!(text(&payload), number.to_string());
    }
    assert!(two.router.is_up());
}

#[tokio::test]
async fn a_boot_without_inbox_is_stale_and_gets_none() {
    let redis = RedisServer::start().await;
    let [one, mut two] = redis.nodes().await;
    let ghost = BootId::random();
    let to = vec![(ghost, Bytes::from_static(b"x")), (two.router.boot(), Bytes::from_static(b"y"))];
    let published = one.router.publish(to).await;
    assert_eq!((published.taken, published.stale, published.is_down), (1, vec![ghost], false));
    assert_eq!(redis.run(&format!("EXISTS herald:inbox:{{{ghost}}}")).await, redis::Value::Int(0));
    assert_eq!(text(&two.next_delivery().await.1), "y");
}

/// Stops the reader by filling its events, deletes what is behind, and lets it go on.
async fn lose(redis: &RedisServer, boot: BootId, which: &str) {
    let key = format!("herald:inbox:{{{boot}}}");
    let mut client = redis.client().await;
    let entries: Vec<(String, Vec<Vec<u8>>)> =
        redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query_async(&mut client).await.unwrap();
    let (id, _) = entries.iter().find(|(_, fields)| fields[1].ends_with(which.as_bytes())).expect("is still there");
    redis.run(&format!("XDEL {key} {id}")).await;
}

#[tokio::test]
async fn a_lost_entry_is_told_of_before_the_next() {
    let redis = RedisServer::start().await;
    let one = redis.node("node-1").await;
    let mut config = redis.config("node-2");
    config.events_max = 1;
    let mut two = common::Node::start(config).await;
    until("seen", async || one.router.live_boots().len() == 2).await;
    for number in 0..400 {
        one.send(&two, format!("n{number:03}")).await;
    }
    // The reader stands before the first, and has at most the first 128 in its hands.
    lose(&redis, two.router.boot(), "n300").await;
    for number in (0..400).filter(|number| *number != 300) {
        if number == 301 {
            let event = two.next_is("the loss", |event| !matches!(event, Event::BootSeen { .. } | Event::Up)).await;
            assert!(matches!(event, Event::Lost { from: Some(from), .. } if from == one.router.boot()), "{event:?}");
        }
        let (_, payload) = two.next_delivery().await;
        assert_eq!(text(&payload), format!("n{number:03}"));
    }
}

#[tokio::test]
async fn a_lost_tail_is_noticed_within_two_seconds() {
    let redis = RedisServer::start().await;
    let [one, mut two] = redis.nodes().await;
    one.send(&two, "first").await;
    two.next_delivery().await;
    // An entry that uses up its counter and never arrives.
    let before = Instant::now();
    one.router.skip();
    let well_at = two
        .next("the loss", |event| match event {
            Event::Lost { from, well_at } => {
                assert_eq!(from, Some(one.router.boot()));
                Some(well_at)
            }
            _ => None,
        })
        .await;
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert!(well_at.ago() < Duration::from_secs(4));
    // It is said once, and what follows is no loss.
    one.send(&two, "second").await;
    let events = two.all_within(Duration::from_millis(2_500)).await;
    assert!(events.iter().all(|event| matches!(event, Event::Delivery { .. })), "{events:?}");
}

#[tokio::test]
async fn entries_of_other_versions_are_a_loss_and_repeated_ones_are_not() {
    let redis = RedisServer::start().await;
    let mut two = redis.node("node-2").await;
    let key = format!("herald:inbox:{{{}}}", two.router.boot());
    let sender = BootId::random();
    let entry = |version: u8, counter: u64| {
        let mut bytes = vec![version, 1];
        bytes.extend(sender.0.as_bytes());
        bytes.extend(counter.to_be_bytes());
        bytes.extend([1, 0, 0, 0, 2, b'h', b'i']);
        bytes.extend([77, 0, 0, 0, 1, b'?']);
        bytes
    };
    let mut client = redis.client().await;
    for bytes in [entry(1, 1), entry(1, 1), entry(9, 2), entry(1, 2)] {
        redis::cmd("XADD").arg(&key).arg("*").arg("e").arg(bytes).exec_async(&mut client).await.unwrap();
    }
    let events: Vec<Event> = two.all_within(Duration::from_millis(700)).await;
    let events: Vec<&Event> = events.iter().filter(|event| !matches!(event, Event::Up)).collect();
    assert!(
        matches!(events.as_slice(), [Event::Delivery { .. }, Event::Lost { from: Some(from), .. }, Event::Delivery { .. }]
            if *from == sender),
        "{events:?}"
    );
}

#[tokio::test]
async fn an_inbox_is_bounded_and_its_overflow_is_noticed() {
    let redis = RedisServer::start().await;
    let one = {
        let mut config = redis.config("node-1");
        config.inbox_entries_max = 50;
        common::Node::start(config).await
    };
    let mut config = redis.config("node-2");
    config.events_max = 1;
    let mut two = common::Node::start(config).await;
    until("seen", async || one.router.live_boots().len() == 2).await;
    for number in 0..2_000 {
        one.send(&two, number.to_string()).await;
    }
    let key = format!("herald:inbox:{{{}}}", two.router.boot());
    let redis::Value::Int(length) = redis.run(&format!("XLEN {key}")).await else { panic!() };
    assert!(length < 400, "{length}");
    let mut has_lost = false;
    let last = loop {
        let event = two.next("an event", Some).await;
        has_lost |= matches!(event, Event::Lost { .. });
        if let Event::Delivery { payload, .. } = event
            && payload == "1999"
        {
            break payload;
        }
    };
    assert!(has_lost && last == "1999");
}

#[tokio::test]
async fn hints_reach_all_peers_but_not_the_one_who_gave_them() {
    let redis = RedisServer::start().await;
    let [mut one, mut two, mut three] = redis.nodes().await;
    one.router.hint("change");
    for node in [&mut two, &mut three] {
        let event = node.next_is("the hint", |event| matches!(event, Event::Hint { .. })).await;
        assert_eq!(event, Event::Hint { from: one.router.boot(), topic: "change".to_owned() });
    }
    let events = one.all_within(Duration::from_millis(300)).await;
    assert!(events.iter().all(|event| !matches!(event, Event::Hint { .. })));
}
