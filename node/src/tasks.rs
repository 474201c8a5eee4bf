//! Every task is named and owned: spawned here, told to stop by a token, joined at shutdown.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug_span, warn};

#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    /// How many run under each name, to say which did not end.
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

/// Counts a task as running until it ends, is dropped or panics.
struct Running {
    name: &'static str,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(count) = self.running.lock().get_mut(self.name) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Tasks {
    /// Spawns a task that is joined by [`Tasks::shutdown`]; long-lived ones end when [`Tasks::stopping`] says so.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        *self.running.lock().entry(name).or_default() += 1;
        let running = Running { name, running: Arc::clone(&self.running) };
        let counted = async move {
            let _running = running;
            task.await;
        };
        tokio::spawn(self.tracker.track_future(counted.instrument(debug_span!("task", name))));
    }

    /// Resolves when the node stops; an arm of every loop's `select!`.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells all tasks to stop and waits for them, at most `limit`.
    pub async fn shutdown(&self, limit: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(limit, self.tracker.wait()).await.is_err() {
            let left: BTreeMap<_, _> = self
                .running
                .lock()
                .iter()
                .filter(|(_, count)| **count > 0)
                .map(|(name, count)| (*name, *count))
                .collect();
            warn!(?left, "tasks did not end in time");
        }
    }
}
