//! What this node remembers of the feed of changes: logins that have ended, users that are disabled or deleted, roles and names that
//! were changed. Tokens are checked against it, so that no token needs a database query.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::domain::{LoginId, Timestamp, UserId};

/// Memory of one node, kept by `service::feed::follow_changes`.
#[derive(Debug, Default)]
pub struct Standing {
    is_loaded: AtomicBool,
    out: RwLock<HashSet<UserId>>,
    /// With the time of the ending: no token of such a login outlives one access-token life after it.
    ended: RwLock<HashMap<LoginId, Timestamp>>,
    /// Roles that count instead of those in older tokens.
    roles: RwLock<HashMap<UserId, Roles>>,
    /// Names that are shown instead of those in older tokens.
    names: RwLock<HashMap<UserId, (Timestamp, Arc<str>)>>,
}

/// Who made a token and who changed a name may have clocks that differ by so much.
const CLOCK_MARGIN: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
struct Roles {
    since: Timestamp,
    roles: Vec<String>,
}

impl Standing {
    /// False until the feed has been read once: before that nobody can be let in.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    pub fn set_loaded(&self) {
        self.is_loaded.store(true, Ordering::Release);
    }

    /// Disabled or deleted.
    pub fn is_out(&self, user: UserId) -> bool {
        self.out.read().contains(&user)
    }

    pub fn set_out(&self, user: UserId, is_out: bool) {
        let mut out = self.out.write();
        if is_out {
            out.insert(user);
        } else {
            out.remove(&user);
        }
    }

    /// Who is disabled or deleted, as just read.
    pub fn replace_out(&self, users: impl IntoIterator<Item = UserId>) {
        let read = users.into_iter().collect();
        *self.out.write() = read;
    }

    pub fn is_login_ended(&self, login: LoginId) -> bool {
        self.ended.read().contains_key(&login)
    }

    /// True if it was not known.
    pub fn end_login(&self, login: LoginId, at: Timestamp) -> bool {
        self.ended.write().insert(login, at).is_none()
    }

    pub fn set_roles(&self, user: UserId, since: Timestamp, roles: Vec<String>) {
        let mut all = self.roles.write();
        let newest = all.entry(user).or_insert_with(|| Roles { since, roles: Vec::new() });
        if newest.since <= since {
            *newest = Roles { since, roles };
        }
    }

    /// The roles that count, if they changed after this token was made.
    pub fn roles_since(&self, user: UserId, issued_at: Timestamp) -> Option<Vec<String>> {
        self.roles.read().get(&user).filter(|roles| roles.since >= issued_at).map(|roles| roles.roles.clone())
    }

    pub fn set_name(&self, user: UserId, since: Timestamp, name: Arc<str>) {
        let mut names = self.names.write();
        if names.get(&user).is_none_or(|(newest, _)| *newest <= since) {
            names.insert(user, (since, name));
        }
    }

    /// The name that is shown, if it changed after this token was made.
    pub fn name_since(&self, user: UserId, issued_at: Timestamp) -> Option<Arc<str>> {
        let names = self.names.read();
        names.get(&user).filter(|(since, _)| since.plus(CLOCK_MARGIN) >= issued_at).map(|(_, name)| Arc::clone(name))
    }

    /// Forgets what no living token can be about.
    pub fn forget(&self, now: Timestamp, token_life: Duration) {
        let oldest = now.minus(token_life);
        self.ended.write().retain(|_, at| *at > oldest);
        self.roles.write().retain(|_, roles| roles.since > oldest);
        self.names.write().retain(|_, (since, _)| *since > oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_remembered_for_the_life_of_a_token() {
        let standing = Standing::default();
        let (login, at) = (LoginId::random(), Timestamp(1_000_000_000));
        assert!(standing.end_login(login, at) && !standing.end_login(login, at));
        standing.forget(at.plus(Duration::from_secs(899)), Duration::from_mins(15));
        assert!(standing.is_login_ended(login));
        standing.forget(at.plus(Duration::from_mins(15)), Duration::from_mins(15));
        assert!(!standing.is_login_ended(login));
    }

    #[test]
    fn newer_roles_count_for_older_tokens() {
        let standing = Standing::default();
        let user = UserId::random();
        standing.set_roles(user, Timestamp(10), vec![]);
        standing.set_roles(user, Timestamp(5), vec!["admin".to_owned()]);
        assert_eq!(standing.roles_since(user, Timestamp(9)), Some(vec![]));
        assert_eq!(standing.roles_since(user, Timestamp(11)), None);
    }
}
