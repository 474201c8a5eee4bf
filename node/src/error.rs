//! What a use case may fail with: a refusal that the client can act on, or something of ours. `protocol::codes` maps refusals to
//! stable codes; failures are logged once, where they become one of `Unavailable`, `Overloaded` or `Internal`.

use crate::domain::Refusal;
use crate::storage::StorageError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("refused: {0:?}")]
    Refused(Refusal),
    #[error("storage failed")]
    Storage(#[from] StorageError),
    #[error("the bus failed")]
    Router(#[from] herald_router::RouterError),
    #[error("{0}")]
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// Whether it may go well when it is tried again later, without anything being mended.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Unavailable(_) | StorageError::Overloaded(_)) | Self::Router(_))
    }

    /// What the client is told; failures are logged here.
    pub fn into_refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Storage(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(error = cause, "storage failed");
                error.refusal()
            }
            Self::Router(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(error = cause, "bus failed");
                Refusal::Unavailable
            }
            Self::Internal(error) => {
                let cause: &dyn std::error::Error = &*error;
                tracing::error!(error = cause, "internal error");
                Refusal::Internal
            }
        }
    }
}
