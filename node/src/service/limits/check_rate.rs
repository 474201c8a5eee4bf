//! How many messages a second a user may send (contract 2.7). A node that holds all of a user's sessions decides alone with a
//! bucket of its own; any other, and REST, takes from a bucket that all nodes share, a few at a time. While Redis is away each
//! node counts alone. Recalls, edits and reactions have buckets of their own of the same size.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::app::App;
use crate::domain::{Timestamp, UserId};

/// From this setting on nobody is counted: load tests, and installations that limit elsewhere.
const UNLIMITED_FROM: u32 = 100_000;
/// Tokens taken at once from the shared bucket; those not used within a second are void.
const SHARED_TAKE: u32 = 5;
/// Repeats that a user over the rate may have looked up, a second and node.
const REPEATS_PER_SECOND: f64 = 20.0;
/// Users whose buckets are kept; the full ones go first when there are more.
const USERS_MAX: usize = 200_000;

/// What the rate says about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    Allowed,
    /// Over the rate: a send may still be looked up as a repeat (`Command::Send` with `over_rate_ms`).
    Over {
        retry_after_ms: u64,
    },
    /// Over the rate, and over the number of look-ups: refused at once.
    Refused {
        retry_after_ms: u64,
    },
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    const fn full(size: f64, now: Timestamp) -> Self {
        Self { tokens: size, at: now }
    }

    /// Takes one, or says in how many ms there will be one. The size and the rate may change between calls.
    fn take(&mut self, rate_per_s: f64, size: f64, now: Timestamp) -> Result<(), u64> {
        let passed = now.since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate_per_s).min(size);
        self.at = self.at.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(wait_ms((1.0 - self.tokens) / rate_per_s))
    }

    fn is_full(&self, rate_per_s: f64, size: f64, now: Timestamp) -> bool {
        self.tokens + now.since(self.at).as_secs_f64() * rate_per_s >= size
    }
}

fn wait_ms(seconds: f64) -> u64 {
    u64::try_from(Duration::try_from_secs_f64(seconds).unwrap_or_default().as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Tokens that were taken from the shared bucket and not used yet.
#[derive(Clone, Copy, Debug, Default)]
struct Borrowed {
    tokens: u32,
    until: Timestamp,
    /// The shared bucket was empty: not asked again before.
    empty_until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct User {
    own: Bucket,
    borrowed: Borrowed,
    repeats: Bucket,
    /// Known to have no session on another node.
    is_alone: bool,
}

/// The buckets of this node, of one kind.
#[derive(Default)]
struct Buckets(Mutex<HashMap<UserId, User>>);

#[derive(Default)]
pub struct Rates {
    sends: Buckets,
    changes: Buckets,
}

impl Rates {
    /// Told by registering routes: whether all of the user's sessions are on this node.
    pub fn set_alone(&self, user: UserId, is_alone: bool, now: Timestamp, per_second: u32) {
        for buckets in [&self.sends, &self.changes] {
            buckets.with(user, now, f64::from(per_second), |user| user.is_alone = is_alone);
        }
    }
}

impl Buckets {
    fn with<T>(&self, user: UserId, now: Timestamp, rate: f64, act: impl FnOnce(&mut User) -> T) -> T {
        let mut users = self.0.lock();
        if users.len() >= USERS_MAX && !users.contains_key(&user) {
            users.retain(|_, user| !user.own.is_full(rate, rate, now));
            if users.len() >= USERS_MAX {
                users.clear();
            }
        }
        act(users.entry(user).or_insert_with(|| User {
            own: Bucket::full(rate, now),
            borrowed: Borrowed::default(),
            repeats: Bucket::full(REPEATS_PER_SECOND, now),
            is_alone: false,
        }))
    }

    /// `Ok(None)`: the shared bucket has to be asked.
    fn take_here(&self, user: UserId, has_session: bool, rate: f64, now: Timestamp) -> Option<Result<(), u64>> {
        self.with(user, now, rate, |user| {
            if user.is_alone && has_session {
                return Some(user.own.take(rate, rate, now));
            }
            if user.borrowed.tokens > 0 && now < user.borrowed.until {
                user.borrowed.tokens -= 1;
                return Some(Ok(()));
            }
            if now < user.borrowed.empty_until {
                return Some(Err(wait_ms(user.borrowed.empty_until.since(now).as_secs_f64())));
            }
            None
        })
    }
}

/// Takes one token for a send.
pub async fn check_send(app: &App, user: UserId) -> Rate {
    match take(app, &app.rates.sends, "send", user).await {
        Ok(()) => Rate::Allowed,
        Err(retry_after_ms) => {
            let now = app.clock.now();
            let rate = f64::from(app.settings.load().max_messages_per_second);
            let may_look_up = app
                .rates
                .sends
                .with(user, now, rate, |user| user.repeats.take(REPEATS_PER_SECOND, REPEATS_PER_SECOND, now).is_ok());
            if may_look_up { Rate::Over { retry_after_ms } } else { Rate::Refused { retry_after_ms } }
        }
    }
}

/// Gives the token of a send back that turned out to be a repeat.
pub fn refund_send(app: &App, user: UserId) {
    let now = app.clock.now();
    let per_second = app.settings.load().max_messages_per_second;
    if per_second >= UNLIMITED_FROM {
        return;
    }
    let size = f64::from(per_second);
    app.rates.sends.with(user, now, size, |user| {
        if user.is_alone {
            user.own.tokens = (user.own.tokens + 1.0).min(size);
        } else {
            user.borrowed.tokens = (user.borrowed.tokens + 1).min(SHARED_TAKE);
            user.borrowed.until = now.plus(Duration::from_secs(1));
        }
    });
}

/// Takes one token for a recall, an edit or a reaction: allowed, or when to come again.
pub async fn check_change(app: &App, user: UserId) -> Result<(), u64> {
    take(app, &app.rates.changes, "change", user).await
}

async fn take(app: &App, buckets: &Buckets, name: &str, user: UserId) -> Result<(), u64> {
    let per_second = app.settings.load().max_messages_per_second;
    if per_second >= UNLIMITED_FROM {
        return Ok(());
    }
    let rate = f64::from(per_second);
    let now = app.clock.now();
    if let Some(answer) = buckets.take_here(user, app.hub.has_user(user), rate, now) {
        return answer;
    }
    let taken = app.router.take(&format!("{name}:{user}"), rate, rate, SHARED_TAKE.min(per_second)).await;
    let now = app.clock.now();
    buckets.with(user, now, rate, |user| match taken {
        Ok(taken) if taken.granted > 0 => {
            user.borrowed.tokens = taken.granted - 1;
            user.borrowed.until = now.plus(Duration::from_secs(1));
            Ok(())
        }
        Ok(taken) => {
            let wait = taken.retry_after_ms.max(1);
            user.borrowed.empty_until = now.plus(Duration::from_millis(wait));
            Err(wait)
        }
        Err(_) => user.own.take(rate, rate, now),
    })
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
    }

    #[test]
    fn the_buckets_of_users_are_bounded_and_their_own() {
        let buckets = Buckets::default();
        let now = Timestamp::from_millis(1_000_000);
        let (one, other) = (UserId::random(), UserId::random());
        for user in [one, other] {
            buckets.with(user, now, 1.0, |user| user.is_alone = true);
            assert_eq!(buckets.take_here(user, true, 1.0, now), Some(Ok(())));
            assert!(matches!(buckets.take_here(user, true, 1.0, now), Some(Err(_))));
            assert_eq!(
                buckets.take_here(user, false, 1.0, now),
                None,
                "without a session here the shared one is asked"
            );
        }
    }
}
