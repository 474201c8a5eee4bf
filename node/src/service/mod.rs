//! Use cases, one a file, named by a verb, in folders by subject: free functions with the application first. What stands here itself
//! serves several subjects. `tests/it/layers.rs` says which subject may ask which.

pub mod accounts;
pub mod admin;
pub mod ask_shards;
pub mod carry_through;
pub mod conversations;
pub mod delivery;
pub mod events;
pub mod feed;
pub mod friends;
pub mod groups;
pub mod limits;
pub mod messages;
pub mod notifications;
pub mod operations;
pub mod own_data;
pub mod people;
pub mod presence;
pub mod recovery;
pub mod sessions;
pub mod sync;
