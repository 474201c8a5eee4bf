//! What nodes say of themselves every few seconds, for administrators. Routing does not look here: leases decide who lives.

use std::time::Duration;

use uuid::Uuid;

use super::Directory;
use crate::domain::Timestamp;
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[WRITE_REPORT, REMOVE_REPORT, READ_REPORTS, FORGET_REPORTS];

/// One node's report.
#[derive(Clone, Debug)]
pub struct NodeReport {
    pub node: String,
    pub boot: Uuid,
    pub version: String,
    pub sessions: i64,
    pub lag_ms: i64,
    pub is_draining: bool,
    pub started_at: Timestamp,
    /// How old the report is; not written.
    pub age_s: f64,
}

const WRITE_REPORT: &str = "\
insert into node_report (node_id, boot_id, version, sessions, lag_ms, is_draining, started_at, reported_at)
values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())
on conflict (node_id) do update
set boot_id = excluded.boot_id, version = excluded.version, sessions = excluded.sessions, lag_ms = excluded.lag_ms,
    is_draining = excluded.is_draining, started_at = excluded.started_at, reported_at = excluded.reported_at";

pub async fn write_report(directory: &Directory, report: &NodeReport) -> Result<(), StorageError> {
    let client = directory.client().await?;
    let NodeReport { node, boot, version, sessions, lag_ms, is_draining, started_at, age_s: _ } = report;
    client.execute(WRITE_REPORT, &[node, boot, version, sessions, lag_ms, is_draining, started_at]).await?;
    Ok(())
}

const REMOVE_REPORT: &str = "delete from node_report where node_id = $1 and boot_id = $2";

/// A node that leaves is no longer listed.
pub async fn remove_report(directory: &Directory, node: &str, boot: Uuid) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(REMOVE_REPORT, &[&node, &boot]).await?;
    Ok(())
}

const READ_REPORTS: &str = "\
select node_id, boot_id, version, sessions, lag_ms, is_draining, started_at,
       extract(epoch from clock_timestamp() - reported_at)::float8
from node_report where node_id > $1 order by node_id limit $2";

/// In the order of their names, after `after`.
pub async fn read_reports(directory: &Directory, after: &str, limit: usize) -> Result<Vec<NodeReport>, StorageError> {
    let client = directory.client().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client.query(READ_REPORTS, &[&after, &limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(NodeReport {
                node: row.try_get(0)?,
                boot: row.try_get(1)?,
                version: row.try_get(2)?,
                sessions: row.try_get(3)?,
                lag_ms: row.try_get(4)?,
                is_draining: row.try_get(5)?,
                started_at: row.try_get(6)?,
                age_s: row.try_get(7)?,
            })
        })
        .collect()
}

const FORGET_REPORTS: &str =
    "delete from node_report where reported_at < clock_timestamp() - $1::float8 * interval '1 second'";

/// Removes those of nodes that are gone for good.
pub async fn forget_reports(directory: &Directory, older_than: Duration) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(FORGET_REPORTS, &[&older_than.as_secs_f64()]).await?;
    Ok(())
}
