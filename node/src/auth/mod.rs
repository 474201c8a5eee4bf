//! Keys and tokens, without a database: who a token says its bearer is.

pub mod issuers;
pub mod keys;
pub mod password;
pub mod refresh;
pub mod tokens;

use std::sync::Arc;

use crate::domain::command::Actor;
use crate::domain::roles::{AccountRole, permit};
use crate::domain::{LoginId, Timestamp, UserId};

/// A checked token: who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user: UserId,
    pub login: LoginId,
    /// `name` of the token: the username; none for users of other issuers.
    pub username: Option<Arc<str>>,
    pub display_name: Arc<str>,
    /// Since when at the latest that is the name.
    pub named_at: Timestamp,
    pub roles: Vec<String>,
    /// Of the access token (for a `ws_token`: of the access token that made it).
    pub expires_at: Timestamp,
}

impl Caller {
    /// The caller as the one who acts in a log.
    pub fn actor(&self) -> Actor {
        Actor { id: self.user, name: Arc::clone(&self.display_name) }
    }

    pub fn is_admin(&self) -> bool {
        permit(&self.roles, AccountRole::Admin)
    }
}
