//! One user and another: what is shown of a user, blocks, friendship.

pub mod block_user;
pub mod change_pair;
pub mod list_blocked;
pub mod look_up_pairs;
pub mod make_friends;
pub mod read_profile;
pub mod sweep_pairs;
pub mod unblock_user;
