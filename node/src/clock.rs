//! The node's clock as an argument, so that tests can turn it. What decides about messages is the shard's clock, not this.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::domain::Timestamp;

#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Added to the system's time, in microseconds.
    offset_us: Arc<AtomicI64>,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's time")]
    pub fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        Timestamp(micros.saturating_add(self.offset_us.load(Ordering::Relaxed)))
    }

    /// Turns the clock forward, for tests.
    pub fn advance(&self, by: Duration) {
        self.offset_us.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}
