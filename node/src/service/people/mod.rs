//! One user and another: how a user is found and shown, blocks, friendship.

pub mod block_user;
pub mod change_pair;
mod friend_news;
pub mod index_names;
pub mod list_blocked;
pub mod look_up_pairs;
pub mod make_friends;
pub mod read_profile;
pub mod search_users;
pub mod sweep_pairs;
pub mod unblock_user;
