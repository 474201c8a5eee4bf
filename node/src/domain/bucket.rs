//! A token bucket: how often something may be done, with bursts up to its size.

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
