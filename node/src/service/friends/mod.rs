//! Friendship: asked for, answered, ended, listed. How a pair stands is changed by `people::change_pair`, which tells
//! the other of it.

pub mod answer_friend;
pub mod ask_friend;
pub mod end_friendship;
pub mod list_friends;
