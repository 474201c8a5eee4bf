//! What a shard's lanes remember of `pg_snapshot_xmin`: two minutes, for the repair after a loss of deliveries.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::storage::types::Xid8;

/// How far the memory reaches back.
const REACH: Duration = Duration::from_mins(2);
/// Readings closer together than this are one; so there are at most a few hundred.
const STEP: Duration = Duration::from_millis(500);
/// Numbers below the snapshot's that count as after it: a crash gives the numbers of transactions that ended without a flush
/// out again.
pub const CURSOR_MARGIN: u64 = 1_000;

#[derive(Debug, Default)]
pub(super) struct XminMemory(Mutex<VecDeque<(Instant, Xid8)>>);

impl XminMemory {
    /// Notes a reading. `at` is from before the statement was sent, so that the snapshot is not older than it says.
    pub fn note(&self, at: Instant, xmin: Xid8) {
        let mut readings = self.0.lock();
        if readings.back().is_some_and(|(last, _)| at.saturating_duration_since(*last) < STEP) {
            return;
        }
        while readings.front().is_some_and(|(first, _)| at.saturating_duration_since(*first) > REACH) {
            readings.pop_front();
        }
        readings.push_back((at, xmin));
    }

    /// Everything forgotten: another timeline counts anew.
    pub fn clear(&self) {
        self.0.lock().clear();
    }

    /// [`CURSOR_MARGIN`] below the last reading that is known to be from `moment` or before.
    pub fn before(&self, moment: Instant) -> Option<Xid8> {
        let readings = self.0.lock();
        let (_, xmin) = readings.iter().rev().find(|(at, _)| *at <= moment)?;
        Some(Xid8(xmin.0.saturating_sub(CURSOR_MARGIN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_last_reading_before_a_moment() {
        let memory = XminMemory::default();
        let start = Instant::now();
        assert_eq!(memory.before(start), None);
        for second in 0..200 {
            memory.note(start + Duration::from_secs(second), Xid8(5_000 + second));
        }
        assert_eq!(memory.before(start + Duration::from_secs(150)), Some(Xid8(4_150)));
        assert_eq!(memory.before(start + Duration::from_millis(150_900)), Some(Xid8(4_150)));
        assert_eq!(memory.before(start + Duration::from_secs(10)), None);
    }
}
