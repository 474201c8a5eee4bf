//! The writer: takes all that waits in one round trip, with the counters and hints that are due.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::{Cmd, Pipeline, RedisError, RedisWrite as _, Value};

use super::{Line, Outcome, TICK};
use crate::clock::Moment;
use crate::connection::{Connection, is_away, timed_out};
use crate::envelope::Outgoing;
use crate::ids::BootId;
use crate::keys::Keys;
use crate::shared::{Shared, SharedRef};

/// One round trip carries this much at most.
const BATCH_ENTRIES_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A peer that was written to within this long gets the counter each second, others more rarely.
const BUSY_FOR: Duration = Duration::from_secs(30);
const COUNTER_EVERY_BUSY: Duration = Duration::from_secs(1);
const COUNTER_EVERY_IDLE: Duration = Duration::from_secs(30);
/// After a refusal (out of memory) the writer waits this long before it tries again.
const RETRY: Duration = Duration::from_millis(200);
/// Counters of a boot that is gone are kept for as long as it may still come back.
const LINE_MEMORY: Duration = Duration::from_hours(2);

/// Sends what waits, for as long as the router lives.
pub(crate) async fn write(shared: SharedRef) {
    let mut last_tick = Moment::now();
    while !shared.shutdown.is_cancelled() {
        let sent = match shared.main() {
            Ok((number, connection)) => send_batch(&shared, number, connection, &mut last_tick).await,
            Err(_) => Sent::Nothing,
        };
        let wait = match sent {
            Sent::Some => continue,
            Sent::Nothing => TICK,
            Sent::Refused => RETRY,
        };
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = shared.outbox.wake.notified(), if sent == Sent::Nothing => {}
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Some,
    Nothing,
    Refused,
}

/// Commands to be sent, by destination in a cluster, all together else.
struct Batch {
    payloads: usize,
    targets: Vec<BootId>,
    commands: Vec<Cmd>,
}

async fn send_batch(shared: &Shared, number: u64, connection: Connection, last_tick: &mut Moment) -> Sent {
    let batch = collect(shared, last_tick);
    if batch.commands.is_empty() {
        return Sent::Nothing;
    }
    let sent = Instant::now();
    let Batch { payloads, targets, commands } = batch;
    let running = tokio::time::timeout(shared.config.command_timeout(), run_by_target(connection, &targets, commands));
    match running.await.unwrap_or_else(|_| Err(timed_out())) {
        Ok(answers) => {
            shared.metrics.round_trip_seconds.record(sent.elapsed());
            settle(shared, number, payloads, &answers)
        }
        Err(error) => {
            shared.outbox.state.lock().in_flight = 0;
            shared.mark_broken(number, &error);
            Sent::Refused
        }
    }
}

/// In a cluster the entries of one destination go in one pipeline, so that their order holds; destinations go side by side.
async fn run_by_target(
    mut connection: Connection,
    targets: &[BootId],
    commands: Vec<Cmd>,
) -> Result<Vec<Value>, RedisError> {
    if !connection.is_cluster() {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command);
        }
        return connection.run_in_order(&pipeline).await;
    }
    let mut places: HashMap<BootId, (Vec<usize>, Pipeline)> = HashMap::new();
    let count = commands.len();
    for (index, (target, command)) in targets.iter().zip(commands).enumerate() {
        let (indexes, pipeline) = places.entry(*target).or_default();
        indexes.push(index);
        pipeline.add_command(command);
    }
    let runs = places.into_values().map(|(indexes, pipeline)| {
        let mut connection = connection.clone();
        async move { connection.run_in_order(&pipeline).await.map(|answers| (indexes, answers)) }
    });
    let mut all = vec![Value::Nil; count];
    for run in join_all(runs).await {
        let (indexes, answers) = run?;
        for (index, answer) in indexes.into_iter().zip(answers) {
            if let Some(slot) = all.get_mut(index) {
                *slot = answer;
            }
        }
    }
    Ok(all)
}

/// Takes from the front of the queue, and adds counters and hints that are due.
fn collect(shared: &Shared, last_tick: &mut Moment) -> Batch {
    let now = Moment::now();
    let peers = shared.peers.lock().fresh();
    let mut state = shared.outbox.state.lock();
    let state = &mut *state;
    let mut batch = Batch { payloads: 0, targets: Vec::new(), commands: Vec::new() };
    let mut batch_bytes = 0;
    let (from, entries_max) = (state.from, shared.config.inbox_entries_max);
    let add = |batch: &mut Batch, to: BootId, entry: Outgoing<'_>| {
        batch.targets.push(to);
        batch.commands.push(append(&shared.keys, from, to, entry, entries_max));
    };
    for entry in &state.queue {
        if batch.payloads >= BATCH_ENTRIES_MAX || batch_bytes > BATCH_BYTES_MAX {
            break;
        }
        batch.payloads += 1;
        batch_bytes += entry.cost();
        add(&mut batch, entry.to, Outgoing::Payload { counter: entry.counter, payload: &entry.payload });
    }
    state.in_flight = batch.payloads;
    for topic in state.hints.drain(..) {
        for (_, to) in peers.iter() {
            add(&mut batch, *to, Outgoing::Hint { topic: &topic });
        }
    }
    if state.must_greet || now.since(*last_tick) >= TICK {
        *last_tick = now;
        // Who has something in the queue will see the counter there, and a later one now would look like a loss.
        let queued: HashSet<BootId> = state.queue.iter().map(|entry| entry.to).collect();
        for (_, to) in peers.iter().filter(|(_, to)| !queued.contains(to)) {
            let must_greet = state.must_greet;
            let line = state.line(*to, now);
            if must_greet || line.is_counter_due(now) {
                line.last_written = Some(now);
                add(&mut batch, *to, Outgoing::Counter { counter: line.counter });
            }
        }
        state.must_greet = false;
        state.must_skip_new = false;
        state.lines.retain(|_, line| now.since(line.used_at) < LINE_MEMORY);
    }
    batch
}

impl Line {
    fn is_counter_due(&self, now: Moment) -> bool {
        let is_busy = self.last_payload.is_some_and(|at| now.since(at) < BUSY_FOR);
        let every = if is_busy { COUNTER_EVERY_BUSY } else { COUNTER_EVERY_IDLE };
        self.last_written.is_none_or(|at| now.since(at) >= every)
    }
}

fn append(keys: &Keys, from: BootId, to: BootId, entry: Outgoing<'_>, entries_max: u64) -> Cmd {
    let mut command = Cmd::with_capacity(8, entry.encoded_len() + 160);
    command.arg("XADD").arg(keys.inbox(to)).arg("NOMKSTREAM").arg("MAXLEN").arg("~").arg(entries_max).arg("*").arg("e");
    entry.encode(from, &mut command.bufmut_for_next_arg(entry.encoded_len()));
    command
}

/// Takes away what Redis has answered for, and tells those who wait.
fn settle(shared: &Shared, number: u64, payloads: usize, answers: &[Value]) -> Sent {
    let mut refused = None;
    let mut keep = Vec::new();
    let mut counts = (0, 0);
    {
        let mut state = shared.outbox.state.lock();
        state.in_flight = 0;
        for answer in answers.iter().take(payloads) {
            let Some(mut entry) = state.queue.pop_front() else {
                break;
            };
            let mut may_pass = false;
            let outcome = match answer {
                Value::Nil => Outcome::Stale,
                Value::ServerError(error) => {
                    let error = RedisError::from(error.clone());
                    may_pass = is_away(&error) || error.code() == Some("OOM");
                    refused = Some(error);
                    Outcome::Refused
                }
                _ => Outcome::Taken,
            };
            if let Some(ticket) = entry.ticket.take() {
                ticket.lock().resolve(outcome, entry.to);
            }
            match outcome {
                Outcome::Taken => counts.0 += 1,
                Outcome::Stale => counts.1 += 1,
                Outcome::Refused if may_pass => {
                    keep.push(entry);
                    continue;
                }
                // It would be refused for ever, and hold up all others; its counter shows the hole.
                Outcome::Refused => {}
            }
            state.queue_bytes = state.queue_bytes.saturating_sub(entry.cost());
        }
        for entry in keep.into_iter().rev() {
            state.queue.push_front(entry);
        }
        #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "a gauge")]
        shared.metrics.queue_bytes.set(state.queue_bytes as f64);
        if state.queue.is_empty() {
            shared.outbox.is_empty.notify_waiters();
        }
    }
    shared.metrics.published.increment(counts.0);
    shared.metrics.stale.increment(counts.1);
    match refused {
        None => Sent::Some,
        Some(error) => {
            shared.metrics.refused.increment(1);
            tracing::warn!(%error, "redis refuses entries");
            if is_away(&error) {
                shared.mark_broken(number, &error);
            }
            Sent::Refused
        }
    }
}
