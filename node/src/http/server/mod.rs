//! How requests come to the routes: sockets, who is at their other end, other origins.

pub mod address;
pub mod catch_panic;
pub mod connections;
pub mod cors;
pub mod count_requests;
pub mod limit_address;
pub mod require_json;
pub mod serve;
pub mod socket;
