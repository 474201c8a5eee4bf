//! The writer lane: one connection, one task, the only writer of entries. See `README.md` of the node for its invariants.

mod attempt;
mod create;
mod link;
mod read;
mod recover;
mod waiting;
mod write;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::crash::CrashPoint;
use super::open::Providers;
use super::{Shard, ShardId};
use crate::domain::command::{Actor, Command, ConversationCommit, Outcome};
use crate::domain::message::client_key;
use crate::domain::{ConversationId, ConversationRef, Refusal, SessionId};
use crate::storage::StorageError;
use crate::storage::connect::Address;
use crate::storage::error::cause;
use crate::storage::pool::parse_url;
use crate::tasks::Tasks;
use attempt::After;
use link::Link;
pub use link::{OPTIONS, STATEMENTS};
use recover::{Unclear, find_written, read_xmin};
use waiting::Waiting;

/// Told exactly once what came of a request, after its commit and after the bus has taken it (or is known to be down).
pub type Reply = Box<dyn FnOnce(Result<Outcome, Refusal>) + Send>;

/// One command on its way to the log.
pub struct Request {
    pub conversation: ConversationRef,
    pub actor: Actor,
    pub command: Command,
    /// The session that asked and the `id` of its frame: it gets its own recall, edit and reaction as the answer, and no
    /// `new_message` of its own.
    pub origin: Option<Origin>,
    pub reply: Reply,
}

#[derive(Clone, Debug)]
pub struct Origin {
    pub session: SessionId,
    pub frame_id: Option<String>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("conversation", &self.conversation)
            .field("actor", &self.actor.id)
            .finish_non_exhaustive()
    }
}

/// What a lane hands to delivery after each commit, in order. Delivery calls the replies.
pub struct Commit {
    pub shard: ShardId,
    pub epoch: i64,
    pub conversations: Vec<ConversationCommit>,
    /// One for each request of the batch, in its order.
    pub answers: Vec<Answer>,
    /// From the batch's first statement to the answer of COMMIT.
    pub took: Duration,
}

pub struct Answer {
    pub conversation: ConversationRef,
    pub actor: Actor,
    pub origin: Option<Origin>,
    pub result: Result<Outcome, Refusal>,
    pub reply: Reply,
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit")
            .field("shard", &self.shard)
            .field("conversations", &self.conversations.len())
            .finish_non_exhaustive()
    }
}

/// A request in a lane's queue.
#[derive(Debug)]
pub struct Queued {
    pub request: Request,
    pub(super) since: Instant,
    /// It was sent to another shard before: the map of slots is not read for it again.
    pub(super) is_redirected: bool,
    /// Its place among all that the lane has taken: what comes back from somewhere goes where it was.
    number: u64,
    /// The entry's key, the same however often the request is run.
    client_key: Uuid,
    /// Times that it was run again for reasons of its own.
    tries: u8,
    /// Its reply was called; what it may still write is delivered.
    is_answered: bool,
}

impl Queued {
    pub(super) fn new(request: Request) -> Self {
        let conversation = request.conversation.id();
        let client_key = match &request.command {
            Command::Send { message, .. } | Command::CheckSend { message } => {
                client_key(conversation, request.actor.id, &message.temp_id)
            }
            // An operation id instead of a sender's: these are judged by what they would change, not by their key.
            _ => Uuid::from_u64_pair(conversation.high_bits(), rand::random()),
        };
        Self {
            request,
            since: Instant::now(),
            is_redirected: false,
            number: 0,
            client_key,
            tries: 0,
            is_answered: false,
        }
    }

    /// Answers, and ends it.
    pub(super) fn refuse(self, refusal: Refusal) {
        (self.request.reply)(Err(refusal));
    }

    /// Answers "unknown" while it may still be committed.
    fn answer_unavailable(&mut self) {
        if !std::mem::replace(&mut self.is_answered, true) {
            let reply = std::mem::replace(&mut self.request.reply, Box::new(|_| {}));
            reply(Err(Refusal::Unavailable));
        }
    }
}

/// Whether row locks of others are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Up to the lock time-out.
    Waiting,
    /// What is locked is left out (`SKIP LOCKED`).
    Free,
}

/// What a lane works with.
pub(super) struct LaneContext {
    pub shard: Arc<Shard>,
    pub providers: Providers,
    pub crash: CrashPoint,
    /// Requests whose slot this shard does not hold.
    pub misdirected: mpsc::Sender<Queued>,
    /// Bounded: when delivery is behind, the lane waits here, its queue fills, and senders are told `overloaded`.
    pub commits: mpsc::Sender<Commit>,
    pub tasks: Tasks,
}

/// A request that waits longer for a database that does not answer is told `unavailable`.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How often an idle lane reads the shard's xmin and epoch.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// How often a lane that waits for its database looks whom it must tell so.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Pauses between attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Longest look at whether an unclear commit is there, per attempt.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// Pause between attempts to settle an unclear commit.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);
/// Conversations known to have a row; beyond that they are looked up again.
const KNOWN_MAX: usize = 500_000;
/// Requests taken from the channel ahead of a batch.
const TAKEN_MAX: usize = 512;

/// One lane: the only writer of its connection.
struct Lane {
    context: LaneContext,
    address: Address,
    queue: mpsc::Receiver<Queued>,
    waiting: Waiting,
    known: HashSet<ConversationId>,
    unclear: Option<Unclear>,
}

/// The lane's task. Ends when the node stops and nothing waits any more.
pub(super) fn run(
    context: LaneContext,
    url: &str,
    queue: mpsc::Receiver<Queued>,
) -> Result<impl Future<Output = ()> + Send + 'static, StorageError> {
    let address = parse_url(url)?;
    let (waiting, known) = (Waiting::default(), HashSet::new());
    let lane = Lane { context, address, queue, waiting, known, unclear: None };
    Ok(lane.run())
}

impl Lane {
    async fn run(mut self) {
        let mut link: Option<Link> = None;
        let mut pause = RECONNECT_PAUSE;
        loop {
            let Some(present) = &link else {
                let (address, tasks) = (self.address.clone(), self.context.tasks.clone());
                match self.wait_for(Link::connect(&address, &tasks).boxed(), &mut []).await {
                    Ok(made) => {
                        link = Some(made);
                        pause = RECONNECT_PAUSE;
                    }
                    Err(error) => {
                        tracing::warn!(
                            shard = self.context.shard.name,
                            error = cause(&error),
                            "a lane has no connection"
                        );
                        if self.context.tasks.is_stopping() {
                            break;
                        }
                        self.wait_for(tokio::time::sleep(pause), &mut []).await;
                        pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
                    }
                }
                continue;
            };
            if let Some(unclear) = self.unclear.take() {
                if !self.settle(present, unclear).await {
                    link = None;
                }
                continue;
            }
            if !self.wait_for_work(present).await {
                break;
            }
            if present.client.is_closed() {
                link = None;
                continue;
            }
            let now = Instant::now();
            self.waiting.refuse_locked_too_long(now);
            let (batch, mode) = self.waiting.take(now);
            // A large future, polled in place: boxed once for a whole batch.
            if let After::Disconnected = self.run_batch(present, batch, mode).boxed().await {
                link = None;
                self.refuse_old();
            }
        }
        self.queue.close();
        while let Ok(queued) = self.queue.try_recv() {
            self.waiting.push(queued);
        }
        self.waiting.refuse_all();
    }

    /// Waits until there is something to do. False: the node stops, and nothing waits.
    async fn wait_for_work(&mut self, link: &Link) -> bool {
        loop {
            self.take_queue();
            let now = Instant::now();
            let next = self.waiting.next_at(now);
            if next.is_some_and(|next| next <= now) {
                return true;
            }
            if link.client.is_closed() {
                return true;
            }
            let until = next.unwrap_or(now + IDLE_INTERVAL).min(now + IDLE_INTERVAL);
            tokio::select! {
                received = self.queue.recv() => match received {
                    Some(queued) => self.waiting.push(queued),
                    None if self.waiting.is_empty() => return false,
                    None => {}
                },
                () = tokio::time::sleep_until(until.into()) => {
                    if self.waiting.is_empty() {
                        note_xmin(&self.context.shard, link).await;
                    }
                }
                () = self.context.tasks.stopping(), if self.waiting.is_empty() => return false,
            }
        }
    }

    /// Takes what has come, without waiting. The bound keeps the rest in the channel, whose own bound refuses senders.
    fn take_queue(&mut self) {
        while self.waiting.fresh_len() < TAKEN_MAX {
            let Ok(queued) = self.queue.try_recv() else { break };
            self.waiting.push(queued);
        }
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
    }

    /// While the database does not answer: those who have waited long enough are told so. The queue is emptied for it.
    fn refuse_old(&mut self) {
        let now = Instant::now();
        loop {
            self.take_queue();
            let before = self.waiting.fresh_len();
            self.waiting.refuse_older(ANSWER_LIMIT, now);
            if self.waiting.fresh_len() == before || before == 0 {
                break;
            }
        }
        if let Some(unclear) = &mut self.unclear {
            answer_old(&mut unclear.batch, now);
        }
    }

    /// Waits for what the database, or nothing, may delay. Meanwhile those who have waited too long are told `unavailable`, which says
    /// that it is unknown; `batch` too, which is kept.
    async fn wait_for<T>(&mut self, awaited: impl Future<Output = T>, batch: &mut [Queued]) -> T {
        let mut awaited = std::pin::pin!(awaited);
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.reset();
        loop {
            tokio::select! {
                result = &mut awaited => return result,
                _ = look.tick() => {
                    self.refuse_old();
                    answer_old(batch, Instant::now());
                }
            }
        }
    }

    /// Finds out what became of a commit. False: the connection is of no use.
    async fn settle(&mut self, link: &Link, mut unclear: Unclear) -> bool {
        if unclear.model.book.entries.is_empty() {
            // It made no entries: what it did is the same when it is done again.
            self.put_back_unanswered(unclear.batch);
            return true;
        }
        let is_synchronous = self.context.shard.is_synchronous;
        let finding = find_written(link, &unclear.model, unclear.boot, is_synchronous).boxed();
        match self.wait_for(tokio::time::timeout(SETTLE_LIMIT, finding), &mut unclear.batch).await {
            Ok(Ok(Some(epoch))) => {
                unclear.model.book.epoch = epoch;
                tracing::info!(shard = self.context.shard.name, "an unclear commit was there");
                self.hand_on(unclear).await;
                true
            }
            Ok(Ok(None)) => {
                tracing::info!(shard = self.context.shard.name, "an unclear commit was not there");
                self.put_back_unanswered(unclear.batch);
                true
            }
            Ok(Err(error)) => {
                tracing::warn!(
                    shard = self.context.shard.name,
                    error = cause(&error),
                    "an unclear commit is not settled yet"
                );
                self.unclear = Some(unclear);
                tokio::time::sleep(SETTLE_PAUSE).await;
                matches!(error, StorageError::Overloaded(_)) && !link.client.is_closed()
            }
            Err(_) => {
                self.unclear = Some(unclear);
                false
            }
        }
    }

    /// To be run again, before all else. Who was told "unknown" may ask again; it is not done behind their back.
    fn put_back_unanswered(&mut self, mut batch: Vec<Queued>) {
        batch.retain(|queued| !queued.is_answered);
        self.waiting.put_back(batch, Mode::Waiting);
    }

    /// Gives a committed batch to delivery, which answers.
    async fn hand_on(&mut self, done: Unclear) {
        let Unclear { batch, verdicts, model, begun, .. } = done;
        let took = begun.elapsed();
        let name = &self.context.shard.name;
        metrics::histogram!("herald_lane_batch_requests", "shard" => name.clone())
            .record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        metrics::histogram!("herald_lane_commit_seconds", "shard" => name.clone()).record(took.as_secs_f64());
        metrics::counter!("herald_entries_written_total", "shard" => name.clone())
            .increment(u64::try_from(model.book.entries.len()).unwrap_or(0));
        metrics::gauge!("herald_lane_queue_requests", "shard" => name.clone())
            .set(u32::try_from(self.queue.len() + self.waiting.fresh_len()).unwrap_or(u32::MAX));
        let epoch = model.book.epoch;
        let conversations = model.into_commits();
        let answers = batch
            .into_iter()
            .zip(verdicts)
            .map(|(queued, result)| {
                let Request { conversation, actor, origin, reply, .. } = queued.request;
                Answer { conversation, actor, origin, result, reply }
            })
            .collect();
        let commit = Commit { shard: self.context.shard.id, epoch, conversations, answers, took };
        if let Err(unsent) = self.context.commits.send(commit).await {
            // Delivery has ended before the lane, at the end of the node: what is committed is answered all the same.
            for answer in unsent.0.answers {
                (answer.reply)(answer.result);
            }
        }
    }
}

fn answer_old(batch: &mut [Queued], now: Instant) {
    for queued in batch {
        if now.saturating_duration_since(queued.since) > ANSWER_LIMIT {
            queued.answer_unavailable();
        }
    }
}

async fn note_xmin(shard: &Shard, link: &Link) {
    let at = Instant::now();
    if let Ok(Ok((xmin, epoch))) = tokio::time::timeout(ANSWER_LIMIT, read_xmin(link)).await {
        shard.xmins.note(at, xmin);
        shard.note_epoch(epoch);
    }
}
