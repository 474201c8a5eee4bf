//! Every task is named and owned: spawned here, told to stop by a token, joined at shutdown.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug_span, warn};

#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Spawns a task that is joined by [`Tasks::shutdown`]; long-lived ones end when [`Tasks::stopping`] says so.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(self.tracker.track_future(task.instrument(debug_span!("task", name))));
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
            warn!(left = self.tracker.len(), "tasks did not end in time");
        }
    }
}
