//! The nodes of the cluster, as each last said of itself.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::app::App;
use crate::domain::Timestamp;
use crate::error::Result;
use crate::storage::directory::node_reports::{NodeReport, read_reports};

/// Whoever has said nothing for three turns is gone.
const REPORT_AGE_MAX_S: f64 = 16.0;

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Node")]
pub struct NodeView {
    pub id: String,
    /// Of this run of the node; a new one after a pause, too.
    pub boot_id: Uuid,
    pub version: String,
    pub sessions: i64,
    /// How long ago all that had been sent to the node over Redis was handed to it.
    pub lag_ms: i64,
    /// `up`, `draining` or `gone`.
    #[schemars(extend("enum" = ["up", "draining", "gone"]))]
    pub status: &'static str,
    pub started_at: Timestamp,
    /// Seconds since the node said so.
    pub age_s: f64,
}

/// In the order of their names, after `after`.
pub async fn list_nodes(app: &App, after: Option<&str>, limit: usize) -> Result<Vec<NodeView>> {
    let reports = read_reports(&app.directory, after.unwrap_or_default(), limit).await?;
    Ok(reports.into_iter().map(view_of).collect())
}

fn view_of(report: NodeReport) -> NodeView {
    let status = match () {
        () if report.age_s > REPORT_AGE_MAX_S => "gone",
        () if report.is_draining => "draining",
        () => "up",
    };
    NodeView {
        id: report.node,
        boot_id: report.boot,
        version: report.version,
        sessions: if status == "gone" { 0 } else { report.sessions },
        lag_ms: report.lag_ms,
        status,
        started_at: report.started_at,
        age_s: report.age_s,
    }
}
