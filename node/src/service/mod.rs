//! Use cases, one a file, named by a verb: free functions with the application first.

pub mod block_user;
pub mod bury;
pub mod carry_through;
pub mod change_pair;
pub mod check_rate;
pub mod deliver;
pub mod fill;
pub mod item_of_stored;
pub mod look_up_pairs;
pub mod make_friends;
pub mod metrics;
pub mod repair;
pub mod resolve;
pub mod restore_routes;
pub mod send_message;
pub mod show_entry;
pub mod signal;
pub mod unblock_user;
