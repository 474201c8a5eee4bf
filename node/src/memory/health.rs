//! What this node depends on, and whether each answered when last asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(1);

/// Which dependencies answer.
#[derive(Clone, Debug)]
pub struct Health {
    pub directory: bool,
    pub redis: bool,
    pub shards: Vec<(String, bool)>,
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
    pub turn: tokio::sync::Mutex<()>,
}

impl HealthMemory {
    pub fn fresh(&self) -> Option<Arc<Health>> {
        let last = self.last.lock();
        last.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, health)| Arc::clone(health))
    }

    pub fn keep(&self, health: Arc<Health>) {
        *self.last.lock() = Some((Instant::now(), health));
    }
}
