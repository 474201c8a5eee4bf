//! Herald's node. `node/README.md` is the map; imports point down only, and `tests/it/layers.rs` enforces it.

pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod error;
pub mod http;
pub mod hub;
pub mod inbox;
pub mod memory;
pub mod metrics;
pub mod protocol;
pub mod run;
pub mod service;
pub mod session;
pub mod storage;
pub mod tasks;
