//! Who subscribes to what, as this node knows it from the feed of changes: asked wherever something happens that has a topic. With
//! nobody subscribing the question costs a load of one pointer.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;

use crate::domain::Timestamp;
use crate::domain::topic::{Consumer, Pattern, Wish};

#[derive(Debug, Default)]
pub struct Known {
    wishes: Vec<Wish>,
    /// Of those that can match messages.
    messages: Arc<[Pattern]>,
}

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions(Arc<ArcSwap<Known>>);

impl Subscriptions {
    pub fn replace(&self, wishes: Vec<Wish>) {
        let may_match = |wish: &&Wish| wish.subscription.pattern.may_match_within(&["chat", "message", "conversation"]);
        let messages = wishes.iter().filter(may_match).map(|wish| wish.subscription.pattern.clone()).collect();
        self.0.store(Arc::new(Known { wishes, messages }));
    }

    /// Whether anybody wants to know.
    pub fn wants(&self, topic: &str) -> bool {
        self.0.load().wishes.iter().any(|wish| wish.subscription.pattern.matches(topic))
    }

    /// Patterns that messages are to be compared with; mostly none.
    pub fn of_messages(&self) -> Arc<[Pattern]> {
        Arc::clone(&self.0.load().messages)
    }

    pub fn has_any(&self) -> bool {
        !self.0.load().wishes.is_empty()
    }

    pub fn has(&self, consumer: Consumer) -> bool {
        self.0.load().wishes.iter().any(|wish| wish.subscription.consumer == consumer)
    }

    /// The oldest wish for which a consumer is to do something about this.
    pub fn find(&self, consumer: Consumer, topic: &str, payload: &Value, at: Timestamp) -> Option<Wish> {
        let known = self.0.load();
        let fits = |wish: &&Wish| {
            wish.subscription.consumer == consumer && wish.created_at <= at && wish.subscription.wants(topic, payload)
        };
        known.wishes.iter().find(fits).cloned()
    }
}
