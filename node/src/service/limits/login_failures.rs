//! Guessing passwords is slow: 10 failures in 15 minutes for one account from one address, or 100 from one address, and nothing more
//! is checked for a while. Each node counts what it sees, exactly; what other nodes saw is in buckets that all share. With Redis
//! away each node goes on counting by itself.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::domain::{Refusal, Timestamp};
use crate::error::Result;

const WINDOW: Duration = Duration::from_mins(15);
const PER_ACCOUNT_MAX: u32 = 10;
const PER_ADDRESS_MAX: u32 = 100;
/// Windows that are kept; when there are more, those whose failures are the oldest go first.
const WINDOWS_MAX: usize = 200_000;

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

/// One try at a password. Dropped without [`Attempt::fail`] it did not fail.
pub struct Attempt<'a> {
    app: &'a App,
    keys: [(String, u32); 2],
}

/// Admits a try at `account` (its id, or the folded name of none) from `address`, or says when to come again.
pub async fn begin_attempt<'a>(app: &'a App, account: &str, address: IpAddr) -> Result<Attempt<'a>> {
    let now = app.clock.now();
    let keys = [
        (key_of(&["account", account, &address.to_string()]), PER_ACCOUNT_MAX),
        (key_of(&["address", &address.to_string()]), PER_ADDRESS_MAX),
    ];
    app.login_failures.begin(&keys, now)?;
    // From here on a drop gives the places back.
    let attempt = Attempt { app, keys };
    if app.router.is_up() {
        for (key, max) in &attempt.keys {
            let wait_ms = shared(app, key, *max, 0).await;
            if wait_ms > 0 {
                return Err(Refusal::RateLimited { retry_after_ms: wait_ms }.into());
            }
        }
    }
    Ok(attempt)
}

impl Attempt<'_> {
    /// The password was wrong.
    pub async fn fail(self) {
        let now = self.app.clock.now();
        {
            let mut windows = self.app.login_failures.windows.lock();
            for (key, _) in &self.keys {
                windows.entry(key.clone()).or_default().failed_at.push_back(now);
            }
        }
        for (key, max) in &self.keys {
            shared(self.app, key, *max, 1).await;
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut windows = self.app.login_failures.windows.lock();
        for (key, _) in &self.keys {
            if let Some(window) = windows.get_mut(key) {
                window.in_flight = window.in_flight.saturating_sub(1);
                if window.in_flight == 0 && window.failed_at.is_empty() {
                    windows.remove(key);
                }
            }
        }
    }
}

impl Failures {
    fn begin(&self, keys: &[(String, u32); 2], now: Timestamp) -> std::result::Result<(), Refusal> {
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
}

/// Drops what has run out and, where that is not enough, what will run out first.
fn tidy(windows: &mut HashMap<String, Window>, now: Timestamp) {
    let mut oldest = now.minus(WINDOW);
    while windows.len() > WINDOWS_MAX * 3 / 4 && oldest < now {
        windows.retain(|_, window| window.in_flight > 0 || window.failed_at.back().is_some_and(|at| *at > oldest));
        oldest = oldest.plus(WINDOW / 8);
    }
}

/// Takes `want` failures from the shared bucket; with 0 only asks. Answers how long there will be none left, in ms; 0 if there are, or if
/// Redis cannot say.
async fn shared(app: &App, key: &str, max: u32, want: u32) -> u64 {
    let burst = f64::from(max);
    let taken = app.router.take(&format!("login:{key}"), burst / WINDOW.as_secs_f64(), burst, want).await;
    taken.map_or(0, |take| take.retry_after_ms)
}

/// Names and addresses of people are not shown to Redis.
fn key_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    URL_SAFE_NO_PAD.encode(hash.first_chunk::<16>().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: fn() -> [(String, u32); 2] = || [("a".to_owned(), 3), ("b".to_owned(), 5)];

    fn after(seconds: u64) -> Timestamp {
        Timestamp(1_000_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn fail(failures: &Failures, at: Timestamp) {
        let mut windows = failures.windows.lock();
        for (key, _) in KEYS() {
            let window = windows.get_mut(&key).unwrap();
            window.in_flight -= 1;
            window.failed_at.push_back(at);
        }
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
