//! Conversations that are known to have an entry: sends to them need no look at the directory. Bounded; what was forgotten is
//! looked up again.

use quick_cache::sync::Cache;

use crate::domain::ConversationId;

/// Some 40 bytes each.
const CONVERSATIONS_MAX: usize = 500_000;

pub struct KnownConversations(Cache<ConversationId, ()>);

impl KnownConversations {
    pub fn contains(&self, conversation: ConversationId) -> bool {
        self.0.get(&conversation).is_some()
    }

    pub fn add(&self, conversation: ConversationId) {
        if !self.contains(conversation) {
            self.0.insert(conversation, ());
        }
    }
}

impl Default for KnownConversations {
    fn default() -> Self {
        Self(Cache::new(CONVERSATIONS_MAX))
    }
}
