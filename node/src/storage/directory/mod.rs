//! The directory database: users, logins, lists by user, the feed of changes.

pub mod listing;
pub mod pairs;
pub mod profiles;

use deadpool_postgres::Pool;

use super::StorageError;

#[derive(Clone, Debug)]
pub struct Directory {
    pub(super) pool: Pool,
}

impl Directory {
    pub const fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// A connection; waits a bounded time.
    pub(super) async fn client(&self) -> Result<deadpool_postgres::Object, StorageError> {
        Ok(self.pool.get().await?)
    }
}
