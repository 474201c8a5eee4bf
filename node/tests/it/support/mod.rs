//! What the tests stand on: real PostgreSQL and Redis, nodes with real sockets, clients, and waiting with a deadline.

pub mod authority;
pub mod client;
pub mod cluster;
pub mod databases;
pub mod dev;
pub mod documents;
pub mod log;
pub mod own;
pub mod redis_wire;
pub mod services;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use herald_node::hub::SessionHandle;
use serde_json::Value;

pub use client::{Device, User};
pub use cluster::{Cluster, Setup};
pub use databases::{Databases, lock_waiters};

/// How long anything may take before a test gives up, unless it says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// Waits until `condition` holds.
pub async fn eventually<F, Fut>(what: &str, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    eventually_within(DEADLINE, what, async || condition().await).await;
}

pub async fn eventually_within(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Takes what is sent to a session without a socket while something is done for it, so that what waits for the socket goes on.
pub async fn frames_while<T: Send + 'static>(
    session: Arc<SessionHandle>,
    work: impl Future<Output = T> + Send + 'static,
) -> (T, Vec<Value>) {
    let task = tokio::spawn(work);
    let mut frames = Vec::new();
    eventually("the work is done", || {
        frames.extend(session.drain_for_test());
        std::future::ready(task.is_finished())
    })
    .await;
    frames.extend(session.drain_for_test());
    let frames = frames.iter().map(|frame| serde_json::from_slice(frame.json()).unwrap()).collect();
    (task.await.unwrap(), frames)
}

/// All files of Rust below a folder, for tests of what the code itself says.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
