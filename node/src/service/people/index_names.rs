//! Lets the names by which users are found follow the accounts, whoever made or renamed them.

use crate::app::App;
use crate::error::Result;
use crate::storage::StorageError;
use crate::storage::directory::search_names::{has_unindexed, index_some};

/// Accounts of one transaction.
const ACCOUNTS_AT_ONCE: i64 = 500;

/// Writes what is missing, if anything: before a search, so that it finds who registered a moment ago. Behind a great many new
/// accounts it finds them later.
pub async fn index_names(app: &App) -> Result<()> {
    if has_unindexed(&app.directory).await? {
        match index_some(&app.directory, ACCOUNTS_AT_ONCE).await {
            // Many search while very many are new: some other search is writing them.
            Ok(_) | Err(StorageError::Overloaded(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes all that is missing. Answers how many accounts there were.
pub async fn sweep_names(app: &App) -> Result<usize> {
    let mut indexed = 0;
    while !app.tasks.is_stopping() {
        match index_some(&app.directory, ACCOUNTS_AT_ONCE).await? {
            0 => break,
            some => indexed += some,
        }
    }
    Ok(indexed)
}
