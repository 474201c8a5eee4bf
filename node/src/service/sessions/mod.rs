//! The life of a session in the cluster: it enters, is watched, keeps its route, leaves.

pub mod connect;
pub mod disconnect;
pub mod drain;
pub mod mark_received;
pub mod restore_routes;
pub mod watch_sessions;
