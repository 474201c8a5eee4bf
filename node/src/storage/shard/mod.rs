//! Shard databases: conversations, members, logs. Writes go through `lane`, reads are one file each.

pub mod lane;
pub mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use deadpool_postgres::Pool;
use tokio::sync::mpsc;

use super::StorageError;
use crate::domain::command::Outcome;
use crate::domain::{ConversationId, Refusal, Slot};
use lane::{Reply, Request};

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
    pub(super) pool: Pool,
    pub(super) lanes: Vec<mpsc::Sender<Request>>,
    /// The epoch as last read; 0 before the first reading.
    pub(super) epoch: AtomicI64,
}

impl Shard {
    /// A connection; waits a bounded time.
    pub(super) async fn client(&self) -> Result<deadpool_postgres::Object, StorageError> {
        Ok(self.pool.get().await?)
    }

    pub fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::Acquire)
    }
}

/// All shards, and which holds which slot as last read.
#[derive(Debug)]
pub struct Shards {
    all: Vec<Arc<Shard>>,
    /// By slot, 1024 of them.
    map: ArcSwap<Vec<ShardId>>,
}

impl Shards {
    pub fn new(all: Vec<Arc<Shard>>, map: Vec<ShardId>) -> Self {
        Self { all, map: ArcSwap::from_pointee(map) }
    }

    pub fn all(&self) -> &[Arc<Shard>] {
        &self.all
    }

    pub fn id_of(&self, slot: Slot) -> Option<ShardId> {
        self.map.load().get(usize::from(slot.0)).copied()
    }

    pub fn get(&self, id: ShardId) -> Option<&Arc<Shard>> {
        self.all.get(usize::from(id.0))
    }

    /// The shard that holds a conversation; `unavailable` while nobody is known to hold its slot.
    pub fn of(&self, conversation: ConversationId) -> Result<&Arc<Shard>, StorageError> {
        self.id_of(conversation.slot()).and_then(|id| self.get(id)).ok_or(StorageError::Unavailable(None))
    }

    /// Queues a request at its conversation's lane. When the lane's queue is full the reply is called with `overloaded`.
    pub fn submit(&self, request: Request) {
        let refuse = |reply: Reply, refusal| reply(Err(refusal));
        let Ok(shard) = self.of(request.conversation.id()) else {
            return refuse(request.reply, Refusal::Unavailable);
        };
        let lanes = shard.lanes.len().max(1);
        let hash = usize::try_from(request.conversation.id().high_bits() >> 16).unwrap_or(0);
        let Some(lane) = shard.lanes.get(hash % lanes) else {
            return refuse(request.reply, Refusal::Unavailable);
        };
        if let Err(error) = lane.try_send(request) {
            let (refusal, request) = match error {
                mpsc::error::TrySendError::Full(request) => (Refusal::Overloaded { retry_after_ms: 1_000 }, request),
                mpsc::error::TrySendError::Closed(request) => (Refusal::Unavailable, request),
            };
            refuse(request.reply, refusal);
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
