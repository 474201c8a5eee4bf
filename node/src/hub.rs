//! The sessions of this node, by user and by id. Storage of handles and nothing else: who gets what is decided by services.

pub mod handle;
pub mod received;
pub mod turns;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use smallvec::SmallVec;

use crate::domain::{LoginId, SessionId, UserId};
pub use handle::{Closed, SessionHandle};

/// Parts of the map, each behind a lock of its own, so that deliveries of different lanes do not wait for each other.
const PARTS: usize = 64;

/// Sessions of one user on this node; rarely more than a phone and a desk.
pub type UserSessions = SmallVec<[Arc<SessionHandle>; 2]>;

#[derive(Default)]
struct Part {
    users: RwLock<HashMap<UserId, UserSessions>>,
    sessions: RwLock<HashMap<SessionId, Arc<SessionHandle>>>,
}

pub struct Hub {
    parts: Vec<Part>,
    hasher: RandomState,
    count: AtomicUsize,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Part::default()).collect(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
        }
    }
}

impl Hub {
    #[expect(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "PARTS are made, and the low bits of the hash are below PARTS"
    )]
    fn part<T: std::hash::Hash>(&self, key: &T) -> &Part {
        &self.parts[self.hasher.hash_one(key) as usize % PARTS]
    }

    pub fn enter(&self, session: Arc<SessionHandle>) {
        let is_new = self.part(&session.id).sessions.write().insert(session.id, Arc::clone(&session)).is_none();
        if is_new {
            self.part(&session.user).users.write().entry(session.user).or_default().push(session);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn leave(&self, session: &SessionHandle) {
        if self.part(&session.id).sessions.write().remove(&session.id).is_none() {
            return;
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        let mut users = self.part(&session.user).users.write();
        if let Some(sessions) = users.get_mut(&session.user) {
            sessions.retain(|other| other.id != session.id);
            if sessions.is_empty() {
                users.remove(&session.user);
            }
        }
    }

    pub fn of_user(&self, user: UserId) -> UserSessions {
        self.part(&user).users.read().get(&user).cloned().unwrap_or_default()
    }

    pub fn has_user(&self, user: UserId) -> bool {
        self.part(&user).users.read().contains_key(&user)
    }

    pub fn get(&self, session: SessionId) -> Option<Arc<SessionHandle>> {
        self.part(&session).sessions.read().get(&session).cloned()
    }

    pub fn users(&self) -> Vec<UserId> {
        self.parts.iter().flat_map(|part| part.users.read().keys().copied().collect::<Vec<_>>()).collect()
    }

    pub fn all(&self) -> Vec<Arc<SessionHandle>> {
        (0..PARTS).flat_map(|part| self.some(part)).collect()
    }

    /// The sessions of one part of [`Hub::parts`], for periodic work that goes round instead of doing all at once.
    pub fn some(&self, part: usize) -> Vec<Arc<SessionHandle>> {
        self.parts.get(part % PARTS).map(|part| part.sessions.read().values().cloned().collect()).unwrap_or_default()
    }

    pub const fn parts() -> usize {
        PARTS
    }

    /// Sessions of one login. Looks at all of them: logins end rarely.
    pub fn of_login(&self, login: LoginId) -> Vec<Arc<SessionHandle>> {
        self.parts
            .iter()
            .flat_map(|part| {
                part.sessions.read().values().filter(|session| session.login() == login).cloned().collect::<Vec<_>>()
            })
            .collect()
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_user_id_and_login_until_it_leaves() {
        let hub = Hub::default();
        let user = UserId::random();
        let one = Arc::new(SessionHandle::for_test(user));
        let other = Arc::new(SessionHandle::for_test(user));
        hub.enter(Arc::clone(&one));
        hub.enter(Arc::clone(&one));
        hub.enter(Arc::clone(&other));
        assert_eq!((hub.len(), hub.of_user(user).len(), hub.all().len()), (2, 2, 2));
        assert_eq!(hub.of_login(other.login()).len(), 1);
        hub.leave(&one);
        hub.leave(&one);
        assert!(hub.get(one.id).is_none() && hub.get(other.id).is_some());
        assert_eq!((hub.len(), hub.users()), (1, vec![user]));
        hub.leave(&other);
        assert!(!hub.has_user(user) && hub.is_empty());
    }
}
