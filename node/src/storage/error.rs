//! What a database may fail with, as far as anyone acts on it.

use crate::domain::Refusal;

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No connection within the wait, or it was lost: the outcome of a write is unknown.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// A statement or lock took too long, or the pool or a queue is full.
    #[error("the database is overloaded")]
    Overloaded(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// Its address cannot be used, or the server there is not who it should be: this does not pass by itself.
    #[error("the connection is not set up right")]
    Misconfigured(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database refused a statement, or answered what cannot be.
    #[error("the database failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StorageError {
    pub fn misconfigured(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Misconfigured(source.into())
    }

    pub const fn refusal(&self) -> Refusal {
        match self {
            Self::Unavailable(_) | Self::Misconfigured(_) => Refusal::Unavailable,
            Self::Overloaded(_) => Refusal::Overloaded { retry_after_ms: 1_000 },
            Self::Failed(_) => Refusal::Internal,
        }
    }
}

impl From<tokio_postgres::Error> for StorageError {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        let Some(code) = error.code() else {
            if is_distrust(&error) {
                return Self::Misconfigured(Box::new(error));
            }
            return if error.is_closed()
                || std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
            {
                Self::Unavailable(Some(Box::new(error)))
            } else {
                Self::Failed(Box::new(error))
            };
        };
        let is_overload = [
            &SqlState::QUERY_CANCELED,
            &SqlState::LOCK_NOT_AVAILABLE,
            &SqlState::T_R_DEADLOCK_DETECTED,
            &SqlState::TOO_MANY_CONNECTIONS,
            &SqlState::DISK_FULL,
            &SqlState::OUT_OF_MEMORY,
        ]
        .contains(&code);
        let is_away =
            code.code().starts_with("57P") || code.code().starts_with("08") || code.code().starts_with("25P03");
        if is_overload {
            Self::Overloaded(Some(Box::new(error)))
        } else if is_away {
            Self::Unavailable(Some(Box::new(error)))
        } else {
            Self::Failed(Box::new(error))
        }
    }
}

/// Whether the server's certificate was refused.
fn is_distrust(error: &tokio_postgres::Error) -> bool {
    let handshake = std::error::Error::source(error).and_then(<dyn std::error::Error>::downcast_ref::<std::io::Error>);
    let refused = handshake.and_then(std::io::Error::get_ref).and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(refused, Some(rustls::Error::InvalidCertificate(_)))
}

impl From<deadpool_postgres::PoolError> for StorageError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
                Self::Overloaded(Some(Box::new(error)))
            }
            deadpool_postgres::PoolError::Backend(_) | deadpool_postgres::PoolError::Timeout(_) => {
                Self::Unavailable(Some(Box::new(error)))
            }
            other => Self::Failed(Box::new(other)),
        }
    }
}

/// An error as `tracing` records it, with its causes.
pub fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    error
}
