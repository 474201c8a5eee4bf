//! Shard databases: conversations, members, logs. Writes go through `lane`, reads are one file each.

pub mod crash;
pub mod hidden;
pub mod index_logs;
pub mod invites;
pub mod lane;
mod memory;
pub mod open;
pub mod own_rows;
pub mod read_delivery;
pub mod read_entries;
pub mod read_extras;
pub mod read_heirs;
pub mod read_members;
pub mod read_message;
pub mod read_own_messages;
pub mod read_pins;
pub mod read_readers;
pub mod read_sizes;
pub mod read_snapshot;
pub mod read_states;
pub mod read_written;
pub mod rows;
pub mod search;
pub mod slots;
pub mod write_received;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::types::Xid8;
use super::{Client, Database, StorageError};
use crate::domain::command::Outcome;
use crate::domain::{ConversationId, Refusal, Slot};
use crash::CrashPoint;
use lane::{Queued, Reply, Request};
use memory::XminMemory;

/// Index of a shard database in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// One shard database as this node uses it.
#[derive(Debug)]
pub struct Shard {
    pub id: ShardId,
    /// Label in metrics and logs.
    pub name: String,
    /// For reads; lanes have connections of their own.
    pub(super) database: Database,
    pub(super) lanes: Vec<mpsc::Sender<Queued>>,
    /// The epoch as last read; 0 before the first reading.
    epoch: AtomicI64,
    /// The greatest of which sessions here were shown anything, or could have been.
    shown_epoch: AtomicI64,
    xmins: XminMemory,
    /// A standby confirms every commit: a new timeline loses nothing and is no new epoch.
    is_synchronous: bool,
}

impl Shard {
    /// A connection; waits a bounded time.
    pub(super) async fn client(&self) -> Result<Client, StorageError> {
        self.database.client().await
    }

    /// For `/health` and metrics.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Requests that wait for a lane.
    pub fn queue_length(&self) -> usize {
        self.lanes.iter().map(|lane| lane.max_capacity() - lane.capacity()).sum()
    }

    pub fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A lane has read the epoch.
    fn note_epoch(&self, epoch: i64) {
        self.epoch.fetch_max(epoch, Ordering::AcqRel);
        let _ = self.shown_epoch.compare_exchange(0, epoch, Ordering::AcqRel, Ordering::Acquire);
    }

    /// An entry of this epoch is about to be shown (0: not known). True, once, where it is newer than all before: the logs of this shard
    /// may have lost their ends.
    pub fn begins_epoch(&self, epoch: i64) -> bool {
        let before = self.shown_epoch.fetch_max(epoch, Ordering::AcqRel);
        before != 0 && before < epoch
    }

    /// A number below that of every transaction that was still to commit at `moment` (within the last two minutes): entries with
    /// `tx` not below it are all that came since. `None`: the memory does not reach back so far.
    pub fn cursor_before(&self, moment: Instant) -> Option<Xid8> {
        self.xmins.before(moment)
    }
}

/// All shards, and which holds which slot as last read.
#[derive(Clone, Debug)]
pub struct Shards {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    all: Vec<Arc<Shard>>,
    /// By slot, 1024 of them.
    map: ArcSwap<Vec<Option<ShardId>>>,
    crash: CrashPoint,
}

impl Shards {
    fn new(all: Vec<Arc<Shard>>, map: Vec<Option<ShardId>>, crash: CrashPoint) -> Self {
        Self { inner: Arc::new(Inner { all, map: ArcSwap::from_pointee(map), crash }) }
    }

    pub fn all(&self) -> &[Arc<Shard>] {
        &self.inner.all
    }

    pub fn id_of(&self, slot: Slot) -> Option<ShardId> {
        self.inner.map.load().get(usize::from(slot.0)).copied().flatten()
    }

    pub fn get(&self, id: ShardId) -> Option<&Arc<Shard>> {
        self.inner.all.get(usize::from(id.0))
    }

    /// The shard that holds a conversation; `unavailable` while nobody is known to hold its slot.
    pub fn of(&self, conversation: ConversationId) -> Result<&Arc<Shard>, StorageError> {
        self.id_of(conversation.slot()).and_then(|id| self.get(id)).ok_or(StorageError::Unavailable(None))
    }

    /// Where tests in development make a node kill itself.
    pub fn crash_point(&self) -> &CrashPoint {
        &self.inner.crash
    }

    fn set_map(&self, map: Vec<Option<ShardId>>) {
        self.inner.map.store(Arc::new(map));
    }

    /// Queues a request at its conversation's lane. When the lane's queue is full the reply is called with `overloaded`.
    pub fn submit(&self, request: Request) {
        self.queue(Queued::new(request));
    }

    fn queue(&self, queued: Queued) {
        let refuse = |reply: Reply, refusal| reply(Err(refusal));
        let conversation = queued.request.conversation.id();
        let Ok(shard) = self.of(conversation) else {
            return refuse(queued.request.reply, Refusal::Unavailable);
        };
        let lanes = shard.lanes.len().max(1);
        let hash = usize::try_from(conversation.high_bits() >> 16).unwrap_or(0);
        let Some(lane) = shard.lanes.get(hash % lanes) else {
            return refuse(queued.request.reply, Refusal::Unavailable);
        };
        if let Err(error) = lane.try_send(queued) {
            let (refusal, queued) = match error {
                mpsc::error::TrySendError::Full(queued) => (Refusal::Overloaded { retry_after_ms: 1_000 }, queued),
                mpsc::error::TrySendError::Closed(queued) => (Refusal::Unavailable, queued),
            };
            refuse(queued.request.reply, refusal);
        }
    }

    /// The same, and waits for the answer: the commit, and its taking over by the bus.
    pub async fn run(&self, mut request: Request) -> Result<Outcome, Refusal> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        request.reply = Box::new(move |answer| {
            let _ = sender.send(answer);
        });
        self.submit(request);
        receiver.await.unwrap_or(Err(Refusal::Unavailable))
    }
}
