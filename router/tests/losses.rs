//! The promise of the bus under faults: what does not arrive is told of, in time, and reaching back far enough.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Node, NodeThread, RedisServer, until};
use herald_router::{Event, Moment, Router};
use rustix::process::Signal;
use tokio::time::{interval, sleep, timeout};

const LEASE_MS: u64 = 2_500;
/// The repair after a loss reaches back 5 s further than the router says; here a part of that is taken as given.
const SLACK: Duration = Duration::from_secs(1);

/// What the receiver saw.
#[derive(Default)]
struct Seen {
    numbers: Vec<u32>,
    /// When a loss was told of, and since when things may be missing.
    losses: Vec<(Moment, Moment)>,
}

impl Seen {
    fn take(&mut self, event: Event) {
        match event {
            Event::Delivery { payload, .. } => {
                self.numbers.push(std::str::from_utf8(&payload).unwrap().parse().unwrap());
            }
            Event::Lost { well_at, .. } | Event::RoutesGone { well_at, .. } => {
                self.losses.push((Moment::now(), well_at));
            }
            _ => {}
        }
    }
}

#[derive(Debug)]
struct Outcome {
    missing: usize,
    told: usize,
}

impl Seen {
    /// What neither arrived nor is covered by a loss that was told of.
    fn unexplained(&self, sent: &BTreeMap<u32, Moment>) -> Vec<u32> {
        let is_told = |sent_at: Moment| {
            self.losses.iter().any(|(told_at, well_at)| *told_at >= sent_at && *well_at <= sent_at.forward_by(SLACK))
        };
        let is_explained = |number: &u32, sent_at: &Moment| self.numbers.contains(number) || is_told(*sent_at);
        sent.iter().filter(|(number, sent_at)| !is_explained(number, sent_at)).map(|(number, _)| *number).collect()
    }
}

/// Sends a number each 3 ms, to whatever boot the receiver has, and notes when.
async fn send(from: Router, to: Router, stop: tokio::sync::watch::Receiver<bool>) -> BTreeMap<u32, Moment> {
    let mut ticks = interval(Duration::from_millis(3));
    let mut sent = BTreeMap::new();
    for number in 0.. {
        if *stop.borrow() {
            break;
        }
        ticks.tick().await;
        sent.insert(number, Moment::now());
        from.publish(vec![(to.boot(), number.to_string().into())]).await;
    }
    sent
}

/// Runs `fault` while one node writes to another, and checks what the other was told.
async fn check(fault: impl AsyncFnOnce(&mut RedisServer, &Node, &NodeThread, &NodeThread)) -> Outcome {
    let mut redis = RedisServer::start().await;
    let config = |name: &str| {
        let mut config = redis.config(name);
        config.lease_ms = LEASE_MS;
        config
    };
    let (one_thread, one) = NodeThread::start(config("node-1")).await;
    let (two_thread, mut two) = NodeThread::start(config("node-2")).await;
    until("seen", async || one.router.live_boots().len() == 2 && two.router.live_boots().len() == 2).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut seen = Seen::default();
    let ruining = async {
        sleep(Duration::from_millis(300)).await;
        let node = Node { router: two.router.clone(), events: tokio::sync::mpsc::channel(1).1 };
        fault(&mut redis, &node, &one_thread, &two_thread).await;
        until("both are well", async || one.router.is_up() && two.router.is_up()).await;
        sleep(Duration::from_millis(500)).await;
        stop.send_replace(true);
    };
    let events = &mut two.events;
    let reading = async {
        while let Some(event) = events.recv().await {
            seen.take(event);
        }
    };
    let sending = send(one.router.clone(), two.router.clone(), stopped);
    let sent = tokio::select! {
        (sent, ()) = async { tokio::join!(sending, ruining) } => sent,
        () = reading => panic!("the receiver ended"),
    };
    // What is told within 5 s of all being well again is in time.
    let _ = timeout(Duration::from_secs(5), async {
        while !seen.unexplained(&sent).is_empty() {
            seen.take(two.events.recv().await.unwrap());
        }
    })
    .await;
    let unexplained = seen.unexplained(&sent);
    assert!(
        unexplained.is_empty(),
        "missing, and nobody says so: {unexplained:?} of {}, {:?}",
        sent.len(),
        seen.losses
    );
    assert!(seen.numbers.windows(2).all(|pair| pair[0] < pair[1]), "out of order or twice: {:?}", seen.numbers);
    one_thread.kill();
    two_thread.kill();
    Outcome { missing: sent.len() - seen.numbers.len(), told: seen.losses.len() }
}

#[tokio::test]
async fn without_a_fault_all_arrives() {
    let outcome = check(async |_, _, _, _| sleep(Duration::from_secs(1)).await).await;
    assert!(outcome.missing == 0 && outcome.told == 0, "{outcome:?}");
}

#[tokio::test]
async fn broken_connections_lose_nothing() {
    let outcome = check(async |redis, _, _, _| {
        for _ in 0..8 {
            redis.run("CLIENT KILL TYPE normal").await;
            sleep(Duration::from_millis(150)).await;
        }
    })
    .await;
    assert!(outcome.missing == 0 && outcome.told == 0, "{outcome:?}");
}

#[tokio::test]
async fn a_redis_that_hangs_within_the_lease_loses_nothing() {
    let outcome = check(async |redis, _, _, _| {
        redis.signal(Signal::STOP);
        sleep(Duration::from_millis(1_200)).await;
        redis.signal(Signal::CONT);
    })
    .await;
    assert!(outcome.missing == 0 && outcome.told == 0, "{outcome:?}");
}

#[tokio::test]
async fn what_is_trimmed_unread_is_told_of() {
    let outcome = check(async |redis, two, _, two_thread| {
        for _ in 0..3 {
            let key = format!("herald:inbox:{{{}}}", two.router.boot());
            tokio::join!(two_thread.pause(Duration::from_millis(300)), async {
                sleep(Duration::from_millis(200)).await;
                redis.run(&format!("XTRIM {key} MAXLEN 0")).await;
            });
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert!(outcome.missing > 0 && outcome.told > 0, "{outcome:?}");
}

#[tokio::test]
async fn what_redis_forgets_is_told_of() {
    check(async |redis, _, _, _| {
        for _ in 0..3 {
            redis.run("FLUSHALL").await;
            sleep(Duration::from_millis(900)).await;
        }
    })
    .await;
    check(async |redis, _, _, _| {
        redis.kill().await;
        sleep(Duration::from_millis(800)).await;
        redis.launch().await;
    })
    .await;
}

#[tokio::test]
async fn what_a_redis_away_beyond_the_lease_costs_is_told_of() {
    check(async |redis, _, _, _| {
        redis.signal(Signal::STOP);
        sleep(Duration::from_millis(LEASE_MS + 1_500)).await;
        redis.signal(Signal::CONT);
    })
    .await;
}

#[tokio::test]
async fn what_pauses_cost_is_told_of() {
    let outcome =
        check(async |_, _, _, two_thread| two_thread.pause(Duration::from_millis(LEASE_MS + 1_500)).await).await;
    assert!(outcome.missing > 0 && outcome.told > 0, "{outcome:?}");
    check(async |_, _, one_thread, _| one_thread.pause(Duration::from_millis(LEASE_MS + 1_500)).await).await;
    let outcome = check(async |_, _, one_thread, two_thread| {
        two_thread.pause(Duration::from_millis(LEASE_MS / 2)).await;
        one_thread.pause(Duration::from_millis(LEASE_MS / 2)).await;
    })
    .await;
    assert!(outcome.missing == 0 && outcome.told == 0, "{outcome:?}");
}
