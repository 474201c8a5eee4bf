//! All integration tests in one binary: one link, one PostgreSQL and one Redis for the whole run.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::type_complexity,
    clippy::large_futures,
    reason = "tests read as sentences; what they do wrong shows when they run"
)]
#![allow(dead_code, unused_imports, reason = "the support serves all areas")]

mod accounts;
mod admin;
mod away;
mod changes;
mod delivery;
mod dev;
mod documents;
mod encrypted;
mod entries;
mod failover;
mod faults;
mod friends;
mod groups;
mod hostile;
mod http;
mod invites;
mod issuers;
mod lane;
mod layers;
mod limits;
mod lists;
mod messages;
mod migrations;
mod nodes;
mod notifications;
mod offline;
mod own_data;
mod own_devices;
mod paging;
mod pairs;
mod people;
mod permissions;
mod races;
mod readme;
mod search;
mod sending;
mod sessions;
mod slow_reader;
mod statements;
mod storm;
mod streams;
mod support;
mod sync;
mod texts;
mod topics;
mod unread;
