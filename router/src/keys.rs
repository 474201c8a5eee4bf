//! The names of keys. Braces stand only round the id, so that a Redis Cluster spreads them and each script has one slot.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::ids::BootId;

#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Hash: boot -> its lease.
    pub(crate) fn nodes(&self) -> String {
        format!("{}nodes", self.prefix)
    }

    pub(crate) fn born(&self) -> String {
        format!("{}born", self.prefix)
    }

    /// Stream: what peers sent to this boot.
    pub(crate) fn inbox(&self, boot: BootId) -> String {
        self.of("inbox", boot.0)
    }

    /// Set of user and session (32 bytes), for the boot's death.
    pub(crate) fn users(&self, boot: BootId) -> String {
        self.of("users", boot.0)
    }

    /// String: records of 40 bytes, see `scripts/route_add.lua`.
    pub(crate) fn route(&self, user: Uuid) -> String {
        self.of("route", user)
    }

    pub(crate) fn status(&self, user: Uuid) -> String {
        self.of("status", user)
    }

    pub(crate) fn last_seen(&self, user: Uuid) -> String {
        self.of("seen", user)
    }

    pub(crate) fn once(&self, key: Uuid) -> String {
        self.of("once", key)
    }

    pub(crate) fn bucket(&self, name: &str) -> String {
        format!("{}bucket:{{{name}}}", self.prefix)
    }

    /// Stream: events for those who subscribe under this name.
    pub(crate) fn topics(&self, stream: &str) -> String {
        format!("{}topics:{stream}", self.prefix)
    }

    pub(crate) fn lock(&self, name: &str) -> String {
        format!("{}lock:{{{name}}}", self.prefix)
    }

    fn of(&self, what: &str, id: Uuid) -> String {
        let mut key = String::with_capacity(self.prefix.len() + what.len() + 39);
        // Writing to a string does not fail.
        let _ = write!(key, "{}{what}:{{{}}}", self.prefix, id.hyphenated());
        key
    }
}
