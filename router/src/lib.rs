//! Where users are, and how bytes get there: leases, routes and inboxes in Redis. Knows no chat: payloads are opaque.
//!
//! Losing all of Redis loses nothing that a node cannot put back: routes are known to the nodes that hold the sessions, and
//! what was in an inbox is in the database. So the router's duty is to notice each loss within a second or two and to say so.

#![expect(dead_code, reason = "the signatures land first")]

mod clock;
mod config;
mod error;
mod event;
mod ids;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::sync::mpsc;
use uuid::Uuid;

pub use clock::Moment;
pub use config::RouterConfig;
pub use error::RouterError;
pub use event::{Event, RoutesGoneReason};
pub use ids::{BootId, NodeId, Route, SessionId};

/// One node's hold on Redis. Clones share it.
#[derive(Clone)]
pub struct Router(Arc<RouterConfig>);

/// What [`Router::register`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Sessions that lost their route, oldest first. The one being registered may be among them, where all others are newer.
    pub evicted: Vec<Route>,
    /// The user's other routes, as they are now.
    pub others: Vec<Route>,
    /// True if the user had no other route before.
    pub is_first: bool,
}

/// What [`Router::restore`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Were missing and have been put back: their sessions need repair.
    pub put_back: Vec<(Uuid, SessionId)>,
    /// Lost their route to the limit meanwhile, this node's or others': to be closed as replaced.
    pub evicted: Vec<(Uuid, Route)>,
}

/// What became of the entries of one [`Router::publish`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Entries that Redis has taken.
    pub taken: usize,
    /// Destinations that have no inbox any more: the routes that named them are stale.
    pub stale: Vec<BootId>,
    /// Redis is away: entries wait in the bounded queue, and are sent, in order, when it is back.
    pub is_down: bool,
}

/// What [`Router::take`] gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Take {
    pub granted: u32,
    /// When one more will be there; 0 if all that was wanted was granted.
    pub retry_after_ms: u64,
}

/// Proof of holding a lock, until its time runs out.
#[derive(Clone, Debug)]
pub struct Lock {
    /// How far the last holder got; empty if nobody has said so within an hour.
    pub value: String,
    name: String,
    holder: Uuid,
}

#[expect(
    clippy::unused_async,
    clippy::todo,
    unused_variables,
    reason = "the signatures land first, others write against them"
)]
impl Router {
    /// Joins the cluster. With Redis away it succeeds all the same, and joins when it is there.
    pub async fn start(config: RouterConfig) -> Result<(Self, mpsc::Receiver<Event>), RouterError> {
        todo!()
    }
    /// The boot id of this moment: ask each time, since a pause changes it.
    pub fn boot(&self) -> BootId {
        todo!()
    }
    pub fn node_id(&self) -> &NodeId {
        todo!()
    }
    pub fn is_up(&self) -> bool {
        todo!()
    }
    /// Leases as last read, the own included. While Redis is away: only the own.
    pub fn live_boots(&self) -> Arc<[(NodeId, BootId)]> {
        todo!()
    }
    /// Leases as last read, also while Redis is away: where to queue deliveries whose routes cannot be asked for. Without the own.
    pub fn last_known_boots(&self) -> Arc<[(NodeId, BootId)]> {
        todo!()
    }
    /// The last moment at which lease and routes stood and all that had been sent to this node was handed to it.
    pub fn last_well(&self) -> Moment {
        todo!()
    }
    /// When this Redis last began without its data, in ms since 1970 by its own clock. What was made before cannot be checked with
    /// [`Router::use_once`]. `None` until Redis has answered once.
    pub fn redis_born_ms(&self) -> Option<u64> {
        todo!()
    }
    /// Adds a session's route. Above `limit` the oldest lose theirs; before that it waits, for 0.6 s at most, for a sign of life of each
    /// foreign boot counted, and those that give none do not count.
    pub async fn register(
        &self,
        user: Uuid,
        session: SessionId,
        connected_at_ms: i64,
        limit: usize,
    ) -> Result<Registered, RouterError> {
        todo!()
    }
    /// Removes a session's route if it is still this boot's. Answers what is left.
    pub async fn unregister(&self, user: Uuid, session: SessionId) -> Result<Vec<Route>, RouterError> {
        todo!()
    }
    /// Removes many routes of this boot, pipelined: for leaving.
    pub async fn unregister_many(&self, sessions: &[(Uuid, SessionId)]) -> Result<(), RouterError> {
        todo!()
    }
    /// The routes of each user, in one round trip.
    pub async fn routes(&self, users: &[Uuid]) -> Result<Vec<SmallVec<[Route; 2]>>, RouterError> {
        todo!()
    }
    /// Compares sessions of this node with their routes, and puts back what is missing. For every 30 s, and after [`Event::RoutesGone`].
    pub async fn restore(&self, sessions: &[(Uuid, SessionId, i64)], limit: usize) -> Result<Restored, RouterError> {
        todo!()
    }
    /// The users that had a session on this boot.
    pub async fn users_of(&self, boot: BootId) -> Result<Vec<Uuid>, RouterError> {
        todo!()
    }
    pub async fn forget_users_of(&self, boot: BootId) -> Result<(), RouterError> {
        todo!()
    }
    /// Sends one entry to each destination. Per destination the order is that of the calls.
    /// Answers once Redis has taken them, or at once if it is known to be away.
    pub async fn publish(&self, to: Vec<(BootId, Bytes)>) -> Published {
        todo!()
    }
    /// Lets every known peer notice that something it should have had was not sent, without sending it: each then gets [`Event::Lost`].
    pub fn skip(&self) {
        todo!()
    }
    /// Tells all live peers something that they would also find out by themselves. Best effort.
    pub async fn hint(&self, topic: &str) {
        todo!()
    }
    /// True for the first use of this key within `ttl`.
    pub async fn use_once(&self, key: Uuid, ttl: Duration) -> Result<bool, RouterError> {
        todo!()
    }
    /// Takes up to `want` from a bucket that all nodes share, such as `send:<user>`.
    pub async fn take(&self, bucket: &str, rate_per_s: f64, burst: f64, want: u32) -> Result<Take, RouterError> {
        todo!()
    }
    /// `None` if someone else holds it.
    pub async fn try_lock(&self, name: &str, ttl: Duration) -> Result<Option<Lock>, RouterError> {
        todo!()
    }
    /// Prolongs it and writes down how far the holder got. False: it is lost, and nothing was written.
    pub async fn renew_lock(&self, lock: &Lock, ttl: Duration, value: &str) -> Result<bool, RouterError> {
        todo!()
    }
    pub async fn unlock(&self, lock: Lock) -> Result<(), RouterError> {
        todo!()
    }
    /// The chosen status of each user, `None` where nothing was chosen.
    pub async fn get_status(&self, users: &[Uuid]) -> Result<Vec<Option<String>>, RouterError> {
        todo!()
    }
    pub async fn set_status(&self, user: Uuid, status: &str) -> Result<(), RouterError> {
        todo!()
    }
    /// When each user was last seen, in ms since 1970.
    pub async fn get_last_seen(&self, users: &[Uuid]) -> Result<Vec<Option<i64>>, RouterError> {
        todo!()
    }
    pub async fn set_last_seen(&self, users: &[(Uuid, i64)]) -> Result<(), RouterError> {
        todo!()
    }
    /// Writes what waits, gives lease and inbox back, and ends all tasks.
    pub async fn shutdown(self) {
        todo!()
    }
}
