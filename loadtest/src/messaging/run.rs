//! A run from its first connection to its verdict.

use super::plan::{Plan, share_out};
use super::shared::Shared;
use super::worker::{Found, Window, window_of, work};
use crate::accounting::{Account, CpuUse, cpu_between, take_account};
use crate::clock::{Clock, MILLISECOND_NS, SECOND_NS};
use crate::cluster::ProcessName;
use crate::latency::{Latency, LatencySummary};
use crate::net::Opening;
use crate::numbers::{count, float, ratio};
use crate::oracle::{ConversationRecord, Verdict, judge};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between the last client's readiness and the first send.
const BEFORE_START_NS: u64 = 200 * MILLISECOND_NS;
/// After all is delivered, for what might still come and should not: doubles.
const AFTER_DRAIN_NS: u64 = 300 * MILLISECOND_NS;
const PROGRESS_NS: u64 = 5 * SECOND_NS;
const POLL: Duration = Duration::from_millis(20);

#[derive(Serialize)]
pub struct Outcome {
    pub seconds: f64,
    pub acked_in_window: u64,
    pub delivered_in_window: u64,
    pub acked_per_s: f64,
    pub delivered_per_s: f64,
    pub ack: LatencySummary,
    pub delivery: LatencySummary,
    pub lateness: LatencySummary,
    pub drain_s: f64,
    pub cpu: Vec<CpuUse>,
    pub lost_connections: u64,
    pub notes: BTreeMap<String, u64>,
    pub verdict: Verdict,
}

/// Opens all clients, sends and measures, drains, and judges.
pub fn run(plan: &Plan, threads: usize, opening: &Arc<Opening>, processes: &[ProcessName]) -> Result<Outcome, String> {
    let clock = Clock::start();
    let shared = Shared::default();
    let parts = share_out(plan, threads.max(1));
    let threads = count(parts.len());
    let (found, measured) = std::thread::scope(|scope| {
        let workers: Vec<_> = (1_u64..)
            .zip(parts)
            .map(|(seed, part)| {
                let shared = &shared;
                scope.spawn(move || {
                    let result = work(plan, part, opening, clock, shared, seed);
                    if let Err(reason) = &result {
                        shared.fail(reason.clone());
                    }
                    result
                })
            })
            .collect();
        let measured = conduct(plan, clock, &shared, threads, processes);
        shared.is_stopped.store(true, Ordering::Relaxed);
        let found: Vec<Result<Found, String>> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err("a thread of the generator panicked".into())))
            .collect();
        (found, measured)
    });
    let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
    if let Some(failure) = shared.failure() {
        return Err(failure);
    }
    put_together(plan, found, &measured)
}

/// What the conductor saw from outside the threads.
struct Measured {
    window: Window,
    before: Account,
    after: Account,
    drain_s: f64,
}

/// Waits for the clients, lets sending begin, takes the accounts at both ends of the window, waits for the drain.
fn conduct(plan: &Plan, clock: Clock, shared: &Shared, threads: u64, processes: &[ProcessName]) -> Measured {
    while shared.ready.load(Ordering::Relaxed) < threads && !shared.is_stopped() {
        std::thread::sleep(POLL);
    }
    eprintln!("{} clients are live after {:.1} s", shared.live.load(Ordering::Relaxed), float(clock.now_ns()) / 1e9);
    let start_ns = clock.now_ns() + BEFORE_START_NS;
    shared.start_ns.store(start_ns, Ordering::Relaxed);
    let window = window_of(plan, start_ns);
    wait_until(window.from_ns, clock, shared);
    let before = take_account(processes);
    wait_until(window.until_ns, clock, shared);
    let after = take_account(processes);
    let give_up_ns = window.until_ns + plan.sending.drain_s * SECOND_NS;
    while !shared.is_drained() && clock.now_ns() < give_up_ns && !shared.is_stopped() {
        std::thread::sleep(POLL);
    }
    let drain_s = float(clock.now_ns().saturating_sub(window.until_ns)) / 1e9;
    wait_until(clock.now_ns() + AFTER_DRAIN_NS, clock, shared);
    Measured { window, before, after, drain_s }
}

/// Sleeps, and says every few seconds how far the run is.
fn wait_until(at_ns: u64, clock: Clock, shared: &Shared) {
    let mut next_line_ns = clock.now_ns() + PROGRESS_NS;
    while clock.now_ns() < at_ns && !shared.is_stopped() {
        clock.sleep_until(at_ns.min(clock.now_ns() + SECOND_NS / 10));
        if clock.now_ns() >= next_line_ns {
            next_line_ns += PROGRESS_NS;
            let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
            eprintln!(
                "sent {} answered {} delivered {} of {}",
                load(&shared.sent),
                load(&shared.settled),
                load(&shared.delivered),
                load(&shared.expected)
            );
        }
    }
}

fn put_together(plan: &Plan, found: Vec<Found>, measured: &Measured) -> Result<Outcome, String> {
    let seconds = float(measured.window.until_ns - measured.window.from_ns) / 1e9;
    let (mut ack, mut delivery, mut lateness) = (Latency::new()?, Latency::new()?, Latency::new()?);
    let (mut acked_in_window, mut delivered_in_window, mut lost_connections) = (0, 0, 0);
    let mut notes = BTreeMap::new();
    let mut records: Vec<ConversationRecord> = plan
        .conversations
        .iter()
        .map(|conversation| ConversationRecord { name: conversation.name.clone(), ..ConversationRecord::default() })
        .collect();
    for part in found {
        ack.add(&part.ack);
        delivery.add(&part.delivery);
        lateness.add(&part.lateness);
        acked_in_window += part.acked_in_window;
        delivered_in_window += part.delivered_in_window;
        lost_connections += part.lost_connections;
        for (name, times) in part.notes {
            *notes.entry(name).or_insert(0) += times;
        }
        for one in part.conversations {
            if let Some(record) = records.get_mut(one.conversation) {
                record.senders.extend(one.senders);
                record.readers.extend(one.readers);
                record.ledgers.push(one.ledger);
                record.conflicts += one.conflicts;
            }
        }
    }
    Ok(Outcome {
        seconds,
        acked_in_window,
        delivered_in_window,
        acked_per_s: ratio(float(acked_in_window), seconds),
        delivered_per_s: ratio(float(delivered_in_window), seconds),
        ack: ack.summary(),
        delivery: delivery.summary(),
        lateness: lateness.summary(),
        drain_s: measured.drain_s,
        cpu: cpu_between(&measured.before, &measured.after, seconds, acked_in_window),
        lost_connections,
        notes,
        verdict: judge(&records),
    })
}
