//! `herald dev`: a whole cluster on this machine, from nothing, for development only.

pub mod postgres;
pub mod process;
pub mod redis;

use std::path::Path;

/// Why something could not be started, in words for the one who tries it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self(format!("{path}: {error}"))
    }
}
