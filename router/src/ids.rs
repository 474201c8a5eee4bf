//! The names of things that the router knows: nodes, boots, sessions and the routes between them.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// The configured name of a node. It outlives restarts; what is routed to is its [`BootId`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Bytes that a node's name may have. It travels in every read of the table of leases.
    pub const BYTES_MAX: usize = 64;

    /// Takes a name of 1 to 64 visible ASCII characters.
    pub fn parse(name: &str) -> Option<Self> {
        let is_good = !name.is_empty() && name.len() <= Self::BYTES_MAX && name.bytes().all(|b| b.is_ascii_graphic());
        is_good.then(|| Self(Arc::from(name)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

uuid_id! {
    /// One life of a node between two starts, or between two pauses that were longer than its lease.
    BootId
}
uuid_id! {
    /// One client's socket.
    SessionId
}

/// One session of a user, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    pub session: SessionId,
    pub boot: BootId,
    pub connected_at_ms: i64,
}
