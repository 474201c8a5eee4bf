//! What this node holds of buckets that all nodes share: tokens taken and not used yet, and which buckets are empty just now.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::domain::Timestamp;
use crate::domain::bucket::{Borrowed, Bucket};
use crate::domain::limits::{Limit, LimitKey};

/// Buckets that are kept; those of which nothing is known any more go first when there are more.
const KEPT_MAX: usize = 200_000;

#[derive(Clone, Copy, Debug)]
struct Held {
    /// Counts while the shared bucket cannot be asked.
    own: Bucket,
    borrowed: Borrowed,
}

/// How much in which time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    pub rate_per_s: f64,
    pub burst: f64,
}

#[derive(Debug, Default)]
pub struct Limits(Mutex<HashMap<(Limit, LimitKey), Held>>);

impl Limits {
    /// Takes one here, if this node can say. `None`: the shared bucket has to be asked.
    pub fn take(&self, limit: Limit, key: LimitKey, size: Size, now: Timestamp) -> Option<Result<(), u64>> {
        self.with(limit, key, size, now, |held| held.borrowed.take(now))
    }

    /// Takes one of what the shared bucket has just given; the others are for the next.
    pub fn borrow(&self, limit: Limit, key: LimitKey, size: Size, granted: u32, now: Timestamp) {
        self.with(limit, key, size, now, |held| held.borrowed.take_of(granted, now));
    }

    /// The shared bucket is empty for so long.
    pub fn set_empty(&self, limit: Limit, key: LimitKey, size: Size, wait_ms: u64, now: Timestamp) {
        self.with(limit, key, size, now, |held| held.borrowed.set_empty(wait_ms, now));
    }

    /// Takes one of this node's share while the shared bucket cannot be asked.
    pub fn take_own(&self, limit: Limit, key: LimitKey, share: Size, now: Timestamp) -> Result<(), u64> {
        self.with(limit, key, share, now, |held| held.own.take(share.rate_per_s, share.burst, now))
    }

    fn with<T>(&self, limit: Limit, key: LimitKey, size: Size, now: Timestamp, act: impl FnOnce(&mut Held) -> T) -> T {
        let mut all = self.0.lock();
        if all.len() >= KEPT_MAX && !all.contains_key(&(limit, key)) {
            let is_known =
                |held: &Held| !held.borrowed.is_void(now) || !held.own.is_full(size.rate_per_s, size.burst, now);
            all.retain(|_, held| is_known(held));
            if all.len() >= KEPT_MAX {
                all.clear();
            }
        }
        act(all
            .entry((limit, key))
            .or_insert_with(|| Held { own: Bucket::full(size.burst, now), borrowed: Borrowed::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserId;
    use crate::domain::bucket::KNOWN_FOR;

    const SIZE: Size = Size { rate_per_s: 2.0, burst: 2.0 };

    #[test]
    fn what_was_borrowed_is_used_and_what_is_empty_is_asked_again_soon() {
        let limits = Limits::default();
        let (limit, key) = (Limit::RequestsPerUser, LimitKey::User(UserId::random()));
        let now = Timestamp::from_millis(1_000_000);
        assert_eq!(limits.take(limit, key, SIZE, now), None);
        limits.borrow(limit, key, SIZE, 2, now);
        assert_eq!(limits.take(limit, key, SIZE, now), Some(Ok(())));
        assert_eq!(limits.take(limit, key, SIZE, now), None);
        limits.set_empty(limit, key, SIZE, 60_000, now);
        assert_eq!(limits.take(limit, key, SIZE, now), Some(Err(60_000)));
        assert_eq!(limits.take(limit, key, SIZE, now.plus(KNOWN_FOR)), None);
        let other = LimitKey::User(UserId::random());
        assert_eq!(
            (limits.take_own(limit, other, SIZE, now), limits.take_own(limit, other, SIZE, now)),
            (Ok(()), Ok(()))
        );
        assert_eq!(limits.take_own(limit, other, SIZE, now), Err(500));
    }
}
