//! Conversations in which this node has written something that is not in the search index yet. Bounded: what does not fit is found by
//! the sweep.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::domain::ConversationId;

/// Some 40 bytes each.
const CONVERSATIONS_MAX: usize = 200_000;

#[derive(Debug, Default)]
pub struct SearchNotes(Mutex<HashSet<ConversationId>>);

impl SearchNotes {
    pub fn note(&self, conversation: ConversationId) {
        let mut notes = self.0.lock();
        if notes.len() < CONVERSATIONS_MAX {
            notes.insert(conversation);
        }
    }

    /// Takes those that fit.
    pub fn take(&self, fits: impl Fn(&ConversationId) -> bool) -> Vec<ConversationId> {
        let mut notes = self.0.lock();
        let taken: Vec<_> = notes.extract_if(fits).collect();
        taken
    }

    pub fn put_back(&self, conversations: impl IntoIterator<Item = ConversationId>) {
        conversations.into_iter().for_each(|conversation| self.note(conversation));
    }
}
