//! The dead whose last words are being delivered for them, by this node or by another: what peers send meanwhile may be theirs.

use std::time::Instant;

use parking_lot::Mutex;

use crate::domain::BootId;
use crate::storage::ShardId;

/// One dead boot in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burial {
    pub boot: BootId,
    pub shard: ShardId,
    /// What it has written since then is delivered for it.
    pub since: Instant,
}

/// As many as nodes died in the last minute, or since their shard or Redis went away; for each shard.
#[derive(Debug, Default)]
pub struct Burials {
    underway: Mutex<Vec<Burial>>,
}

impl Burials {
    pub fn begin(&self, burial: Burial) {
        self.underway.lock().push(burial);
    }

    pub fn end(&self, burial: Burial) {
        let mut underway = self.underway.lock();
        if let Some(index) = underway.iter().position(|other| *other == burial) {
            underway.swap_remove(index);
        }
    }

    pub fn underway(&self) -> Vec<Burial> {
        self.underway.lock().clone()
    }
}
