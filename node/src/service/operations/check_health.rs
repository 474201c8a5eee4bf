//! What this node depends on, and whether each answers. Asked by probes, so remembered for a second.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::app::App;
use crate::memory::health::Health;
use crate::storage::Database;

/// A dependency that takes longer counts as down.
const PING_TIMEOUT: Duration = Duration::from_millis(1_500);

pub async fn check_health(app: &App) -> Arc<Health> {
    if let Some(health) = app.health.fresh() {
        return health;
    }
    let _turn = app.health.turn.lock().await;
    if let Some(health) = app.health.fresh() {
        return health;
    }
    let is_up =
        async |database: &Database| matches!(tokio::time::timeout(PING_TIMEOUT, database.check()).await, Ok(Ok(())));
    let shards =
        join_all(app.shards.all().iter().map(async |shard| (shard.name.clone(), is_up(shard.database()).await)));
    let (directory, shards) = tokio::join!(is_up(app.directory.database()), shards);
    let health = Arc::new(Health { directory, redis: app.router.is_up(), shards });
    app.health.keep(Arc::clone(&health));
    health
}
