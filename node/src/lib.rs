//! Herald's node. `node/README.md` is the map; imports point down only, and `tests/it/layers.rs` enforces it.

pub mod app;
pub mod auth;
pub mod away;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod error;
pub mod gates;
pub mod http;
pub mod hub;
pub mod inbox;
pub mod known_conversations;
pub mod members;
pub mod metrics;
pub mod pair_memory;
pub mod presence;
pub mod protocol;
pub mod run;
pub mod service;
pub mod session;
pub mod sessions;
pub mod standing;
pub mod storage;
pub mod tasks;
pub mod unread;
