//! Unread counts on their way to sessions: at most one a second for a user and conversation, always the true one, because what is
//! kept are the two positions that make it, and both only grow.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::domain::{ConversationId, UserId};

/// At most one `unread_count_update` in this time for a user and conversation, answers to `read` aside.
pub const UNREAD_INTERVAL: Duration = Duration::from_secs(1);
/// Positions that come with an entry are taken in for so long after it was written. Later ones may be behind what was told since.
pub const COUNTS_ARE_FRESH: Duration = Duration::from_secs(3);
/// Told counts are remembered for longer than positions older than they are taken in.
const REMEMBERED: Duration = Duration::from_secs(4);
/// Pairs of user and conversation remembered; beyond it the oldest are told at once and forgotten.
const KEPT_MAX: usize = 200_000;

#[derive(Clone, Copy, Debug)]
struct Count {
    last_ordinal: i64,
    read_ordinal: i64,
    told_at: Instant,
    is_dirty: bool,
}

impl Count {
    const fn of(last_ordinal: i64, read_ordinal: i64, now: Instant) -> Self {
        Self { last_ordinal, read_ordinal, told_at: now, is_dirty: false }
    }

    /// Both positions only grow.
    fn take_in(&mut self, last_ordinal: i64, read_ordinal: i64) {
        self.last_ordinal = self.last_ordinal.max(last_ordinal);
        self.read_ordinal = self.read_ordinal.max(read_ordinal);
    }

    /// To be told now.
    fn due(&mut self, user: UserId, conversation: ConversationId, now: Instant) -> Due {
        self.told_at = now;
        self.is_dirty = false;
        Due { user, conversation, unread_count: (self.last_ordinal - self.read_ordinal).max(0) }
    }
}

#[derive(Debug, Default)]
pub struct UnreadCounts {
    pairs: Mutex<HashMap<(UserId, ConversationId), Count>>,
    /// Conversations whose unread messages are counted in the shard, and when they last were.
    uncounted: Mutex<HashMap<ConversationId, (Instant, bool)>>,
}

/// One count to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub user: UserId,
    pub conversation: ConversationId,
    pub unread_count: i64,
}

impl UnreadCounts {
    /// Takes new positions in. Answers the count if it may be told at once.
    pub fn note(
        &self,
        user: UserId,
        conversation: ConversationId,
        last_ordinal: i64,
        read_ordinal: i64,
        now: Instant,
    ) -> Option<Due> {
        let mut pairs = self.pairs.lock();
        let mut fresh = Count::of(last_ordinal, read_ordinal, now);
        let is_full = pairs.len() >= KEPT_MAX;
        let Some(count) = pairs.get_mut(&(user, conversation)) else {
            let due = fresh.due(user, conversation, now);
            if !is_full {
                pairs.insert((user, conversation), fresh);
            }
            return Some(due);
        };
        count.take_in(last_ordinal, read_ordinal);
        if now.saturating_duration_since(count.told_at) < UNREAD_INTERVAL {
            count.is_dirty = true;
            return None;
        }
        Some(count.due(user, conversation, now))
    }

    /// The same for positions whose count is being told by their own answer: only what comes after it is due.
    pub fn note_told(
        &self,
        user: UserId,
        conversation: ConversationId,
        last_ordinal: i64,
        read_ordinal: i64,
        now: Instant,
    ) {
        let mut pairs = self.pairs.lock();
        if pairs.len() >= KEPT_MAX && !pairs.contains_key(&(user, conversation)) {
            return;
        }
        let count = pairs.entry((user, conversation)).or_insert(Count::of(last_ordinal, read_ordinal, now));
        let was_ahead = count.last_ordinal > last_ordinal || count.read_ordinal > read_ordinal;
        count.take_in(last_ordinal, read_ordinal);
        count.is_dirty = was_ahead;
    }

    /// A conversation has new messages that have to be counted in the shard. True: now.
    pub fn note_uncounted(&self, conversation: ConversationId, now: Instant) -> bool {
        let mut uncounted = self.uncounted.lock();
        if uncounted.len() >= KEPT_MAX && !uncounted.contains_key(&conversation) {
            return false;
        }
        match uncounted.entry(conversation) {
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert((now, false));
                true
            }
            std::collections::hash_map::Entry::Occupied(mut occupied) => {
                let (counted_at, is_dirty) = occupied.get_mut();
                let is_due = now.saturating_duration_since(*counted_at) >= UNREAD_INTERVAL;
                if is_due {
                    *counted_at = now;
                }
                *is_dirty = !is_due;
                is_due
            }
        }
    }

    /// What has become due; forgets what has been quiet. Called a few times a second.
    pub fn tick(&self, now: Instant) -> (Vec<Due>, Vec<ConversationId>) {
        let mut due = Vec::new();
        self.pairs.lock().retain(|(user, conversation), count| {
            let age = now.saturating_duration_since(count.told_at);
            if age >= UNREAD_INTERVAL && count.is_dirty {
                due.push(count.due(*user, *conversation, now));
                return true;
            }
            age < REMEMBERED
        });
        let mut uncounted_due = Vec::new();
        self.uncounted.lock().retain(|conversation, (counted_at, is_dirty)| {
            let is_old = now.saturating_duration_since(*counted_at) >= UNREAD_INTERVAL;
            if is_old && *is_dirty {
                uncounted_due.push(*conversation);
                *counted_at = now;
                *is_dirty = false;
                return true;
            }
            !is_old
        });
        (due, uncounted_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_at_once_then_once_a_second_and_always_the_true_count() {
        let counts = UnreadCounts::default();
        let (user, conversation) = (UserId::random(), ConversationId::random());
        let start = Instant::now();
        let due = |unread_count| Some(Due { user, conversation, unread_count });
        assert_eq!(counts.note(user, conversation, 1, 0, start), due(1));
        assert_eq!(counts.note(user, conversation, 2, 0, start), None);
        assert_eq!(counts.note(user, conversation, 3, 0, start), None);
        assert_eq!(counts.tick(start + UNREAD_INTERVAL).0, vec![due(3).unwrap()]);
        counts.note_told(user, conversation, 3, 3, start + UNREAD_INTERVAL);
        // What was committed before the reading comes late: it does not raise the count again.
        assert_eq!(counts.note(user, conversation, 3, 0, start + UNREAD_INTERVAL), None);
        assert_eq!(counts.tick(start + 2 * UNREAD_INTERVAL).0, vec![due(0).unwrap()]);
        assert_eq!(counts.note(user, conversation, 3, 0, start + 4 * UNREAD_INTERVAL), due(0));
        assert!(counts.tick(start + 6 * UNREAD_INTERVAL).0.is_empty() && !counts.pairs.lock().is_empty());
        assert!(counts.tick(start + 4 * UNREAD_INTERVAL + REMEMBERED).0.is_empty());
        assert!(counts.pairs.lock().is_empty());
    }

    #[test]
    fn what_is_counted_in_the_shard_is_counted_once_a_second() {
        let counts = UnreadCounts::default();
        let conversation = ConversationId::random();
        let start = Instant::now();
        assert!(counts.note_uncounted(conversation, start));
        assert!(!counts.note_uncounted(conversation, start));
        assert_eq!(counts.tick(start + UNREAD_INTERVAL).1, vec![conversation]);
        assert!(counts.tick(start + 2 * UNREAD_INTERVAL).1.is_empty());
    }
}
