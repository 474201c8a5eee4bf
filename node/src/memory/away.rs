//! What a node remembers for those who were away: keys of cursors, what conversations are, totals of unread, and which sessions
//! are to be told when a database answers again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::Notify;

use crate::config;
use crate::domain::cursor::CursorKeys;
use crate::domain::{ConversationId, ConversationRef, SessionId, UserId};
use crate::storage::ShardId;

/// Conversations whose kind and pair are remembered, some 80 bytes each. They never change.
const REFERENCES_MAX: usize = 200_000;
/// Users whose total of unread messages is remembered.
const TOTALS_MAX: usize = 50_000;
/// A total is never told when it is older (contract 2.4).
const TOTAL_AGE_MAX: Duration = Duration::from_secs(10);
/// Else it may be so many times older than it took to count.
const TOTAL_AGE_FACTOR: u32 = 20;

/// A database that did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    Directory,
    Shard(ShardId),
}

#[derive(Clone)]
struct Total {
    counted_at: Instant,
    took: Duration,
    by_conversation: Arc<HashMap<ConversationId, i64>>,
}

pub struct Away {
    pub cursor_keys: CursorKeys,
    references: Cache<ConversationId, ConversationRef>,
    totals: Cache<UserId, Total>,
    waiting: Mutex<HashMap<Lost, HashSet<SessionId>>>,
    pub(crate) has_waiting: Notify,
}

impl Away {
    pub fn new(auth: &config::Auth) -> Self {
        // The key that signs tokens seals cursors, those that only check open them, so that keys can be rotated.
        let mut keys: Vec<_> = auth.keys.iter().collect();
        keys.sort_by_key(|key| key.kid != auth.signing_kid);
        let secrets = keys.iter().map(|key| if key.secret.is_empty() { &key.private_key } else { &key.secret });
        Self {
            cursor_keys: CursorKeys::derive(secrets.map(String::as_bytes)),
            references: Cache::new(REFERENCES_MAX),
            totals: Cache::new(TOTALS_MAX),
            waiting: Mutex::new(HashMap::new()),
            has_waiting: Notify::new(),
        }
    }

    pub fn reference(&self, id: ConversationId) -> Option<ConversationRef> {
        self.references.get(&id)
    }

    pub fn remember_reference(&self, conversation: ConversationRef) {
        self.references.insert(conversation.id(), conversation);
    }

    /// A total that is young enough, with `unread_count` in the place of what was counted for this conversation.
    pub fn total(&self, user: UserId, conversation: ConversationId, unread_count: i64) -> Option<i64> {
        let total = self.totals.get(&user)?;
        let age_max = total.took.saturating_mul(TOTAL_AGE_FACTOR).min(TOTAL_AGE_MAX);
        if total.counted_at.elapsed() > age_max {
            return None;
        }
        let others = total.by_conversation.iter().filter(|(id, _)| **id != conversation).map(|(_, count)| *count);
        Some(others.sum::<i64>() + unread_count)
    }

    /// `counted_at`: before it was counted.
    pub fn remember_total(&self, user: UserId, counted_at: Instant, by_conversation: HashMap<ConversationId, i64>) {
        let total = Total { counted_at, took: counted_at.elapsed(), by_conversation: Arc::new(by_conversation) };
        self.totals.insert(user, total);
    }

    /// This session is to get `resync` when the database answers again.
    pub fn wait_for(&self, lost: Lost, session: SessionId) {
        self.waiting.lock().entry(lost).or_default().insert(session);
        self.has_waiting.notify_one();
    }

    /// Databases that sessions wait for.
    pub fn waited_for(&self) -> Vec<Lost> {
        self.waiting.lock().keys().copied().collect()
    }

    /// Those who waited for one that is back.
    pub fn take_waiting(&self, lost: Lost) -> HashSet<SessionId> {
        self.waiting.lock().remove(&lost).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_told_with_the_count_that_is_known_now() {
        let away = Away::new(&config::Auth::default());
        let (user, one, other) = (UserId::random(), ConversationId::random(), ConversationId::random());
        assert_eq!(away.total(user, one, 0), None);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(3)).unwrap();
        away.remember_total(user, long_ago, HashMap::from([(one, 5), (other, 2)]));
        assert_eq!(away.total(user, one, 1), Some(3));
        let too_long_ago = Instant::now().checked_sub(Duration::from_secs(11)).unwrap();
        away.remember_total(user, too_long_ago, HashMap::from([(one, 5)]));
        assert_eq!(away.total(user, one, 1), None);
    }
}
