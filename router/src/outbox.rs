//! What is sent to peers: a bounded queue, and one writer that takes all that waits in one round trip.
//!
//! Callers queue in the order of their calls, and counters are given out in that order, under one lock. The writer sends from the
//! front and takes away what Redis has taken; what it may have taken without saying so is sent again with the same counter, and
//! the receiver drops the second. What falls out of the queue has used up its counter, so the receiver sees the hole.

mod write;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::Published;
use crate::clock::Moment;
use crate::ids::BootId;
use crate::shared::Shared;
pub(crate) use write::write;

/// What an entry costs beside its payload, for the bound on the queue.
const ENTRY_OVERHEAD_BYTES: usize = 128;
/// How often the writer looks whether a counter is due.
const TICK: Duration = Duration::from_millis(250);
/// Hints are repeated by who has them; more than this need not wait.
const HINTS_MAX: usize = 16;

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

/// Waits until all that was queued has been sent, for as long as `patience`.
pub(crate) async fn drain(shared: &Shared, patience: Duration) {
    let draining = async {
        while shared.is_up() && !shared.outbox.state.lock().queue.is_empty() {
            let _ = tokio::time::timeout(TICK, shared.outbox.is_empty.notified()).await;
        }
    };
    let _ = tokio::time::timeout(patience, draining).await;
}
