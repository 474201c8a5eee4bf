//! Who subscribes to what: administrators, as this node knows it from the feed of changes, and programs outside, as the configuration
//! says. Asked wherever something happens that has a topic; with nobody subscribing the question costs a load of one pointer.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;

use tokio::sync::{Mutex, MutexGuard};

use crate::config::Events;
use crate::domain::Timestamp;
use crate::domain::topic::{Consumer, Pattern, Topic, Wish};

/// A program outside that reads a stream of its own.
#[derive(Debug)]
pub struct Outside {
    pub name: String,
    patterns: Vec<Pattern>,
    pub entries_max: u64,
    pub bytes_max: u64,
}

impl Outside {
    pub fn wants(&self, topic: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(topic))
    }
}

#[derive(Debug, Default)]
struct Known {
    wishes: Vec<Wish>,
    /// Of all who subscribe, those that can match what lanes write.
    of_entries: Arc<[Pattern]>,
}

#[derive(Debug, Default)]
struct Inner {
    outside: Vec<Outside>,
    known: ArcSwap<Known>,
    loading: Mutex<()>,
}

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions(Arc<Inner>);

impl Subscriptions {
    /// With what a configuration says that was checked, and nothing of administrators yet.
    pub fn new(events: &Events) -> Self {
        let parse = |pattern: &String| Pattern::parse(pattern).ok();
        let outside = events.subscriptions.iter().map(|(name, subscription)| Outside {
            name: name.clone(),
            patterns: subscription.topics.iter().filter_map(parse).collect(),
            entries_max: subscription.entries_max.into(),
            bytes_max: subscription.bytes_max,
        });
        let new = Self(Arc::new(Inner { outside: outside.collect(), ..Inner::default() }));
        new.replace(Vec::new());
        new
    }

    /// Whoever reads the wishes of administrators holds this until they are replaced, so that what was read later stands.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.loading.lock().await
    }

    pub fn replace(&self, wishes: Vec<Wish>) {
        let may_match = |pattern: &&Pattern| Topic::OF_ENTRIES.iter().any(|words| pattern.may_match_within(words));
        let own = wishes.iter().map(|wish| &wish.subscription.pattern);
        let all = own.chain(self.0.outside.iter().flat_map(|outside| &outside.patterns));
        let of_entries = all.filter(may_match).cloned().collect();
        self.0.known.store(Arc::new(Known { wishes, of_entries }));
    }

    /// Whether anybody wants to know.
    pub fn wants(&self, topic: &str) -> bool {
        self.is_wished(topic) || self.0.outside.iter().any(|outside| outside.wants(topic))
    }

    /// Whether an administrator does.
    pub fn is_wished(&self, topic: &str) -> bool {
        self.0.known.load().wishes.iter().any(|wish| wish.subscription.pattern.matches(topic))
    }

    /// Programs outside, by their names.
    pub fn outside(&self) -> &[Outside] {
        &self.0.outside
    }

    /// Patterns that entries of logs are to be compared with; mostly none.
    pub fn of_entries(&self) -> Arc<[Pattern]> {
        Arc::clone(&self.0.known.load().of_entries)
    }

    pub fn has_any(&self) -> bool {
        !self.0.outside.is_empty() || !self.0.known.load().wishes.is_empty()
    }

    pub fn has(&self, consumer: Consumer) -> bool {
        self.0.known.load().wishes.iter().any(|wish| wish.subscription.consumer == consumer)
    }

    /// The oldest wish for which a consumer is to do something about this.
    pub fn find(&self, consumer: Consumer, topic: &str, payload: &Value, at: Timestamp) -> Option<Wish> {
        let known = self.0.known.load();
        let fits = |wish: &&Wish| {
            wish.subscription.consumer == consumer && wish.created_at <= at && wish.subscription.wants(topic, payload)
        };
        known.wishes.iter().find(fits).cloned()
    }
}
