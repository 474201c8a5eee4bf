//! What happens when Redis, the way to it, or a node fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Node, NodeThread, RedisServer, until};
use herald_router::{BootId, Event, Router, RouterError, RoutesGoneReason, SessionId};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

fn routes_gone(event: &Event) -> Option<RoutesGoneReason> {
    match event {
        Event::RoutesGone { reason, .. } => Some(*reason),
        _ => None,
    }
}

fn is_up(event: &Event) -> bool {
    matches!(event, Event::Up)
}

fn is_down(event: &Event) -> bool {
    matches!(event, Event::Down)
}

fn is_death(event: &Event) -> bool {
    matches!(event, Event::BootDied { .. } | Event::BootLeft { .. })
}

/// The payloads that come within a time, and whether a loss was told of.
async fn payloads_within(node: &mut Node, duration: Duration) -> (Vec<String>, bool) {
    let events = node.all_within(duration).await;
    let has_lost = events.iter().any(|event| matches!(event, Event::Lost { .. }));
    let payloads = events.into_iter().filter_map(|event| match event {
        Event::Delivery { payload, .. } => Some(String::from_utf8(payload.to_vec()).unwrap()),
        _ => None,
    });
    (payloads.collect(), has_lost)
}

/// A call ends at once, with `Down`.
async fn assert_fails_fast(router: &Router) {
    let started = Instant::now();
    let result = router.routes(&[Uuid::new_v4()]).await;
    assert!(matches!(result, Err(RouterError::Down)), "{result:?}");
    let published = router.publish(vec![(BootId::random(), "x".into())]).await;
    assert!(published.is_down);
    assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
}

#[tokio::test]
async fn redis_emptied_is_noticed_by_all_and_nobody_is_declared_dead() {
    let redis = RedisServer::start().await;
    let [mut one, mut two] = redis.nodes().await;
    let boots = [one.router.boot(), two.router.boot()];
    let born_ms = one.router.redis_born_ms().unwrap();
    let alice = Uuid::new_v4();
    one.router.register(alice, SessionId::random(), 1, 3).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let emptied = Instant::now();
    redis.run("FLUSHALL").await;
    for node in [&mut one, &mut two] {
        let (reason, well_at) = node
            .next("the loss", |event| match event {
                Event::RoutesGone { reason, well_at } => Some((reason, well_at)),
                _ => None,
            })
            .await;
        assert_eq!(reason, RoutesGoneReason::RedisLostData);
        assert!(emptied.elapsed() < Duration::from_millis(1_500));
        assert!(well_at.ago() < Duration::from_secs(3));
        assert!(node.router.is_up());
    }
    assert_eq!([one.router.boot(), two.router.boot()], boots);
    until("both are there again", async || one.router.live_boots().len() == 2 && two.router.live_boots().len() == 2)
        .await;
    until("redis is known to be new", async || one.router.redis_born_ms().unwrap() > born_ms).await;
    assert!(one.router.routes(&[alice]).await.unwrap()[0].is_empty());
    assert_eq!(one.send(&two, "after").await.taken, 1);
    let events = two.all_within(Duration::from_secs(2)).await;
    assert!(events.iter().any(|event| matches!(event, Event::Delivery { .. })));
    assert!(!events.iter().any(is_death), "{events:?}");
}

#[tokio::test]
async fn redis_killed_and_started_empty_comes_back_by_itself() {
    let mut redis = RedisServer::start().await;
    let [mut one, mut two] = redis.nodes().await;
    assert_eq!(one.send(&two, "before").await.taken, 1);
    two.next_delivery().await;
    let killed = Instant::now();
    redis.kill().await;
    for node in [&mut one, &mut two] {
        node.next_is("down", is_down).await;
        assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
        assert!(!node.router.is_up());
        assert_fails_fast(&node.router).await;
        assert_eq!(node.router.live_boots().len(), 1);
        assert_eq!(node.router.last_known_boots().len(), 1);
    }
    for number in 0..10 {
        let published = one.send(&two, format!("queued {number}")).await;
        assert!(published.is_down && published.taken == 0);
    }
    sleep(Duration::from_secs(1)).await;
    redis.launch().await;
    let back = Instant::now();
    for node in [&mut one, &mut two] {
        node.next_is("up", is_up).await;
        let event = node.next_is("routes gone", |event| routes_gone(event).is_some()).await;
        assert_eq!(routes_gone(&event), Some(RoutesGoneReason::RedisLostData));
        assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
        assert!(node.router.is_up());
    }
    // What was queued has come, all of it in order, or the loss of its beginning is told of.
    let (payloads, has_lost) = payloads_within(&mut two, Duration::from_millis(2_500)).await;
    let expected: Vec<String> = (0..10).map(|number| format!("queued {number}")).collect();
    assert!(expected.ends_with(&payloads) && (has_lost || payloads == expected), "{payloads:?} {has_lost}");
    assert_eq!(one.send(&two, "after").await.taken, 1);
}

#[tokio::test]
async fn a_redis_that_hangs_for_a_moment_costs_nothing_but_time() {
    let redis = RedisServer::start().await;
    let [mut one, mut two] = redis.nodes().await;
    let boots = [one.router.boot(), two.router.boot()];
    redis.signal(Signal::STOP);
    let stopped = Instant::now();
    // The first caller may have to find out.
    assert!(one.router.routes(&[Uuid::new_v4()]).await.is_err());
    assert!(stopped.elapsed() < Duration::from_millis(1_200), "{:?}", stopped.elapsed());
    one.next_is("down", is_down).await;
    assert_fails_fast(&one.router).await;
    two.next_is("down", is_down).await;
    for number in 0..50 {
        one.send(&two, number.to_string()).await;
    }
    sleep(Duration::from_secs(1)).await;
    redis.signal(Signal::CONT);
    let (payloads, has_lost) = payloads_within(&mut two, Duration::from_secs(3)).await;
    let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(payloads, expected);
    assert!(!has_lost);
    assert_eq!([one.router.boot(), two.router.boot()], boots);
    let events = one.all_within(Duration::from_millis(100)).await;
    assert!(events.iter().any(is_up) && !events.iter().any(|event| routes_gone(event).is_some()), "{events:?}");
}

#[tokio::test]
async fn redis_away_beyond_the_leases_gives_all_a_new_boot_and_kills_nobody() {
    let redis = RedisServer::start().await;
    let start = async |name: &str| {
        let mut config = redis.config(name);
        config.lease_ms = 1_500;
        Node::start(config).await
    };
    let mut one = start("node-1").await;
    let mut two = start("node-2").await;
    until("seen", async || one.router.live_boots().len() == 2).await;
    let boots = [one.router.boot(), two.router.boot()];
    redis.signal(Signal::STOP);
    two.next_is("down", is_down).await;
    one.next_is("down", is_down).await;
    for number in 0..20 {
        one.router.publish(vec![(boots[1], format!("{number}").into())]).await;
    }
    sleep(Duration::from_secs(2)).await;
    redis.signal(Signal::CONT);
    for (node, boot) in [(&mut one, boots[0]), (&mut two, boots[1])] {
        let is_news = |event: &Event| routes_gone(event).is_some() || matches!(event, Event::BootDied { .. });
        let event = node.next_is("routes gone", is_news).await;
        assert_eq!(routes_gone(&event), Some(RoutesGoneReason::NewBoot));
        assert_ne!(node.router.boot(), boot);
    }
    until("seen", async || one.router.live_boots().len() == 2 && two.router.live_boots().len() == 2).await;
    // The old inbox has expired with its lease: what waited for it is stale, and the new one works.
    assert_eq!(one.send(&two, "after").await.taken, 1);
    let (payloads, _) = payloads_within(&mut two, Duration::from_secs(1)).await;
    assert_eq!(payloads, ["after"]);
    let events = one.all_within(Duration::from_secs(2)).await;
    assert!(!events.iter().any(|event| matches!(event, Event::BootDied { .. })), "{events:?}");
}

#[tokio::test]
async fn a_node_paused_beyond_its_lease_takes_a_new_boot_and_its_unsent_entries_with_it() {
    let redis = RedisServer::start().await;
    let start_config = |name: &str| {
        let mut config = redis.config(name);
        config.lease_ms = 1_500;
        config
    };
    let mut one = Node::start(start_config("node-1")).await;
    let (thread, mut two) = NodeThread::start(start_config("node-2")).await;
    until("seen", async || one.router.live_boots().len() == 2 && two.router.live_boots().len() == 2).await;
    let old = two.router.boot();
    let alice = Uuid::new_v4();
    let session = SessionId::random();
    two.router.register(alice, session, 1, 3).await.unwrap();
    one.send(&two, "before").await;
    two.next_delivery().await;

    let well = two.router.last_well();
    tokio::join!(thread.pause(Duration::from_secs(4)), async {
        sleep(Duration::from_millis(50)).await;
        let event = one.next_is("its death", is_death).await;
        assert!(matches!(event, Event::BootDied { boot, .. } if boot == old), "{event:?}");
        // While it is paused, and before its keeper has run again, it does not pass for well.
        assert!(!two.router.is_up());
        assert!(two.router.publish(vec![(one.router.boot(), "written while paused".into())]).await.is_down);
        let published = one.router.publish(vec![(old, "to the dead".into())]).await;
        assert_eq!((published.taken, published.stale), (0, vec![old]));
    });
    let (reason, well_at) = two
        .next("routes gone", |event| match event {
            Event::RoutesGone { reason, well_at } => Some((reason, well_at)),
            _ => None,
        })
        .await;
    assert_eq!(reason, RoutesGoneReason::NewBoot);
    assert!(well_at.ago() > Duration::from_secs(3) && well_at.since(well) < Duration::from_secs(2));
    let new = two.router.boot();
    assert_ne!(new, old);
    let restored = two.router.restore(&[(alice, session, 1)], 3).await.unwrap();
    assert_eq!(restored.put_back, [(alice, session)]);
    assert_eq!(one.router.routes(&[alice]).await.unwrap()[0][0].boot, new);

    // What it had queued comes under the new boot, and that something may be missing before it is said.
    let event = one.next_is("news", |event| !matches!(event, Event::BootSeen { .. } | Event::Up)).await;
    assert!(matches!(event, Event::Lost { from: Some(from), .. } if from == new), "{event:?}");
    let (from, payload) = one.next_delivery().await;
    assert_eq!((from, payload.as_ref()), (new, b"written while paused".as_slice()));
    until("seen", async || one.router.live_boots().iter().any(|(_, boot)| *boot == new)).await;
    assert_eq!(one.send(&two, "after").await.taken, 1);
    assert_eq!(two.next_delivery().await.1, "after");
    thread.kill();
}

#[tokio::test]
async fn a_killed_node_is_seen_dead_within_seven_seconds() {
    let redis = RedisServer::start().await;
    let mut one = redis.node("node-1").await;
    let (thread, two) = NodeThread::start(redis.config("node-2")).await;
    until("seen", async || one.router.live_boots().len() == 2).await;
    let alice = Uuid::new_v4();
    two.router.register(alice, SessionId::random(), 1, 3).await.unwrap();
    let boot = two.router.boot();
    // A death is told of only where no fault of Redis explains it: the start's grace is over by then.
    thread.kill();
    let killed = Instant::now();
    let event = one.next_is("its death", is_death).await;
    assert!(killed.elapsed() < Duration::from_secs(7), "{:?}", killed.elapsed());
    assert!(matches!(&event, Event::BootDied { node, boot: died, last_seen_ago }
        if node.as_str() == "node-2" && *died == boot && *last_seen_ago >= Duration::from_secs(6)
            && *last_seen_ago < Duration::from_secs(7)));
    assert_eq!(one.router.users_of(boot).await.unwrap(), [alice]);
    one.router.forget_users_of(boot).await.unwrap();
    assert!(one.router.users_of(boot).await.unwrap().is_empty());
    assert!(one.router.routes(&[alice]).await.unwrap()[0].is_empty());
    assert_eq!(one.router.live_boots().len(), 1);
    // A node that starts now hears of it too.
    let mut three = redis.node("node-3").await;
    let event = three.next_is("its death", is_death).await;
    assert!(matches!(event, Event::BootDied { boot: died, .. } if died == boot));
}

#[tokio::test]
async fn a_node_starts_with_redis_away_and_joins_when_it_is_there() {
    let mut redis = RedisServer::not_started();
    let started = Instant::now();
    let mut one = redis.node("node-1").await;
    assert!(started.elapsed() < Duration::from_millis(1_500));
    one.next_is("down", is_down).await;
    assert_fails_fast(&one.router).await;
    redis.launch().await;
    one.next_is("up", is_up).await;
    // Sessions that it took meanwhile have no routes.
    one.next_is("routes gone", |event| routes_gone(event).is_some()).await;
    assert!(one.router.register(Uuid::new_v4(), SessionId::random(), 1, 3).await.unwrap().is_first);
}

#[tokio::test]
async fn broken_connections_are_replaced_without_loss() {
    let redis = RedisServer::start().await;
    let [mut one, mut two] = redis.nodes().await;
    let boot = two.router.boot();
    for round in 0..20 {
        if round % 5 == 4 {
            redis.run("CLIENT KILL TYPE normal").await;
        }
        one.router.publish(vec![(boot, format!("{round}").into())]).await;
        sleep(Duration::from_millis(20)).await;
    }
    let (payloads, has_lost) = payloads_within(&mut two, Duration::from_secs(3)).await;
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(payloads, expected);
    assert!(!has_lost);
    let events = one.all_within(Duration::from_millis(100)).await;
    assert!(!events.iter().any(|event| routes_gone(event).is_some() || is_death(event)), "{events:?}");
    assert!(one.router.is_up());
}

#[tokio::test]
async fn a_lost_inbox_and_a_lease_that_went_back_are_losses_of_redis() {
    let redis = RedisServer::start().await;
    let [mut one] = redis.nodes().await;
    let boot = one.router.boot();
    sleep(Duration::from_millis(1_200)).await;
    for fault in [
        format!("DEL herald:inbox:{{{boot}}}"),
        format!("HSET herald:nodes {boot} 0_99999999999999_node-1"),
        format!("HDEL herald:nodes {boot}"),
    ] {
        let mut cmd = redis::cmd("EVAL");
        // The blanks inside a lease's value.
        let fault: Vec<String> = fault.split(' ').map(|word| word.replace('_', " ")).collect();
        cmd.arg("return redis.call(unpack(ARGV))").arg(0);
        for word in &fault {
            cmd.arg(word);
        }
        cmd.exec_async(&mut redis.client().await).await.unwrap();
        let event = one.next_is("the loss", |event| routes_gone(event).is_some()).await;
        assert_eq!(routes_gone(&event), Some(RoutesGoneReason::RedisLostData), "{fault:?}");
        assert_eq!(one.router.boot(), boot);
        sleep(Duration::from_millis(1_200)).await;
    }
}

#[tokio::test]
async fn a_full_redis_is_as_one_that_is_away() {
    let redis = RedisServer::start().await;
    let [one, mut two] = redis.nodes().await;
    redis.run("CONFIG SET maxmemory 1").await;
    let published = one.send(&two, "queued").await;
    assert!(published.is_down);
    until("the node knows", async || !one.router.is_up()).await;
    let result = one.router.register(Uuid::new_v4(), SessionId::random(), 1, 3).await;
    assert!(result.unwrap_err().is_down());
    redis.run("CONFIG SET maxmemory 0").await;
    assert_eq!(two.next_delivery().await.1, "queued");
    until("the node knows", async || one.router.is_up()).await;
}

#[tokio::test]
async fn a_queue_past_its_bound_drops_the_oldest_and_the_receiver_notices() {
    let redis = RedisServer::start().await;
    let mut config = redis.config("node-1");
    config.outbox_bytes_max = 10_000;
    let mut one = Node::start(config).await;
    let mut two = redis.node("node-2").await;
    until("seen", async || one.router.live_boots().len() == 2).await;
    one.send(&two, "before").await;
    two.next_delivery().await;
    redis.signal(Signal::STOP);
    one.next_is("down", is_down).await;
    for number in 0..200 {
        assert!(one.send(&two, format!("{number:0>100}")).await.is_down);
    }
    redis.signal(Signal::CONT);
    let mut has_lost = false;
    let mut got = Vec::new();
    while got.last() != Some(&199) {
        match two.next("the rest", Some).await {
            Event::Lost { from, .. } => {
                assert!(got.is_empty() && from == Some(one.router.boot()));
                has_lost = true;
            }
            Event::Delivery { payload, .. } => got.push(std::str::from_utf8(&payload).unwrap().parse::<u32>().unwrap()),
            _ => {}
        }
    }
    assert!(has_lost);
    assert!(got.windows(2).all(|pair| pair[1] == pair[0] + 1) && got.len() > 20 && got.len() < 60, "{got:?}");
}

#[tokio::test]
async fn a_node_that_shuts_down_has_left_and_not_died() {
    let redis = RedisServer::start().await;
    let [mut one, two] = redis.nodes().await;
    let boot = two.router.boot();
    two.router.shutdown().await;
    let event = one.next_is("it leaves", is_death).await;
    assert!(matches!(event, Event::BootLeft { boot: left, .. } if left == boot));
    for key in ["inbox", "users"] {
        assert_eq!(redis.run(&format!("EXISTS herald:{key}:{{{boot}}}")).await, redis::Value::Int(0));
    }
}

#[tokio::test]
async fn a_new_boot_is_not_used_before_all_peers_know_of_it() {
    let redis = RedisServer::start().await;
    let one = redis.node("node-1").await;
    for number in 2..6 {
        let other = redis.node(&format!("node-{number}")).await;
        // No waiting here: whoever sends "to all" from now on sends to this one.
        assert!(one.router.last_known_boots().iter().any(|(_, boot)| *boot == other.router.boot()));
    }
}

#[tokio::test]
async fn who_joins_while_a_peer_is_cut_off_learns_that_it_may_have_missed_something() {
    let redis = RedisServer::start().await;
    let (thread, one) = NodeThread::start(redis.config("node-1")).await;
    // Cut off for less than its lease: nothing else tells the newcomer.
    let (mut two, ()) = tokio::join!(
        async {
            sleep(Duration::from_millis(300)).await;
            redis.node("node-2").await
        },
        async {
            redis.run("CLIENT KILL TYPE normal").await;
            thread.pause(Duration::from_secs(3)).await;
        }
    );
    let event = two.next_is("the loss", |event| matches!(event, Event::Lost { .. })).await;
    assert!(matches!(event, Event::Lost { from: Some(from), .. } if from == one.router.boot()));
    let events = two.all_within(Duration::from_millis(500)).await;
    assert!(events.is_empty(), "{events:?}");
    thread.kill();
}
