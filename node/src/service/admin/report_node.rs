//! Every node says a few things of itself every few seconds, for administrators.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::domain::Timestamp;
use crate::error::Result;
use crate::storage::directory::node_reports::{self, NodeReport};

const INTERVAL: Duration = Duration::from_secs(5);
/// A node that has said nothing for so long is no longer listed.
const KEPT: Duration = Duration::from_hours(24);

/// Until the node stops; then its report goes.
pub async fn report_regularly(app: Arc<App>) {
    let started_at = app.clock.now();
    loop {
        if let Err(error) = report(&app, started_at).await {
            tracing::debug!(%error, "this node's report waits");
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = app.tasks.stopping() => break,
        }
    }
    let (node, boot) = (app.router.node_id().to_string(), app.router.boot());
    let _ = node_reports::remove_report(&app.directory, &node, boot.0).await;
}

async fn report(app: &App, started_at: Timestamp) -> Result<()> {
    let report = NodeReport {
        node: app.router.node_id().to_string(),
        boot: app.router.boot().0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sessions: i64::try_from(app.hub.len()).unwrap_or(i64::MAX),
        lag_ms: i64::try_from(app.router.last_well().ago().as_millis()).unwrap_or(i64::MAX),
        is_draining: app.is_draining(),
        started_at,
        age_s: 0.0,
    };
    node_reports::write_report(&app.directory, &report).await?;
    node_reports::forget_reports(&app.directory, KEPT).await?;
    Ok(())
}
