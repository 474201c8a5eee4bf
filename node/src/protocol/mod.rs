//! Frames as types: what clients send and get, what nodes send each other, codes of errors and of closing. No I/O.

pub mod check_json;
pub mod client;
pub mod codes;
pub mod delivery;
pub mod field;
pub mod frame;
pub mod schema;
pub mod send;
pub mod server;
pub mod sync;
