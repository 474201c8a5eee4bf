//! Changes of presence on their way to friends: coalesced, so that a client that comes and goes is told of once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::domain::UserId;

/// Changes of one user within this time are told as one.
pub const COALESCE_TIME: Duration = Duration::from_millis(700);
/// Who goes has this long to reconnect before it is told.
pub const RECONNECT_TIME: Duration = Duration::from_secs(10);
/// Users whose change waits; beyond it changes are not told (friends see them when they ask).
const WAITING_MAX: usize = 200_000;

/// Why a user's presence may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The first session anywhere.
    Came,
    /// The last session has ended.
    Left,
    /// Another status was chosen.
    Chosen,
}

#[derive(Debug, Default)]
pub struct Presence {
    waiting: Mutex<HashMap<UserId, (Cause, Instant)>>,
}

impl Presence {
    /// Notes a change; it is told when its time has come, as things are then.
    pub fn note(&self, user: UserId, cause: Cause, now: Instant) {
        let delay = if cause == Cause::Left { RECONNECT_TIME } else { COALESCE_TIME };
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING_MAX && !waiting.contains_key(&user) {
            return;
        }
        match waiting.get_mut(&user) {
            // Back before anyone was told that the user had left.
            Some((Cause::Left, _)) if cause == Cause::Came => {
                waiting.remove(&user);
            }
            // A choice is told also when its user has gone since, and soon.
            Some((Cause::Chosen, _)) => {}
            Some(change) => *change = (cause, now + delay),
            None => {
                waiting.insert(user, (cause, now + delay));
            }
        }
    }

    /// Takes what is due, at most `limit` users.
    pub fn take_due(&self, now: Instant, limit: usize) -> Vec<(UserId, Cause)> {
        let mut waiting = self.waiting.lock();
        let due: Vec<_> = waiting
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .take(limit)
            .map(|(user, (cause, _))| (*user, *cause))
            .collect();
        for (user, _) in &due {
            waiting.remove(user);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reconnect_is_not_told() {
        let presence = Presence::default();
        let (user, now) = (UserId::random(), Instant::now());
        presence.note(user, Cause::Left, now);
        presence.note(user, Cause::Came, now + Duration::from_secs(5));
        assert!(presence.take_due(now + Duration::from_mins(1), 10).is_empty());
    }

    #[test]
    fn leaving_waits_and_coming_does_not() {
        let presence = Presence::default();
        let (one, other, now) = (UserId::random(), UserId::random(), Instant::now());
        presence.note(one, Cause::Left, now);
        presence.note(other, Cause::Came, now);
        assert_eq!(presence.take_due(now + COALESCE_TIME, 10), [(other, Cause::Came)]);
        assert_eq!(presence.take_due(now + RECONNECT_TIME, 10), [(one, Cause::Left)]);
    }
}
