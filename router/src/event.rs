//! What the router tells its node.

use std::time::Duration;

use bytes::Bytes;

use crate::clock::Moment;
use crate::ids::{BootId, NodeId};

/// Told in order. The channel is bounded: while it is full, the inbox is not read on (leases are renewed all the same).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// One payload from a peer, in the peer's order, none twice from one boot.
    Delivery { from: BootId, payload: Bytes },
    /// Entries of this peer (`None`: of anyone) may have been lost since `well_at`, the last moment up to which all is known to have come.
    Lost { from: Option<BootId>, well_at: Moment },
    /// This node must put its routes back and repair each session, whose routes were last known whole at `well_at`.
    RoutesGone { reason: RoutesGoneReason, well_at: Moment },
    /// Redis answers again, and this node holds its lease.
    Up,
    /// Redis no longer answers, or this node may not use it now.
    Down,
    /// A boot that had a lease is missing. Nothing is won by knowing it: what only one node may do needs a lock.
    BootDied { node: NodeId, boot: BootId, last_seen_ago: Duration },
    /// A boot has left in good order: its routes are gone, its queue was written.
    BootLeft { node: NodeId, boot: BootId },
    /// A boot joined, or one that was thought dead is there after all. Never told of the own boot.
    BootSeen { node: NodeId, boot: BootId },
    /// A hint that a peer gave with [`crate::Router::hint`].
    Hint { from: BootId, topic: String },
}

/// Why routes are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutesGoneReason {
    /// The node was paused, or cut off from Redis, beyond its lease. It has a new boot id, and its old routes point to nowhere.
    NewBoot,
    /// Redis was restarted, emptied, or failed over to a replica that was behind. The boot id stays.
    RedisLostData,
}
