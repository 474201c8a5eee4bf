//! The only SQL. `directory` is the database of users, `shard` those of conversations.

pub mod connect;
pub mod directory;
pub mod error;
pub mod migrate;
pub mod outbox;
pub mod pool;
pub mod provision;
pub mod shard;
pub mod types;

pub use directory::Directory;
pub use error::StorageError;
pub use pool::{Client, Database};
pub use shard::{Shard, ShardId, Shards};
