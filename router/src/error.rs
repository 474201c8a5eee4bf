//! What can go wrong, as far as a caller can act on it.

/// Why the router did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// Redis is away, or this node may not use it now (paused, lease not yet taken). Known at once, without waiting.
    #[error("redis is not reachable")]
    Down,
    /// Redis answered, and refused: out of memory, for example.
    #[error("redis refused a command")]
    Refused(#[source] redis::RedisError),
    /// Redis answered something that this version cannot read.
    #[error("redis gave an unexpected answer to {0}")]
    Unexpected(&'static str),
    /// Redis would throw away leases and routes at will when it is full.
    #[error("maxmemory-policy of redis is {0}, it must be noeviction")]
    EvictionPolicy(String),
    /// Redis lacks commands that the router needs.
    #[error("redis is version {0}, 7 or newer is needed")]
    Version(String),
    /// The configuration cannot work.
    #[error("router configuration: {0}")]
    Config(&'static str),
    /// Somebody answers at the address of Redis who cannot show to be it. It does not pass by itself.
    #[error("the certificate of redis is not trusted")]
    Untrusted(#[source] redis::RedisError),
    /// An address of Redis cannot be read, or a certificate.
    #[error("the address or the certificates of redis cannot be used")]
    Address(#[source] redis::RedisError),
}

impl RouterError {
    /// True where the caller should go on as it does while Redis is away.
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down | Self::Refused(_))
    }
}
