//! What a node tells its router.

use std::time::Duration;

use crate::error::RouterError;
use crate::ids::NodeId;

/// Settings of one router. Times in milliseconds.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// One address is a single server; several are the seeds of a Redis Cluster.
    pub urls: Vec<String>,
    /// Starts every key: `herald:`. Tests take one each.
    pub key_prefix: String,
    pub node_id: NodeId,
    /// How long a node that does not renew may still be routed to.
    pub lease_ms: u64,
    pub renew_ms: u64,
    /// About how many entries an inbox keeps (`MAXLEN ~`): the oldest go first, and the counters show the hole.
    pub inbox_entries_max: u64,
    /// What may wait for Redis, for all peers together. Past it the oldest go first, and the counters show the hole.
    pub outbox_bytes_max: usize,
    pub command_timeout_ms: u64,
    /// Events that may wait for their reader. When it is full the inbox is not read on.
    pub events_max: usize,
}

impl RouterConfig {
    /// The settings of a node on one Redis server.
    pub fn new(url: &str, node_id: NodeId) -> Self {
        Self {
            urls: vec![url.to_owned()],
            key_prefix: "herald:".to_owned(),
            node_id,
            lease_ms: 6_000,
            renew_ms: 500,
            inbox_entries_max: 100_000,
            outbox_bytes_max: 64 * 1024 * 1024,
            command_timeout_ms: 1_000,
            events_max: 4_096,
        }
    }

    pub(crate) fn check(&self) -> Result<(), RouterError> {
        if self.urls.is_empty() {
            return Err(RouterError::Config("at least one address of redis is needed"));
        }
        if self.key_prefix.contains(['{', '}']) {
            return Err(RouterError::Config("the key prefix may not have braces: they choose the slot in a cluster"));
        }
        if self.renew_ms == 0 || self.lease_ms < 3 * self.renew_ms {
            return Err(RouterError::Config("a lease must last for three renewals at least"));
        }
        if self.command_timeout_ms == 0 || self.events_max == 0 || self.inbox_entries_max == 0 {
            return Err(RouterError::Config("time-outs and bounds must be above zero"));
        }
        Ok(())
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub(crate) fn renew(&self) -> Duration {
        Duration::from_millis(self.renew_ms)
    }

    pub(crate) fn command_timeout(&self) -> Duration {
        Duration::from_millis(self.command_timeout_ms)
    }
}
