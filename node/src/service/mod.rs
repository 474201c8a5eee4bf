//! Use cases, one a file, named by a verb: free functions with the application first.

pub mod block_user;
pub mod carry_through;
pub mod change_pair;
pub mod check_rate;
pub mod look_up_pairs;
pub mod make_friends;
pub mod resolve;
pub mod send_message;
pub mod unblock_user;
