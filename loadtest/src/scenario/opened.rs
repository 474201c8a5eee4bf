//! What the scenarios without messages share: clients on a few threads, and how their opening went.

use crate::cli::Cli;
use crate::clock::MICROSECOND_NS;
use crate::cluster::Cluster;
use crate::net::{AuthBy, Opening};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How the clients of this run open. A run that reconnects authenticates by frame, because only a frame carries a sync.
pub fn opening_of(cli: &Cli, cluster: &Cluster, parallel: usize, is_reconnecting: bool) -> Arc<Opening> {
    Arc::new(Opening {
        nodes: cluster.nodes.clone(),
        auth_by: if is_reconnecting { AuthBy::Frame } else { cli.target.auth },
        parallel: parallel.max(1),
        source_addresses: cli.target.source_addresses,
        coalesce_ns: cli.target.coalesce_us * MICROSECOND_NS,
    })
}

/// Counts reasons by name.
pub fn count_reason(reasons: &mut BTreeMap<String, u64>, reason: &str) {
    match reasons.get_mut(reason) {
        Some(count) => *count += 1,
        None => {
            reasons.insert(reason.to_owned(), 1);
        }
    }
}

/// Adds one thread's counts to the others'.
pub fn add_reasons(all: &mut BTreeMap<String, u64>, part: BTreeMap<String, u64>) {
    for (reason, count) in part {
        *all.entry(reason).or_insert(0) += count;
    }
}
