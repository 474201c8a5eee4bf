//! The directory database: users, logins, lists by user, the feed of changes.

pub mod accounts;
pub mod admin_accounts;
pub mod audit;
pub mod broadcasts;
pub mod changes;
pub mod deletions;
pub mod events;
pub mod friend_budget;
pub mod listing;
pub mod logins;
pub mod node_reports;
pub mod notifications;
pub mod pairs;
pub mod profiles;
pub mod read_listing;
pub mod search_names;
pub mod seed;
pub mod settings;
pub mod templates;
pub mod topics;
pub mod used_tokens;

use super::{Client, Database, StorageError};

#[derive(Clone, Debug)]
pub struct Directory {
    pub(super) database: Database,
}

impl Directory {
    pub const fn new(database: Database) -> Self {
        Self { database }
    }

    /// A connection; waits a bounded time.
    pub(super) async fn client(&self) -> Result<Client, StorageError> {
        self.database.client().await
    }

    /// For `/health` and metrics.
    pub const fn database(&self) -> &Database {
        &self.database
    }
}
