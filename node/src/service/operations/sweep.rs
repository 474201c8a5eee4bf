//! The sweeps over what dead nodes left half done, once a minute on one node of the cluster.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::error::Result;
use crate::service::events::tidy_outboxes::tidy_outboxes;
use crate::service::groups::sweep_listings::{PENDING_AGE, sweep_listings};
use crate::service::notifications::forget_old::forget_old;
use crate::service::own_data::finish_deletion::{DELETION_AGE, sweep_deletions};
use crate::service::people::index_names::sweep_names;
use crate::service::people::sweep_pairs::{PAIR_AGE, sweep_pairs};
use crate::storage::error::cause;

const INTERVAL: Duration = Duration::from_mins(1);
/// Shorter than the interval, so that a node that died with the lock is replaced in the next round.
const LOCKED_FOR: Duration = Duration::from_secs(55);
const LOCK: &str = "sweep";

/// Starts the rounds.
pub fn start_sweeps(app: &Arc<App>) {
    let sweeping = Arc::clone(app);
    app.tasks.spawn("sweep", async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = sweeping.tasks.stopping() => return,
            }
            // The lock saves work, it guards nothing: without Redis every node sweeps.
            if matches!(sweeping.router.try_lock(LOCK, LOCKED_FOR).await, Ok(None)) {
                continue;
            }
            if let Err(error) = sweep(&sweeping).await {
                error.into_refusal();
            }
        }
    });
}

async fn sweep(app: &Arc<App>) -> Result<()> {
    // First: outboxes grow while the directory is away, of which all others ask.
    if let Err(error) = tidy_outboxes(app).await {
        tracing::debug!(error = cause(&error), "what events left behind stays for now");
    }
    let pairs = sweep_pairs(app, PAIR_AGE).await?;
    let joinings = sweep_listings(app, PENDING_AGE).await?;
    let deletions = sweep_deletions(app, DELETION_AGE).await?;
    if pairs + joinings + deletions > 0 {
        tracing::info!(pairs, joinings, deletions, "finished what was left half done");
    }
    forget_old(app).await?;
    sweep_names(app).await?;
    Ok(())
}
