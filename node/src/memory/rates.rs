//! The buckets of this node that say how many messages a second a user may send; `service::limits::check_rate` says when which counts.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::domain::bucket::{Borrowed, Bucket};
use crate::domain::{Timestamp, UserId};

/// Repeats that a user over the rate is answered, a second and node.
const REPEATS_PER_SECOND: f64 = 20.0;
/// Look-ups of a user over the rate that find no repeat: so many at once, and a tenth of them a second. On one connection more than
/// that is flooding (contract 2.6).
const LOOK_UPS_MAX: f64 = 100.0;
const LOOK_UPS_PER_SECOND: f64 = 10.0;
/// Users whose buckets are kept; the full ones go first when there are more.
const USERS_MAX: usize = 200_000;

#[derive(Clone, Copy, Debug)]
struct User {
    own: Bucket,
    borrowed: Borrowed,
    repeats: Bucket,
    look_ups: Bucket,
    /// Tokens taken for what may turn out to cost none.
    undecided: u32,
    /// Somebody waits for one of them to be decided.
    is_waited_for: bool,
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
            if let Some(user) = buckets.users.lock().get_mut(&user) {
                user.is_alone = is_alone;
            }
        }
    }
}

/// The buckets of one kind.
#[derive(Default)]
pub struct Buckets {
    users: Mutex<HashMap<UserId, User>>,
    /// A token that was waited for is decided.
    decided: Notify,
}

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

    /// A token was taken, and it is not known yet whether it is used.
    pub fn begin(&self, user: UserId, rate: f64, now: Timestamp) {
        self.with(user, now, rate, |user| user.undecided = user.undecided.saturating_add(1));
    }

    /// It is known now. What was taken for nothing is given back; at most `borrowed_max` of those are kept of the shared bucket.
    pub fn decide(&self, user: UserId, is_used: bool, borrowed_max: u32, rate: f64, now: Timestamp) {
        let is_waited_for = self.with(user, now, rate, |user| {
            user.undecided = user.undecided.saturating_sub(1);
            if !is_used && user.is_alone {
                user.own.give_back(rate);
            } else if !is_used {
                user.borrowed.give_back(borrowed_max, now);
            }
            std::mem::take(&mut user.is_waited_for)
        });
        if is_waited_for {
            self.decided.notify_waiters();
        }
    }

    /// To be waited for, where a token of this user is not decided yet: one may be given back. Others wake it too.
    pub fn next_decided(&self, user: UserId, rate: f64, now: Timestamp) -> Option<Notified<'_>> {
        // Made first, so that it hears of what is decided from here on.
        let decided = self.decided.notified();
        let is_any = self.with(user, now, rate, |user| {
            user.is_waited_for |= user.undecided > 0;
            user.undecided > 0
        });
        is_any.then_some(decided)
    }

    /// True if a user over the rate may have one more send looked up.
    pub fn take_look_up(&self, user: UserId, rate: f64, now: Timestamp) -> bool {
        self.with(user, now, rate, |user| user.look_ups.take(LOOK_UPS_PER_SECOND, LOOK_UPS_MAX, now).is_ok())
    }

    /// What a user over the rate had looked up is a repeat, which costs no look-up: it is answered, or when to come again.
    pub fn take_repeat(&self, user: UserId, rate: f64, now: Timestamp) -> Result<(), u64> {
        self.with(user, now, rate, |user| {
            user.look_ups.give_back(LOOK_UPS_MAX);
            user.repeats.take(REPEATS_PER_SECOND, REPEATS_PER_SECOND, now)
        })
    }

    fn with<T>(&self, user: UserId, now: Timestamp, rate: f64, act: impl FnOnce(&mut User) -> T) -> T {
        let mut users = self.users.lock();
        if users.len() >= USERS_MAX && !users.contains_key(&user) {
            users.retain(|_, user| user.undecided > 0 || !user.own.is_full(rate, rate, now));
            if users.len() >= USERS_MAX {
                users.clear();
            }
        }
        act(users.entry(user).or_insert_with(|| User {
            own: Bucket::full(rate, now),
            borrowed: Borrowed::default(),
            repeats: Bucket::full(REPEATS_PER_SECOND, now),
            look_ups: Bucket::full(LOOK_UPS_MAX, now),
            undecided: 0,
            is_waited_for: false,
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
    fn look_ups_that_find_nothing_take_no_repeats_and_end() {
        let (buckets, user, now) = (Buckets::default(), UserId::random(), Timestamp::from_millis(1_000_000));
        for _ in 0..30 {
            assert!(buckets.take_look_up(user, 1.0, now), "refused for good");
        }
        for _ in 0..20 {
            assert!(buckets.take_look_up(user, 1.0, now));
            assert_eq!(buckets.take_repeat(user, 1.0, now), Ok(()));
        }
        assert!(buckets.take_look_up(user, 1.0, now));
        assert_eq!(buckets.take_repeat(user, 1.0, now), Err(50), "the twenty-first");
        assert_eq!((0..100).filter(|_| buckets.take_look_up(user, 1.0, now)).count(), 70);
    }

    #[tokio::test]
    async fn what_is_not_decided_is_waited_for_and_may_come_back() {
        let (buckets, user, now) = (Buckets::default(), UserId::random(), Timestamp::from_millis(1_000_000));
        assert_eq!(buckets.take_own(user, 1.0, now), Ok(()));
        assert!(buckets.next_decided(user, 1.0, now).is_none());
        buckets.begin(user, 1.0, now);
        buckets.with(user, now, 1.0, |user| user.is_alone = true);
        assert!(buckets.take_own(user, 1.0, now).is_err());
        let decided = buckets.next_decided(user, 1.0, now).unwrap();
        buckets.decide(user, false, 5, 1.0, now);
        decided.await;
        assert_eq!(buckets.take_own(user, 1.0, now), Ok(()), "it was given back");
        assert!(buckets.next_decided(user, 1.0, now).is_none());
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
