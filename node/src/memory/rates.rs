//! The buckets of this node that say how many messages a second a user may send; `service::limits::check_rate` says when which counts.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::domain::bucket::{Borrowed, Bucket};
use crate::domain::{Timestamp, UserId};

/// Repeats that a user over the rate may have looked up, a second and node.
const REPEATS_PER_SECOND: f64 = 20.0;
/// Users whose buckets are kept; the full ones go first when there are more.
const USERS_MAX: usize = 200_000;

#[derive(Clone, Copy, Debug)]
struct User {
    own: Bucket,
    borrowed: Borrowed,
    repeats: Bucket,
    /// Known to have no session on another node.
    is_alone: bool,
}

#[derive(Default)]
pub struct Rates {
    pub sends: Buckets,
    pub changes: Buckets,
    pub events: Buckets,
}

impl Rates {
    const fn kinds(&self) -> [&Buckets; 3] {
        [&self.sends, &self.changes, &self.events]
    }

    /// Told by registering routes: whether all of the user's sessions are on this node.
    pub fn set_alone(&self, user: UserId, is_alone: bool, now: Timestamp, per_second: u32) {
        for buckets in self.kinds() {
            buckets.with(user, now, f64::from(per_second), |user| user.is_alone = is_alone);
        }
    }

    /// Told by looking routes up, for users whose rate is being counted: sessions come to other nodes, and go, without this one
    /// being told.
    pub fn note_alone(&self, user: UserId, is_alone: bool) {
        for buckets in self.kinds() {
            if let Some(user) = buckets.0.lock().get_mut(&user) {
                user.is_alone = is_alone;
            }
        }
    }
}

/// The buckets of one kind.
#[derive(Default)]
pub struct Buckets(Mutex<HashMap<UserId, User>>);

impl Buckets {
    /// Takes one here, if this node can say. `None`: the shared bucket has to be asked.
    pub fn take(&self, user: UserId, has_session: bool, rate: f64, now: Timestamp) -> Option<Result<(), u64>> {
        self.with(user, now, rate, |user| {
            if user.is_alone && has_session {
                return Some(user.own.take(rate, rate, now));
            }
            user.borrowed.take(now)
        })
    }

    /// Takes one of what the shared bucket has just given; the others are for the next.
    pub fn borrow(&self, user: UserId, granted: u32, rate: f64, now: Timestamp) {
        self.with(user, now, rate, |user| user.borrowed.take_of(granted, now));
    }

    /// The shared bucket is empty for so long.
    pub fn set_empty(&self, user: UserId, wait_ms: u64, rate: f64, now: Timestamp) {
        self.with(user, now, rate, |user| user.borrowed.set_empty(wait_ms, now));
    }

    /// Takes one while the shared bucket cannot be asked.
    pub fn take_own(&self, user: UserId, rate: f64, now: Timestamp) -> Result<(), u64> {
        self.with(user, now, rate, |user| user.own.take(rate, rate, now))
    }

    /// Gives one back that was taken for nothing; at most `borrowed_max` of them are kept of the shared bucket.
    pub fn give_back(&self, user: UserId, borrowed_max: u32, rate: f64, now: Timestamp) {
        self.with(user, now, rate, |user| {
            if user.is_alone {
                user.own.give_back(rate);
            } else {
                user.borrowed.give_back(borrowed_max, now);
            }
        });
    }

    /// True if a user over the rate may have one more repeat looked up.
    pub fn take_repeat(&self, user: UserId, rate: f64, now: Timestamp) -> bool {
        self.with(user, now, rate, |user| user.repeats.take(REPEATS_PER_SECOND, REPEATS_PER_SECOND, now).is_ok())
    }

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_user_is_alone_counts_for_every_kind() {
        let (rates, user, now) = (Rates::default(), UserId::random(), Timestamp::from_millis(1_000_000));
        rates.set_alone(user, true, now, 10);
        assert!(rates.kinds().iter().all(|kind| kind.take(user, true, 10.0, now) == Some(Ok(()))));
        rates.note_alone(user, false);
        assert!(rates.kinds().iter().all(|kind| kind.take(user, true, 10.0, now).is_none()));
    }

    #[test]
    fn the_buckets_of_users_are_bounded_and_their_own() {
        let buckets = Buckets::default();
        let now = Timestamp::from_millis(1_000_000);
        let (one, other) = (UserId::random(), UserId::random());
        for user in [one, other] {
            buckets.with(user, now, 1.0, |user| user.is_alone = true);
            assert_eq!(buckets.take(user, true, 1.0, now), Some(Ok(())));
            assert!(matches!(buckets.take(user, true, 1.0, now), Some(Err(_))));
            assert_eq!(buckets.take(user, false, 1.0, now), None, "without a session here the shared one is asked");
        }
    }
}
