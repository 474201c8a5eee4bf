//! What is done when entries may have been lost: by Redis, by a node's death, by a database that did not answer.

pub mod await_database;
pub mod bury;
pub mod repair;
