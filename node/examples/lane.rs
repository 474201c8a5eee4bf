//! What a message costs in the writer lanes alone: no sockets, no bus. Prints messages a second, and CPU time per message of
//! PostgreSQL and of this process, for several numbers of sends in flight.
//!
//! `cargo run --release -p herald-node --example lane -- postgres://user@host:port/database [seconds] [pairs] [lanes]`
//! The database is a migrated shard (`herald migrate`) that holds all slots.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use herald_node::config::{Config, ShardDatabase};
use herald_node::domain::command::{Actor, Command};
use herald_node::domain::message::{Message, NewMessage};
use herald_node::domain::settings::Settings;
use herald_node::domain::{BootId, ConversationRef, UserId};
use herald_node::storage::Shards;
use herald_node::storage::shard::lane::Request;
use herald_node::storage::shard::open::{Providers, open};
use herald_node::tasks::Tasks;
use tokio::sync::Semaphore;

/// Sends in flight, of all senders together.
const LOADS: [usize; 5] = [1, 32, 128, 256, 512];
/// Messages of 50 bytes, as short chat messages are.
const CONTENT: &str = "Fifty bytes of text that somebody wrote in a chat.";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("the first argument is the URL of a shard")?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let pairs: usize = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    let lanes: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(url, Duration::from_secs(seconds), pairs, lanes))
}

async fn measure(url: String, time: Duration, pairs: usize, lanes: usize) -> Result<(), Box<dyn std::error::Error>> {
    let shard = ShardDatabase { name: "bench".to_owned(), url, lanes, ..ShardDatabase::default() };
    let config = Config { shards: vec![shard], ..Config::default() };
    let tasks = Tasks::default();
    let policy = Settings { enable_first_message_limit: false, ..Settings::default() }.policy();
    let boot = BootId::random();
    let providers = Providers {
        boot: Arc::new(move || boot),
        policy: Arc::new(move || policy),
        subscribed: Arc::new(|| Arc::from([])),
    };
    let (shards, commits) = open(&config, providers, &tasks).await?;
    let batches = Arc::new(AtomicU64::new(0));
    for mut receiver in commits {
        let batches = Arc::clone(&batches);
        tasks.spawn("answers", async move {
            while let Some(commit) = receiver.recv().await {
                batches.fetch_add(1, Ordering::Relaxed);
                for answer in commit.answers {
                    (answer.reply)(answer.result);
                }
            }
        });
    }
    let chats: Vec<(Actor, ConversationRef)> = (0..pairs)
        .map(|_| {
            let (from, to) = (UserId::random(), UserId::random());
            (Actor { id: from, name: "Sender".into() }, ConversationRef::direct(from, to))
        })
        .collect();
    println!("{:>9} {:>10} {:>7} {:>12} {:>12}", "in flight", "messages/s", "batch", "postgres us", "this us");
    run(&shards, &chats, pairs.min(512), Duration::from_secs(1)).await?;
    for load in LOADS {
        batches.store(0, Ordering::Relaxed);
        let before = (cpu_us("postgres"), cpu_us("lane"));
        let begun = Instant::now();
        let sent = run(&shards, &chats, load, time).await?;
        let count = f64::from(u32::try_from(sent.max(1))?);
        let rate = count / begun.elapsed().as_secs_f64();
        let batch = count / f64::from(u32::try_from(batches.load(Ordering::Relaxed).max(1))?);
        let database = (cpu_us("postgres") - before.0) / count;
        let own = (cpu_us("lane") - before.1) / count;
        println!("{load:>9} {rate:>10.0} {batch:>7.1} {database:>12.1} {own:>12.1}");
    }
    tasks.shutdown(Duration::from_secs(2)).await;
    Ok(())
}

/// Sends as fast as the lanes answer, `load` at once, and counts.
async fn run(
    shards: &Shards,
    chats: &[(Actor, ConversationRef)],
    load: usize,
    time: Duration,
) -> Result<u64, Box<dyn std::error::Error>> {
    let permits = Arc::new(Semaphore::new(load));
    let until = Instant::now() + time;
    let (mut sent, failed) = (0, Arc::new(AtomicU64::new(0)));
    let mut next = chats.iter().cycle();
    while Instant::now() < until {
        let permit = Arc::clone(&permits).acquire_owned().await?;
        let Some((actor, conversation)) = next.next() else { break };
        sent += 1;
        let failed = Arc::clone(&failed);
        shards.submit(Request {
            conversation: *conversation,
            actor: actor.clone(),
            command: message(),
            origin: None,
            reply: Box::new(move |answer| {
                failed.fetch_add(u64::from(answer.is_err()), Ordering::Relaxed);
                drop(permit);
            }),
        });
    }
    let _all = permits.acquire_many(u32::try_from(load)?).await?;
    let failed = failed.load(Ordering::Relaxed);
    if failed > 0 { Err(format!("{failed} failed").into()) } else { Ok(sent) }
}

fn message() -> Command {
    let message = Message::text(CONTENT);
    Command::Send { message: NewMessage { temp_id: uuid::Uuid::new_v4().to_string(), message }, over_rate_ms: None }
}

/// CPU time in microseconds of all processes of a name: user and system, the clock ticking 100 times a second.
fn cpu_us(name: &str) -> f64 {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0.0 };
    let ticks = processes.flatten().filter_map(|process| {
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        let (head, fields) = stat.rsplit_once(") ")?;
        let is_it = head.rsplit_once('(').is_some_and(|(_, command)| command == name);
        let mut fields = fields.split(' ').skip(11);
        let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        is_it.then_some(user + system)
    });
    f64::from(ticks.sum::<u32>()) * 10_000.0
}
