//! A token bucket: how often something may be done, with bursts up to its size. And what one node holds of a bucket that all share.

use std::time::Duration;

use super::Timestamp;

/// The size and the rate may change between calls.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    pub const fn full(size: f64, now: Timestamp) -> Self {
        Self { tokens: size, at: now }
    }

    /// Takes one, or says in how many ms there will be one.
    pub fn take(&mut self, rate_per_s: f64, size: f64, now: Timestamp) -> Result<(), u64> {
        let passed = now.since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate_per_s).min(size);
        self.at = self.at.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(wait_ms(Duration::try_from_secs_f64((1.0 - self.tokens) / rate_per_s).unwrap_or_default()))
    }

    /// Gives back one that was not needed.
    pub fn give_back(&mut self, size: f64) {
        self.tokens = (self.tokens + 1.0).min(size);
    }

    pub fn is_full(&self, rate_per_s: f64, size: f64, now: Timestamp) -> bool {
        self.tokens + now.since(self.at).as_secs_f64() * rate_per_s >= size
    }
}

/// What is known of a shared bucket holds so long: tokens not used by then are void, and an empty one is asked again.
pub const KNOWN_FOR: Duration = Duration::from_secs(1);

/// Tokens that were taken from a shared bucket and not used yet, or for how long it is empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Borrowed {
    tokens: u32,
    /// They are void from then on.
    until: Timestamp,
    /// When the shared bucket will have one again.
    empty_until: Timestamp,
    /// When it is asked again, although it should be empty.
    asked_until: Timestamp,
}

impl Borrowed {
    /// Takes one. `None`: the shared bucket has to be asked.
    pub fn take(&mut self, now: Timestamp) -> Option<Result<(), u64>> {
        if self.tokens > 0 && now < self.until {
            self.tokens -= 1;
            return Some(Ok(()));
        }
        (now < self.empty_until.min(self.asked_until)).then(|| Err(wait_ms(self.empty_until.since(now))))
    }

    /// Takes one of what the shared bucket has just given; the others are for the next.
    pub fn take_of(&mut self, granted: u32, now: Timestamp) {
        self.tokens = granted.saturating_sub(1);
        self.until = now.plus(KNOWN_FOR);
    }

    /// Gives one back that was taken for nothing, where fewer than `max` are here.
    pub fn give_back(&mut self, max: u32, now: Timestamp) {
        if now >= self.until {
            self.tokens = 0;
        }
        self.tokens = (self.tokens + 1).min(max);
        self.until = now.plus(KNOWN_FOR);
    }

    /// The shared bucket is empty for so long.
    pub fn set_empty(&mut self, wait_ms: u64, now: Timestamp) {
        self.empty_until = now.plus(Duration::from_millis(wait_ms));
        self.asked_until = now.plus(KNOWN_FOR);
    }

    /// Nothing is known of the shared bucket.
    pub fn is_void(&self, now: Timestamp) -> bool {
        now >= self.until.max(self.asked_until)
    }
}

/// In ms as clients are told, never zero.
pub fn wait_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_size_at_once_and_then_its_rate() {
        let mut now = Timestamp::from_millis(1_000_000);
        let mut bucket = Bucket::full(10.0, now);
        for _ in 0..10 {
            assert_eq!(bucket.take(10.0, 10.0, now), Ok(()));
        }
        assert_eq!(bucket.take(10.0, 10.0, now), Err(100));
        now = now.plus(Duration::from_millis(101));
        assert_eq!(bucket.take(10.0, 10.0, now), Ok(()));
        assert!(bucket.take(10.0, 10.0, now).is_err());
        bucket.give_back(10.0);
        assert_eq!(bucket.take(10.0, 10.0, now), Ok(()));
    }
}
