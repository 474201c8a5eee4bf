//! Reads this boot's inbox: in order, from the last entry handled, on a connection of its own, and trims what it has read.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use redis::{Pipeline, RedisError, Value};
use tokio::sync::watch;

use crate::clock::Moment;
use crate::connection::{Connection, timed_out};
use crate::envelope::{Entry, decode};
use crate::event::Event;
use crate::ids::BootId;
use crate::shared::{Assignment, EntryId, Progress, Shared, SharedRef};
use crate::value;

/// How long a read waits for entries. Short, so that "all is read up to now" is never old.
pub(crate) const BLOCK: Duration = Duration::from_secs(1);
const READ_ENTRIES_MAX: usize = 128;
const RETRY: Duration = Duration::from_millis(200);
/// A sender that was silent for this long is gone: a living one repeats its counter every 30 s.
const SENDER_MEMORY: Duration = Duration::from_hours(1);
/// How far back a loss reaches where nothing is known of the sender.
const UNKNOWN_SENDER_REACH: Duration = Duration::from_mins(1);
/// Entries that cannot be read are told of this often at most, for each sender.
const UNREADABLE_EVERY: Duration = Duration::from_secs(1);

/// What has come from one boot.
#[derive(Clone, Copy, Debug)]
struct Sender {
    /// The highest counter seen.
    counter: u64,
    /// All that it had sent by then has come.
    well_at: Moment,
    heard_at: Moment,
    unreadable_at: Option<Moment>,
}

/// Reads for as long as the router lives.
pub(crate) async fn read(shared: SharedRef) {
    let mut assignments = shared.assignment.subscribe();
    let mut senders = Senders { of: HashMap::new(), boot: shared.boot(), since: Moment::now() };
    loop {
        let Some(assignment) = *assignments.borrow_and_update() else {
            tokio::select! {
                () = shared.shutdown.cancelled() => return,
                _ = assignments.changed() => continue,
            }
        };
        senders.move_to(assignment.boot);
        let reading = read_assigned(&shared, assignment, &mut assignments, &mut senders);
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            ended = reading => match ended {
                Ended::Reassigned => {}
                Ended::NobodyListens => return,
                Ended::Broken(error) => {
                    tracing::debug!(%error, "the inbox cannot be read");
                    shared.broken.notify_one();
                    tokio::time::sleep(RETRY).await;
                }
            },
        }
    }
}

enum Ended {
    Reassigned,
    NobodyListens,
    Broken(RedisError),
}

/// Reads one inbox until there is another one, or its connection breaks.
async fn read_assigned(
    shared: &Shared,
    assignment: Assignment,
    assignments: &mut watch::Receiver<Option<Assignment>>,
    senders: &mut Senders,
) -> Ended {
    let mut connection = match shared.server.connect_blocking(shared.config.command_timeout()).await {
        Ok(connection) => connection,
        Err(error) => return Ended::Broken(error),
    };
    let key = shared.keys.inbox(assignment.boot);
    let mut must_trim = false;
    loop {
        let Some(Progress { cursor, .. }) = shared.progress_of(assignment, |_| {}) else {
            return Ended::Reassigned;
        };
        let asked = Moment::now();
        // Dropped when another inbox is assigned: its connection goes with it, so nothing is left half read.
        let answer = tokio::select! {
            _ = assignments.changed() => return Ended::Reassigned,
            answer = read_some(&mut connection, &key, cursor, must_trim, shared.config.command_timeout()) => answer,
        };
        must_trim = false;
        let entries = match answer {
            Ok(answer) => parse_entries(answer),
            Err(error) => return Ended::Broken(error),
        };
        let is_all = entries.len() < READ_ENTRIES_MAX;
        for (id, bytes) in entries {
            for event in senders.take(shared, id, bytes) {
                if !shared.events.send(event).await {
                    return Ended::NobodyListens;
                }
            }
            must_trim = true;
            if shared.progress_of(assignment, |progress| progress.cursor = id).is_none() {
                return Ended::Reassigned;
            }
        }
        if is_all {
            shared.progress_of(assignment, |progress| {
                progress.read_through = progress.read_through.max(asked);
            });
        }
    }
}

/// One round trip: away with what was read, then wait for more.
async fn read_some(
    connection: &mut Connection,
    key: &str,
    cursor: EntryId,
    must_trim: bool,
    timeout: Duration,
) -> Result<Value, RedisError> {
    let mut pipeline = Pipeline::with_capacity(2);
    if must_trim {
        let first_kept = format!("{}-{}", cursor.ms, cursor.number.saturating_add(1));
        pipeline.cmd("XTRIM").arg(key).arg("MINID").arg(first_kept);
    }
    let block_ms = u64::try_from(BLOCK.as_millis()).unwrap_or(1_000);
    pipeline.cmd("XREAD").arg("COUNT").arg(READ_ENTRIES_MAX).arg("BLOCK").arg(block_ms);
    let after = format!("{}-{}", cursor.ms, cursor.number);
    pipeline.arg("STREAMS").arg(key).arg(after);
    let running = tokio::time::timeout(BLOCK + timeout, connection.run_in_order(&pipeline));
    let answers = running.await.unwrap_or_else(|_| Err(timed_out()))?;
    for answer in &answers {
        if let Value::ServerError(error) = answer {
            return Err(error.clone().into());
        }
    }
    Ok(answers.into_iter().last().unwrap_or(Value::Nil))
}

/// `{key: [[id, [name, entry]], ...]}`, taken apart without copying the entries.
fn parse_entries(answer: Value) -> Vec<(EntryId, Bytes)> {
    let stream = match answer {
        Value::Map(streams) => streams.into_iter().next().map(|(_, entries)| entries),
        Value::Array(streams) => match streams.into_iter().next() {
            Some(Value::Array(stream)) => stream.into_iter().nth(1),
            _ => None,
        },
        _ => None,
    };
    let Some(Value::Array(entries)) = stream else {
        return Vec::new();
    };
    entries
        .into_iter()
        .filter_map(|entry| {
            let Value::Array(entry) = entry else {
                return None;
            };
            let mut parts = entry.into_iter();
            let id = EntryId::parse(value::text(&parts.next()?)?)?;
            let body = match parts.next() {
                Some(Value::Array(fields)) => match fields.into_iter().nth(1) {
                    Some(Value::BulkString(bytes)) => Bytes::from(bytes),
                    _ => Bytes::new(),
                },
                _ => Bytes::new(),
            };
            Some((id, body))
        })
        .collect()
}

/// All senders to one boot: their counters are for it alone.
struct Senders {
    of: HashMap<BootId, Sender>,
    boot: BootId,
    since: Moment,
}

impl Senders {
    fn move_to(&mut self, boot: BootId) {
        if self.boot != boot {
            self.boot = boot;
            self.since = Moment::now();
            self.of.clear();
        }
    }

    /// What one entry means to the node: at most a loss, and then what it carries.
    fn take(&mut self, shared: &Shared, id: EntryId, bytes: Bytes) -> Vec<Event> {
        let now = Moment::now();
        let lag = Duration::from_millis(shared.server_now_ms().unwrap_or(id.ms).saturating_sub(id.ms));
        let sent_at = now.back_by(lag);
        let events = match decode(bytes) {
            Entry::Payload { from, counter, payload } => {
                shared.metrics.lag_seconds.record(lag);
                shared.metrics.received.increment(1);
                let sender = self.sender(shared, from, now);
                if counter <= sender.counter {
                    // Sent again because the first time was not answered.
                    return Vec::new();
                }
                let lost =
                    (counter > sender.counter + 1).then_some(Event::Lost { from: Some(from), well_at: sender.well_at });
                sender.hear(counter, sent_at);
                lost.into_iter().chain([Event::Delivery { from, payload }]).collect()
            }
            Entry::Counter { from, counter } => {
                let sender = self.sender(shared, from, now);
                let lost =
                    (counter > sender.counter).then_some(Event::Lost { from: Some(from), well_at: sender.well_at });
                sender.hear(counter.max(sender.counter), sent_at);
                lost.into_iter().collect()
            }
            Entry::Hint { from, topic } => vec![Event::Hint { from, topic }],
            Entry::Skipped => Vec::new(),
            Entry::Unreadable { from: None } => vec![Event::Lost { from: None, well_at: sent_at }],
            Entry::Unreadable { from: Some(from) } => {
                let sender = self.sender(shared, from, now);
                let is_news = sender.unreadable_at.is_none_or(|at| now.since(at) >= UNREADABLE_EVERY);
                if is_news {
                    sender.unreadable_at = Some(now);
                }
                let well_at = sender.well_at;
                sender.well_at = sent_at;
                is_news.then_some(Event::Lost { from: Some(from), well_at }).into_iter().collect()
            }
        };
        for event in &events {
            if let Event::Lost { from, well_at } = event {
                shared.metrics.lost.increment(1);
                tracing::warn!(?from, well_ago = ?well_at.ago(), "entries were lost");
            }
        }
        events
    }

    fn sender(&mut self, shared: &Shared, from: BootId, now: Moment) -> &mut Sender {
        if !self.of.contains_key(&from) {
            self.of.retain(|_, sender| now.since(sender.heard_at) < SENDER_MEMORY);
            let sender = Sender {
                counter: 0,
                well_at: self.first_well_at(shared, from, now),
                heard_at: now,
                unreadable_at: None,
            };
            self.of.insert(from, sender);
        }
        let unheard = Sender { counter: 0, well_at: now, heard_at: now, unreadable_at: None };
        self.of.entry(from).or_insert(unheard)
    }

    /// From where a loss counts whose sender has not been heard before: from the last that was heard of the same node's boot before
    /// (a paused node goes on under a new one), else from the beginning of its lease or of this boot.
    fn first_well_at(&self, shared: &Shared, from: BootId, now: Moment) -> Moment {
        let peers = shared.peers.lock();
        let Some((node, first_seen)) = peers.node_of(from) else {
            return now.back_by(UNKNOWN_SENDER_REACH);
        };
        let earlier_boot = self
            .of
            .iter()
            .filter(|(boot, _)| peers.node_of(**boot).is_some_and(|(other, _)| other == node))
            .map(|(_, sender)| sender.well_at)
            .max();
        earlier_boot.unwrap_or(first_seen.max(self.since))
    }
}

impl Sender {
    fn hear(&mut self, counter: u64, sent_at: Moment) {
        self.counter = counter;
        self.well_at = self.well_at.max(sent_at);
        self.heard_at = Moment::now();
    }
}
