//! Samples what has no moment of its own to be counted at: connections of the pools, and what waits for lanes.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;

use crate::app::App;
use crate::storage::Database;

const INTERVAL: Duration = Duration::from_secs(2);

/// Until the node stops.
pub async fn measure_queues(app: Arc<App>) {
    loop {
        measure_database(app.directory.database());
        for shard in app.shards.all() {
            measure_database(shard.database());
            gauge!("herald_lane_queue_requests", "shard" => shard.name.clone()).set(as_gauge(shard.queue_length()));
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = app.tasks.stopping() => return,
        }
    }
}

fn measure_database(database: &Database) {
    let (open, waiting) = database.pool_usage();
    gauge!("herald_database_connections", "database" => database.name().to_owned()).set(as_gauge(open));
    gauge!("herald_database_waiting_requests", "database" => database.name().to_owned()).set(as_gauge(waiting));
}

fn as_gauge(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
