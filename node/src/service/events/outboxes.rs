//! Where events wait to be published.

use crate::app::App;
use crate::storage::Database;

/// Every database with an outbox: the directory's, then the shards'.
pub fn outboxes(app: &App) -> impl Iterator<Item = &Database> {
    let shards = app.shards.all().iter().map(|shard| shard.database());
    std::iter::once(app.directory.database()).chain(shards)
}
