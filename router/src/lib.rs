//! Where users are, and how bytes get there: leases, routes and inboxes in Redis. Knows no chat: payloads are opaque.
//!
//! Losing all of Redis loses nothing that a node cannot put back: routes are known to the nodes that hold the sessions, and
//! what was in an inbox is in the database. So the router's duty is to notice each loss within a second or two and to say so.

mod bucket;
mod clock;
mod config;
mod connection;
mod envelope;
mod error;
mod event;
mod events;
mod ids;
mod inbox;
mod keeper;
mod keys;
mod lock;
mod metrics;
mod once;
mod outbox;
mod peers;
mod routes;
mod scripts;
mod shared;
mod status;
mod tasks;
mod topics;
mod value;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use connection::Server;
use events::EventQueue;
use keeper::Keeper;
use shared::Shared;

pub use bucket::Take;
pub use clock::Moment;
pub use config::{RouterConfig, RouterTls};
pub use error::RouterError;
pub use event::{Event, RoutesGoneReason};
pub use ids::{BootId, NodeId, Route, SessionId};
pub use lock::Lock;
pub use routes::{Registered, Restored};
pub use topics::{GroupState, StreamState, TopicEntry};

/// One node's hold on Redis. Clones share it.
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
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

/// Waiting entries may take this long to be written when a node leaves.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);

impl Router {
    /// Joins the cluster. With Redis away it succeeds all the same, and joins when it is there.
    pub async fn start(config: RouterConfig) -> Result<(Self, mpsc::Receiver<Event>), RouterError> {
        config.check()?;
        let (sender, receiver) = mpsc::channel(config.events_max);
        let server = Server::new(&config, inbox::BLOCK)?;
        let shared = Arc::new(Shared::new(config, server, EventQueue::new(sender), BootId::random(), Moment::now()));
        let mut keeper = Keeper::new(Arc::clone(&shared));
        keeper.join().await?;
        let news = Arc::clone(&shared);
        let tasks = vec![
            tasks::spawn("keeper", keeper.keep()),
            tasks::spawn("outbox", outbox::write(Arc::clone(&shared))),
            tasks::spawn("inbox", inbox::read(Arc::clone(&shared))),
            tasks::spawn("news", async move {
                tokio::select! {
                    () = news.shutdown.cancelled() => {}
                    () = news.events.carry_news() => {}
                }
            }),
        ];
        Ok((Self { shared, tasks: Arc::new(Mutex::new(tasks)) }, receiver))
    }

    /// The boot id of this moment: ask each time, since a pause changes it.
    pub fn boot(&self) -> BootId {
        self.shared.boot()
    }

    pub fn node_id(&self) -> &NodeId {
        &self.shared.config.node_id
    }

    pub fn is_up(&self) -> bool {
        self.shared.is_up()
    }

    /// Leases as last read, the own first. While Redis is away: only the own.
    pub fn live_boots(&self) -> Arc<[(NodeId, BootId)]> {
        let mut boots = vec![(self.node_id().clone(), self.boot())];
        if self.is_up() {
            boots.extend(self.last_known_boots().iter().cloned());
        }
        Arc::from(boots)
    }

    /// The peers' leases as last read, also while Redis is away: where to queue deliveries whose routes cannot be asked for.
    pub fn last_known_boots(&self) -> Arc<[(NodeId, BootId)]> {
        self.shared.peers.lock().fresh()
    }

    /// The node that a boot is or was a life of, if this node has seen its lease.
    pub fn node_of(&self, boot: BootId) -> Option<NodeId> {
        if self.shared.own_boots().contains(&boot) {
            return Some(self.node_id().clone());
        }
        self.shared.peers.lock().node_of(boot).map(|(node, _)| node.clone())
    }

    /// The last moment at which the lease stood and all that had been sent to this node was handed to it.
    pub fn last_well(&self) -> Moment {
        self.shared.last_well()
    }

    /// When this Redis last began without its data, in ms since 1970 by its own clock. What was made before cannot be checked with
    /// [`Router::use_once`]. `None` until Redis has answered once.
    pub fn redis_born_ms(&self) -> Option<u64> {
        Some(self.shared.born_ms.load(Ordering::Acquire)).filter(|born_ms| *born_ms > 0)
    }

    /// The time of now by Redis's clock, in ms since 1970. `None` until Redis has answered once.
    pub fn redis_now_ms(&self) -> Option<u64> {
        self.shared.server_now_ms()
    }

    /// Sends one entry to each destination. Per destination the order is that of the calls.
    /// Answers once Redis has taken them, or at once if it is known to be away.
    pub async fn publish(&self, to: Vec<(BootId, Bytes)>) -> Published {
        outbox::publish(&self.shared, to).await
    }

    /// Lets every known peer notice that something it should have had was not sent: each then gets [`Event::Lost`].
    pub fn skip(&self) {
        let peers = self.last_known_boots();
        self.shared.outbox.skip(peers.iter().map(|(_, boot)| *boot));
    }

    /// Tells all live peers something that they would also find out by themselves, without waiting. Best effort.
    pub fn hint(&self, topic: &str) {
        self.shared.outbox.hint(topic);
    }

    /// Writes what waits, gives lease and inbox back, and ends all tasks.
    pub async fn shutdown(self) {
        outbox::drain(&self.shared, DRAIN_PATIENCE).await;
        let main = self.shared.main();
        self.shared.shutdown.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            // A task that panicked has said so itself.
            let _ = task.await;
        }
        if let Ok((_, connection)) = main {
            keeper::leave(&self.shared, connection).await;
        }
        // Whoever still calls is answered at once.
        self.shared.set_down("this node has left");
    }
}
