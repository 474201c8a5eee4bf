//! Blocks and friends of users as the directory lists them, remembered for a second: presence, typing and the like ask often.
//! Sends are not judged by it: they go by the pair's own row.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::domain::UserId;

/// How long what was read counts.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Users remembered, of either kind.
const USERS_MAX: usize = 50_000;

/// Who blocks whom, as far as one user is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    pub by_user: HashSet<UserId>,
    pub of_user: HashSet<UserId>,
}

impl Blocks {
    /// A block in either direction hides the two from each other.
    pub fn hides(&self, other: UserId) -> bool {
        self.by_user.contains(&other) || self.of_user.contains(&other)
    }
}

#[derive(Clone)]
struct Read<T> {
    at: Instant,
    value: Arc<T>,
}

pub struct PairMemory {
    blocks: Cache<UserId, Read<Blocks>>,
    friends: Cache<UserId, Read<Vec<UserId>>>,
}

impl Default for PairMemory {
    fn default() -> Self {
        Self { blocks: Cache::new(USERS_MAX), friends: Cache::new(USERS_MAX) }
    }
}

impl PairMemory {
    pub fn blocks(&self, user: UserId) -> Option<Arc<Blocks>> {
        fresh(&self.blocks, user)
    }

    /// `at`: before it was read.
    pub fn keep_blocks(&self, user: UserId, value: Arc<Blocks>, at: Instant) {
        self.blocks.insert(user, Read { at, value });
    }

    pub fn friends(&self, user: UserId) -> Option<Arc<Vec<UserId>>> {
        fresh(&self.friends, user)
    }

    /// `at`: before it was read.
    pub fn keep_friends(&self, user: UserId, value: Arc<Vec<UserId>>, at: Instant) {
        self.friends.insert(user, Read { at, value });
    }

    /// Forgets what a change of this user's pairs has made old.
    pub fn forget(&self, user: UserId) {
        self.blocks.remove(&user);
        self.friends.remove(&user);
    }
}

fn fresh<T: Clone>(cache: &Cache<UserId, Read<T>>, user: UserId) -> Option<Arc<T>> {
    cache.get(&user).filter(|read| read.at.elapsed() < KEPT_FOR).map(|read| read.value)
}
