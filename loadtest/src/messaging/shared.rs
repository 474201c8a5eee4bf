//! What the threads of a run tell each other: when to begin, how far they are, when to end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[derive(Default)]
pub struct Shared {
    /// Threads whose clients are all live.
    pub ready: AtomicU64,
    pub live: AtomicU64,
    /// 0 until sending may begin.
    pub start_ns: AtomicU64,
    pub is_stopped: AtomicBool,
    pub sent: AtomicU64,
    /// Acknowledged or refused.
    pub settled: AtomicU64,
    /// Deliveries due for what was acknowledged.
    pub expected: AtomicU64,
    pub delivered: AtomicU64,
    failure: Mutex<Option<String>>,
}

/// A thread's counts since it last added them up, so that the hot path touches no shared line.
#[derive(Default)]
pub struct Tally {
    pub sent: u64,
    pub settled: u64,
    pub expected: u64,
    pub delivered: u64,
}

impl Shared {
    pub fn add(&self, tally: &mut Tally) {
        for (total, part) in [
            (&self.sent, tally.sent),
            (&self.settled, tally.settled),
            (&self.expected, tally.expected),
            (&self.delivered, tally.delivered),
        ] {
            if part > 0 {
                total.fetch_add(part, Ordering::Relaxed);
            }
        }
        *tally = Tally::default();
    }

    /// The first failure counts; all threads end then.
    pub fn fail(&self, reason: String) {
        let mut failure = self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        failure.get_or_insert(reason);
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Everything sent is answered and everything acknowledged is delivered.
    pub fn is_drained(&self) -> bool {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        load(&self.settled) >= load(&self.sent) && load(&self.delivered) >= load(&self.expected)
    }
}
