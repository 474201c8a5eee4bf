//! Users of other issuers whom this node has seen lately: what their tokens do not say.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::domain::{Timestamp, UserId};

/// Users who are remembered, some 200 bytes each.
const USERS_MAX: usize = 50_000;
/// What is remembered of one counts so long. Less than the feed's memory of changed roles, which count over it.
const REMEMBERED_FOR: Duration = Duration::from_mins(5);

#[derive(Clone, Debug)]
pub struct ForeignUser {
    pub username: Option<Arc<str>>,
    pub display_name: Arc<str>,
    pub roles: Arc<[String]>,
    pub read_at: Timestamp,
}

#[derive(Debug)]
pub struct ForeignUsers(Cache<UserId, ForeignUser>);

impl Default for ForeignUsers {
    fn default() -> Self {
        Self(Cache::new(USERS_MAX))
    }
}

impl ForeignUsers {
    pub fn get(&self, user: UserId, now: Timestamp) -> Option<ForeignUser> {
        self.0.get(&user).filter(|known| now.since(known.read_at) < REMEMBERED_FOR)
    }

    pub fn remember(&self, user: UserId, known: ForeignUser) {
        self.0.insert(user, known);
    }

    /// After the account was changed here.
    pub fn forget(&self, user: UserId) {
        self.0.remove(&user);
    }
}
