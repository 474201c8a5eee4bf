//! What routing costs: two nodes in this process send to each other and look users up, and the CPU time of it is printed.
//!
//! `cargo run --release -p herald-router --example bus_cost -- redis://127.0.0.1:6379 [seconds]` with a Redis that does nothing else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement, not a part of the server")]

use std::time::Duration;

use bytes::Bytes;
use herald_router::{BootId, Event, NodeId, Router, RouterConfig, SessionId};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, interval, sleep};
use uuid::Uuid;

const PUBLISHES_PER_S: u64 = 300;
const LOOKUPS_PER_S: u64 = 200;
const USERS_PER_LOOKUP: usize = 75;
const PAYLOAD_BYTES: usize = 8 * 1024;

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

async fn start(url: &str, name: &str) -> (Router, tokio::sync::mpsc::Receiver<Event>) {
    let mut config = RouterConfig::new(url, NodeId::parse(name).unwrap());
    "bus_cost:".clone_into(&mut config.key_prefix);
    Router::start(config).await.unwrap()
}

async fn look_up(router: &Router, users: &[Uuid], until: Instant) {
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(LOOKUPS_PER_S).unwrap());
    let mut next = 0;
    while Instant::now() < until {
        ticks.tick().await;
        router.routes(&users[next..next + USERS_PER_LOOKUP]).await.unwrap();
        next = (next + USERS_PER_LOOKUP) % (users.len() - USERS_PER_LOOKUP);
    }
}

async fn publish(router: &Router, to: [BootId; 2], until: Instant) {
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(PUBLISHES_PER_S).unwrap());
    let payload = Bytes::from(vec![7; PAYLOAD_BYTES]);
    while Instant::now() < until {
        ticks.tick().await;
        router.publish(vec![(to[0], payload.clone()), (to[1], payload.clone())]).await;
    }
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let seconds: u64 = args.next().map_or(5, |seconds| seconds.parse().unwrap());
    let (one, mut one_events) = start(&url, "node-1").await;
    let (two, mut two_events) = start(&url, "node-2").await;
    let reading = async {
        let mut count: u64 = 0;
        loop {
            tokio::select! {
                event = one_events.recv() => count += u64::from(matches!(event, Some(Event::Delivery { .. }))),
                event = two_events.recv() => count += u64::from(matches!(event, Some(Event::Delivery { .. }))),
                () = sleep(Duration::from_secs(2 * seconds + 4)) => return count,
            }
        }
    };
    let working = async {
        let held: Vec<(Uuid, SessionId, i64)> = (0..5_000).map(|_| (Uuid::new_v4(), SessionId::random(), 0)).collect();
        one.restore(&held, 3).await.unwrap();
        let users: Vec<Uuid> = held.iter().map(|(user, ..)| *user).collect();
        sleep(Duration::from_secs(1)).await;
        let (before, until) = (cpu(), Instant::now() + Duration::from_secs(seconds));
        sleep(Duration::from_secs(seconds)).await;
        println!("idle, two nodes: {:?} of CPU in {seconds} s", cpu().checked_sub(before).unwrap());
        let until = until + Duration::from_secs(seconds);
        let before = cpu();
        look_up(&one, &users, until).await;
        println!(
            "{LOOKUPS_PER_S} look-ups of {USERS_PER_LOOKUP} users a second: {:?}",
            cpu().checked_sub(before).unwrap()
        );
        let until = until + Duration::from_secs(seconds);
        let before = cpu();
        publish(&one, [one.boot(), two.boot()], until).await;
        println!(
            "{PUBLISHES_PER_S} publishes of {PAYLOAD_BYTES} bytes to 2 a second, and reading them: {:?}",
            cpu().checked_sub(before).unwrap()
        );
    };
    tokio::select! {
        count = reading => println!("{count} deliveries"),
        () = async { working.await; std::future::pending::<()>().await } => {}
    }
    one.shutdown().await;
    two.shutdown().await;
}
