//! The member sets of groups that are active on this node, bounded by the number of members in all of them.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::domain::ConversationId;
use crate::domain::member_set::MemberSet;

/// One group's set, moved by entries as they are shown.
pub type SharedSet = Arc<RwLock<MemberSet>>;

/// A set with its weight as it was when it was put here: the cache asks again when it takes the set out, and must be told the same,
/// however many members have come and gone meanwhile.
#[derive(Clone)]
struct Weighed {
    set: SharedSet,
    weight: u64,
}

impl Weighed {
    fn new(set: SharedSet) -> Self {
        let weight = u64::try_from(set.read().len()).unwrap_or(u64::MAX).saturating_add(8);
        Self { set, weight }
    }
}

#[derive(Clone)]
struct ByMembers;

impl Weighter<ConversationId, Weighed> for ByMembers {
    fn weight(&self, _: &ConversationId, weighed: &Weighed) -> u64 {
        weighed.weight
    }
}

/// Least recently used sets go first when there are more than `limits.cached_members_max` members in all; they are read anew.
pub struct Members {
    sets: Cache<ConversationId, Weighed, ByMembers>,
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("groups", &self.sets.len()).finish()
    }
}

impl Members {
    pub fn new(members_max: usize) -> Self {
        let weight = u64::try_from(members_max).unwrap_or(u64::MAX);
        Self { sets: Cache::with_weighter(members_max / 32 + 1, weight, ByMembers) }
    }

    pub fn get(&self, conversation: ConversationId) -> Option<SharedSet> {
        self.sets.get(&conversation).map(|weighed| weighed.set)
    }

    /// Keeps a set as read from the shard, unless a newer one is here.
    pub fn put(&self, conversation: ConversationId, set: MemberSet) -> SharedSet {
        if let Some(present) = self.get(conversation) {
            let mut held = present.write();
            if held.version() < set.version() {
                *held = set;
            }
            drop(held);
            // Put again, so that it is weighed anew.
            self.sets.insert(conversation, Weighed::new(Arc::clone(&present)));
            return present;
        }
        let shared = Arc::new(RwLock::new(set));
        self.sets.insert(conversation, Weighed::new(Arc::clone(&shared)));
        shared
    }

    pub fn forget(&self, conversation: ConversationId) {
        self.sets.remove(&conversation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Seq, UserId};

    #[test]
    fn a_set_that_has_grown_since_it_was_put_can_be_forgotten() {
        let members = Members::new(1_000);
        let conversation = ConversationId::random();
        let shared = members.put(conversation, MemberSet::default());
        let joined: Vec<UserId> = (0..100).map(|_| UserId::random()).collect();
        shared.write().apply(1, Seq(1), &joined, &[]);
        members.forget(conversation);
        assert!(members.get(conversation).is_none());
        assert_eq!(members.sets.weight(), 0);
    }
}
