//! One user and another: how a user is found and shown, and how a pair stands.

pub mod change_pair;
mod friend_news;
pub mod index_names;
pub mod list_blocked;
pub mod look_up_pairs;
pub mod make_friends;
pub mod read_profile;
pub mod search_users;
pub mod sweep_pairs;
mod tell_relationship;
