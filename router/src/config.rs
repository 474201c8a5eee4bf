//! What a node tells its router.

use std::time::Duration;

use crate::connection::Server;
use crate::error::RouterError;
use crate::ids::NodeId;
use crate::inbox;

/// Who is trusted, and who this node is, on encrypted connections: PEM.
#[derive(Clone, Default)]
pub struct RouterTls {
    /// Who may have signed the server's certificate; empty: those whom this machine trusts.
    pub ca: String,
    /// The certificate that this node shows; empty: none.
    pub certificate: String,
    pub private_key: String,
}

impl std::fmt::Debug for RouterTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouterTls").finish_non_exhaustive()
    }
}

impl RouterTls {
    pub(crate) const fn is_empty(&self) -> bool {
        self.ca.is_empty() && self.certificate.is_empty() && self.private_key.is_empty()
    }
}

/// Settings of one router. Times in milliseconds.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// One address is a single server; several are the seeds of a Redis Cluster.
    pub urls: Vec<String>,
    /// Starts every key: `herald:`. Tests take one each.
    pub key_prefix: String,
    /// Of `rediss://` addresses.
    pub tls: RouterTls,
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
            tls: RouterTls::default(),
            node_id,
            lease_ms: 6_000,
            renew_ms: 500,
            inbox_entries_max: 100_000,
            outbox_bytes_max: 64 * 1024 * 1024,
            command_timeout_ms: 1_000,
            events_max: 4_096,
        }
    }

    /// Whether it can work, as far as that is known without connecting.
    pub fn check(&self) -> Result<(), RouterError> {
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
        let encrypted = self.urls.iter().filter(|url| url.starts_with("rediss://")).count();
        if encrypted != 0 && encrypted != self.urls.len() {
            return Err(RouterError::Config("either all addresses of redis are encrypted (rediss://) or none"));
        }
        if encrypted == 0 && !self.tls.is_empty() {
            return Err(RouterError::Config("certificates for redis are given, but its address is not rediss://"));
        }
        if self.tls.certificate.is_empty() != self.tls.private_key.is_empty() {
            return Err(RouterError::Config("a certificate for redis and its private key go together"));
        }
        if !self.tls.ca.is_empty() && !self.tls.ca.contains("BEGIN CERTIFICATE") {
            return Err(RouterError::Config("there is no certificate in what is given as the CA of redis"));
        }
        Server::new(self, inbox::BLOCK).map(|_| ())
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
