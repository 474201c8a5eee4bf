//! The router's few tasks: named, owned and joined when it leaves.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument as _;

/// The one place where the router spawns.
#[expect(clippy::disallowed_methods, reason = "this is where tasks get their name and their owner")]
pub(crate) fn spawn(name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(future.instrument(tracing::info_span!("router", task = name)))
}
