//! How far this node has taken broadcasts to its sessions.

use std::sync::atomic::{AtomicI64, Ordering};

const UNKNOWN: i64 = -1;

/// The number of the last broadcast told. Only the task that follows the feed of changes moves it.
#[derive(Debug)]
pub struct ToldBroadcasts(AtomicI64);

impl Default for ToldBroadcasts {
    fn default() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }
}

impl ToldBroadcasts {
    /// `None`: nothing has been read yet.
    pub fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|number| *number != UNKNOWN)
    }

    pub fn set(&self, number: i64) {
        self.0.store(number, Ordering::Relaxed);
    }
}
