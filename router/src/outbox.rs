//! What is sent to peers: a bounded queue, and one writer that takes all that waits in one round trip.
//!
//! Callers queue in the order of their calls, and counters are given out in that order, under one lock. The writer sends from the
//! front and takes away what Redis has taken; what it may have taken without saying so is sent again with the same counter, and
//! the receiver drops the second. What falls out of the queue has used up its counter, so the receiver sees the hole.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, RedisError, RedisWrite as _, Value};
use tokio::sync::{Notify, oneshot};

use crate::Published;
use crate::clock::Moment;
use crate::connection::{Connection, is_away, timed_out};
use crate::envelope::Outgoing;
use crate::ids::BootId;
use crate::keys::Keys;
use crate::shared::{Shared, SharedRef};

/// One round trip carries this much at most.
const BATCH_ENTRIES_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What an entry costs beside its payload, for the bound on the queue.
const ENTRY_OVERHEAD_BYTES: usize = 128;
/// A peer that was written to within this long gets the counter each second, others more rarely.
const BUSY_FOR: Duration = Duration::from_secs(30);
const COUNTER_EVERY_BUSY: Duration = Duration::from_secs(1);
const COUNTER_EVERY_IDLE: Duration = Duration::from_secs(30);
/// How often the writer looks whether a counter is due.
const TICK: Duration = Duration::from_millis(250);
/// After a refusal (out of memory) the writer waits this long before it tries again.
const RETRY: Duration = Duration::from_millis(200);
/// Hints are repeated by who has them; more than this need not wait.
const HINTS_MAX: usize = 16;
/// Counters of a boot that is gone are kept for as long as it may still come back.
const LINE_MEMORY: Duration = Duration::from_hours(2);

/// Waits for the entries of one call.
struct Ticket {
    waiting: usize,
    published: Published,
    done: Option<oneshot::Sender<Published>>,
}

struct Entry {
    to: BootId,
    counter: u64,
    payload: Bytes,
    ticket: Option<Arc<Mutex<Ticket>>>,
}

impl Entry {
    fn cost(&self) -> usize {
        self.payload.len() + ENTRY_OVERHEAD_BYTES
    }
}

/// The state towards one destination.
struct Line {
    /// The last counter given out.
    counter: u64,
    last_payload: Option<Moment>,
    last_written: Option<Moment>,
    used_at: Moment,
}

struct State {
    /// The boot that the counters belong to.
    from: BootId,
    queue: VecDeque<Entry>,
    /// How many at the front are on their way and must stay.
    in_flight: usize,
    queue_bytes: usize,
    lines: HashMap<BootId, Line>,
    hints: Vec<String>,
    must_greet: bool,
    /// Peers not known yet have joined while Redis was away from here: whatever went "to all" meanwhile has passed them by.
    must_skip_new: bool,
}

pub(crate) struct Outbox {
    state: Mutex<State>,
    bytes_max: usize,
    wake: Notify,
    is_empty: Notify,
}

impl State {
    fn line(&mut self, to: BootId, now: Moment) -> &mut Line {
        let counter = u64::from(self.must_skip_new);
        let fresh = Line { counter, last_payload: None, last_written: None, used_at: now };
        let line = self.lines.entry(to).or_insert(fresh);
        line.used_at = now;
        line
    }
}

impl Outbox {
    pub(crate) fn new(from: BootId, bytes_max: usize) -> Self {
        let state = State {
            from,
            queue: VecDeque::new(),
            in_flight: 0,
            queue_bytes: 0,
            lines: HashMap::new(),
            hints: Vec::new(),
            must_greet: false,
            must_skip_new: false,
        };
        Self { state: Mutex::new(state), bytes_max, wake: Notify::new(), is_empty: Notify::new() }
    }

    /// Queues under a new boot: what waits gets new counters. Each begins with a hole, since what the old boot had sent may be lost.
    pub(crate) fn renumber(&self, from: BootId) {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.from = from;
        for line in state.lines.values_mut() {
            line.counter = u64::from(line.counter > 0);
        }
        for entry in &mut state.queue {
            if let Some(line) = state.lines.get_mut(&entry.to) {
                line.counter += 1;
                entry.counter = line.counter;
            }
        }
        state.must_greet = true;
        self.wake.notify_one();
    }

    /// Redis is there: all peers shall hear at once how far the counters are. After an outage those that joined meanwhile see a hole.
    pub(crate) fn greet(&self, was_down: bool) {
        let mut state = self.state.lock();
        state.must_greet = true;
        state.must_skip_new |= was_down;
        drop(state);
        self.wake.notify_one();
    }

    /// Redis is away: nobody waits for an answer any more, their entries do.
    pub(crate) fn release_waiting(&self) {
        let mut state = self.state.lock();
        for entry in &mut state.queue {
            if let Some(ticket) = entry.ticket.take() {
                let mut ticket = ticket.lock();
                ticket.published.is_down = true;
                ticket.finish();
            }
        }
    }

    /// Uses up a counter of each known peer, so that all of them see a hole.
    pub(crate) fn skip(&self, peers: impl Iterator<Item = BootId>) {
        let now = Moment::now();
        let mut state = self.state.lock();
        for to in peers {
            let line = state.line(to, now);
            line.counter += 1;
            line.last_payload = Some(now);
        }
    }

    pub(crate) fn hint(&self, topic: &str) {
        let mut state = self.state.lock();
        if state.hints.len() < HINTS_MAX && !state.hints.iter().any(|hint| hint == topic) {
            state.hints.push(topic.to_owned());
        }
        drop(state);
        self.wake.notify_one();
    }
}

impl Ticket {
    fn finish(&mut self) {
        if let Some(done) = self.done.take() {
            // The caller may have gone; its entries are sent all the same.
            let _ = done.send(std::mem::take(&mut self.published));
        }
    }

    fn resolve(&mut self, outcome: Outcome, to: BootId) {
        match outcome {
            Outcome::Taken => self.published.taken += 1,
            Outcome::Stale => self.published.stale.push(to),
            Outcome::Refused => self.published.is_down = true,
        }
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.finish();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Taken,
    Stale,
    Refused,
}

pub(crate) async fn publish(shared: &Shared, to: Vec<(BootId, Bytes)>) -> Published {
    if to.is_empty() {
        return Published::default();
    }
    let outbox = &shared.outbox;
    let now = Moment::now();
    let (done, answer) = oneshot::channel();
    {
        let mut state = outbox.state.lock();
        // Asked under the lock: whoever says later that Redis is away finds these entries in the queue.
        let is_up = shared.is_up();
        let ticket = is_up.then(|| {
            let ticket = Ticket { waiting: to.len(), published: Published::default(), done: Some(done) };
            Arc::new(Mutex::new(ticket))
        });
        for (to, payload) in to {
            let line = state.line(to, now);
            line.counter += 1;
            line.last_payload = Some(now);
            let entry = Entry { to, counter: line.counter, payload, ticket: ticket.clone() };
            state.queue_bytes += entry.cost();
            state.queue.push_back(entry);
        }
        shed(&mut state, outbox.bytes_max, shared);
        #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "a gauge")]
        shared.metrics.queue_bytes.set(state.queue_bytes as f64);
        if !is_up {
            return Published { is_down: true, ..Published::default() };
        }
    }
    outbox.wake.notify_one();
    answer.await.unwrap_or(Published { is_down: true, ..Published::default() })
}

/// Drops the oldest that are not on their way, until the queue is within its bound. Their counters stay used.
fn shed(state: &mut State, bytes_max: usize, shared: &Shared) {
    while state.queue_bytes > bytes_max {
        let Some(entry) = state.queue.remove(state.in_flight) else {
            return;
        };
        state.queue_bytes -= entry.cost();
        shared.metrics.queue_dropped.increment(1);
        if let Some(ticket) = entry.ticket {
            ticket.lock().resolve(Outcome::Refused, entry.to);
        }
    }
}

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

/// Waits until all that was queued has been sent, for as long as `patience`.
pub(crate) async fn drain(shared: &Shared, patience: Duration) {
    let draining = async {
        while shared.is_up() && !shared.outbox.state.lock().queue.is_empty() {
            let _ = tokio::time::timeout(TICK, shared.outbox.is_empty.notified()).await;
        }
    };
    let _ = tokio::time::timeout(patience, draining).await;
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
