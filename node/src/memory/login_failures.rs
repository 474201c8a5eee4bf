//! Failed logins that this node has seen; `service::limits::begin_attempt` says whose count.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;

use crate::domain::{Refusal, Timestamp};

/// How long a failure counts.
pub const WINDOW: Duration = Duration::from_mins(15);
/// Windows that are kept; when there are more, those whose failures are the oldest go first.
const WINDOWS_MAX: usize = 200_000;

/// What an attempt counts for, and how many failures each of them may have.
pub type Keys = [(String, u32); 2];

/// Failures that this node has seen.
#[derive(Debug, Default)]
pub struct Failures {
    windows: Mutex<HashMap<String, Window>>,
}

/// Failures of one account and address, or of one address.
#[derive(Debug, Default)]
struct Window {
    failed_at: VecDeque<Timestamp>,
    /// Attempts that are being checked count as failures until they are not: else many at once would all get through.
    in_flight: usize,
}

impl Window {
    fn forget(&mut self, now: Timestamp) {
        let oldest = now.minus(WINDOW);
        while self.failed_at.front().is_some_and(|at| *at <= oldest) {
            self.failed_at.pop_front();
        }
    }

    /// How long until one more may be tried; zero: now.
    fn wait(&self, max: u32, now: Timestamp) -> Duration {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let taken = self.failed_at.len() + self.in_flight;
        if taken < max {
            return Duration::ZERO;
        }
        // Those in flight end within seconds.
        let oldest = self.failed_at.get((taken - max).min(self.failed_at.len().saturating_sub(1)));
        oldest.map_or(Duration::from_secs(1), |at| at.plus(WINDOW).since(now).max(Duration::from_secs(1)))
    }
}

impl Failures {
    /// Admits an attempt, which counts until [`Failures::end`], or says when to come again.
    pub fn begin(&self, keys: &Keys, now: Timestamp) -> Result<(), Refusal> {
        let mut windows = self.windows.lock();
        for (key, max) in keys {
            let Some(window) = windows.get_mut(key) else {
                continue;
            };
            window.forget(now);
            let wait = window.wait(*max, now);
            if !wait.is_zero() {
                return Err(Refusal::RateLimited {
                    retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                });
            }
        }
        for (key, _) in keys {
            windows.entry(key.clone()).or_default().in_flight += 1;
        }
        if windows.len() > WINDOWS_MAX {
            tidy(&mut windows, now);
        }
        Ok(())
    }

    /// An attempt has failed.
    pub fn add(&self, keys: &Keys, now: Timestamp) {
        let mut windows = self.windows.lock();
        for (key, _) in keys {
            windows.entry(key.clone()).or_default().failed_at.push_back(now);
        }
    }

    /// An attempt is over, however it went.
    pub fn end(&self, keys: &Keys) {
        let mut windows = self.windows.lock();
        for (key, _) in keys {
            if let Some(window) = windows.get_mut(key) {
                window.in_flight = window.in_flight.saturating_sub(1);
                if window.in_flight == 0 && window.failed_at.is_empty() {
                    windows.remove(key);
                }
            }
        }
    }
}

/// Drops what has run out and, where that is not enough, what will run out first.
fn tidy(windows: &mut HashMap<String, Window>, now: Timestamp) {
    let mut oldest = now.minus(WINDOW);
    while windows.len() > WINDOWS_MAX * 3 / 4 && oldest < now {
        windows.retain(|_, window| window.in_flight > 0 || window.failed_at.back().is_some_and(|at| *at > oldest));
        oldest = oldest.plus(WINDOW / 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: fn() -> Keys = || [("a".to_owned(), 3), ("b".to_owned(), 5)];

    fn after(seconds: u64) -> Timestamp {
        Timestamp(1_000_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn fail(failures: &Failures, at: Timestamp) {
        failures.add(&KEYS(), at);
        failures.end(&KEYS());
    }

    #[test]
    fn failures_in_the_window_count_and_so_do_attempts_in_flight() {
        let failures = Failures::default();
        for second in [0, 100] {
            failures.begin(&KEYS(), after(second)).unwrap();
            fail(&failures, after(second));
        }
        failures.begin(&KEYS(), after(200)).unwrap();
        assert!(failures.begin(&KEYS(), after(200)).is_err(), "the third is in flight");
        fail(&failures, after(200));
        let refused = failures.begin(&KEYS(), after(300)).unwrap_err();
        assert_eq!(refused, Refusal::RateLimited { retry_after_ms: 600_000 });
        failures.begin(&KEYS(), after(900)).unwrap();
    }
}
