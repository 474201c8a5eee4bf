//! What this node depends on, and whether each answers. Asked by probes, so remembered for a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;

use crate::app::App;
use crate::storage::Database;

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(1);
/// A dependency that takes longer counts as down.
const PING_TIMEOUT: Duration = Duration::from_millis(1_500);

#[derive(Clone, Debug)]
pub struct Health {
    directory: bool,
    redis: bool,
    shards: Vec<(String, bool)>,
}

impl Health {
    pub fn dependencies(&self) -> impl Iterator<Item = (&str, bool)> {
        let shards = self.shards.iter().map(|(name, is_up)| (name.as_str(), *is_up));
        [("directory", self.directory), ("redis", self.redis)].into_iter().chain(shards)
    }

    pub fn is_all_up(&self) -> bool {
        self.dependencies().all(|(_, is_up)| is_up)
    }

    /// One database is enough to serve something.
    pub fn can_serve(&self) -> bool {
        self.directory || self.shards.iter().any(|(_, is_up)| *is_up)
    }
}

/// The last answer, and when it was had.
#[derive(Debug, Default)]
pub struct HealthMemory {
    last: Mutex<Option<(Instant, Arc<Health>)>>,
    /// One check at a time: a flood of probes costs no more than one.
    turn: tokio::sync::Mutex<()>,
}

impl HealthMemory {
    fn fresh(&self) -> Option<Arc<Health>> {
        let last = self.last.lock();
        last.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, health)| Arc::clone(health))
    }
}

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
    *app.health.last.lock() = Some((Instant::now(), Arc::clone(&health)));
    health
}
